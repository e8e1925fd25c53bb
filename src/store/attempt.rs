//! One attempt on a database, on a thread of its own, bounded from outside: no client library bounds all of its calls, and a
//! thread that hangs is abandoned. Owns the thread; must never join it once it has overrun, or retry.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{OpenOptions, Store, StoreError, open};
use crate::config::DatabaseTarget;

/// How long a thread waits for its next attempt with the store open: a run that ends at once need not open a file twice.
pub const KEPT_MAX: Duration = Duration::from_secs(2);

/// How long closing a file may take at the end. Closing checkpoints SQLite's log; a log that is left makes the next opening
/// slower, and more with each run.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Whether the store stays open for the next attempt, for at most [`KEPT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Closed,
    /// A file only. A server's connection is closed between two attempts that are far apart: thousands of runs share a
    /// hundred connections.
    File,
    /// A server's connection too: the next attempt follows at once.
    Open,
}

/// An attempt, for a thread that has the store, or the error of its opening.
type Job = Box<dyn FnOnce(Result<&mut Store, StoreError>) -> Answer + Send>;

/// The result of an attempt, not sent yet.
struct Answer {
    send: Box<dyn FnOnce() + Send>,
    /// The store is good for another attempt.
    keep: bool,
}

/// The state of a thread.
enum Turn {
    /// It waits for an attempt, or opens the store meanwhile.
    Idle,
    Given(Job),
    /// It works or has ended: it takes no further attempt.
    Gone,
}

#[derive(Clone)]
struct Slot(Arc<(Mutex<Turn>, Condvar)>);

/// The thread that may take the next attempt; none in the beginning.
#[derive(Default)]
pub struct Worker(Option<Thread>);

struct Thread {
    slot: Slot,
    /// Disconnected once the thread has closed its store.
    ended: Receiver<Infallible>,
}

impl Worker {
    /// Opens `target` ahead of the first attempt, which must follow within [`KEPT_MAX`].
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn prepare(&mut self, target: DatabaseTarget, options: OpenOptions) -> Result<(), StoreError> {
        self.0 = Some(Thread::start(Turn::Idle, target, options)?);
        Ok(())
    }

    /// Closes the store, waiting for at most a second. For a process that is about to end.
    pub fn close(&mut self) {
        let Some(Thread { slot, ended }) = self.0.take() else { return };
        slot.dismiss();
        if ended.recv_timeout(CLOSE_MAX) == Err(RecvTimeoutError::Timeout) {
            log::info!(event = "not_closed"; "");
        }
    }

    fn give(&mut self, job: Job, target: DatabaseTarget, options: OpenOptions) -> Result<(), StoreError> {
        let refused = match &self.0 {
            Some(thread) => thread.slot.give(job),
            None => Some(job),
        };
        if let Some(job) = refused {
            self.0 = Some(Thread::start(Turn::Given(job), target, options)?);
        }
        Ok(())
    }
}

impl Thread {
    fn start(turn: Turn, target: DatabaseTarget, options: OpenOptions) -> Result<Self, StoreError> {
        let slot = Slot(Arc::new((Mutex::new(turn), Condvar::new())));
        let (alive, ended) = channel();
        let own = slot.clone();
        let identity = target.identity();
        let work = move || {
            own.work(&target, &options);
            drop(alive);
        };
        match thread::Builder::new().name("store".into()).spawn(work) {
            Ok(_never_joined) => Ok(Self { slot, ended }),
            Err(error) => Err(StoreError::Transient { message: format!("{identity}: cannot start a thread: {error}") }),
        }
    }
}

impl Slot {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `job` to the thread, or back.
    fn give(&self, job: Job) -> Option<Job> {
        let mut turn = self.turn();
        match *turn {
            Turn::Idle => {
                *turn = Turn::Given(job);
                self.0.1.notify_one();
                None
            }
            Turn::Given(_) | Turn::Gone => Some(job),
        }
    }

