//! One attempt on a database, on a thread of its own, bounded from outside: no client can be bounded from inside,
//! and one that hangs is left behind. Owns the thread; must never join it once it has overrun, or retry.
//! Called by the keeper (`start`) and the commands (`within`).

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{OpenOptions, Store, StoreError, open};
use crate::config::DatabaseTarget;

/// How long a thread waits for its next attempt with what it has opened: a run that ends at once need not open a file twice.
/// A server's connection never waits after an attempt: others may need it (thousands of runs, a hundred connections).
pub const KEPT_MAX: Duration = Duration::from_secs(2);

/// How long a file may take to be closed at the end. SQLite's log is put into the file then: what is left of it costs whoever
/// opens the file next, and more with each run.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// An attempt, for a thread that has the store, or the error of its opening.
type Job = Box<dyn FnOnce(Result<&mut Store, StoreError>) -> Answer + Send>;

/// What came of an attempt, not yet said.
struct Answer {
    say: Box<dyn FnOnce() + Send>,
    /// The store is good for another attempt.
    keep: bool,
}

/// What a thread does.
enum Turn {
    /// It waits for an attempt, or opens the store meanwhile.
    Idle,
    Given(Job),
    /// It is at work, or has gone: no attempt is to be given to it.
    Gone,
}

#[derive(Clone)]
struct Slot(Arc<(Mutex<Turn>, Condvar)>);

/// The thread that may take the next attempt; none in the beginning.
#[derive(Default)]
pub struct Worker(Option<Thread>);

struct Thread {
    slot: Slot,
    /// Disconnected once the thread has closed what it had open.
    ended: Receiver<Infallible>,
}

impl Worker {
    /// Opens `target` ahead of the first attempt, which is then to come within a moment.
    ///
    /// # Errors
    /// Where the system refuses a thread.
    pub fn prepare(&mut self, target: DatabaseTarget, options: OpenOptions) -> Result<(), StoreError> {
        self.0 = Some(Thread::start(Turn::Idle, target, options)?);
        Ok(())
    }

    /// Closes what is open, and does not wait for that for long. For a process that is about to end.
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

    /// The thread is not to wait any longer.
    fn dismiss(&self) {
        let mut turn = self.turn();
        if matches!(*turn, Turn::Idle) {
            *turn = Turn::Gone;
            self.0.1.notify_one();
        }
    }

    /// The next attempt, if it comes in time. No other is given after that.
    fn wait(&self) -> Option<Job> {
        let is_idle = |turn: &mut Turn| matches!(turn, Turn::Idle);
        let waited = self.0.1.wait_timeout_while(self.turn(), KEPT_MAX, is_idle);
        let mut turn = waited.unwrap_or_else(PoisonError::into_inner).0;
        match std::mem::replace(&mut *turn, Turn::Gone) {
            Turn::Given(job) => Some(job),
            Turn::Idle | Turn::Gone => None,
        }
    }

    /// The thread: opens the store and does one attempt after the other with it. Closing it can hang as well, and comes last.
    fn work(&self, target: &DatabaseTarget, options: &OpenOptions) {
        let mut store = guarded(target, || open(target, options));
        while let Some(job) = self.wait() {
            let Answer { say, keep } = job(match &mut store {
                Ok(store) => Ok(store),
                Err(error) => Err(error.clone()),
            });
            // Before the answer: whoever hears it may start the next attempt at once.
            if keep {
                *self.turn() = Turn::Idle;
            }
            say();
            if !keep {
                break;
            }
        }
    }
}

/// The PostgreSQL client panics where it is refused a thread or a descriptor. Later there may be one.
fn guarded<T>(target: &DatabaseTarget, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        Err(StoreError::Transient { message: format!("{}: the client failed unexpectedly", target.identity()) })
    })
}

