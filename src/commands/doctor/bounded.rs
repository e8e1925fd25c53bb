//! Work on files, bounded in time: a file system may never answer. Must not join a thread that hangs.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The result of `work`; `None` if it takes longer than `limit`. Without a thread, the work is not bounded.
pub(super) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let work = Arc::new(Mutex::new(Some(work)));
    let (sender, receiver) = channel();
    let own = Arc::clone(&work);
    let started = thread::Builder::new().name("files".into()).spawn(move || {
        if let Some(work) = taken(&own) {
            sender.send(work()).ok();
        }
    });
    match started {
        Ok(_detached) => receiver.recv_timeout(limit).ok(),
        Err(_too_many) => taken(&work).map(|work| work()),
    }
}

fn taken<W>(work: &Mutex<Option<W>>) -> Option<W> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_has_no_result() {
        assert_eq!(within(Duration::from_secs(30), || 1), Some(1));
        let (keep, blocked) = channel::<()>();
        assert_eq!(within(Duration::from_millis(1), move || blocked.recv().is_err()), None);
        drop(keep);
    }
}
