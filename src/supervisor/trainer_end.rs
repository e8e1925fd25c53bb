//! How the trainer's start failed, or how the trainer ended, from the kernel's answers. Must not wait or reap.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::events::SupervisorEvent;
use crate::record::{TrainerExit, Usage};
use crate::sys::cgroup::OomKills;
use crate::sys::wait::Rusage;
use crate::sys::{interpreter, process, signals};

/// The event for a failed fork or exec.
pub(super) fn spawn_failed(command: &[OsString], error: &io::Error) -> SupervisorEvent {
    let program = command.first().map_or(OsStr::new(""), OsString::as_os_str);
    let not_found = error.kind() == io::ErrorKind::NotFound;
    let interpreter = if not_found { interpreter::missing_interpreter(program) } else { None };
    // EAGAIN of a fork: `Try again` would not name the cause.
    let too_many =
        (error.kind() == io::ErrorKind::WouldBlock).then(|| "too few processes are allowed (ulimit -u)".to_owned());
    let cause = interpreter.or(too_many).unwrap_or_else(|| process::error_text(error));
    SupervisorEvent::SpawnFailed { not_found, message: format!("cannot run {}: {cause}", program.display()) }
}

/// How the trainer ended, and its resource use.
pub(super) fn trainer_exit(status: ExitStatus, used: Rusage, oom_kills: &OomKills) -> (TrainerExit, Usage) {
    let exit = if let Some(code) = status.code() {
        TrainerExit::Exited { code }
    } else {
        let signal = status.signal().unwrap_or_default();
        // Before the trainer is reaped: its cgroup may be removed with it.
        let oom = signal == signals::SIGKILL && oom_kills.has_increased();
        TrainerExit::Signaled { signal, name: signals::name(signal), oom }
    };
    let Rusage { cpu_user_seconds, cpu_system_seconds, max_rss_bytes } = used;
    (exit, Usage { cpu_user_seconds, cpu_system_seconds, max_rss_bytes })
}
