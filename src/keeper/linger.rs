//! The lingering keeper: delivers the backlog of one state directory for one database, as the only process that does.
//! A keeper becomes it if its run has ended and the database does not answer, or starts it if an earlier run left something.
//! Must not touch a living run, and must end: when nothing is left, at `--linger`, or after one last try at SIGTERM.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{KeeperError, Role, introduce, options, read_config};
use crate::delivery::{
    ATTEMPT_DEADLINE, Backlog, DeadRun, Delivery, Destination, ON_FINISH_LIMIT, Operator, Outcome, RoundEnd, Schedule,
    run_on_finish,
};
use crate::journal::Home;
use crate::link::{self, KeeperConfig};
use crate::store::attempt::{Attempts, Keep};
use crate::store::{StoreCache, StoreError};
use crate::sys::pidfd::PidFd;
use crate::sys::poll::readable_within;
use crate::sys::{clock, failpoint, keeper, process, spawn, wait};

/// How often it takes the lock again because another keeper has left a journal meanwhile.
const LOCKS_MAX: u32 = 1000;

struct LingeringKeeper {
    config: KeeperConfig,
    attempts: Attempts,
    /// Boot time at which it gives up.
    until: Duration,
    terminate: process::SignalPipe,
}

/// A lingering keeper that this process has started.
pub(super) struct Lingering {
    pid: i32,
    /// None on a kernel without pidfds.
    pidfd: Option<PidFd>,
}

impl Lingering {
    /// Whether it has ended; then it is reaped.
    pub(super) fn has_ended(&self) -> bool {
        wait::reap_ended(self.pid).unwrap_or(true)
    }

    /// Waits for its end, at most for `limit`.
    pub(super) fn wait(&self, limit: Duration) -> io::Result<()> {
        self.pidfd.as_ref().map_or(Ok(()), |pidfd| readable_within(pidfd, limit).map(drop))
    }
}

/// Starts a lingering keeper beside a run's own keeper. `None` if it has ended already, or could not be started: the next run tries
/// again.
pub(super) fn start(config: &KeeperConfig) -> Option<Lingering> {
    let start = || {
        let (written, nothing) = (config.write()?, File::open("/dev/null")?);
        let words = Role { lingers: true, ..Role::default() }.words();
        let pid = keeper::spawn(&words, &[nothing.as_fd(), written.as_fd()])?;
        log::info!(event = "linger_started", linger_pid = pid; "");
        Ok(Some(Lingering { pid, pidfd: PidFd::open(pid).ok().flatten() }))
    };
    start().unwrap_or_else(|error: io::Error| {
        log::warn!(event = "linger_not_started", error:%; "");
        None
    })
}

/// Delivers the backlog until nothing is left or until the role's end (the config's `linger` from now, if it has none).
///
/// # Errors
/// The process was not started as a keeper is, or the kernel refuses something indispensable.
pub(super) fn linger(role: Role) -> Result<(), KeeperError> {
    let (_open, config) = read_config()?;
    introduce(role, &config);
    failpoint::reached("linger-image");
    let home = Home::open(&config.state_dir)?;
    let (identity, destination) = (config.target.identity(), Destination::of(&config.target));
    let place = destination.place().to_owned();
    let mut backlog = Backlog::new(config.state_dir.clone(), destination, false, role.failures);
    let mut keeper = LingeringKeeper {
        attempts: Attempts::on(config.target.clone()),
        until: role.until.unwrap_or_else(|| clock::boot_time().saturating_add(config.linger)),
        terminate: process::SignalPipe::new(&process::TERMINATION)?.admit()?,
        config,
    };
    failpoint::reached("lingering");
    for _ in 0..LOCKS_MAX {
        let Some(lock) = home.lock_for_lingering(&place)? else {
            log::info!(event = "linger_left_to_another", database = identity; "");
            return Ok(());
        };
        log::info!(event = "linger", database = identity; "");
        let is_done = backlog.work(&mut keeper)?;
        keeper.attempts.close();
        if !is_done {
            log::warn!(event = "linger_gave_up", database = identity; "");
        }
        // A keeper that left its journal during the last round found the lock taken: look once more without it.
        drop(lock);
        if !is_done || !backlog.has_dead(usize::MAX) {
            break;
        }
    }
    log::info!(event = "linger_ended", database = identity; "");
    Ok(())
}

impl Operator for LingeringKeeper {
    type Error = KeeperError;

    fn deliver(&mut self, _name: &OsStr, run: &DeadRun, delivery: Delivery, failures: u32) -> Outcome {
        let run_id = run.state.begin.run.run_id;
        log::info!(event = "attempt", run_id:%, attempt = failures, what = delivery.describe(); "");
        let options = options(&self.config, run.state.table(), failures, &StoreCache::default());
        let delivery = delivery.claiming(self.config.on_finish.is_some());
        match self.attempts.within(ATTEMPT_DEADLINE, options, Keep::Open, move |store| delivery.deliver(store)) {
            Ok(mut delivered) if delivered.finished.is_some() || delivered.lacks_series => {
                let finished = delivered.finished.take();
                if let (Some(command), Some(record)) = (&self.config.on_finish, finished) {
                    run_on_finish(command, &self.config.directory, &record, ON_FINISH_LIMIT);
                }
                if !delivered.lacks_series {
                    return Outcome::Delivered;
                }
                log::warn!(event = "attempt_failed", run_id:%, attempt = failures, error = "the curves could not be written"; "");
                Outcome::Ends(RoundEnd::Unavailable)
            }
            Ok(delivered) if delivered.ended => Outcome::Delivered,
            Ok(_heartbeat) => Outcome::Alive,
            Err(StoreError::Transient { .. }) if self.attempts.is_hanging() => {
                log::warn!(event = "attempt_hung", run_id:%, attempt = failures; "");
                Outcome::Ends(RoundEnd::Hung)
            }
            Err(StoreError::Transient { message }) => {
                log::warn!(event = "attempt_failed", run_id:%, attempt = failures, error = message; "");
                Outcome::Ends(RoundEnd::Unavailable)
            }
            Err(error @ StoreError::Running { .. }) => {
                log::error!(event = "needs_a_person", run_id:%, error:%; "");
                Outcome::Refused
            }
            Err(StoreError::Permanent { message, hint } | StoreError::BadInput { message, hint }) => {
                log::error!(event = "needs_a_person", run_id:%, error = message, hint; "");
                Outcome::Refused
            }
        }
    }

    fn unusable(&mut self, name: &OsStr, error: io::Error) {
        log::warn!(event = "run_unusable", run:? = name, error:%; "");
    }

    fn complete(&mut self, round: io::Result<RoundEnd>) -> Result<RoundEnd, KeeperError> {
        Ok(round?)
    }

    fn schedule(&self) -> Schedule {
        Schedule::Until(self.until)
    }

    /// Until SIGTERM at most, after which one last round is due. An attempt that hung costs a thread: the loop goes on in a
    /// new image.
    fn wait(&mut self, pause: Duration, end: RoundEnd, failures: u32) -> Result<bool, KeeperError> {
        if readable_within(self.terminate.as_fd(), pause)? {
            self.until = clock::boot_time();
        }
        if end == RoundEnd::Hung {
            let role = Role { lingers: true, failures, until: Some(self.until) };
            self.terminate.hold()?;
            match spawn::replace_image(&role.words(), link::CONFIG_FD)? {}
        }
        Ok(true)
    }
}
