//! The takeover after the supervisor has vanished: stops every process that the trainer started, and writes the end.
//! The kernel has killed the trainer (parent-death signal) but not its children. Must not write without the writer's lock.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use super::family::{Family, Unstopped};
use crate::journal::{self, RunDirectory, RunEvent, RunState, Writer};
use crate::record::{Reason, TrainerExit};
use crate::sys::pidfd::PidFd;
use crate::sys::{clock, poll, signals};

/// How long the kernel may take to close the supervisor's files.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// How many of the processes that were not stopped the record names.
const NAMED_MAX: usize = 10;
/// How long to wait for the kernel to report the trainer's end.
const REAP_WAIT: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(10);

/// Ends the run in its journal, unless it has an end. `number` is the number in the journal's file name. Returns the run's
/// state, and the journal's file as it is now.
///
/// # Errors
/// Another process owns the journal now, or it cannot be written.
pub(super) fn take_over(
    directory: Option<&RunDirectory>,
    journal: &File,
    number: Option<u32>,
    family: &mut Family,
) -> io::Result<(RunState, File)> {
    let writer = write_end(directory, journal, number, family)?;
    // Without a file that holds the end, the old one stays open: no other process needs it.
    let file = writer.journal().file().unwrap_or(journal).try_clone()?;
    Ok((writer.state().clone(), file))
}

fn write_end(
    directory: Option<&RunDirectory>,
    journal: &File,
    number: Option<u32>,
    family: &mut Family,
) -> io::Result<Writer> {
    if let Some(directory) = directory {
        let held = || io::Error::new(io::ErrorKind::WouldBlock, "another process holds the journal's lock");
        poll_for(LOCK_WAIT, || Ok(directory.try_lock_writer()?.then_some(())))?.ok_or_else(held)?;
    }
    let mut writer = Writer::resume(journal.try_clone()?, number)?;
    if writer.state().ended.is_some() {
        return Ok(writer);
    }
    let run_id = writer.state().begin.run.run_id.to_string();
    log::warn!(event = "takeover", run_id; "the supervisor has vanished");
    // The run has ended even if a process could not be stopped: that must not lose its end.
    let stopped = family.stop();
    if let Err(error) = &stopped {
        log::error!(event = "leftovers_not_stopped", run_id, error:%; "");
    }
    let unstopped = unstopped_text(stopped);
    let (exit, unstopped) = if let Some(exit) = exit_of(family.trainer())? {
        (exit, unstopped)
    } else {
        let rest = unstopped.unwrap_or_else(|| "all processes found of the run were stopped".to_owned());
        let message = format!("the supervisor was killed; {rest}");
        (TrainerExit::Unknown { reason: Reason::SupervisorKilled, message }, None)
    };
    let metrics = writer.state().metrics_file();
    let ended = journal::Ended { exit, usage: None, metrics, stderr_tail: None, unstopped };
    writer.append(directory, RunEvent::Ended(ended), true)?;
    Ok(writer)
}

/// The text of the record about the processes that were not stopped.
fn unstopped_text(stopped: io::Result<Vec<Unstopped>>) -> Option<String> {
    let left = match stopped {
        Ok(left) if left.is_empty() => return None,
        Ok(left) => left,
        Err(error) => return Some(format!("the processes of the run could not be listed and may go on: {error}")),
    };
    let named = left.iter().take(NAMED_MAX).map(|Unstopped { pid, name }| format!("{pid} ({name})"));
    let named = named.chain((left.len() > NAMED_MAX).then(|| "…".to_owned())).collect::<Vec<_>>().join(", ");
    let noun = if left.len() == 1 { "process" } else { "processes" };
    Some(format!("{} {noun} of the run could not be stopped: {named}", left.len()))
}

/// The trainer's end as the kernel reports it; `None` if it is unknown. A SIGKILL is attributed to the supervisor's death.
fn exit_of(trainer: Option<&PidFd>) -> io::Result<Option<TrainerExit>> {
    // Its new parent may reap it at any moment.
    let reported = trainer.map_or(Ok(None), |trainer| poll_for(REAP_WAIT, || Ok(trainer.ended())))?;
    Ok(match reported.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => Some(TrainerExit::Exited { code }),
        Some((None, Some(signal))) if signal != signals::SIGKILL => {
            Some(TrainerExit::Signaled { signal, name: signals::name(signal), oom: false })
        }
        Some((None, _)) | None => None,
    })
}

/// Repeats `look` until it finds something or `limit` has passed.
fn poll_for<T>(limit: Duration, look: impl Fn() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    let deadline = clock::boot_time() + limit;
    loop {
        let found = look()?;
        if found.is_some() || clock::boot_time() >= deadline {
            return Ok(found);
        }
        poll::pause(STEP)?;
    }
}
