//! One attempt on a database, on a thread of its own, bounded from outside: no client library bounds all of its calls, and a
//! thread that hangs is abandoned. Owns the thread; must never join it once it has overrun, or retry.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use super::{OpenOptions, Store, StoreError, open};
use crate::config::DatabaseTarget;
use crate::sys::clock::boot_time;

/// How long a thread waits for its next attempt with the store open: a run that ends at once need not open a file twice.
pub const KEPT_MAX: Duration = Duration::from_secs(2);

/// How long a server's connection waits for the end of a run that has just begun. Many runs may begin at once on a server that takes
/// few connections.
const KEPT_BRIEFLY: Duration = Duration::from_millis(50);

/// How long a connection waits for the next look of a page.
const KEPT_POLLED: Duration = Duration::from_secs(15);

/// How long closing a file may take at the end. Closing checkpoints SQLite's log; a log that is left makes the next opening
/// slower, and more with each run.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Whether the store stays open for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Closed,
    /// For at most 50 ms: the next attempt may follow at once.
    Briefly,
    /// For at most [`KEPT_MAX`]: the next attempt follows soon.
    Open,
    /// For at most 15 s: a page asks again every 5 s while a person looks.
    Polled,
}

impl Keep {
    const fn limit(self) -> Option<Duration> {
        match self {
            Self::Closed => None,
            Self::Briefly => Some(KEPT_BRIEFLY),
            Self::Open => Some(KEPT_MAX),
            Self::Polled => Some(KEPT_POLLED),
        }
    }
}

/// An attempt, for a thread that has the store, or the error of its opening. Returns how long the store waits for another one, if it
/// is good for that, and has set the flag before it answers: the receiver may start the next attempt at once.
type Job = Box<dyn FnOnce(Result<&mut Store, StoreError>, &AtomicBool) -> Option<Duration> + Send>;

struct Thread {
    jobs: Sender<Job>,
    /// The thread waits for a job. Two clear it: a new job, and the thread when it stops waiting; the first one wins.
    is_free: Arc<AtomicBool>,
    /// Disconnected once the thread has closed its store.
    ended: Receiver<Infallible>,
}

impl Thread {
    fn start(target: DatabaseTarget, options: OpenOptions, is_free: bool) -> Result<Self, StoreError> {
        let (jobs, given) = channel();
        let (alive, ended) = channel();
        let is_free = Arc::new(AtomicBool::new(is_free));
        let flag = Arc::clone(&is_free);
        let identity = target.identity();
        let work = move || {
            serve(&target, &options, &given, &flag);
            drop(alive);
        };
        match thread::Builder::new().name("store".into()).spawn(work) {
            Ok(_never_joined) => Ok(Self { jobs, is_free, ended }),
            Err(error) => Err(StoreError::Transient { message: format!("{identity}: cannot start a thread: {error}") }),
        }
    }
}

/// The thread: opens the store and makes one attempt after the other. Closing the store can hang too, and comes last.
fn serve(target: &DatabaseTarget, options: &OpenOptions, given: &Receiver<Job>, is_free: &AtomicBool) {
    let mut store = guarded(target, || open(target, options));
    let next = |limit: Duration| match given.recv_timeout(limit) {
        // A job is on its way.
        Err(RecvTimeoutError::Timeout) if !is_free.swap(false, SeqCst) => given.recv().ok(),
        job => job.ok(),
    };
    let mut limit = Some(KEPT_MAX);
    while let Some(job) = limit.and_then(next) {
        limit = job(store.as_mut().map_err(|error| error.clone()), is_free);
    }
}

/// The PostgreSQL client panics if the system refuses a thread or a descriptor, which may pass.
fn guarded<T>(target: &DatabaseTarget, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        Err(StoreError::Transient { message: format!("{}: the client failed unexpectedly", target.identity()) })
    })
}

/// Attempts on one database that follow each other.
pub struct Attempts {
    target: DatabaseTarget,
    /// The thread that may take the next attempt; none in the beginning.
    thread: Option<Thread>,
    /// The attempts that hung.
    hung: Vec<Hung>,
}

/// An attempt that overran its deadline.
struct Hung {
    host: usize,
    /// The boot time at which it was abandoned.
    since: Duration,
    /// Disconnected once its thread has ended.
    ended: Receiver<Infallible>,
}

