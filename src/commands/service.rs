//! The service side of `recover --every`: SIGTERM, the pauses, the service manager's watchdog, and errors reported once.
//! Must not recover anything.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::sys::clock::boot_time;
use crate::sys::poll::readable_within;
use crate::sys::process::SigtermPipe;
use crate::sys::service_manager::ServiceManager;

/// The number of different errors that are remembered, so that none is reported at every round.
const ERRORS_MAX: usize = 1000;

pub(super) struct Service {
    manager: ServiceManager,
    termination: SigtermPipe,
    reported: HashSet<String>,
}

impl Service {
    /// Reports `READY=1` to the service manager.
    pub(super) fn start() -> io::Result<Self> {
        let termination = SigtermPipe::new()?;
        let manager = ServiceManager::from_environment()?;
        manager.notify("READY=1");
        Ok(Self { manager, termination, reported: HashSet::new() })
    }

    /// Reports to the watchdog. False after SIGTERM.
    pub(super) fn goes_on(&self) -> bool {
        self.manager.notify("WATCHDOG=1");
        !self.ends_within(Duration::ZERO)
    }

    /// Whether `error` was not reported yet.
    pub(super) fn is_new(&mut self, error: &str) -> bool {
        if self.reported.len() >= ERRORS_MAX {
            self.forget_errors();
        }
        self.reported.insert(error.to_owned())
    }

    /// After a round without errors: one that comes again is reported again.
    pub(super) fn forget_errors(&mut self) {
        self.reported.clear();
    }

    /// Lets `pause` pass. False after SIGTERM, which it reports.
    pub(super) fn wait(&self, pause: Duration) -> bool {
        let until = boot_time() + pause;
        let interval = self.manager.watchdog_interval().unwrap_or(Duration::MAX);
        loop {
            let left = until.saturating_sub(boot_time());
            if left.is_zero() && self.goes_on() {
                return true;
            }
            if left.is_zero() || self.ends_within(left.min(interval)) {
                self.manager.notify("STOPPING=1");
                return false;
            }
            self.manager.notify("WATCHDOG=1");
        }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        readable_within(self.termination.as_fd(), limit).unwrap_or_else(|error| {
            // Without a way to notice SIGTERM it ends now.
            log::error!(event = "cannot_wait", error:%; "cannot wait for the next round: {error}");
            true
        })
    }
}
