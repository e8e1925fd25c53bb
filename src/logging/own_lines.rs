//! The lines that this process wrote to stderr: the trainer's tail excludes them. Bounded to the newest.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A run has few messages, except with `-v`.
const LINES_MAX: usize = 64;

static LINES: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());

fn lines() -> MutexGuard<'static, VecDeque<Vec<u8>>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets all lines so far.
pub(crate) fn forget_own_lines() {
    lines().clear();
}

/// The lines since, the oldest first, each as it was written.
pub(crate) fn own_lines() -> Vec<Vec<u8>> {
    lines().iter().cloned().collect()
}

pub(super) fn keep(line: &[u8]) {
    let mut lines = lines();
    if lines.len() >= LINES_MAX {
        lines.pop_front();
    }
    lines.push_back(line.to_vec());
}
