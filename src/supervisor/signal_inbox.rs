//! The signals to the supervisor, each with whom it has reached: our own queue and a witness's, compared.
//! Must not decide what follows: `machine` does. Called by `reactor`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::relay::{SignalScope, scopes_of};
use crate::sys::signals::{self, Sender, SignalInfo, Signals};
use crate::sys::witness::Witness;
use crate::sys::{host, wait};

/// As many as are taken at once; while they are, no other process's flood can hold us here for ever.
const TAKEN_MAX: usize = 1024;

/// Our ears.
pub(super) struct SignalInbox {
    pub(super) signals: Signals,
    witness: Option<Witness>,
    /// What the witness has got and we have not taken yet.
    witnessed: Vec<SignalInfo>,
}

impl SignalInbox {
    pub(super) const fn new(signals: Signals) -> Self {
        Self { signals, witness: None, witnessed: Vec::new() }
    }

    /// From now on there is somebody to compare with. Where there cannot be, signals from processes are relayed.
    pub(super) fn start_witness(&mut self) {
        match Witness::start(&self.signals) {
            Ok(witness) => self.witness = Some(witness),
            Err(error) => log::info!(event = "no_witness", error:%; ""),
        }
    }

    /// The trainer has ended: nothing is relayed any more.
    pub(super) fn stop_witness(&self) -> io::Result<()> {
        self.witness.as_ref().map_or(Ok(()), Witness::kill_process)
    }

    /// The signals that are pending, in their order.
    pub(super) fn take(&mut self) -> io::Result<Vec<(SignalInfo, SignalScope)>> {
        // Only these are taken: each was pending before the witness is asked, so the witness had it by then, if the group
        // did. One that comes after that, and merges with another in one of the two queues alone, waits for the next time.
        // Held by `every_signal_arrives_as_often_as_without_runwrap_whatever_way_it_is_sent`.
        let pending = signals::pending()?;
        if pending.contains(signals::SIGCONT)
            && let Some(witness) = &self.witness
        {
            // Somebody may have stopped us all and continued only us.
            witness.wake()?;
        }
        // A child's end, which is urgent, is no reason to ask; a SIGCHLD that somebody sends is.
        if pending.has_other_than_sigchld() || (pending.contains(signals::SIGCHLD) && !wait::any_child_changed()?) {
            self.query_witness();
        }
        let mut taken = Vec::new();
        while taken.len() < TAKEN_MAX
            && let Some(signal) = self.signals.take_next(&pending)?
        {
            taken.push(signal);
        }
        // Again: what merged in our queue alone must not speak for another signal later.
        let is_complete = taken.iter().any(is_not_child_change) && self.query_witness();
        let still_pending = signals::pending()?;
        let scopes = scopes_of(&taken, &mut self.witnessed, |number| still_pending.contains(number));
        let signals = taken.into_iter().zip(scopes).filter(|(signal, _)| !self.is_from_us(signal));
        Ok(signals.map(|(signal, scope)| (signal, if is_complete { scope } else { scope.or_unknown() })).collect())
    }

    /// We are about to stop with the child `pid`: the witness lets us go on when that does.
    pub(super) fn watch(&self, pid: i32) -> io::Result<()> {
        self.witness.as_ref().map_or(Ok(()), |witness| witness.watch(pid))
    }

    /// We go on.
    pub(super) fn end_watch(&mut self) {
        self.query_witness();
    }

    /// Whether it is the witness's, or the kernel's word for an error of our own, such as a write to a closed pipe.
    fn is_from_us(&self, signal: &SignalInfo) -> bool {
        let is_own = matches!(signal.sender, Sender::Process { pid, .. } if pid == host::own_pid());
        is_own || self.witness.as_ref().is_some_and(|witness| witness.sent(signal))
    }

    /// Adds what the witness has got; false where that is not to be learned.
    fn query_witness(&mut self) -> bool {
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

/// Whether it is more than the kernel's news of a child.
fn is_not_child_change(signal: &SignalInfo) -> bool {
    signal.number != signals::SIGCHLD || signal.sender != Sender::Kernel
}

impl AsFd for SignalInbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}
