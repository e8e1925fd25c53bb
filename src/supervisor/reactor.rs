//! Waits, makes one event of what came, and does what `machine` says. Decides nothing.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::guard::Guard;
use super::keepers::Keepers;
use super::machine::{Action, Event, Limits, Machine};
use crate::journal::{Begin, Home, Medium, RunDirectory, Writer};
use crate::link::Brief;
use crate::record::{TrainerExit, Usage};
use crate::sys::poll::readable;
use crate::sys::process::{self, EndAs};
use crate::sys::signals::{self, Signals};
use crate::sys::spawn::{Trainer, spawn_trainer};
use crate::sys::wait::{self, ChildChange, Used};
use crate::sys::{clock, failpoint};

/// Why a run could not be supervised to its end. The guard has finalized it.
#[derive(Debug, Error)]
pub enum SupervisorError {
    #[error("cannot keep the journal: {0}")]
    Journal(io::Error),
    #[error("cannot go on: {0}")]
    System(#[from] io::Error),
}

/// All that it takes to supervise a run.
pub struct Supervision {
    pub command: Vec<OsString>,
    pub begin: Begin,
    pub brief: Brief,
    pub limits: Limits,
    /// Where the journal goes; without one it is kept in memory.
    pub place: Option<(Home, RunDirectory)>,
    /// What the trainer reports to.
    pub report_path: Option<PathBuf>,
    /// Tells the user what went wrong, and what to do.
    pub warn: fn(message: &str, hint: &str),
}

struct Supervisor {
    machine: Machine,
    // Dropped before everything below: its end must still be able to use the rest of the process.
    guard: Guard,
    signals: Signals,
    command: Vec<OsString>,
    report_path: Option<PathBuf>,
    trainer: Option<Trainer>,
    executed: bool,
    warn: fn(&str, &str),
}

/// Runs the trainer from beginning to end and returns how runwrap is to end.
///
/// # Errors
/// Where the kernel refuses what cannot be done without. The record is finalized all the same.
pub fn supervise(supervision: Supervision) -> Result<EndAs, SupervisorError> {
    let Supervision { command, begin, brief, limits, place, report_path, warn } = supervision;
    // From here on every signal is an event: one that came earlier has ended us as it would have ended the bare command.
    let signals = Signals::block_all()?;
    let directory = place.as_ref().map(|(_, run)| run);
    let (writer, error) = Writer::begin(directory, begin).map_err(SupervisorError::Journal)?;
    if let Some(error) = error {
        warn(&format!("cannot write the journal: {error}"), NO_JOURNAL);
    } else if let Some((home, _)) = &place {
        home.sync().map_err(SupervisorError::Journal)?;
    }
    let guard = Guard::new(writer, place, Keepers::new(brief), limits.finish_timeout);
    let mut supervisor = Supervisor {
        machine: Machine::new(limits, clock::boot_time()),
        guard,
        signals,
        command,
        report_path,
        trainer: None,
        executed: false,
        warn,
    };
    failpoint::reached("journal-begun");
    supervisor.run()
}

const NO_JOURNAL: &str =
    "the run goes on without it, and its end is lost if this machine fails; give --state-dir a place that can be written";

impl Supervisor {
    fn run(&mut self) -> Result<EndAs, SupervisorError> {
        if let Some(end) = self.perform(vec![Action::StartKeeper])? {
            return Ok(end);
        }
        loop {
            for event in self.next_events()? {
                let actions = self.machine.step(event, clock::boot_time());
                if let Some(end) = self.perform(actions)? {
                    return Ok(end);
                }
            }
        }
    }

    /// Waits for the next events. Never empty for ever: each wait is bounded.
    fn next_events(&mut self) -> Result<Vec<Event>, SupervisorError> {
        let exec_result = self.trainer.as_ref().filter(|_| !self.executed).map(Trainer::exec_result_fd);
        let fds = [Some(std::os::fd::AsFd::as_fd(&self.signals)), self.guard.keepers.link_fd(), exec_result];
        let [signal, link, exec] = readable(fds, self.machine.wake_at())?;
        let mut events = Vec::new();
        if exec {
            events.extend(self.exec_result()?);
        }
        if signal {
            self.take_signals(&mut events)?;
        }
        if link {
            match self.guard.keepers.hear()? {
                Some(Some(news)) => events.push(Event::Keeper(news)),
                Some(None) => {}
                None => events.push(Event::KeeperGone),
            }
        }
        events.push(Event::Time);
        Ok(events)
    }

    fn exec_result(&mut self) -> Result<Option<Event>, SupervisorError> {
        let Some(trainer) = &mut self.trainer else { return Ok(None) };
        self.executed = true;
        match trainer.exec_result()? {
            None => Ok(Some(Event::Executed { pid: trainer.pid })),
            Some(error) => {
                self.guard.reap()?;
                self.trainer = None;
                Ok(Some(spawn_failed(&self.command, &error)))
            }
        }
    }

    fn take_signals(&mut self, events: &mut Vec<Event>) -> Result<(), SupervisorError> {
        // As many as came; while they are taken no other process's flood can hold us here for ever.
        for _ in 0..1024 {
            let Some(signal) = self.signals.next()? else { break };
            if signal.number == signals::SIGCHLD {
                self.look_at_children(events)?;
            } else {
                log::info!("event=signal name={} sender={:?}", signals::name(signal.number), signal.sender);
                events.push(Event::Signal(signal));
            }
        }
        Ok(())
    }

    fn look_at_children(&mut self, events: &mut Vec<Event>) -> Result<(), SupervisorError> {
        let trainer = self.guard.trainer_pid;
        wait::reap_others(trainer)?;
        let Some(pid) = trainer.filter(|_| self.trainer.is_some()) else { return Ok(()) };
        // Bounded by what the kernel keeps of a child: a stop, a continue, an end.
        for _ in 0..3 {
            let Some(change) = wait::look(pid)? else { break };
            log::info!("event=trainer pid={pid} change=\"{}\"", change.describe());
            match change {
                ChildChange::Stopped { signal } => events.push(Event::TrainerStopped { signal }),
                ChildChange::Continued => events.push(Event::TrainerContinued),
                ChildChange::Exited { .. } | ChildChange::Signaled { .. } => {
                    // An exec that failed ends the child too; what it wrote comes first.
                    if !self.executed
                        && let Some(event) = self.exec_result()?
                    {
                        events.push(event);
                    }
                    if self.trainer.take().is_some() {
                        events.push(Event::TrainerEnded(trainer_exit(&change)));
                        self.used = used(&change);
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Performs `actions` in order; `Some` is how to end.
    fn perform(&mut self, actions: Vec<Action>) -> Result<Option<EndAs>, SupervisorError> {
        for action in actions {
            match action {
                Action::StartKeeper => self.start_keeper()?,
                Action::Spawn => self.spawn()?,
                Action::Write { event, durable } => {
                    let moved = self.guard.write(event, durable);
                    self.report_move(moved)?;
                }
                Action::Send { signal, value } => {
                    if let Some(pid) = self.guard.trainer_pid {
                        failpoint::reached("before-relay");
                        process::send(pid, signal, value)?;
                    }
                }
                Action::Finish(exit) => {
                    let moved = self.guard.finish(exit, self.used.take());
                    self.report_move(moved)?;
                    self.guard.reap()?;
                }
                Action::StopSelf => process::stop_self()?,
                Action::Warn { message, hint } => (self.warn)(&message, &hint),
                Action::Abandon => self.guard.abandon()?,
                Action::End(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }
}
