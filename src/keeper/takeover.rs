//! The takeover after the supervisor has vanished: stops every process that the trainer started, and writes the end.
//! The kernel has killed the trainer (parent-death signal) but not its children. Must not write without the writer's lock.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::journal::{self, RunDirectory, RunEvent, Writer};
use crate::record::{Reason, TrainerExit};
use crate::sys::pidfd::PidFd;
use crate::sys::{clock, failpoint, leftovers, poll, signals};

/// How long the kernel may take to close the supervisor's files.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// The time between SIGTERM and SIGKILL for the trainer's processes.
const GRACE: Duration = Duration::from_millis(500);
/// How long to wait for the kernel to report the trainer's end.
const REAP_WAIT: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(10);

/// Ends the run in its journal, unless it has an end. `number` is the number in the journal's file name; `trainer` is known
/// if the keeper has held it since it was alive.
///
/// # Errors
/// Another process owns the journal now, or it cannot be written.
pub(super) fn take_over(
    directory: Option<&RunDirectory>,
    journal: &File,
    number: Option<u32>,
    trainer: Option<&PidFd>,
) -> io::Result<Writer> {
    if let Some(directory) = directory {
        take_lock(directory)?;
    }
    let mut writer = Writer::resume(journal.try_clone()?, number)?;
    if writer.state().ended.is_some() {
        return Ok(writer);
    }
    let run_id = writer.state().begin.run.run_id.to_string();
    log::warn!(event = "takeover", run_id; "the supervisor has vanished");
    // Only a group that the trainer made is its own: the inherited one is the user's shell's. The number may have been reused
    // unless the trainer was held while it lived.
    let group = writer.state().started.filter(|_| trainer.is_some()).map(|started| started.pid);
    // The run has ended even if a process could not be stopped: that must not lose its end.
    if let Err(error) = stop_leftovers(&run_id, group) {
        log::error!(event = "leftovers_not_stopped", run_id, error:%; "");
    }
    let exit = exit_of(trainer)?;
    let metrics = writer.state().metrics_file();
    let ended = journal::Ended { exit, usage: None, metrics, stderr_tail: None };
    writer.append(directory, RunEvent::Ended(ended), true)?;
    Ok(writer)
}

/// The trainer's end as the kernel reports it. A SIGKILL is attributed to the supervisor's death.
fn exit_of(trainer: Option<&PidFd>) -> io::Result<TrainerExit> {
    let deadline = clock::boot_time() + REAP_WAIT;
    let mut reported = None;
    while let Some(trainer) = trainer {
        reported = trainer.ended();
        if reported.is_some() || clock::boot_time() >= deadline {
            break;
        }
        // Its new parent may reap it at any moment.
        poll::pause(STEP)?;
    }
    Ok(match reported.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => TrainerExit::Exited { code },
        Some((None, Some(signal))) if signal != signals::SIGKILL => {
            TrainerExit::Signaled { signal, name: signals::name(signal), oom: false }
        }
        Some((None, _)) | None => {
            let message = "the supervisor was killed; the trainer and what it had started were stopped".to_owned();
            TrainerExit::Unknown { reason: Reason::SupervisorKilled, message }
        }
    })
}

fn take_lock(directory: &RunDirectory) -> io::Result<()> {
    let deadline = clock::boot_time() + LOCK_WAIT;
    while !directory.try_lock_writer()? {
        if clock::boot_time() >= deadline {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds the journal's lock"));
        }
        poll::pause(STEP)?;
    }
    Ok(())
}

fn stop_leftovers(run_id: &str, group: Option<i32>) -> io::Result<()> {
    failpoint::may_fail("leftovers")?;
    if leftovers::signal_all(run_id, group, &[signals::SIGTERM, signals::SIGCONT])? == 0 {
        return Ok(());
    }
    let deadline = clock::boot_time() + GRACE;
    while clock::boot_time() < deadline {
        poll::pause(STEP)?;
        if leftovers::signal_all(run_id, group, &[])? == 0 {
            return Ok(());
        }
    }
    let killed = leftovers::signal_all(run_id, group, &[signals::SIGKILL])?;
    log::warn!(event = "leftovers_killed", run_id, processes = killed; "");
    Ok(())
}
