//! Random numbers for jitter. Not for secrets.

use nix::libc;

/// A number from 0 to 1; 0.5 if the kernel has no entropy yet.
pub fn fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    // SAFETY: fills at most the four bytes of an owned array.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if filled == 4 { f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX) } else { 0.5 }
}
