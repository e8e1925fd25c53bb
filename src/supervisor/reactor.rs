//! The event loop: waits, turns each result into one event, and performs the actions of `machine`. Decides nothing.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use thiserror::Error;

use super::deadlines::RunLimits;
use super::events::{SupervisorAction, SupervisorEvent, level_of_warnings};
use super::guard::{Guard, Undelivered, Written, warn_memory_journal};
use super::keeper_process::KeeperProcess;
use super::machine::SupervisorMachine;
use super::relay::{InheritedSignals, SignalScope};
use super::signal_inbox::{Found, SignalInbox};
use super::trainer_end::{spawn_failed, trainer_exit};
use crate::journal::{
    Appended, Begin, Home, JournalFile, RunDirectory, RunEvent, StderrTail, Writer, discard_temporary_report,
};
use crate::link::{KeeperConfig, Message, ToSupervisor};
use crate::record::Usage;
use crate::sys::cgroup::OomKills;
use crate::sys::keeper::Keep;
use crate::sys::poll::readable;
use crate::sys::process::{self, EndAs};
use crate::sys::signals::{self, SignalSet, Signals};
use crate::sys::spawn::{ExecResult, Trainer, spawn_trainer};
use crate::sys::wait::{self, ChildChange};
use crate::sys::{arguments, clock, failpoint, host, inherited, leftovers, threads};

/// Why the supervisor stopped early. The guard has finalized the run if it had begun.
#[derive(Debug, Error)]
pub enum SupervisorError {
    #[error("cannot keep the journal: {0}")]
    Journal(io::Error),
    #[error("cannot supervise the run: {0}")]
    System(#[from] io::Error),
}

/// The parameters of [`supervise`].
pub struct SupervisorConfig {
    pub command: Vec<OsString>,
    pub config: KeeperConfig,
    pub limits: RunLimits,
    /// The run's directory; without one the journal is kept in memory.
    pub place: Option<(Home, RunDirectory)>,
    /// Maximum size of the stderr tail of a failed run.
    pub stderr_tail_bytes: u64,
    /// The code of the keeper, with the descriptors of `link`.
    pub keep: Keep,
}

struct Supervisor {
    machine: SupervisorMachine,
    // Dropped first: its drop still needs the fields below.
    guard: Guard,
    signal_inbox: SignalInbox,
    command: Vec<OsString>,
    stderr_tail_bytes: u64,
    /// From the fork until the result of the exec is known.
    exec_result: Option<ExecResult>,
    oom_kills: OomKills,
    /// Of the trainer that has ended, until its end is written.
    usage: Option<Usage>,
    /// Events for the next turn of the loop.
    pending: Vec<SupervisorEvent>,
}

/// Runs the trainer from start to end. `gather` collects the facts of the run while the keeper starts. Returns how
/// runwrap exits and, if no keeper is left, the run that the caller delivers.
///
/// # Errors
/// The journal cannot be kept even in memory, or a system call that supervision needs fails. A run that has begun is
/// finalized nonetheless.
pub fn supervise(
    supervision: SupervisorConfig,
    gather: impl FnOnce() -> Begin,
) -> Result<(EndAs, Option<Undelivered>), SupervisorError> {
    let SupervisorConfig { command, config, limits, place, stderr_tail_bytes, keep } = supervision;
    let signals = Signals::block_all(threads::inherited_mask())?;
    let inherited_signals = InheritedSignals {
        leads_session: host::leads_session(),
        ignored: inherited::ignored(),
        blocked: signals.inherited.iter().map(|signal| signal as i32).collect(),
    };
    let directory = place.as_ref().map(|(_, run)| run);
    let (journal, error) = JournalFile::create(directory);
    if let Some(error) = error {
        warn_memory_journal(&error);
    }
    // The keeper starts first: opening the database takes longest.
    let mut keeper = KeeperProcess::new(config, limits.has_keeper, keep);
    let started = keeper.start(&journal, directory);
    failpoint::reached("blank");
    // `gather` may wait for a directory server or a file server. Until it returns, signals act as in the bare command;
    // afterwards every signal is an event.
    let begin = signals.with_inherited_mask(gather)?;
    keeper.await_session()?;
    let (writer, written) = Writer::begin(journal, directory, begin).map_err(SupervisorError::Journal)?;
    let mut supervisor = Supervisor {
        machine: SupervisorMachine::new(limits, inherited_signals, clock::boot_time()),
        guard: Guard { writer, place, keeper, trainer_pid: None, stderr_tail: None, finished: false },
        signal_inbox: SignalInbox::new(signals),
        command,
        stderr_tail_bytes,
        exec_result: None,
        oom_kills: OomKills::default(),
        usage: None,
        pending: Vec::new(),
    };
    let end = supervisor.run(started, written)?;
    Ok((end, supervisor.guard.undelivered()))
}

impl Supervisor {
    fn run(&mut self, started: io::Result<()>, written: Appended) -> Result<EndAs, SupervisorError> {
        let notified = self.guard.begin(started, written);
        self.note_keeper_result(notified);
        // This work overlaps with the start of the keeper.
        self.signal_inbox.start_witness();
        self.oom_kills = OomKills::start();
        loop {
            for event in self.next_events()? {
                if matches!(event, SupervisorEvent::Executed { .. }) {
                    failpoint::reached("running");
                    failpoint::may_fail("running")?;
                }
                let actions = self.machine.step(event, clock::boot_time());
                if let Some(end) = self.perform(actions)? {
                    return Ok(end);
                }
            }
        }
    }

