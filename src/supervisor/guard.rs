//! The finalize drop guard: the only code that writes the end of a run. Whether the supervisor returns, fails or
//! panics, the end is in the journal and the keeper is notified before the process exits.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::keeper_process::KeeperProcess;
use crate::journal::{Appended, Ended, Home, Medium, RunDirectory, RunEvent, RunState, StderrTail, Writer};
use crate::link::{Message, ToSupervisor};
use crate::record::{Reason, TrainerExit, Usage};
use crate::sys::poll::readable_within;
use crate::sys::{clock, failpoint, wait};

/// The limit for a killed trainer to end.
const DEATH_WAIT: Duration = Duration::from_secs(5);

/// The result of a journal write. Outside: the journal cannot be kept. Inside: no keeper was notified of it.
pub(super) type Written = io::Result<io::Result<()>>;

/// A journal in memory is lost with this process and its keeper: the user must know.
pub(super) fn warn_memory_journal(error: &io::Error) {
    let hint = "set --state-dir to a writable directory; the run goes on, but its end is lost if this machine fails";
    log::warn!(event = "no_journal", hint; "cannot keep the journal on disk: {error}");
}

/// A run whose end is written but has no keeper to deliver it.
#[derive(Debug)]
pub struct Undelivered {
    pub state: RunState,
    /// The run's directory, if any. Holding it holds the run's lock.
    pub place: Option<(Home, RunDirectory)>,
    /// The journal on disk, which outlives this process; none in memory.
    pub journal: Option<Arc<File>>,
}

/// A run that has begun and has not ended.
pub(super) struct Guard {
    pub(super) writer: Writer,
    pub(super) place: Option<(Home, RunDirectory)>,
    pub(super) keeper: KeeperProcess,
    /// The trainer, from fork to reap.
    pub(super) trainer_pid: Option<i32>,
    /// The start of the trainer's output in stderr, if stderr is a regular file.
    pub(super) stderr_tail: Option<StderrTail>,
    pub(super) finished: bool,
}

impl Guard {
    /// Publishes the run's directory (`written` is the result of writing its journal's beginning) and notifies the first keeper
    /// (`started` is the result of starting it), which makes both durable. Returns whether a keeper was notified.
    pub(super) fn begin(&mut self, started: io::Result<()>, written: Appended) -> io::Result<()> {
        failpoint::reached("unsettled");
        let started = self.follow_journal(written, started);
        let published = self.place.as_ref().map_or(Ok(()), |(home, run)| home.publish(run));
        failpoint::reached("journal-begun");
        // Without its name the journal cannot be found later. For a journal in memory the user has already been warned.
        if let (Err(error), Medium::Disk) = (published, self.writer.medium()) {
            warn_memory_journal(&error);
        }
        started.and_then(|()| self.keeper.notify())
    }

    /// Replaces the keeper if the journal has moved: the present keeper has the old file open. `present` is the result
    /// of starting the present keeper. Returns whether a keeper has the journal's file open.
    ///
    /// A keeper of the old, empty file would take a published run for one that never began. Held by
    /// `killed_before_the_keeper_is_told_where_the_journal_could_not_be_written_there_is_one_true_record`.
    fn follow_journal(&mut self, appended: Appended, present: io::Result<()>) -> io::Result<()> {
        let Appended::Moved(error) = appended else { return present };
        if let Err(error) = present {
            log::info!(event = "no_keeper", error:%; "there is no keeper: {error}");
        }
        let replaced = self.keeper.kill().and_then(|()| self.spawn_keeper());
        match self.writer.medium() {
            Medium::Memory => warn_memory_journal(&error),
            Medium::Disk => {
                log::info!(event = "journal_moved", error:%; "the journal goes on in another file: {error}");
            }
        }
        replaced
    }

    /// Starts a keeper for the journal and notifies it.
    pub(super) fn start_keeper(&mut self) -> io::Result<()> {
        self.spawn_keeper()?;
        self.keeper.notify()
    }

    fn spawn_keeper(&mut self) -> io::Result<()> {
        self.keeper.start(self.writer.journal(), self.place.as_ref().map(|(_, run)| run))
    }

    /// Writes `event` and notifies the keeper.
    pub(super) fn write(&mut self, event: RunEvent) -> Written {
        let directory = self.place.as_ref().map(|(_, run)| run);
        let appended = self.writer.append(directory, event)?;
        Ok(self.follow_journal(appended, Ok(())).and_then(|()| self.keeper.notify()))
    }

