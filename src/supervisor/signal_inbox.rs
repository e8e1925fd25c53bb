//! The supervisor's signals with the scope of each, from the supervisor's own queue and the witness's. Must not decide
//! what a signal causes.

use std::io;

use super::relay::{SignalScope, scopes_of};
use crate::sys::signals::{self, Sender, SignalInfo, SignalSet, Signals};
use crate::sys::witness::Witness;
use crate::sys::{host, wait};

/// The limit per call: a flood of signals must not hold the supervisor here.
const TAKEN_MAX: usize = 1024;

/// The queues of supervisor and witness.
pub(super) struct SignalInbox {
    pub(super) signals: Signals,
    witness: Option<Witness>,
    /// Received by the witness, not yet by the supervisor.
    witnessed: Vec<SignalInfo>,
}

impl SignalInbox {
    pub(super) const fn new(signals: Signals) -> Self {
        Self { signals, witness: None, witnessed: Vec::new() }
    }

    /// Without a witness, signals from processes are relayed and signals from the terminal are not.
    pub(super) fn start_witness(&mut self) {
        let witness = Witness::start(&self.signals);
        self.witness = witness.inspect_err(|error| log::info!(event = "no_witness", error:%; "")).ok();
    }

    /// Kills the witness once the trainer has ended: nothing is relayed any more.
    pub(super) fn stop_witness(&self) -> io::Result<()> {
        self.witness.as_ref().map_or(Ok(()), Witness::kill_process)
    }

    /// Ends the witness, to make room for another process. Returns false if there is none.
    pub(super) fn end_witness(&mut self) -> bool {
        self.witness.take().is_some()
    }

    /// Takes the pending signals in order, except those of child changes and of this process itself.
    pub(super) fn take(&mut self) -> io::Result<Vec<(SignalInfo, SignalScope)>> {
        // Take only these: each was pending before the witness is queried, so if it was sent to the group, the witness
        // has it too. A later signal that merges in only one of the two queues waits for the next call. Held by
        // `every_signal_arrives_as_often_as_without_runwrap`.
        let pending = signals::pending()?;
        if pending.contains(signals::SIGCONT)
            && let Some(witness) = &self.witness
        {
            // All may have been stopped and only the supervisor continued.
            witness.wake()?;
        }
        // A child's end is urgent and needs no query; a SIGCHLD sent by a process does.
        let child_only = [signals::SIGCHLD].into_iter().collect();
        if pending != SignalSet::default() && (pending != child_only || !wait::any_child_changed()?) {
            self.query_witness();
        }
        let mut taken = Vec::new();
        while taken.len() < TAKEN_MAX
            && let Some(signal) = signals::take(pending)?
        {
            taken.push(signal);
        }
        // Query again: a signal that merged in the supervisor's queue must not match a later signal.
        let is_complete = taken.iter().any(is_not_child_change) && self.query_witness();
        let unrecorded = if is_complete { SignalScope::SupervisorOnly } else { SignalScope::Unknown };
        let scopes = scopes_of(&taken, &mut self.witnessed, unrecorded, signals::pending()?);
        let signals = taken.into_iter().zip(scopes);
        Ok(signals.filter(|(signal, _)| is_not_child_change(signal) && !self.is_own(signal)).collect())
    }

    /// Lets the witness send SIGCONT to this process when the stopped child `pid` is continued or ends.
    pub(super) fn watch(&self, pid: i32) -> io::Result<()> {
        self.witness.as_ref().map_or(Ok(()), |witness| witness.watch(pid))
    }

    /// Whether the witness sent `signal`, or an error of this process raised it (SIGPIPE on a closed pipe).
    fn is_own(&self, signal: &SignalInfo) -> bool {
        let Sender::Process { pid, .. } = signal.sender else { return false };
        pid == host::own_pid() || self.witness.as_ref().is_some_and(|witness| witness.pid == pid)
    }

    /// Adds the signals received by the witness, and ends its watch. Returns false if the answer is missing.
    pub(super) fn query_witness(&mut self) -> bool {
        let Some(witness) = &mut self.witness else { return false };
        match witness.query() {
            Ok(witnessed) => {
                self.witnessed.extend(witnessed);
                true
            }
            Err(error) => {
                log::info!(event = "witness_silent", error:%; "");
                let is_slow = error.kind() == io::ErrorKind::TimedOut;
                if !is_slow || witness.wake().is_err() {
                    self.witness = None;
                }
                false
            }
        }
    }
}

/// Not a SIGCHLD from the kernel.
fn is_not_child_change(signal: &SignalInfo) -> bool {
    signal.number != signals::SIGCHLD || signal.sender != Sender::Kernel
}
