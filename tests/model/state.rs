//! The state of the processes, the run's directory and the database, and the effect of each action on it. Must not list the
//! actions: `protocol` does.

use std::collections::BTreeSet;

use runwrap::record::Applied;

use crate::database::{Database, Outcome, Statement, Statements};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) supervisor: Supervisor,
    pub(crate) trainer: Trainer,
    pub(crate) keeper: Option<Delivery>,
    /// `recover`, or the next run, with this host's state directory. It delivers only journals of dead runs.
    pub(crate) recoverer: Option<Delivery>,
    pub(crate) journal: Journal,
    pub(crate) locks: Locks,
    /// Statements without a waiting sender: it died or gave up. The database may still execute them, at any time.
    pub(crate) in_flight: BTreeSet<Statement>,
    pub(crate) database: Database,
    /// The row was deleted, at most once in a run.
    pub(crate) row_deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Supervisor {
    /// Waits for the record.
    Opening,
    Running,
    /// The end is in the journal; waits for its delivery.
    Finishing,
    Exited,
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trainer {
    NotStarted,
    Running,
    Exited { code: i32 },
    Killed,
}

/// A process that delivers the journal, one statement at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Delivery {
    /// The database has acknowledged the beginning to this process.
    pub(crate) begun: bool,
    /// The statement that waits for its answer.
    pub(crate) attempt: Option<Statement>,
    /// The database has acknowledged the end.
    pub(crate) done: bool,
}

/// The run's directory. Its first event, the beginning, is there from the first state on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    pub(crate) started: bool,
    pub(crate) ended: Option<Outcome>,
    /// The content stays here for the properties; no process can read it any more.
    pub(crate) removed: bool,
}

/// The two bytes of the lock file. The kernel frees the locks of a process that dies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Locks {
    pub(crate) writer: Option<Process>,
    pub(crate) keeper: Option<Process>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Process {
    Supervisor,
    Keeper,
    Recoverer,
}

/// Each action changes the state, and returns whether it was possible.
impl State {
    /// The journal has its first event and is locked.
    pub(crate) const fn first() -> Self {
        Self {
            supervisor: Supervisor::Opening,
            trainer: Trainer::NotStarted,
            keeper: None,
            recoverer: None,
            journal: Journal { started: false, ended: None, removed: false },
            locks: Locks { writer: Some(Process::Supervisor), keeper: None },
            in_flight: BTreeSet::new(),
            database: Database::new(),
            row_deleted: false,
        }
    }

    pub(crate) fn supervisor_lives(&self) -> bool {
        match self.supervisor {
            Supervisor::Opening | Supervisor::Running | Supervisor::Finishing => true,
            Supervisor::Exited | Supervisor::Killed => false,
        }
    }

    /// The supervisor takes the keeper's lock for it, so that the run counts as alive before the keeper runs.
    pub(crate) fn start_keeper(&mut self) -> bool {
        let possible = self.supervisor_lives() && self.locks.keeper.is_none() && !self.journal.removed;
        self.keeper = Some(Delivery::default());
        self.locks.keeper = Some(Process::Keeper);
        possible
    }

    /// The record was inserted, or `--start-timeout` ran out.
    pub(crate) fn spawn_trainer(&mut self) -> bool {
        let possible = self.supervisor == Supervisor::Opening;
        self.supervisor = Supervisor::Running;
        self.trainer = Trainer::Running;
        self.journal.started = true;
        possible
    }

    /// The exec failed, or a request to stop came before the trainer.
    pub(crate) fn spawn_fails(&mut self) -> bool {
        let possible = self.supervisor == Supervisor::Opening;
        self.supervisor = Supervisor::Finishing;
        self.journal.ended = Some(Outcome::NotExecuted);
        possible
    }

    pub(crate) fn trainer_exits(&mut self, code: i32) -> bool {
        let possible = self.trainer == Trainer::Running;
        self.trainer = Trainer::Exited { code };
        possible
    }

    pub(crate) fn parent_death_signal(&mut self) -> bool {
        let possible = self.trainer == Trainer::Running && !self.supervisor_lives();
        self.trainer = Trainer::Killed;
        possible
    }

    /// The drop guard: the end is on disk before any other process learns of it.
    pub(crate) fn journal_end(&mut self) -> bool {
        let Trainer::Exited { code } = self.trainer else { return false };
        let possible = self.supervisor == Supervisor::Running;
        self.supervisor = Supervisor::Finishing;
        self.journal.ended = Some(Outcome::Exited { code });
        possible
    }

    /// The database has the end, or `--finish-timeout` ran out.
    pub(crate) fn supervisor_exits(&mut self) -> bool {
        let possible = self.supervisor == Supervisor::Finishing;
        self.supervisor = Supervisor::Exited;
        self.free_locks(Process::Supervisor);
        possible
    }

    /// The supervisor is dead and the journal has no end: the keeper takes the lock, stops the trainer and writes the end.
    pub(crate) fn take_over(&mut self) -> bool {
        let possible = self.keeper.is_some()
            && !self.supervisor_lives()
            && self.journal.ended.is_none()
            && self.locks.writer.is_none();
        self.locks.writer = Some(Process::Keeper);
        if self.trainer == Trainer::Running {
            self.trainer = Trainer::Killed;
        }
        self.journal.ended = Some(Outcome::SupervisorKilled);
        possible
    }