    /// Continues the journal in another file, with a new keeper: the present one could not sync it.
    pub(super) fn move_journal(&mut self, message: String) -> io::Result<()> {
        let directory = self.place.as_ref().map(|(_, run)| run);
        let appended = self.writer.move_after(io::Error::other(message), directory);
        self.follow_journal(appended, Ok(())).and_then(|()| self.keeper.notify())
    }

    /// Writes the end. After that, dropping the guard does nothing.
    pub(super) fn finish(&mut self, exit: TrainerExit, usage: Option<Usage>) -> Written {
        failpoint::reached("exited");
        let metrics = self.writer.state().metrics_file();
        let failed = match exit {
            TrainerExit::Exited { code } => code != 0,
            TrainerExit::Signaled { .. } => true,
            TrainerExit::NotExecuted { .. } | TrainerExit::Unknown { .. } => false,
        };
        let stderr_tail = self.stderr_tail.as_ref().filter(|_| failed).and_then(StderrTail::read);
        let written = self.write(RunEvent::Ended(Ended { exit, usage, metrics, stderr_tail, unstopped: None }))?;
        self.finished = true;
        failpoint::reached("ended");
        Ok(written)
    }

    /// Ends the keeper, to make room for the trainer, and starts none again. Returns false if there is none.
    pub(super) fn end_keeper(&mut self) -> io::Result<bool> {
        if self.keeper.link_fd().is_none() {
            return Ok(false);
        }
        let hint = "raise the limit by 8, with `ulimit -u`";
        log::warn!(event = "keeper_gave_way", hint;
            "too few processes are allowed: there is no keeper, and the record is written at the end");
        self.keeper.has_room = false;
        self.keeper.kill().map(|()| true)
    }

    /// Removes a run that never began, so that it is never delivered.
    pub(super) fn abandon(&mut self) -> io::Result<()> {
        self.finished = true;
        self.keeper.kill()?;
        self.place.take().map_or(Ok(()), |(home, run)| home.remove_run(&run))
    }

    /// The run, if its end is written and no keeper is left to deliver it.
    pub(super) fn undelivered(&mut self) -> Option<Undelivered> {
        // A refused run has no end: it must not be delivered later either.
        let undelivered = self.writer.state().ended.is_some() && self.keeper.link_fd().is_none();
        undelivered.then(|| Undelivered {
            state: self.writer.state().clone(),
            place: self.place.take(),
            journal: self.writer.journal().file_on_disk(),
        })
    }

    /// Reaps the trainer. Its end must be in the journal.
    pub(super) fn reap(&mut self) -> io::Result<()> {
        self.trainer_pid.take().map_or(Ok(()), wait::reap)
    }

    fn wait_for_delivery(&mut self) -> io::Result<()> {
        let deadline = clock::boot_time() + self.keeper.config.finish_timeout;
        while let Some(fd) = self.keeper.link_fd()
            && readable_within(fd, deadline.saturating_sub(clock::boot_time()))?
        {
            match self.keeper.recv()? {
                Message::Received(
                    ToSupervisor::Recorded(_)
                    | ToSupervisor::Restored
                    | ToSupervisor::Notice { .. }
                    | ToSupervisor::Retrying { .. }
                    | ToSupervisor::Answered
                    | ToSupervisor::Ended,
                )
                | Message::Nothing => {}
                Message::Received(ToSupervisor::NotSynced { message }) => self.move_journal(message)?,
                Message::Received(ToSupervisor::Final | ToSupervisor::Failed { .. } | ToSupervisor::Running { .. }) => {
                    return self.keeper.reap();
                }
                Message::Closed => break,
            }
        }
        Ok(())
    }

    fn fail(&mut self) -> io::Result<()> {
        // Before its end is written: the trainer must not outlive the supervisor.
        let killed = self.trainer_pid.map_or(Ok(()), |pid| wait::kill(pid, DEATH_WAIT));
        let message = if std::thread::panicking() { "runwrap panicked" } else { "runwrap failed" };
        let message = format!("{message}; the trainer was killed (see the log)");
        let finished = self.finish(TrainerExit::Unknown { reason: Reason::SupervisorError, message }, None);
        let delivered = self.wait_for_delivery();
        killed.and(finished.flatten()).and(self.reap()).and(delivered)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.finished {
            log::error!(event = "guard_fired", run_id:% = self.writer.state().begin.run.run_id;
                "runwrap ends unexpectedly, and records a failure");
            if let Err(error) = self.fail() {
                let directory = self.place.as_ref().map(|(_, run)| run.path());
                log::error!(event = "guard_failed", directory:?; "cannot finalize the run: {error}");
            }
        }
    }
}