/// The attempts on one host that hang at most, each with a thread and its connection.
const HUNG_MAX: usize = 4;

/// Whether a host on which attempts have hung for so long, the oldest first, is tried again. An answer to a new connection may come
/// although the old one hangs for ever: its server has gone without notice.
fn may_try_again(hung_for: &[Duration], deadline: Duration) -> bool {
    let Some(last) = hung_for.last() else { return true };
    let pauses = hung_for.len().min(HUNG_MAX) - 1;
    // 10, 40 and 160 deadlines.
    hung_for.len() < HUNG_MAX && *last >= deadline.saturating_mul(10 << (2 * pauses))
}

impl Attempts {
    pub const fn on(target: DatabaseTarget) -> Self {
        Self { target, thread: None, hung: Vec::new() }
    }

    /// Opens the store ahead of the first attempt, which must follow within [`KEPT_MAX`].
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn prepare(&mut self, options: OpenOptions) -> Result<(), StoreError> {
        self.thread = Some(Thread::start(self.target.clone(), options, true)?);
        Ok(())
    }

    /// Starts an attempt: does `work` with the open store, or opens it. The channel gets the result; `done` is called once it is
    /// there.
    pub fn start<T: Send + 'static>(
        &mut self,
        options: OpenOptions,
        keep: Keep,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce() + Send + 'static,
    ) -> Receiver<Result<T, StoreError>> {
        let (sender, receiver) = channel();
        let (target, wanted) = (self.target.clone(), options.clone());
        let job = move |store: Result<&mut Store, StoreError>, is_free: &AtomicBool| {
            let result = guarded(&target, || work(store?.on(&target, wanted)?));
            let kept = keep.limit().filter(|_| result.is_ok());
            is_free.store(kept.is_some(), SeqCst);
            sender.send(result).ok();
            done();
            kept
        };
        let free = self.thread.take().filter(|thread| thread.is_free.swap(false, SeqCst));
        match free.map_or_else(|| Thread::start(self.target.clone(), options, false), Ok) {
            Ok(thread) => {
                // It waits until it gets this job.
                thread.jobs.send(Box::new(job)).ok();
                self.thread = Some(thread);
            }
            Err(error) => _ = job(Err(error), &AtomicBool::default()),
        }
        receiver
    }

    /// Makes an attempt and waits for it until `deadline` has passed: then it hangs. While it does, further ones on its host fail at
    /// once, except at most three at growing distances: no thread or descriptor accumulates.
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
        let (host, identity) = (options.attempt, self.target.identity());
        self.hung.retain(|hung| hung.ended.try_recv() == Err(TryRecvError::Empty));
        let now = boot_time();
        let of_host = self.hung.iter().filter(|hung| hung.host == host);
        if !may_try_again(&of_host.map(|hung| now.saturating_sub(hung.since)).collect::<Vec<_>>(), deadline) {
            return Err(StoreError::Transient { message: format!("{identity} still does not answer") });
        }
        let message = match self.start(options, keep, work, || {}).recv_timeout(deadline) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => {
                let hung = |thread: Thread| Hung { host, since: boot_time(), ended: thread.ended };
                self.hung.extend(self.thread.take().map(hung));
                format!("{identity} did not answer within {}", humantime::format_duration(deadline))
            }
            Err(RecvTimeoutError::Disconnected) => format!("{identity}: the attempt ended without an answer"),
        };
        Err(StoreError::Transient { message })
    }

    /// Whether an attempt of [`Self::within`] hung, and had not ended at the last attempt.
    pub const fn is_hanging(&self) -> bool {
        !self.hung.is_empty()
    }

    /// Closes the store, waiting for at most `CLOSE_MAX`. For a process that is about to end.
    pub fn close(&mut self) {
        let Some(Thread { jobs, ended, .. }) = self.thread.take() else { return };
        drop(jobs);
        if ended.recv_timeout(CLOSE_MAX) == Err(RecvTimeoutError::Timeout) {
            log::info!(event = "not_closed"; "the database is not closed in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;
    use crate::record::Run;
    use crate::store::StoreCache;

    const LIMIT: Duration = Duration::from_secs(30);

    /// The thread that an attempt was made on.
    #[track_caller]
    fn attempt(attempts: &mut Attempts, keep: Keep) -> ThreadId {
        attempts.within(LIMIT, options(), keep, |_store| Ok(thread::current().id())).unwrap()
    }

    fn options() -> OpenOptions {
        OpenOptions {
            table: "training_records".into(),
            migrate: true,
            attempt: 0,
            statement_timeout: LIMIT,
            answer_bytes_max: usize::MAX,
            cache: StoreCache::default(),
        }
    }

    fn file(directory: &tempfile::TempDir) -> Attempts {
        Attempts::on(DatabaseTarget::Sqlite(directory.path().join("runs.db")))
    }

    #[test]
    fn a_host_is_tried_again_at_growing_distances_and_not_for_ever() {
        let tried = |hung_for: &[u64]| {
            let hung_for: Vec<Duration> = hung_for.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
            may_try_again(&hung_for, Duration::from_secs(1))
        };
        assert!(tried(&[]) && !tried(&[9]) && tried(&[10]));
        assert!(!tried(&[50, 39]) && tried(&[50, 40]));
        assert!(!tried(&[300, 200, 159]) && tried(&[300, 200, 160]));
        assert!(!tried(&[9_000; HUNG_MAX]) && !tried(&[9_000; HUNG_MAX + 1]));
    }

    #[test]
    fn a_kept_or_prepared_store_serves_the_next_attempt_only() {
        let directory = tempfile::tempdir().unwrap();
        let mut attempts = file(&directory);
        attempts.prepare(options()).unwrap();
        let first = attempt(&mut attempts, Keep::Open);
        assert_eq!(attempt(&mut attempts, Keep::Closed), first);
        assert_ne!(attempt(&mut attempts, Keep::Closed), first);
    }

    #[test]
    fn a_store_kept_briefly_serves_the_next_attempt_and_then_closes() {
        let directory = tempfile::tempdir().unwrap();
        let mut attempts = file(&directory);
        let first = attempt(&mut attempts, Keep::Briefly);
        // On a busy machine the limit may pass before the second attempt: then its thread is another.
        let second = attempt(&mut attempts, Keep::Briefly);
        let kept = attempts.thread.take().unwrap();
        assert_eq!(kept.ended.recv_timeout(KEPT_MAX / 2), Err(RecvTimeoutError::Disconnected), "{first:?} {second:?}");
    }

    /// The connection is kept, and the shape of its table is not: the new table has another one.
    #[test]
    fn a_kept_store_writes_into_the_table_of_the_next_attempt() {
        let directory = tempfile::tempdir().unwrap();
        let mut attempts = file(&directory);
        let mut begin_in = |table: &str| {
            let options = OpenOptions { table: table.into(), ..options() };
            let run = Run::sample("cifar", "2026-01-02T03:04:05Z".parse().unwrap());
            let begin =
                move |store: &mut Store| store.begin(&run, None).map(|begun| (thread::current().id(), begun.record_id));
            attempts.within(LIMIT, options, Keep::Open, begin).unwrap()
        };
        // Both rows are the first of their tables.
        assert_eq!(begin_in("early"), begin_in("late"));
    }

    #[test]
    fn an_attempt_given_to_an_ended_thread_starts_another() {
        let directory = tempfile::tempdir().unwrap();
        let mut attempts = file(&directory);
        let first = attempt(&mut attempts, Keep::Open);
        attempts.thread.as_ref().unwrap().is_free.store(false, SeqCst);
        assert_ne!(attempt(&mut attempts, Keep::Open), first);
    }

    #[test]
    fn a_closed_file_leaves_no_write_ahead_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut attempts = file(&directory);
        attempts.within(LIMIT, options(), Keep::Open, Store::migrate).unwrap();
        assert!(directory.path().join("runs.db-wal").exists());
        attempts.close();
        assert!(!directory.path().join("runs.db-wal").exists());
    }

    #[test]
    fn a_failed_prepare_is_the_error_of_the_attempt_and_the_next_opens_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut attempts = file(&directory);
        std::fs::create_dir(directory.path().join("runs.db")).unwrap();
        attempts.prepare(options()).unwrap();
        assert!(attempts.within(LIMIT, options(), Keep::Open, |_store| Ok(())).is_err());
        std::fs::remove_dir(directory.path().join("runs.db")).unwrap();
        attempt(&mut attempts, Keep::Open);
    }
}
