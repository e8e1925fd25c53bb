//! One attempt on a database, on a thread of its own, bounded from outside: no client can be bounded from inside,
//! and one that hangs is left behind. Owns the thread; must never join it once it has overrun, or retry.
//! Called by the keeper (`start`) and the commands (`within`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::{OpenOptions, Store, StoreError, open};
use crate::config::DatabaseTarget;

/// Starts an attempt: opens `target` and does `work` with it. The result is received from what is returned; `done`
/// is called once it can be. The store is closed after both, since closing one can hang as well.
///
/// # Errors
/// Where the system refuses a thread.
pub fn start<T: Send + 'static>(
    target: DatabaseTarget,
    options: OpenOptions,
    work: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    done: impl FnOnce() + Send + 'static,
) -> Result<Receiver<Result<T, StoreError>>, StoreError> {
    let (sender, receiver) = channel();
    let identity = target.identity();
    let attempt = move || {
        let mut opened = None;
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let store = opened.insert(open(&target, &options)?);
            work(store.as_mut())
        }));
        // The PostgreSQL client panics where it is refused a thread or a descriptor. Later there may be one.
        let result = worked.unwrap_or_else(|_panic| {
            Err(StoreError::Transient { message: format!("{}: the client failed unexpectedly", target.identity()) })
        });
        if sender.send(result).is_err() {
            log::debug!(event = "answer_too_late", database = target.identity(); "");
        }
        done();
        drop(opened);
    };
    let spawned = thread::Builder::new().name("store".into()).spawn(attempt);
    match spawned {
        Ok(_never_joined) => Ok(receiver),
        Err(error) => Err(StoreError::Transient { message: format!("{identity}: cannot start a thread: {error}") }),
    }
}

/// Makes an attempt and waits for it, but no longer than `deadline`.
///
/// # Errors
/// What `work` or the opening says, or that the database did not answer in time.
pub fn within<T: Send + 'static>(
    deadline: Duration,
    target: DatabaseTarget,
    options: OpenOptions,
    work: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let identity = target.identity();
    let receiver = start(target, options, work, || {})?;
    receiver.recv_timeout(deadline).unwrap_or_else(|error| {
        let message = match error {
            RecvTimeoutError::Timeout => {
                format!("{identity} did not answer within {}", humantime::format_duration(deadline))
            }
            RecvTimeoutError::Disconnected => format!("{identity}: the attempt ended without an answer"),
        };
        Err(StoreError::Transient { message })
    })
}