    /// Waits for the next events, at most until the machine's next deadline.
    fn next_events(&mut self) -> io::Result<Vec<SupervisorEvent>> {
        let exec_result = self.exec_result.as_ref().and_then(ExecResult::fd);
        let signals = &self.signal_inbox.signals;
        let fds = [signals.fd.as_ref().map(AsFd::as_fd), self.guard.keeper.link_fd(), exec_result];
        let look_at = self.signal_inbox.look_at();
        let wake_at = [self.machine.wake_at(), look_at].into_iter().flatten().min();
        let deadline = if self.pending.is_empty() { wake_at } else { Some(Duration::ZERO) };
        let [signal, link, exec] = readable(fds, signals.wake_at(deadline))?;
        let signal = signal || signals.fd.is_none();
        if exec {
            let result = self.exec_result()?;
            self.pending.extend(result);
        }
        if signal || look_at.is_some_and(|moment| moment <= clock::boot_time()) {
            self.take_signals(SignalSet::default())?;
        }
        if link {
            match self.guard.keeper.recv()? {
                Message::Received(message) => self.pending.push(SupervisorEvent::Keeper(message)),
                Message::Nothing => {}
                Message::Closed => self.pending.push(SupervisorEvent::KeeperGone),
            }
        }
        self.pending.push(SupervisorEvent::Tick);
        Ok(std::mem::take(&mut self.pending))
    }

    /// The event of the exec, once.
    fn exec_result(&mut self) -> io::Result<Option<SupervisorEvent>> {
        let (Some(pid), Some(result)) = (self.guard.trainer_pid, self.exec_result.take()) else { return Ok(None) };
        let Some(error) = result.error()? else {
            // The trainer is not reaped yet, so the id is still its own. Without /proc the keeper stops only marked processes.
            let start_ticks = leftovers::identify(pid).ok().flatten().map(|id| id.start_ticks);
            return Ok(Some(SupervisorEvent::Executed { pid, start_ticks }));
        };
        self.guard.reap()?;
        Ok(Some(spawn_failed(&self.command, &error)))
    }

    /// Adds the signals and the trainer's changes to the events. `before_fork`: the signals that were pending before the
    /// fork, so that they did not reach the trainer.
    fn take_signals(&mut self, before_fork: SignalSet) -> io::Result<()> {
        let Found { settled, signals } = self.signal_inbox.take()?;
        for (signal, scope) in settled {
            log::info!(event = "settled", name = signals::name(signal.number), scope:?;
                "signal {} was sent {}", signals::name(signal.number), scope.describe());
            self.pending.push(SupervisorEvent::Settled { signal, scope });
        }
        // A stop or continue precedes the signals that were taken: the machine must know whether the trainer is
        // stopped. The trainer's end follows them: one of them may have caused it. Held by
        // `stop_request_beside_sigchld_continues_stopped_trainer`.
        let end = self.take_child_changes()?;
        for (signal, mut scope) in signals {
            // A signal to our group does not reach a trainer that has left it.
            let has_left = self.guard.trainer_pid.is_some_and(|pid| !process::is_in_our_group(pid));
            if has_left || before_fork.contains(signal.number) {
                scope = SignalScope::SupervisorOnly;
            }
            log::info!(event = "signal", name = signals::name(signal.number), sender:? = signal.sender, scope:?;
                "signal {} arrived, sent {}", signals::name(signal.number), scope.describe());
            self.pending.push(SupervisorEvent::Signal { signal, scope });
        }
        self.pending.extend(end);
        Ok(())
    }

