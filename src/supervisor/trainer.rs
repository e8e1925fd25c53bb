//! Converts the kernel's results for the trainer into the record's types.

use std::ffi::OsString;
use std::io;

use super::events::SupervisorEvent;
use crate::record::{TrainerExit, Usage};
use crate::sys::cgroup::OomKills;
use crate::sys::wait::ChildChange;
use crate::sys::{process, signals};

/// The event for a failed fork or exec.
pub(super) fn spawn_failed(command: &[OsString], error: &io::Error) -> SupervisorEvent {
    let program = command.first().map(|word| word.display().to_string()).unwrap_or_default();
    let message = format!("cannot run {program}: {}", process::error_text(error));
    SupervisorEvent::SpawnFailed { not_found: error.kind() == io::ErrorKind::NotFound, message }
}

/// How the trainer ended and its resource use; `None` for a stop or a continue.
pub(super) fn trainer_exit(change: &ChildChange, oom_kills: &OomKills) -> Option<(TrainerExit, Usage)> {
    let (exit, used) = match change {
        ChildChange::Exited { code, used } => (TrainerExit::Exited { code: *code }, used),
        ChildChange::Signaled { signal, used } => {
            // Before the trainer is reaped: its cgroup may be removed with it.
            let oom = *signal == signals::SIGKILL && oom_kills.has_increased();
            (TrainerExit::Signaled { signal: *signal, name: signals::name(*signal), oom }, used)
        }
        ChildChange::Stopped { .. } | ChildChange::Continued => return None,
    };
    let (cpu_user_seconds, cpu_system_seconds) = (used.cpu_user_seconds, used.cpu_system_seconds);
    Some((exit, Usage { cpu_user_seconds, cpu_system_seconds, max_rss_bytes: used.max_rss_bytes }))
}
