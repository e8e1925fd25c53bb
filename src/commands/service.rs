//! The service side of `recover --every` and `serve`: SIGTERM, the pauses, the notifications to the service manager that started this
//! process (systemd's `NOTIFY_SOCKET` protocol), and errors reported once. Must not recover or serve anything.

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
use crate::sys::process::{ENDING, SignalPipe, TERMINATION};

/// The number of different errors that are remembered, so that none is reported at every round.
const ERRORS_MAX: usize = 1000;

/// The service manager that has started this process, if there is one.
#[derive(Default)]
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often to notify the watchdog.
    watchdog_interval: Option<Duration>,
}

impl ServiceManager {
    /// # Errors
    /// `NOTIFY_SOCKET` is no valid address, or the kernel refuses a socket.
    pub(super) fn find() -> io::Result<Self> {
        Ok(Self { socket: service_manager()?, watchdog_interval: watchdog_interval() })
    }

    /// Sends `state`. A failure is only logged.
    pub(super) fn notify(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            log::debug!(event = "service_manager_unreachable", error:%; "");
        }
    }

    pub(super) fn watchdog_interval(&self) -> Duration {
        self.watchdog_interval.unwrap_or(Duration::MAX)
    }
}

pub(super) struct Service {
    manager: ServiceManager,
    termination: SignalPipe,
    reported: HashSet<String>,
}

impl Service {
    /// Reports `READY=1` to the service manager.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` is no valid address, or the kernel refuses a socket.
    pub(super) fn start() -> io::Result<Self> {
        let manager = ServiceManager::find()?;
        let service = Self { manager, termination: SignalPipe::new(&TERMINATION)?, reported: HashSet::new() };
        service.notify("READY=1");
        Ok(service)
    }

    /// Within a service that notifies its manager itself, and that any of `ENDING` ends.
    ///
    /// # Errors
    /// The kernel refuses a pipe.
    pub(super) fn beside() -> io::Result<Self> {
        let (manager, termination) = (ServiceManager::default(), SignalPipe::new(&ENDING)?);
        Ok(Self { manager, termination, reported: HashSet::new() })
    }

    fn notify(&self, state: &str) {
        self.manager.notify(state);
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
            if left.is_zero() || self.ends_within(left.min(self.manager.watchdog_interval())) {
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
