//! The supervisor's signals with the scope of each, from the supervisor's own queue and the witness's. Must not decide
//! what a signal causes.

use std::io;
use std::time::Duration;

use super::evidence::Evidence;
use super::relay::SignalScope;
use crate::sys::signals::{self, Sender, SignalInfo, SignalSet, Signals};
use crate::sys::witness::Witness;
use crate::sys::{clock, host, wait};

/// The limit per call: a flood of signals must not hold the supervisor here.
const TAKEN_MAX: usize = 1024;

/// The queues of supervisor and witness.
pub(super) struct SignalInbox {
    pub(super) signals: Signals,
    witness: Option<Witness>,
    evidence: Evidence,
}

/// The result of one look at both queues.
pub(super) struct Found {
    /// Signals of earlier looks whose scope was not proven, and is settled now.
    pub(super) settled: Vec<(SignalInfo, SignalScope)>,
    /// In order.
    pub(super) signals: Vec<(SignalInfo, SignalScope)>,
}

impl SignalInbox {
    pub(super) fn new(signals: Signals) -> Self {
        Self { signals, witness: None, evidence: Evidence::default() }
    }

    /// Without a witness, signals from processes are relayed and signals from the terminal are not.
    pub(super) fn start_witness(&mut self) {
        let witness = Witness::start(&self.signals);
        self.witness = witness
            .inspect_err(|error| {
                log::info!(event = "no_witness", error:%; "there is no witness: {error}");
            })
            .ok();
    }

    /// Kills the witness once the trainer has ended: nothing is relayed any more.
    pub(super) fn stop_witness(&self) -> io::Result<()> {
        self.witness.as_ref().map_or(Ok(()), Witness::kill_process)
    }

    /// When to look at the witness's queue again.
    pub(super) fn look_at(&self) -> Option<Duration> {
        self.evidence.look_at()
    }

    /// All signals that were not proven have been relayed.
    pub(super) fn forget_unproven(&mut self) {
        self.evidence.forget_unproven();
    }

    /// Ends the witness, to make room for another process. Returns false if there is none.
    pub(super) fn end_witness(&mut self) -> bool {
        self.witness.take().is_some()
    }

    /// Takes the pending signals in order, except those of child changes and of this process itself.
    pub(super) fn take(&mut self) -> io::Result<Found> {
        // Take only these: each was pending before the witness is queried, so if it was sent to the group, the witness
        // has it too. A later signal that merges in only one of the two queues waits for the next call. Held by
        // `every_signal_arrives_as_often_as_without_runwrap`.
        let pending = signals::pending()?;
        if pending.contains(signals::SIGCONT)
            && let Some(witness) = &self.witness
            && wait::is_stopped(witness.pid)?
        {
            // All were stopped and only the supervisor was continued. A witness that runs is left alone: this SIGCONT would
            // merge with one that the sender of the first sends it next.
            witness.wake()?;
        }
        // A child's end is urgent and needs no query; a SIGCHLD sent by a process does.
        let child_only = [signals::SIGCHLD].into_iter().collect();
        let is_news = pending != SignalSet::default() && (pending != child_only || !wait::any_child_changed()?);
        // Before the query: a signal is not late because the answer is.
        let asked_at = clock::boot_time();
        if is_news || self.look_at().is_some_and(|moment| moment <= asked_at) {
            self.query_witness();
        }
        let settled = self.evidence.take_settled(asked_at);
        let mut taken = take_each(pending, signals::take)?;
        // Query again: a signal that merged in the supervisor's queue must not match a later signal.
        let is_complete = taken.iter().any(is_not_child_change) && self.query_witness();
        taken.retain(|signal| is_not_child_change(signal) && !self.is_own(signal));
        let scopes = self.evidence.scopes_of(&taken, is_complete, signals::pending()?, clock::boot_time());
        Ok(Found { settled, signals: taken.into_iter().zip(scopes).collect() })
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
                self.evidence.add(witnessed, clock::boot_time());
                true
            }
            Err(error) => {
                let is_slow = error.kind() == io::ErrorKind::TimedOut;
                // The witness ends with the run.
                let level = if is_slow { log::Level::Info } else { log::Level::Debug };
                log::log!(level, event = "witness_silent", error:%; "the witness does not answer: {error}");
                if !is_slow || witness.wake().is_err() {
                    self.witness = None;
                }
                false
            }
        }
    }
}

/// Takes the signals of `pending` by `take`, in order. Of a number that merges one is taken: an equal one that arrives meanwhile is not
/// in the answer of the witness, and would merge there with the next one before the witness is queried again.
fn take_each(
    pending: SignalSet,
    take: impl Fn(SignalSet) -> io::Result<Option<SignalInfo>>,
) -> io::Result<Vec<SignalInfo>> {
    let (mut wanted, mut taken) = (pending, Vec::new());
    while taken.len() < TAKEN_MAX
        && let Some(signal) = take(wanted)?
    {
        if signals::merges(signal.number) {
            wanted = wanted.without(signal.number);
        }
        taken.push(signal);
    }
    Ok(taken)
}

/// Not a SIGCHLD from the kernel.
fn is_not_child_change(signal: &SignalInfo) -> bool {
    signal.number != signals::SIGCHLD || signal.sender != Sender::Kernel
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A signal to the group that arrived while another one was taken reached the trainer twice.
    #[test]
    fn a_signal_that_arrives_while_its_equal_is_taken_waits_for_the_next_call() {
        let signal = |number| SignalInfo { number, sender: Sender::Process { pid: 7, uid: 0 }, value: None };
        let arriving = RefCell::new(vec![10, 15, 10, 40, 10, 40]);
        let take = |wanted: SignalSet| {
            let mut queue = arriving.borrow_mut();
            let next = queue.iter().position(|number| wanted.contains(*number));
            Ok(next.map(|next| signal(queue.remove(next))))
        };
        let taken = take_each([10, 40].into_iter().collect(), take).unwrap();
        assert_eq!(taken.iter().map(|signal| signal.number).collect::<Vec<_>>(), [10, 40, 40]);
        assert_eq!(*arriving.borrow(), [15, 10, 10]);
    }
}
