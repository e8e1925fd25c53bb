//! `recover --every`: a round again and again until SIGTERM, through outages of the database, under a service manager's eyes
//! or without. Owns the waiting between rounds and what is said of those that fail. Called by `recover`.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::recover::{once, print};
use crate::commands::{CommandError, RecoverArgs};
use crate::config::Settings;
use crate::sys::clock::boot_time;
use crate::sys::poll::readable_within;
use crate::sys::process::SigtermPipe;
use crate::sys::service_manager::ServiceManager;

/// So many different complaints are remembered, that none is repeated every minute.
const COMPLAINTS_MAX: usize = 1000;

/// What goes on beside the rounds.
pub(super) struct Service {
    manager: ServiceManager,
    termination: SigtermPipe,
    complaints: RefCell<HashSet<String>>,
}

impl Service {
    fn start() -> io::Result<Self> {
        let termination = SigtermPipe::new()?;
        Ok(Self { manager: ServiceManager::from_environment()?, termination, complaints: RefCell::default() })
    }

    /// Says that this process lives. False once it has been asked to end.
    pub(super) fn goes_on(&self) -> bool {
        self.manager.notify("WATCHDOG=1");
        !self.ends_within(Duration::ZERO)
    }

    /// Whether `complaint` is a new one.
    pub(super) fn is_new(&self, complaint: &str) -> bool {
        let mut complaints = self.complaints.borrow_mut();
        if complaints.len() >= COMPLAINTS_MAX {
            complaints.clear();
        }
        complaints.insert(complaint.to_owned())
    }

    /// Waits for the time of the next round. False if it does not come.
    fn wait(&self, pause: Duration) -> bool {
        let until = boot_time() + pause;
        loop {
            let left = until.saturating_sub(boot_time());
            if left.is_zero() {
                return self.goes_on();
            }
            let step = self.manager.watchdog_interval().map_or(left, |interval| left.min(interval));
            if self.ends_within(step) {
                return false;
            }
            self.manager.notify("WATCHDOG=1");
        }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        readable_within(self.termination.as_fd(), limit).unwrap_or_else(|error| {
            // Without a way to hear of the end it is better to end.
            log::error!(event = "cannot_wait", error:%; "cannot wait for the next round: {error}");
            true
        })
    }
}

/// Recovers every `pause` until SIGTERM, and prints what was done.
///
/// # Errors
/// The first round cannot work, and no waiting would help; or stdout cannot be written.
pub(super) fn recover_every(settings: &Settings, args: &RecoverArgs, pause: Duration) -> Result<(), CommandError> {
    let service = Service::start().map_err(CommandError::Service)?;
    service.manager.notify("READY=1");
    let mut is_first = true;
    loop {
        let (done, went) = once(settings, args, Some(&service));
        if !done.is_empty() {
            print(&done, args.json)?;
        }
        match went {
            // What fails again after that is worth to be said again.
            Ok(()) => service.complaints.borrow_mut().clear(),
            // Nobody has seen it work: more likely it is not meant so.
            Err(error) if is_first && error.needs_a_person() => return Err(error),
            Err(error) => {
                let complaint = error.to_string();
                if service.is_new(&complaint) {
                    log::error!(event = "round_failed", hint = error.hint(); "{complaint}");
                } else {
                    log::info!(event = "round_failed", error = complaint; "");
                }
            }
        }
        is_first = false;
        if !service.wait(pause) {
            service.manager.notify("STOPPING=1");
            log::info!(event = "recover_ended"; "");
            return Ok(());
        }
    }
}