    /// Both locks are free: the run has no process, and none can adopt it while the recoverer holds them.
    pub(crate) fn start_recover(&mut self, asks_for_locks: bool) -> bool {
        let free = self.locks.writer.is_none() && self.locks.keeper.is_none();
        let possible = (free || !asks_for_locks) && self.recoverer.is_none() && !self.journal.removed;
        self.recoverer = Some(Delivery::default());
        if free {
            self.locks = Locks { writer: Some(Process::Recoverer), keeper: Some(Process::Recoverer) };
        }
        possible
    }

    fn delivery(&mut self, process: Process) -> &mut Option<Delivery> {
        match process {
            Process::Keeper => &mut self.keeper,
            Process::Supervisor | Process::Recoverer => &mut self.recoverer,
        }
    }

    /// The next statement of `process`: the begin, then the journal's end, a presumption or a heartbeat.
    fn next_statement(&self, process: Process, begun: bool) -> Option<Statement> {
        match (begun, self.journal.ended) {
            (false, _) => Some(Statement::Begin),
            (true, Some(outcome)) => Some(Statement::Finalize(outcome)),
            (true, None) if process == Process::Recoverer => Some(Statement::PresumeDead),
            // A keeper without a supervisor takes the journal over first.
            (true, None) => (self.journal.started && self.supervisor_lives()).then_some(Statement::Heartbeat),
        }
    }

    pub(crate) fn attempt(&mut self, process: Process) -> bool {
        let Some(Delivery { begun, attempt: None, done: false }) = *self.delivery(process) else { return false };
        let attempt = self.next_statement(process, begun);
        *self.delivery(process) = Some(Delivery { begun, attempt, done: false });
        attempt.is_some()
    }

    pub(crate) fn answer(&mut self, process: Process, statements: Statements) -> bool {
        let Some(Delivery { attempt: Some(statement), .. }) = *self.delivery(process) else { return false };
        let applied = self.database.execute(statement, statements);
        // A deleted row is inserted again, whole.
        let begun = applied != Applied::Missing;
        let done = begun
            && match statement {
                Statement::Begin | Statement::Heartbeat => false,
                Statement::Finalize(_) | Statement::PresumeOverdue | Statement::PresumeDead => true,
            };
        *self.delivery(process) = Some(Delivery { begun, attempt: None, done });
        true
    }

    /// The outcome is unknown, not failed: the keeper sends the same statement again.
    pub(crate) fn answer_lost(&mut self, process: Process, statements: Statements) -> bool {
        let Some(Delivery { begun, attempt: Some(statement), done }) = *self.delivery(process) else { return false };
        self.database.execute(statement, statements);
        *self.delivery(process) = Some(Delivery { begun, attempt: None, done });
        true
    }

    /// The keeper executes itself again, and no longer knows that the run was begun.
    pub(crate) fn abandon(&mut self, process: Process) -> bool {
        let Some(Delivery { attempt: Some(statement), .. }) = *self.delivery(process) else { return false };
        self.in_flight.insert(statement);
        *self.delivery(process) = Some(Delivery::default());
        true
    }

    /// Only after the database has acknowledged the commit.
    pub(crate) fn remove(&mut self, process: Process) -> bool {
        let Some(Delivery { done: true, .. }) = *self.delivery(process) else { return false };
        self.journal.removed = true;
        self.kill(process)
    }

    pub(crate) fn kill(&mut self, process: Process) -> bool {
        let Some(delivery) = self.delivery(process).take() else { return false };
        self.in_flight.extend(delivery.attempt);
        self.free_locks(process);
        true
    }

    pub(crate) fn kill_supervisor(&mut self) -> bool {
        let possible = self.supervisor_lives();
        self.supervisor = Supervisor::Killed;
        self.free_locks(Process::Supervisor);
        possible
    }

    fn free_locks(&mut self, process: Process) {
        self.locks.writer.take_if(|holder| *holder == process);
        self.locks.keeper.take_if(|holder| *holder == process);
    }

    /// Anything can happen between the read and this statement, so the statement must check again.
    pub(crate) fn presume_overdue(&mut self) -> bool {
        self.database.lists_as_overdue() && self.in_flight.insert(Statement::PresumeOverdue)
    }

    pub(crate) fn execute(&mut self, statement: Statement, statements: Statements) -> bool {
        self.database.execute(statement, statements);
        self.in_flight.remove(&statement)
    }

    pub(crate) fn lease_passes(&mut self, up: bool) -> bool {
        let before = self.database.clone();
        self.database.lease_passes(up);
        self.database != before
    }

    /// A deleted record with a true end stays deleted: no process inserts it again.
    pub(crate) fn delete_row(&mut self) -> bool {
        self.database.records = 0;
        let deleted = self.database.record.take().is_some_and(|record| !record.is_truth());
        deleted && !std::mem::replace(&mut self.row_deleted, true)
    }
}