    /// Adds the trainer's stops and continues to the events and returns the events of its end.
    fn take_child_changes(&mut self) -> io::Result<Vec<SupervisorEvent>> {
        let mut end = Vec::new();
        wait::reap_others(self.guard.trainer_pid)?;
        let Some(pid) = self.guard.trainer_pid.filter(|_| self.usage.is_none()) else { return Ok(end) };
        // The kernel keeps at most a stop, a continue and an end per child.
        for _ in 0..3 {
            let Some(change) = wait::next_change(pid)? else { break };
            log::info!(event = "trainer", pid, change = change.describe();
                "the command, process {pid}: {}", change.describe());
            match change {
                ChildChange::Stopped { signal } => {
                    let in_foreground = process::group(pid).is_some_and(process::is_foreground_job);
                    self.pending.push(SupervisorEvent::TrainerStopped { signal, in_foreground });
                }
                ChildChange::Continued => self.pending.push(SupervisorEvent::TrainerContinued),
                ChildChange::Ended { status, used } => {
                    // A failed exec also ends the child; its error comes first.
                    end.extend(self.exec_result()?);
                    if self.guard.trainer_pid.is_some() {
                        let (exit, usage) = trainer_exit(status, used, &self.oom_kills);
                        self.usage = Some(usage);
                        end.push(SupervisorEvent::TrainerEnded(exit));
                    }
                    break;
                }
            }
        }
        Ok(end)
    }

