//! The service manager that may have started this process (systemd): what it is told, and how often it wants to hear that
//! this process lives. Nothing where there is none. Called by `commands`.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::host::own_pid;

/// The socket to the service manager.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// By the variables that a service manager sets: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` names no socket, or the system refuses one.
    pub fn from_environment() -> io::Result<Self> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let Some(name) = variable("NOTIFY_SOCKET") else { return Ok(Self { socket: None, watchdog: None }) };
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| Ok(pid) == u64::try_from(own_pid()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros);
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold anything up here.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some((socket, address(&name)?)), watchdog })
    }

    /// Tells it `state`, such as `READY=1`. It is nobody's loss where it does not listen.
    pub fn notify(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            log::debug!(event = "service_manager_unreachable", error:%; "");
        }
    }

    /// How often it is to be told `WATCHDOG=1`: twice as often as it wants.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }
}

/// A path, or behind an `@` a name that is in no file system.
fn address(name: &OsString) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}