    /// Ends an idle thread.
    fn dismiss(&self) {
        let mut turn = self.turn();
        if matches!(*turn, Turn::Idle) {
            *turn = Turn::Gone;
            self.0.1.notify_one();
        }
    }

    /// The next attempt, if it comes in time. The thread takes none after that.
    fn wait(&self) -> Option<Job> {
        let is_idle = |turn: &mut Turn| matches!(turn, Turn::Idle);
        let waited = self.0.1.wait_timeout_while(self.turn(), KEPT_MAX, is_idle);
        let mut turn = waited.unwrap_or_else(PoisonError::into_inner).0;
        match std::mem::replace(&mut *turn, Turn::Gone) {
            Turn::Given(job) => Some(job),
            Turn::Idle | Turn::Gone => None,
        }
    }

    /// The thread: opens the store and makes one attempt after the other. Closing the store can hang too, and comes last.
    fn work(&self, target: &DatabaseTarget, options: &OpenOptions) {
        let mut store = guarded(target, || open(target, options));
        while let Some(job) = self.wait() {
            let Answer { send, keep } = job(match &mut store {
                Ok(store) => Ok(store),
                Err(error) => Err(error.clone()),
            });
            // Idle before the answer: its receiver may start the next attempt at once.
            if keep {
                *self.turn() = Turn::Idle;
            }
            send();
            if !keep {
                break;
            }
        }
    }
}

/// The PostgreSQL client panics if the system refuses a thread or a descriptor, which may pass.
fn guarded<T>(target: &DatabaseTarget, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        Err(StoreError::Transient { message: format!("{}: the client failed unexpectedly", target.identity()) })
    })
}

/// Starts an attempt: does `work` with the open store of `worker`, or opens `target`. The returned channel gets the result;
/// `done` is called once it is there.
///
/// # Errors
/// The system refuses a thread.
pub fn start<T: Send + 'static>(
    target: DatabaseTarget,
    options: OpenOptions,
    worker: &mut Worker,
    keep: Keep,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    done: impl FnOnce() + Send + 'static,
) -> Result<Receiver<Result<T, StoreError>>, StoreError> {
    let (sender, receiver) = channel();
    let of_job = target.clone();
    let job = move |store: Result<&mut Store, StoreError>| {
        let result = guarded(&of_job, || work(store?));
        let is_kept = match keep {
            Keep::Closed => false,
            Keep::File => matches!(of_job, DatabaseTarget::Sqlite(_)),
            Keep::Open => true,
        };
        let keep = is_kept && result.is_ok();
        let send = move || {
            if sender.send(result).is_err() {
                log::debug!(event = "answer_too_late", database = of_job.identity(); "");
            }
            done();
        };
        Answer { send: Box::new(send), keep }
    };
    worker.give(Box::new(job), target, options).map(|()| receiver)
}

/// Attempts on one database that follow each other, each bounded.
pub struct Attempts {
    target: DatabaseTarget,
    worker: Worker,
    /// The table that the worker's store was opened for.
    table: String,
}

impl Attempts {
    pub fn on(target: DatabaseTarget) -> Self {
        Self { target, worker: Worker::default(), table: String::new() }
    }

    /// Makes an attempt and waits for it until `deadline` has passed; `None` if it hangs.
    pub fn make<T: Send + 'static>(
        &mut self,
        deadline: Duration,
        options: OpenOptions,
        keep: Keep,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<Result<T, StoreError>> {
        if self.table != options.table {
            self.worker.close();
            self.table.clone_from(&options.table);
        }
        let receiver = match start(self.target.clone(), options, &mut self.worker, keep, work, || {}) {
            Ok(receiver) => receiver,
            Err(error) => return Some(Err(error)),
        };
        match receiver.recv_timeout(deadline) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => {
                self.worker = Worker::default();
                None
            }
            Err(RecvTimeoutError::Disconnected) => {
                let message = format!("{}: the attempt ended without an answer", self.target.identity());
                Some(Err(StoreError::Transient { message }))
            }
        }
    }

    /// As [`Self::make`], with an attempt that hangs as an error.
    ///
    /// # Errors
    /// The error of `work` or of the opening, or that the database did not answer in time.
    pub fn within<T: Send + 'static>(
        &mut self,
        deadline: Duration,
        options: OpenOptions,
        keep: Keep,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.make(deadline, options, keep, work).unwrap_or_else(|| {
            let within = humantime::format_duration(deadline);
            Err(StoreError::Transient { message: format!("{} did not answer within {within}", self.target.identity()) })
        })
    }

    /// Closes the store, as [`Worker::close`] does.
    pub fn close(&mut self) {
        self.worker.close();
    }
}