    /// Performs `actions` in order. Returns `Some` when runwrap must exit.
    fn perform(&mut self, actions: Vec<SupervisorAction>) -> Result<Option<EndAs>, SupervisorError> {
        let level = level_of_warnings(&actions);
        for action in actions {
            match action {
                SupervisorAction::StartKeeper => self.start_keeper(),
                SupervisorAction::Spawn => {
                    failpoint::reached("before-spawn");
                    self.spawn()?;
                }
                SupervisorAction::Write(event) => {
                    let is_request = matches!(event, RunEvent::StopRequested { .. } | RunEvent::TimedOut { .. });
                    let written = self.guard.write(event);
                    self.after_write(written)?;
                    if is_request {
                        failpoint::reached("written");
                    }
                }
                SupervisorAction::MoveJournal { message } => {
                    let moved = self.guard.move_journal(message);
                    self.after_write(Ok(moved))?;
                }
                SupervisorAction::SignalTrainer { signal, value } => {
                    if let Some(pid) = self.guard.trainer_pid
                        && let Err(error) = process::send(pid, signal, value)
                    {
                        // EPERM: the trainer runs as another user now, as under `sudo`.
                        let cause = process::error_text(&error);
                        let hint = "runwrap keeps waiting; stop the process as its owner or as root";
                        log::warn!(event = "not_signalled", pid, hint;
                            "cannot send {} to the trainer: {cause}", signals::name(signal));
                    }
                }
                SupervisorAction::WriteEnd(exit) => {
                    let written = self.guard.finish(exit, self.usage.take());
                    self.after_write(written)?;
                    self.guard.reap()?;
                    self.signal_inbox.stop_witness()?;
                }
                SupervisorAction::StopSelf { signal } => self.stop_self(signal)?,
                SupervisorAction::Warn { message, hint } if hint.is_empty() => {
                    log::log!(level, event = "run"; "{message}");
                }
                SupervisorAction::Warn { message, hint } => log::log!(level, event = "run", hint; "{message}"),
                SupervisorAction::Abandon => {
                    let is_temporary = self.guard.place.is_none();
                    self.guard.abandon()?;
                    let report_path = self.guard.keeper.config.report_path.as_deref();
                    report_path.filter(|_| is_temporary).map(discard_temporary_report);
                }
                SupervisorAction::ReapKeeper => self.guard.keeper.reap()?,
                SupervisorAction::Exit(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }

    /// Stops this process. The shell takes the terminal back; after `fg` the trainer's group gets it again.
    fn stop_self(&mut self, signal: i32) -> io::Result<()> {
        let trainer = self.guard.trainer_pid;
        // On `fg` the shell makes our group the foreground group. A trainer that is a shell itself has a group of its
        // own. Held by `suspended_shell_under_runwrap_regains_the_terminal`.
        let own_group = process::own_group();
        let foreground = process::foreground_group().filter(|group| *group != own_group);
        let trainer_group = foreground.filter(|group| trainer.and_then(process::group) == Some(*group));
        if let Some(Err(error)) = trainer.map(|pid| self.signal_inbox.watch(pid)) {
            log::info!(event = "witness_not_watching", error:%; "the witness does not watch the command: {error}");
        }
        self.signal_inbox.forget_unproven();
        process::stop_self(signal, || trainer.map_or(Ok(true), |pid| Ok(!wait::has_resumed_or_ended(pid)?)))?;
        if let Some(group) = trainer_group.filter(|_| process::foreground_group() == Some(own_group))
            && let Err(error) = process::set_foreground_group(group)
        {
            // The trainer has ended.
            log::info!(event = "terminal_not_handed_over", error:%;
                "the terminal cannot be given to the command: {error}");
        }
        self.signal_inbox.query_witness();
        self.pending.push(SupervisorEvent::Resumed);
        Ok(())
    }

    fn start_keeper(&mut self) {
        let started = self.guard.start_keeper();
        // The keeper died after removing the run's directory, so it had delivered the end. Held by
        // `keeper_death_after_the_removal_costs_no_wait`.
        if self.guard.finished && started.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            self.pending.push(SupervisorEvent::Keeper(ToSupervisor::Final));
        } else {
            self.note_keeper_result(started);
        }
    }

    fn note_keeper_result(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            log::info!(event = "no_keeper", error:%; "there is no keeper: {error}");
            self.pending.push(SupervisorEvent::KeeperGone);
        }
    }

    fn spawn(&mut self) -> io::Result<()> {
        let state = self.guard.writer.state();
        let run = &state.begin.run;
        let record_id = state.recorded.as_ref().map(|begun| &begun.record_id).or(run.adopt.as_ref());
        let report_path = self.guard.keeper.config.report_path.clone();
        // All of them: in a run inside a run the outer one's would name another record.
        let variables = [
            ("RUNWRAP_RUN_ID", Some(OsString::from(run.run_id.to_string()))),
            ("RUNWRAP_NAME", Some(OsString::from(&run.name))),
            ("RUNWRAP_RECORD_ID", record_id.map(|id| OsString::from(&id.0))),
            ("RUNWRAP_REPORT", report_path.map(OsString::from)),
        ];
        // Excludes earlier output from the trainer's stderr tail.
        let home = self.guard.place.as_ref().map(|(home, _)| home);
        let outer_run = std::env::var("RUNWRAP_RUN_ID").unwrap_or_default();
        self.guard.stderr_tail = StderrTail::begin(self.stderr_tail_bytes, home, &outer_run);
        let spawn = |inbox: &SignalInbox| spawn_trainer(&self.command, &variables, &inbox.signals.inherited);
        let mut spawned = spawn(&self.signal_inbox);
        // `ulimit -u`: the trainer needs the place of the witness or the keeper.
        while spawned.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            && (self.signal_inbox.end_witness() || self.guard.end_keeper()?)
        {
            spawned = spawn(&self.signal_inbox);
        }
        if !self.guard.keeper.has_room {
            self.machine.keeper_gave_way();
        }
        match spawned {
            Ok(Trainer { pid, exec_result, pending_before }) => {
                self.guard.trainer_pid = Some(pid);
                // `pkill -f train.py` must find the trainer alone.
                if let Err(error) = arguments::hide_command(self.command.len(), pid) {
                    log::info!(event = "command_shown", error:%;
                        "the command stays in the arguments of runwrap: {error}");
                }
                self.exec_result = Some(exec_result);
                self.machine.spawned(clock::boot_time());
                failpoint::reached("forked");
                self.take_signals(pending_before)?;
                if self.exec_result.as_ref().is_some_and(|result| result.fd().is_none()) {
                    let result = self.exec_result()?;
                    self.pending.extend(result);
                }
            }
            Err(error) => self.pending.push(spawn_failed(&self.command, &error)),
        }
        Ok(())
    }

    fn after_write(&mut self, written: Written) -> Result<(), SupervisorError> {
        self.note_keeper_result(written.map_err(SupervisorError::Journal)?);
        Ok(())
    }
}