/// Starts an attempt: does `work` with what `worker` has open, or opens `target`. The result is received from what is returned;
/// `done` is called once it can be. With `keep` a file stays open for the next attempt, for a moment.
///
/// # Errors
/// Where the system refuses a thread.
pub fn start<T: Send + 'static>(
    target: DatabaseTarget,
    options: OpenOptions,
    worker: &mut Worker,
    keep: bool,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    done: impl FnOnce() + Send + 'static,
) -> Result<Receiver<Result<T, StoreError>>, StoreError> {
    let (sender, receiver) = channel();
    let of_job = target.clone();
    let job = move |store: Result<&mut Store, StoreError>| {
        let result = guarded(&of_job, || work(store?));
        let keep = keep && result.is_ok() && matches!(of_job, DatabaseTarget::Sqlite(_));
        let say = move || {
            if sender.send(result).is_err() {
                log::debug!(event = "answer_too_late", database = of_job.identity(); "");
            }
            done();
        };
        Answer { say: Box::new(say), keep }
    };
    worker.give(Box::new(job), target, options).map(|()| receiver)
}

/// Makes an attempt and waits for it, but no longer than `deadline`.
///
/// # Errors
/// What `work` or the opening says, or that the database did not answer in time.
pub fn within<T: Send + 'static>(
    deadline: Duration,
    target: DatabaseTarget,
    options: OpenOptions,
    work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let identity = target.identity();
    let mut worker = Worker::default();
    let receiver = start(target, options, &mut worker, false, work, || {})?;
    let answer = receiver.recv_timeout(deadline);
    if answer.is_ok() {
        worker.close();
    }
    answer.unwrap_or_else(|error| {
        let message = match error {
            RecvTimeoutError::Timeout => {
                format!("{identity} did not answer within {}", humantime::format_duration(deadline))
            }
            RecvTimeoutError::Disconnected => format!("{identity}: the attempt ended without an answer"),
        };
        Err(StoreError::Transient { message })
    })
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;
    use crate::store::ShapeCache;

    const LIMIT: Duration = Duration::from_secs(30);

    /// The thread that an attempt was made on.
    #[track_caller]
    fn attempt(worker: &mut Worker, target: &DatabaseTarget, keep: bool) -> ThreadId {
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
    fn what_is_kept_or_opened_ahead_does_the_next_attempt_and_nothing_after_that() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        let mut worker = Worker::default();
        worker.prepare(target.clone(), options()).unwrap();
        let first = attempt(&mut worker, &target, true);
        assert_eq!(attempt(&mut worker, &target, false), first);
        assert_ne!(attempt(&mut worker, &target, false), first);
    }

    #[test]
    fn an_attempt_for_a_thread_that_has_gone_is_made_by_another() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        let mut worker = Worker::default();
        let first = attempt(&mut worker, &target, true);
        *worker.0.as_ref().unwrap().slot.turn() = Turn::Gone;
        assert_ne!(attempt(&mut worker, &target, true), first);
    }

    #[test]
    fn what_is_closed_leaves_no_log_behind() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        let mut worker = Worker::default();
        let work = |store: &mut Store| store.migrate();
        let answer = start(target, options(), &mut worker, true, work, || {}).unwrap();
        answer.recv_timeout(LIMIT).unwrap().unwrap();
        assert!(directory.path().join("runs.db-wal").exists());
        worker.close();
        assert!(!directory.path().join("runs.db-wal").exists());
    }

    #[test]
    fn what_could_not_be_opened_ahead_is_the_error_of_the_attempt_and_the_next_one_opens_anew() {
        let directory = tempfile::tempdir().unwrap();
        let target = file(&directory);
        std::fs::create_dir(directory.path().join("runs.db")).unwrap();
        let mut worker = Worker::default();
        worker.prepare(target.clone(), options()).unwrap();
        let failed = start(target.clone(), options(), &mut worker, true, |_store| Ok(()), || {}).unwrap();
        assert!(failed.recv_timeout(LIMIT).unwrap().is_err());
        std::fs::remove_dir(directory.path().join("runs.db")).unwrap();
        attempt(&mut worker, &target, true);
    }
}
