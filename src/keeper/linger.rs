//! Delivering what was left: journals whose supervisor and keeper are both gone. One such process per state directory and
//! database, whatever the number of ended runs; the others leave their journals to it. Started by a keeper, in its place
//! when its own run has ended and the database does not answer, or beside it when an earlier run left something.
//! Must not touch a living run, and must end: when nothing is left, at `--linger`, or after one last try at SIGTERM.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{KeeperError, Role};
use crate::delivery::{ATTEMPT_DEADLINE, DeadRun, Delivery, Leftover, STATEMENT_TIMEOUT, backoff, inspect};
use crate::journal::Home;
use crate::link::{self, KeeperConfig};
use crate::store::{OpenOptions, ShapeCache, StoreError, attempt};
use crate::sys::poll::{Waker, readable, readable_within};
use crate::sys::{clock, failpoint, inherited, process, random, spawn};

/// How often the state directory is looked at again although everything that was found in it was delivered.
const ROUNDS_MAX: u32 = 1000;

struct Lingerer {
    config: KeeperConfig,
    home: Home,
    identity: String,
    /// Boot time at which it gives up.
    until: Duration,
    failures: u32,
    /// Runs that need a person: they stay where they are.
    given_up: HashSet<OsString>,
    terminate: process::SigtermPipe,
}

/// What one look at everything that is left came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Nothing is left that could be delivered.
    Done,
    /// The database does not answer, or not well enough.
    Failed,
    /// The database does not answer, and a thread is left waiting for it.
    Hung,
}

/// Delivers what is left until nothing is, or until the role's end (by the config's `linger` from now, if it has none).
///
/// # Errors
/// Only where it was not started as a keeper is, or the kernel refuses what cannot be done without.
pub(super) fn linger(role: Role, prepare: impl FnOnce(&KeeperConfig)) -> Result<(), KeeperError> {
    let config_file = File::from(
        inherited::descriptor(link::CONFIG_FD)
            .map_err(|cause| KeeperError::Descriptor { fd: link::CONFIG_FD, cause })?,
    );
    let config = KeeperConfig::read(&config_file)?;
    prepare(&config);
    let mut lingerer = Lingerer {
        home: Home::open(&config.state_dir)?,
        identity: config.target.identity(),
        until: role.until().unwrap_or_else(|| clock::boot_time().saturating_add(config.linger)),
        failures: role.failures,
        given_up: HashSet::new(),
        terminate: process::SigtermPipe::new()?,
        config,
    };
    failpoint::reached("lingering");
    let result = lingerer.work();
    // Open till here: an image that replaces this one finds it under its number.
    drop(config_file);
    result
}

impl Lingerer {
    fn work(&mut self) -> Result<(), KeeperError> {
        for _ in 0..ROUNDS_MAX {
            let Some(lock) = self.home.lock_for_lingering(&self.identity)? else {
                log::info!(event = "linger_left_to_another", database = self.identity; "");
                return Ok(());
            };
            log::info!(event = "linger", database = self.identity, failures = self.failures; "");
            let finished = self.rounds()?;
            // A keeper that left its journal while we were about to go found the lock taken: look once more without it.
            drop(lock);
            if !finished || self.next()?.is_none() {
                break;
            }
        }
        log::info!(event = "linger_ended", database = self.identity; "");
        Ok(())
    }

    /// Tries until nothing is left; false if it gives up before.
    fn rounds(&mut self) -> Result<bool, KeeperError> {
        loop {
            let round = self.round()?;
            if round == Round::Done {
                return Ok(true);
            }
            if clock::boot_time() >= self.until {
                log::warn!(event = "linger_gave_up", database = self.identity; "");
                return Ok(false);
            }
            self.failures = self.failures.saturating_add(1);
            // An attempt that hung has waited long enough.
            let pause = if round == Round::Hung { Duration::ZERO } else { backoff(self.failures, random::fraction()) };
            if readable_within(self.terminate.as_fd(), pause)? {
                // One last try.
                self.until = clock::boot_time();
            }
            if round == Round::Hung {
                return Err(self.start_over().into());
            }
        }
    }

