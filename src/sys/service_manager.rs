//! Notifications to the service manager that started this process (systemd's `NOTIFY_SOCKET` protocol). Does nothing
//! without a service manager.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::host::own_pid;

/// The connection to the service manager, if there is one.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` is no valid address, or the kernel refuses a socket.
    pub fn from_environment() -> io::Result<Self> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let Some(name) = variable("NOTIFY_SOCKET") else { return Ok(Self { socket: None, watchdog: None }) };
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| Ok(pid) == u64::try_from(own_pid()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros);
        // A path, or after `@` an abstract name.
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A service manager that does not read must not block this process.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some((socket, address)), watchdog })
    }

    /// Sends `state`, such as `READY=1`. A failure is only logged.
    pub fn notify(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            log::debug!(event = "service_manager_unreachable", error:%; "");
        }
    }

    /// How often to send `WATCHDOG=1`: twice per watchdog timeout.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }
}
