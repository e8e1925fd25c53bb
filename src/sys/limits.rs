//! The resource limits of this process (`ulimit`), and whether the kernel lets it start more threads. Must not change a limit.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, rlim_t};

use super::clock::boot_time;
use super::poll::pause;

/// How long the kernel may take to remove ended threads.
const REMOVAL_MAX: Duration = Duration::from_millis(100);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Enough to wait.
const STACK_BYTES: usize = 64 * 1024;

/// The soft limits; `None` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `ulimit -f`, in bytes.
    pub file_bytes: Option<u64>,
    /// `ulimit -n`.
    pub open_files: Option<u64>,
    /// `ulimit -u`: processes and threads of this user.
    pub processes: Option<u64>,
    /// `ulimit -c`, in bytes.
    pub core_bytes: Option<u64>,
}

impl Limits {
    /// The limits of this process, which a trainer inherits.
    ///
    /// # Errors
    /// Those of getrlimit(2).
    pub fn current() -> io::Result<Self> {
        let soft = |resource| -> io::Result<Option<u64>> {
            let (soft, _hard): (rlim_t, rlim_t) = getrlimit(resource)?;
            Ok((soft != libc::RLIM_INFINITY).then_some(soft))
        };
        Ok(Self {
            file_bytes: soft(Resource::RLIMIT_FSIZE)?,
            open_files: soft(Resource::RLIMIT_NOFILE)?,
            processes: soft(Resource::RLIMIT_NPROC)?,
            core_bytes: soft(Resource::RLIMIT_CORE)?,
        })
    }
}

/// How many threads this process may still start, at most `enough`: `ulimit -u` and a cgroup count threads as processes. Call it
/// before any other thread is started: the kernel counts an ended one until it has removed it.
pub fn free_tasks(enough: usize) -> usize {
    let before = threads();
    let (gate, closed) = channel::<()>();
    let closed = Arc::new(Mutex::new(closed));
    let start = |_number| -> Option<JoinHandle<()>> {
        let closed = Arc::clone(&closed);
        // All wait until the sender is dropped.
        let wait = move || _ = closed.lock().map(|gate| gate.recv().is_err());
        thread::Builder::new().name("limit".into()).stack_size(STACK_BYTES).spawn(wait).ok()
    };
    let started: Vec<_> = (0..enough).map_while(start).collect();
    drop(gate);
    let count = started.len();
    for thread in started {
        thread.join().ok();
    }
    let deadline = boot_time() + REMOVAL_MAX;
    while threads() > before && boot_time() < deadline && pause(POLL_INTERVAL).is_ok() {}
    count
}

/// The links of `/proc/self/task`, one for each thread and some more; 0 without /proc.
fn threads() -> u64 {
    std::fs::metadata("/proc/self/task").map_or(0, |tasks| tasks.nlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_threads_are_counted_up_to_enough() {
        let limits = Limits::current().unwrap();
        assert!(limits.open_files.is_none_or(|files| files > 0), "{limits:?}");
        assert_eq!(free_tasks(3), 3);
    }
}
