//! Converts the kernel's results for the trainer into the record's types.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::events::SupervisorEvent;
use crate::record::{TrainerExit, Usage};
use crate::sys::cgroup::OomKills;
use crate::sys::wait::Rusage;
use crate::sys::{process, signals};

/// The event for a failed fork or exec.
pub(super) fn spawn_failed(command: &[OsString], error: &io::Error) -> SupervisorEvent {
    let program = command.first().map(|word| word.display().to_string()).unwrap_or_default();
    let message = format!("cannot run {program}: {}", process::error_text(error));
    SupervisorEvent::SpawnFailed { not_found: error.kind() == io::ErrorKind::NotFound, message }
}

/// How the trainer ended, and its resource use.
pub(super) fn trainer_exit(status: ExitStatus, used: Rusage, oom_kills: &OomKills) -> (TrainerExit, Usage) {
    let exit = match status.code() {
        Some(code) => TrainerExit::Exited { code },
        None => {
            let signal = status.signal().unwrap_or_default();
            // Before the trainer is reaped: its cgroup may be removed with it.
            let oom = signal == signals::SIGKILL && oom_kills.has_increased();
            TrainerExit::Signaled { signal, name: signals::name(signal), oom }
        }
    };
    let Rusage { cpu_user_seconds, cpu_system_seconds, max_rss_bytes } = used;
    (exit, Usage { cpu_user_seconds, cpu_system_seconds, max_rss_bytes })
}
