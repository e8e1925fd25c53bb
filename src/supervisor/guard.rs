//! The finalize drop guard: the one place that writes a run's end. Whatever way the supervisor leaves, by return, by error
//! or by a panic, the end is in the journal and the keeper has been notified before the process is gone.

use std::io;
use std::time::Duration;

use super::keeper_process::KeeperProcess;
use crate::journal::{Appended, Ended, Home, Medium, RunDirectory, RunEvent, RunState, StderrTail, Writer};
use crate::link::{Message, ToSupervisor};
use crate::record::{Reason, TrainerExit, Usage};
use crate::sys::poll::readable_within;
use crate::sys::{clock, failpoint, poll, process, signals, wait};

/// How long a trainer that is killed may take to die: it may sit in the kernel.
const DEATH_WAIT: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(5);

/// What became of a write, beyond that the journal has it.
pub(super) struct Written {
    /// Why the journal is not where it was, or should be.
    pub(super) moved: Option<io::Error>,
    /// Whether a keeper knows of it.
    pub(super) notified: io::Result<()>,
}

/// A run whose end is written, and no keeper is there to deliver it.
#[derive(Debug)]
pub struct Undelivered {
    pub state: RunState,
    /// Its directory, if it has one: the lock is held_signals as long as this lives.
    pub place: Option<(Home, RunDirectory)>,
    /// The journal is there, and outlives this process.
    pub on_disk: bool,
}

/// A run that has begun and has no end yet.
pub(super) struct Guard {
    pub(super) writer: Writer,
    pub(super) place: Option<(Home, RunDirectory)>,
    pub(super) keeper: KeeperProcess,
    /// The trainer, from its fork until it was reaped.
    pub(super) trainer_pid: Option<i32>,
    /// From where on its stderr is the trainer's, where that can be read back.
    pub(super) stderr_tail: Option<StderrTail>,
    finish_timeout: Duration,
    finished: bool,
}

impl Guard {
    pub(super) const fn new(
        writer: Writer,
        place: Option<(Home, RunDirectory)>,
        keeper: KeeperProcess,
        finish_timeout: Duration,
    ) -> Self {
        Self { writer, place, keeper, trainer_pid: None, stderr_tail: None, finish_timeout, finished: false }
    }

    fn directory(&self) -> Option<&RunDirectory> {
        self.place.as_ref().map(|(_, run)| run)
    }

    /// Makes the beginning durable, which is `written`, gives the run its name and tells its first keeper, which is
    /// `started`. Also returns whether the name is there, and durable.
    pub(super) fn begin(
        &mut self,
        started: io::Result<()>,
        written: Appended,
    ) -> io::Result<(Written, io::Result<()>)> {
        failpoint::reached("unsettled");
        let (moved, started) = self.follow_journal(written, started);
        // Rename before syncing: the first sync then makes directory entry and content durable together. After a power
        // failure a name without a beginning is a run that never began.
        let published = self.place.as_ref().map_or(Ok(()), |(home, run)| home.publish(run));
        let directory = self.place.as_ref().map(|(_, run)| run);
        let synced = self.writer.sync_beginning(directory)?;
        // Also if the journal had to move into memory: the report file is in that directory.
        let named = self.place.as_ref().map_or(Ok(()), |(home, _)| home.sync_names());
        failpoint::reached("journal-begun");
        let (moved_again, started) = self.follow_journal(synced, started);
        let notified = started.and_then(|()| self.keeper.notify());
        Ok((Written { moved: moved_again.or(moved), notified }, published.and(named)))
    }

    /// Replaces the keeper if the journal moved to a file that it has not opened. `present` is the result of starting the
    /// present keeper. Returns why the journal moved, and whether a keeper has its file open.
    ///
    /// Before the run is published this is a must: a keeper that holds an empty file takes a published run for one that never
    /// began. Held by `killed_before_the_keeper_is_told_where_the_journal_could_not_be_written_there_is_one_true_record`.
    fn follow_journal(&mut self, appended: Appended, present: io::Result<()>) -> (Option<io::Error>, io::Result<()>) {
        match appended {
            Appended::InPlace => (None, present),
            Appended::Moved(error) => {
                if let Err(error) = present {
                    log::info!(event = "no_keeper", error:%; "");
                }
                let replaced = self.keeper.kill().and_then(|()| self.spawn_keeper());
                (Some(error), replaced)
            }
        }
    }

    /// Starts a keeper for the journal as it is.
    pub(super) fn start_keeper(&mut self) -> io::Result<()> {
        self.spawn_keeper()?;
        self.keeper.notify()
    }

