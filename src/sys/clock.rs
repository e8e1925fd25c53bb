//! Two clocks: boot time for every duration and deadline, wall time for the start of a run. Must not be used to compare
//! the clocks of two machines.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use nix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME: time since boot including suspend. Never jumps. Zero if the kernel has no such clock.
pub fn boot_time() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// The wall clock in UTC, truncated to microseconds, the precision of every supported database.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_time() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