    /// Delivers one run after the other.
    fn round(&mut self) -> Result<Round, KeeperError> {
        while let Some((name, run)) = self.next()? {
            let run_id = run.state.begin.run.run_id;
            let Some(delivered) = self.deliver(&run)? else {
                log::warn!(event = "attempt_hung", run_id:%, attempt = self.failures; "");
                return Ok(Round::Hung);
            };
            match delivered {
                Ok(()) => {
                    self.failures = 0;
                    if let Err(error) = self.home.remove_run(&run.directory) {
                        log::warn!(event = "remove_failed", run_id:%, error:%; "");
                        self.given_up.insert(name);
                    }
                }
                Err(StoreError::Transient { message }) => {
                    log::warn!(event = "attempt_failed", run_id:%, attempt = self.failures, error = message; "");
                    return Ok(Round::Failed);
                }
                Err(StoreError::Permanent { message, hint } | StoreError::BadInput { message, hint }) => {
                    log::error!(event = "needs_a_person", run_id:%, error = message, hint; "");
                    self.given_up.insert(name);
                }
            }
        }
        Ok(Round::Done)
    }

    /// The first run that is ours to deliver. Each time another comes first: what hangs on one must not stop the others.
    fn next(&mut self) -> Result<Option<(OsString, DeadRun)>, KeeperError> {
        let mut names = self.home.run_names()?;
        names.retain(|name| !self.given_up.contains(name));
        let turn = usize::try_from(self.failures).unwrap_or_default() % names.len().max(1);
        names.rotate_left(turn);
        for name in names {
            match inspect(&self.home, &name, &self.identity) {
                Ok(Leftover::Dead(run)) => return Ok(Some((name, *run))),
                Ok(Leftover::Alive) => {}
                Ok(left) => {
                    left.log(&name);
                    self.given_up.insert(name);
                }
                Err(error) => {
                    log::warn!(event = "run_unreadable", run:? = name, error:%; "");
                    self.given_up.insert(name);
                }
            }
        }
        Ok(None)
    }

    /// One attempt; `None` if it hangs.
    fn deliver(&self, run: &DeadRun) -> io::Result<Option<Result<(), StoreError>>> {
        let delivery = run.delivery()?;
        log::info!(event = "attempt", run_id:% = run.state.begin.run.run_id, attempt = self.failures,
            what = delivery.describe(); "");
        let options = OpenOptions {
            table: run.state.begin.table.clone(),
            migrate: self.config.migrate,
            attempt: usize::try_from(self.failures).unwrap_or_default(),
            statement_timeout: STATEMENT_TIMEOUT,
            shape: ShapeCache::default(),
        };
        self.attempt(options, delivery)
    }

    fn attempt(&self, options: OpenOptions, delivery: Delivery) -> io::Result<Option<Result<(), StoreError>>> {
        let waker = Waker::new()?;
        let done = waker.clone();
        let work = move |store: &mut crate::store::Store| delivery.deliver(store).map(drop);
        let mut worker = attempt::Worker::default();
        let started = attempt::start(self.config.target.clone(), options, &mut worker, false, work, move || {
            if let Err(error) = done.wake() {
                log::error!(event = "wake_failed", error:%; "");
            }
        });
        let receiver = match started {
            Ok(receiver) => receiver,
            Err(error) => return Ok(Some(Err(error))),
        };
        let deadline = clock::boot_time() + ATTEMPT_DEADLINE;
        while clock::boot_time() < deadline {
            let [woken] = readable([Some(waker.as_fd())], Some(deadline))?;
            if woken {
                break;
            }
        }
        let answer = receiver.try_recv().ok();
        if answer.is_some() {
            worker.close();
        }
        Ok(answer)
    }

    /// A thread hangs: goes on in a new image.
    fn start_over(&self) -> io::Error {
        let until_ms = u64::try_from(self.until.as_millis()).ok();
        let role = Role { lingers: true, failures: self.failures, until_ms };
        spawn::replace_image(&role.words(), link::CONFIG_FD)
    }
}
