//! Waiting for another process: a condition and a deadline. Must never wait for a fixed time.

use std::time::{Duration, Instant};

/// No condition takes this long unless it never holds.
const DEADLINE: Duration = Duration::from_secs(30);

/// Polls `condition` until it holds; `what` names it in the failure.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
