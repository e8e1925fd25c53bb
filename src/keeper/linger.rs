//! The lingering keeper: delivers the backlog of one state directory for one database, as the only process that does.
//! A keeper becomes it if its run has ended and the database does not answer, or starts it if an earlier run left something.
//! Must not touch a living run, and must end: when nothing is left, at `--linger`, or after one last try at SIGTERM.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{KeeperError, Role};
use crate::delivery::{ATTEMPT_DEADLINE, Backlog, DeadRun, Operator, Outcome, RoundEnd, STATEMENT_TIMEOUT, Schedule};
use crate::journal::Home;
use crate::link::{self, KeeperConfig};
use crate::store::attempt::{Attempts, Keep};
use crate::store::{OpenOptions, ShapeCache, StoreError};
use crate::sys::pidfd::PidFd;
use crate::sys::poll::readable_within;
use crate::sys::{clock, failpoint, inherited, process, spawn};

/// How often it takes the lock again because another keeper has left a journal meanwhile.
const LOCKS_MAX: u32 = 1000;

struct LingeringKeeper {
    config: KeeperConfig,
    attempts: Attempts,
    /// Boot time at which it gives up.
    until: Duration,
    terminate: process::SigtermPipe,
}

/// Starts a lingering keeper beside a run's own keeper. `None` if it has ended already.
pub(super) fn start(config: &KeeperConfig) -> io::Result<Option<PidFd>> {
    process::autoreap_children()?;
    let written = config.write()?;
    let nothing = File::open("/dev/null")?;
    let words = Role { lingers: true, ..Role::default() }.words();
    let pid = spawn::spawn_keeper(&words, &[nothing.as_fd(), written.as_fd()])?;
    log::info!(event = "linger_started", run_id:% = config.run_id, linger_pid = pid; "");
    PidFd::open(pid)
}

/// Delivers the backlog until nothing is left or until the role's end (the config's `linger` from now, if it has none).
///
/// # Errors
/// The process was not started as a keeper is, or the kernel refuses something indispensable.
pub(super) fn linger(role: Role, prepare: impl FnOnce(&KeeperConfig)) -> Result<(), KeeperError> {
    let config_file = File::from(
        inherited::descriptor(link::CONFIG_FD)
            .map_err(|cause| KeeperError::Descriptor { fd: link::CONFIG_FD, cause })?,
    );
    let config = KeeperConfig::read(&config_file)?;
    prepare(&config);
    let home = Home::open(&config.state_dir)?;
    let identity = config.target.identity();
    let mut backlog = Backlog::new(config.state_dir.clone(), identity.clone(), false, role.failures);
    let mut keeper = LingeringKeeper {
        attempts: Attempts::on(config.target.clone()),
        until: role.until().unwrap_or_else(|| clock::boot_time().saturating_add(config.linger)),
        terminate: process::SigtermPipe::new()?,
        config,
    };
    failpoint::reached("lingering");
    let result = keeper.deliver_backlog(&home, &identity, &mut backlog);
    // Open until here: an image that replaces this one finds it under its number.
    drop(config_file);
    result
}

impl LingeringKeeper {
    fn deliver_backlog(&mut self, home: &Home, identity: &str, backlog: &mut Backlog) -> Result<(), KeeperError> {
        for _ in 0..LOCKS_MAX {
            let Some(lock) = home.lock_for_lingering(identity)? else {
                log::info!(event = "linger_left_to_another", database = identity; "");
                return Ok(());
            };
            log::info!(event = "linger", database = identity; "");
            let is_done = backlog.work(self)?;
            self.attempts.close();
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
}

impl Operator for LingeringKeeper {
    type Error = KeeperError;

    fn deliver(&mut self, name: &OsStr, run: &DeadRun, failures: u32) -> Outcome {
        let run_id = run.state.begin.run.run_id;
        let delivery = match run.delivery() {
            Ok(delivery) => delivery,
            Err(error) => {
                self.unusable(name, error);
                return Outcome::Refused;
            }
        };
        log::info!(event = "attempt", run_id:%, attempt = failures, what = delivery.describe(); "");
        let options = OpenOptions {
            table: run.state.begin.table.clone(),
            migrate: self.config.migrate,
            attempt: usize::try_from(failures).unwrap_or_default(),
            statement_timeout: STATEMENT_TIMEOUT,
            shape: ShapeCache::default(),
        };
        match self.attempts.make(ATTEMPT_DEADLINE, options, Keep::Open, move |store| delivery.deliver(store)) {
            Some(Ok(_delivered)) => Outcome::Delivered,
            Some(Err(StoreError::Transient { message })) => {
                log::warn!(event = "attempt_failed", run_id:%, attempt = failures, error = message; "");
                Outcome::Unavailable
            }
            Some(Err(StoreError::Permanent { message, hint } | StoreError::BadInput { message, hint })) => {
                log::error!(event = "needs_a_person", run_id:%, error = message, hint; "");
                Outcome::Refused
            }
            None => {
                log::warn!(event = "attempt_hung", run_id:%, attempt = failures; "");
                Outcome::Hung
            }
        }
    }

    fn unusable(&mut self, name: &OsStr, error: io::Error) {
        log::warn!(event = "run_unusable", run:? = name, error:%; "");
    }

    fn goes_on(&mut self) -> bool {
        true
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
            let until_ms = u64::try_from(self.until.as_millis()).ok();
            let role = Role { lingers: true, failures, until_ms };
            match spawn::replace_image(&role.words(), link::CONFIG_FD)? {}
        }
        Ok(true)
    }
}
