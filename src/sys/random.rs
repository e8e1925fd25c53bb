//! Random numbers for jitter. Not for secrets.

use std::hash::{BuildHasher, RandomState};

/// A number from 0 to 1.
pub fn fraction() -> f64 {
    // Each state has other keys, made from a random number of the kernel.
    let random = RandomState::new().hash_one(());
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
