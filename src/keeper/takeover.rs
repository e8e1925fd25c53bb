//! The supervisor has vanished: make sure that the trainer and all that it started are stopped, and write the end.
//! The kernel has killed the trainer already (parent-death signal); its children it has not. Called by `reactor`.

use std::fs::File;
use std::io;
use std::time::Duration;

use crate::journal::{self, RunDirectory, RunEvent, Writer};
use crate::record::{Reason, TrainerExit};
use crate::sys::pidfd::{PidFd, ProcessExit};
use crate::sys::{clock, failpoint, leftovers, poll, signals};

/// How long the kernel may take to close what the supervisor had open.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// How long what the trainer left running has to end after SIGTERM.
const GRACE: Duration = Duration::from_millis(500);
/// How long the end of the trainer is waited for, where the kernel can tell it.
const REAP_WAIT: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(10);

/// Ends the run in its journal, if nobody has. `number` is the one in the journal's file name; `trainer` is
/// the trainer, if the keeper has held it since it was alive.
///
/// # Errors
/// Where the journal is somebody else's now, or cannot be written at all.
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
    // A group that the trainer made is its own; the one that it inherited is shared with the user's shell. The number can
    // only be trusted where the trainer was held while it lived.
    let group = writer.state().started.filter(|_| trainer.is_some()).map(|started| started.pid);
    // What cannot be stopped is said; the run has ended all the same, and its end is not to be lost over it.
    if let Err(error) = stop_leftovers(&run_id, group) {
        log::error!(event = "leftovers_not_stopped", run_id, error:%; "");
    }
    let exit = exit_of(trainer)?;
    let metrics = writer.state().metrics_file();
    let ended = journal::Ended { exit, usage: None, metrics, stderr_tail: None };
    writer.append(directory, RunEvent::Ended(ended), true)?;
    Ok(writer)
}

/// What the kernel can still tell of the trainer. A SIGKILL is taken for the one that came with the supervisor's death.
fn exit_of(trainer: Option<&PidFd>) -> io::Result<TrainerExit> {
    let deadline = clock::boot_time() + REAP_WAIT;
    let mut told = None;
    while let Some(trainer) = trainer {
        told = trainer.ended();
        if told.is_some() || clock::boot_time() >= deadline {
            break;
        }
        // It was killed with its supervisor; its new parent reaps it, if it does, in a moment.
        poll::pause(STEP)?;
    }
    Ok(match told {
        Some(ProcessExit::Exited { code }) => TrainerExit::Exited { code },
        Some(ProcessExit::Signaled { signal }) if signal != signals::SIGKILL => {
            TrainerExit::Signaled { signal, name: signals::name(signal), oom: false }
        }
        Some(ProcessExit::Signaled { .. }) | None => {
            let message = "the supervisor was killed; the trainer and what it had started were stopped".to_owned();
            TrainerExit::Unknown { reason: Reason::SupervisorKilled, message }
        }
    })
}

fn take_lock(directory: &RunDirectory) -> io::Result<()> {
    let deadline = clock::boot_time() + LOCK_WAIT;
    while !directory.try_lock_writer()? {
        if clock::boot_time() >= deadline {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "somebody else holds the journal's lock"));
        }
        poll::pause(STEP)?;
    }
    Ok(())
}

fn stop_leftovers(run_id: &str, group: Option<i32>) -> io::Result<()> {
    if failpoint::fails("leftovers") {
        return Err(io::Error::other("failpoint"));
    }
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
