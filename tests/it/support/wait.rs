//! Waiting for something that another process does: a condition and a deadline, never a fixed time. Called by tests.

use std::time::{Duration, Instant};

/// Nothing here takes this long unless it never happens.
const DEADLINE: Duration = Duration::from_secs(30);

/// Asks `condition` again and again until it holds; `what` says what did not happen otherwise.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
