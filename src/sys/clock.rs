//! The two clocks: boot time for everything that is measured, wall time for the one moment that a run begins.
//! Must not be used to compare the clocks of two machines.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use nix::time::{ClockId, clock_gettime};

/// Time since boot, suspended time included. Does not jump. Zero where the kernel has no such clock (none known).
#[must_use]
pub fn boot_time() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// The wall clock in UTC, cut to the microseconds that every database keeps.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_time() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
