//! The service side of `recover --every`: SIGTERM, the pauses, the notifications to the service manager that started this
//! process (systemd's `NOTIFY_SOCKET` protocol), and errors reported once. Must not recover anything.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use std::{env, io, process};

use crate::sys::clock::boot_time;
use crate::sys::poll::readable_within;
use crate::sys::process::{SignalPipe, TERMINATION};

/// The number of different errors that are remembered, so that none is reported at every round.
const ERRORS_MAX: usize = 1000;

pub(super) struct Service {
    /// The service manager, if there is one.
    manager: Option<(UnixDatagram, SocketAddr)>,
    /// How often to notify the watchdog.
    watchdog_interval: Duration,
    termination: SignalPipe,
    reported: HashSet<String>,
}

impl Service {
    /// Reports `READY=1` to the service manager.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` is no valid address, or the kernel refuses a socket.
    pub(super) fn start() -> io::Result<Self> {
        let (manager, watchdog_interval) = (service_manager()?, watchdog_interval().unwrap_or(Duration::MAX));
        let service =
            Self { manager, watchdog_interval, termination: SignalPipe::new(&TERMINATION)?, reported: HashSet::new() };
        service.notify("READY=1");
        Ok(service)
    }

    /// Sends `state` to the service manager. A failure is only logged.
    fn notify(&self, state: &str) {
        if let Some((socket, address)) = &self.manager
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            log::debug!(event = "service_manager_unreachable", error:%; "");
        }
    }

    /// Reports to the watchdog. False after SIGTERM.
    pub(super) fn goes_on(&self) -> bool {
        self.notify("WATCHDOG=1");
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
        loop {
            let left = until.saturating_sub(boot_time());
            if left.is_zero() && self.goes_on() {
                return true;
            }
            if left.is_zero() || self.ends_within(left.min(self.watchdog_interval)) {
                self.notify("STOPPING=1");
                return false;
            }
            self.notify("WATCHDOG=1");
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

/// A variable of the service manager; an empty one counts as unset.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// A socket, and the address that `NOTIFY_SOCKET` names.
fn service_manager() -> io::Result<Option<(UnixDatagram, SocketAddr)>> {
    let Some(name) = variable("NOTIFY_SOCKET") else { return Ok(None) };
    // A path, or after `@` an abstract name.
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A service manager that does not read must not block this process.
    socket.set_nonblocking(true)?;
    Ok(Some((socket, address)))
}

/// Half the timeout of the watchdog (`WATCHDOG_USEC`) if it watches this process (`WATCHDOG_PID`).
fn watchdog_interval() -> Option<Duration> {
    let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(|micros| Duration::from_micros(micros) / 2)
}
