//! One attempt on a database, on a thread of its own, bounded from outside: no client can be bounded from inside,
//! and one that hangs is left behind. Owns the thread; must never join it once it has overrun, or retry.
//! Called by the keeper (`start`) and the commands (`within`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{OpenOptions, Store, StoreError, open};
use crate::config::DatabaseTarget;

/// How long the connection to a file may wait for the next attempt: a run that ends at once need not open it twice.
/// A server's connection never waits: its others may need it (thousands of runs, a hundred connections).
const KEPT_MAX: Duration = Duration::from_secs(2);

type Slot = (Mutex<Option<Box<dyn Store>>>, Condvar);

/// A connection that waits for the next attempt, for a moment.
#[derive(Clone, Default)]
pub struct Kept(Arc<Slot>);

impl Kept {
    fn take(&self) -> Option<Box<dyn Store>> {
        let store = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.0.1.notify_all();
        store
    }

    fn put(&self, store: Box<dyn Store>) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    /// Waits until the next attempt has taken the connection; whatever is still there in the end is closed.
    fn close_later(&self) {
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(guard, KEPT_MAX, |store| store.is_some());
        let left = waited.unwrap_or_else(PoisonError::into_inner).0.take();
        drop(left);
    }
}

/// Starts an attempt: opens `target`, or takes the connection that is kept, and does `work` with it. The result is received
/// from what is returned; `done` is called once it can be. After that the store is closed, since closing one can hang as
/// well, or, with `keep`, left in `kept` for the next attempt.
///
/// # Errors
/// Where the system refuses a thread.
pub fn start<T: Send + 'static>(
    target: DatabaseTarget,
    options: OpenOptions,
    kept: &Kept,
    keep: bool,
    work: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    done: impl FnOnce() + Send + 'static,
) -> Result<Receiver<Result<T, StoreError>>, StoreError> {
    let (sender, receiver) = channel();
    let identity = target.identity();
    let kept = kept.clone();
    let attempt = move || {
        let mut opened = kept.take();
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let store = match &mut opened {
                Some(store) => store,
                none => none.insert(open(&target, &options)?),
            };
            work(store.as_mut())
        }));
        // The PostgreSQL client panics where it is refused a thread or a descriptor. Later there may be one.
        let result = worked.unwrap_or_else(|_panic| {
            Err(StoreError::Transient { message: format!("{}: the client failed unexpectedly", target.identity()) })
        });
        // Before the answer: whoever hears it may start the next attempt at once.
        let keeping = keep && result.is_ok() && matches!(target, DatabaseTarget::Sqlite(_));
        if keeping && let Some(store) = opened.take() {
            kept.put(store);
        }
        if sender.send(result).is_err() {
            log::debug!(event = "answer_too_late", database = target.identity(); "");
        }
        done();
        drop(opened);
        if keeping {
            kept.close_later();
        }
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
    let receiver = start(target, options, &Kept::default(), false, work, || {})?;
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