/// Makes a single attempt, bounded by `deadline`.
///
/// # Errors
/// The error of `work` or of the opening, or that the database did not answer in time.
pub fn within<T: Send + 'static>(
    deadline: Duration,
    target: DatabaseTarget,
    options: OpenOptions,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let mut attempts = Attempts::on(target);
    let result = attempts.within(deadline, options, Keep::Closed, work);
    attempts.close();
    result
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;
    use crate::store::ShapeCache;

    const LIMIT: Duration = Duration::from_secs(30);

    /// The thread that an attempt was made on.
    #[track_caller]
    fn attempt(worker: &mut Worker, target: &DatabaseTarget, keep: Keep) -> ThreadId {
        let work = |_store: &mut Store| Ok(thread::current().id());
        let answer = start(target.clone(), options(), worker, keep, work, || {}).unwrap();
        answer.recv_timeout(LIMIT).unwrap().unwrap()
    }

    fn options() -> OpenOptions {
        OpenOptions {
            table: "training_records".into(),
            migrate: true,
            attempt: 0,
            statement_timeout: LIMIT,
            shape: ShapeCache::default(),
        }
    }

    fn file(directory: &tempfile::TempDir) -> DatabaseTarget {
        DatabaseTarget::Sqlite(directory.path().join("runs.db"))
    }

    #[test]
    fn a_kept_or_prepared_store_serves_the_next_attempt_only() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        let mut worker = Worker::default();
        worker.prepare(target.clone(), options()).unwrap();
        let first = attempt(&mut worker, &target, Keep::File);
        assert_eq!(attempt(&mut worker, &target, Keep::Closed), first);
        assert_ne!(attempt(&mut worker, &target, Keep::Closed), first);
    }

    #[test]
    fn an_attempt_given_to_an_ended_thread_starts_another() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        let mut worker = Worker::default();
        let first = attempt(&mut worker, &target, Keep::File);
        *worker.0.as_ref().unwrap().slot.turn() = Turn::Gone;
        assert_ne!(attempt(&mut worker, &target, Keep::File), first);
    }

    #[test]
    fn a_closed_file_leaves_no_write_ahead_log() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        let mut worker = Worker::default();
        let work = |store: &mut Store| store.migrate();
        let answer = start(target, options(), &mut worker, Keep::File, work, || {}).unwrap();
        answer.recv_timeout(LIMIT).unwrap().unwrap();
        assert!(directory.path().join("runs.db-wal").exists());
        worker.close();
        assert!(!directory.path().join("runs.db-wal").exists());
    }

    #[test]
    fn a_failed_prepare_is_the_error_of_the_attempt_and_the_next_opens_anew() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        std::fs::create_dir(directory.path().join("runs.db")).unwrap();
        let mut worker = Worker::default();
        worker.prepare(target.clone(), options()).unwrap();
        let failed = start(target.clone(), options(), &mut worker, Keep::File, |_store| Ok(()), || {}).unwrap();
        assert!(failed.recv_timeout(LIMIT).unwrap().is_err());
        std::fs::remove_dir(directory.path().join("runs.db")).unwrap();
        attempt(&mut worker, &target, Keep::File);
    }
}