    fn spawn_keeper(&mut self) -> io::Result<()> {
        self.keeper.start(self.writer.journal(), self.place.as_ref().map(|(_, run)| run))
    }

    /// Writes `event` and tells the keeper. A journal that had to move takes its keeper with it: the new one has the new file.
    pub(super) fn write(&mut self, event: RunEvent, durable: bool) -> io::Result<Written> {
        let directory = self.place.as_ref().map(|(_, run)| run);
        let appended = self.writer.append(directory, event, durable)?;
        let (moved, present) = self.follow_journal(appended, Ok(()));
        Ok(Written { moved, notified: present.and_then(|()| self.keeper.notify()) })
    }

    /// Writes the end. The only call that makes the guard do nothing when it is dropped.
    pub(super) fn finish(&mut self, exit: TrainerExit, usage: Option<Usage>) -> io::Result<Written> {
        failpoint::reached("exited");
        let metrics = self.writer.state().metrics_file();
        let failed = match exit {
            TrainerExit::Exited { code } => code != 0,
            TrainerExit::Signaled { .. } => true,
            TrainerExit::NotExecuted { .. } | TrainerExit::Unknown { .. } => false,
        };
        let stderr_tail = self.stderr_tail.filter(|_| failed).and_then(|tail| tail.read());
        let written = self.write(RunEvent::Ended(Ended { exit, usage, metrics, stderr_tail }), true)?;
        self.finished = true;
        failpoint::reached("ended");
        Ok(written)
    }

    /// The run never began: leaves nothing behind, and nothing to deliver.
    pub(super) fn abandon(&mut self) -> io::Result<()> {
        self.finished = true;
        self.keeper.kill()?;
        match self.place.take() {
            Some((home, run)) => home.remove_run(&run),
            None => Ok(()),
        }
    }

    pub(super) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// The run, if its end is written and no keeper is there to deliver it.
    pub(super) fn undelivered(&mut self) -> Option<Undelivered> {
        // A run that was refused has none: it is not to arrive later either.
        let undelivered = self.writer.state().ended.is_some() && self.keeper.link_fd().is_none();
        undelivered.then(|| Undelivered {
            state: self.writer.state().clone(),
            place: self.place.take(),
            on_disk: self.writer.medium() == Medium::Disk,
        })
    }

    /// Reaps the trainer, whose end is written.
    pub(super) fn reap(&mut self) -> io::Result<()> {
        self.trainer_pid.take().map_or(Ok(()), wait::reap)
    }

    /// The trainer must not outlive its supervisor: kill it before its end is written.
    fn kill_trainer(&mut self) -> io::Result<()> {
        let Some(pid) = self.trainer_pid else { return Ok(()) };
        process::send(pid, signals::SIGKILL, None)?;
        let deadline = clock::boot_time() + DEATH_WAIT;
        while !wait::has_ended(pid)? && clock::boot_time() < deadline {
            poll::pause(STEP)?;
        }
        Ok(())
    }

    fn wait_for_delivery(&mut self) -> io::Result<()> {
        let deadline = clock::boot_time() + self.finish_timeout;
        while let Some(fd) = self.keeper.link_fd() {
            let left = deadline.saturating_sub(clock::boot_time());
            if left.is_zero() || !readable_within(fd, left)? {
                break;
            }
            match self.keeper.recv()? {
                Message::Received(ToSupervisor::Recorded(_)) | Message::Nothing => {}
                Message::Received(ToSupervisor::Final | ToSupervisor::Failed { .. } | ToSupervisor::Refused { .. })
                | Message::Closed => break,
            }
        }
        Ok(())
    }

    fn fail(&mut self) -> io::Result<()> {
        let killed = self.kill_trainer();
        let message = if std::thread::panicking() { "runwrap panicked" } else { "runwrap failed" };
        let message = format!("{message}; the trainer was killed (the log says more)");
        let finished = self.finish(TrainerExit::Unknown { reason: Reason::SupervisorError, message }, None);
        let delivered = self.wait_for_delivery();
        killed.and(finished.and_then(|written| written.notified)).and(self.reap()).and(delivered)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.finished {
            log::error!(event = "guard_fired", run_id:% = self.writer.state().begin.run.run_id; "");
            if let Err(error) = self.fail() {
                let directory = self.directory().map(RunDirectory::path);
                log::error!(event = "guard_failed", directory:?; "cannot finalize the run: {error}");
            }
        }
    }
}
