//! How the trainer's start failed, or how the trainer ended, from the kernel's answers. Must not wait or reap.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::events::SupervisorEvent;
use super::machine::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND};
use crate::record::{TrainerExit, Usage};
use crate::sys::cgroup::OomKills;
use crate::sys::wait::Rusage;
use crate::sys::{interpreter, process, signals, spawn, threads};

/// The event for a failed fork or exec.
pub(super) fn spawn_failed(command: &[OsString], error: &io::Error) -> SupervisorEvent {
    let (not_found, message) = cannot_run(command, error);
    SupervisorEvent::SpawnFailed { not_found, message }
}

/// Whether the program was not found, and the message for a person.
fn cannot_run(command: &[OsString], error: &io::Error) -> (bool, String) {
    let program = command.first().map_or(OsStr::new(""), OsString::as_os_str);
    let not_found = error.kind() == io::ErrorKind::NotFound;
    let interpreter = if not_found { interpreter::missing_interpreter(program) } else { None };
    // EAGAIN of a fork: `Try again` would not name the cause.
    let too_many =
        (error.kind() == io::ErrorKind::WouldBlock).then(|| "too few processes are allowed (ulimit -u)".to_owned());
    let cause = interpreter.or(too_many).unwrap_or_else(|| process::error_text(error));
    (not_found, format!("cannot run {}: {cause}", program.display()))
}

/// Executes `command` in place of this process. Returns the exit status and the message of the failure.
pub fn become_command(command: &[OsString]) -> (u8, String) {
    let (not_found, message) = cannot_run(command, &spawn::execute(command, threads::inherited_mask()));
    (if not_found { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE }, message)
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
