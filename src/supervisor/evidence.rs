//! Compares the signals of the supervisor with those of the witness: a signal that both received was sent to the trainer too, to
//! their group at once or to every process of the job in turn. Pure.

use std::time::Duration;

use super::relay::SignalScope;
use crate::sys::signals::{Sender, SignalInfo, SignalSet};

/// How long the two may be apart: a sender that signals one process after the other may lose the processor in between. A signal
/// to the supervisor alone is relayed so much later.
pub(super) const EVIDENCE_WAIT: Duration = Duration::from_millis(60);
/// The time between two looks at the witness. Equal signals merge in its queue until a look.
const EVIDENCE_STEP: Duration = Duration::from_millis(2);
/// More signals at once are relayed without waiting.
const UNPROVEN_MAX: usize = 1024;

/// The signals of one of the two, each with the boot time until which the other may still receive it.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Received by the witness.
    witnessed: Vec<(SignalInfo, Duration)>,
    /// Received by the supervisor, in order.
    unproven: Vec<(SignalInfo, Duration)>,
    /// When the witness was queried last.
    looked_at: Duration,
}

impl Evidence {
    /// Adds signals that the witness has received.
    pub(super) fn add(&mut self, witnessed: Vec<SignalInfo>, now: Duration) {
        self.looked_at = now;
        self.witnessed.extend(witnessed.into_iter().map(|signal| (signal, now + EVIDENCE_WAIT)));
    }

    /// When to query the witness again.
    pub(super) fn look_at(&self) -> Option<Duration> {
        self.unproven.iter().map(|(_, until)| (self.looked_at + EVIDENCE_STEP).min(*until)).min()
    }

    /// Removes and returns the unproven signals that are settled at `now`, in order: those that the witness has received since,
    /// and those whose time is over.
    pub(super) fn take_settled(&mut self, now: Duration) -> Vec<(SignalInfo, SignalScope)> {
        let mut settled = Vec::new();
        for (signal, until) in std::mem::take(&mut self.unproven) {
            if self.take_record(&signal) {
                settled.push((signal, SignalScope::Group));
            } else if until <= now {
                settled.push((signal, SignalScope::SupervisorOnly));
            } else {
                self.unproven.push((signal, until));
            }
        }
        settled
    }

    /// The unproven signals were relayed before their time.
    pub(super) fn forget_unproven(&mut self) {
        self.unproven.clear();
    }

    /// The scope of each signal `taken` from the supervisor's queue. `is_complete`: the witness was queried after that.
    ///
    /// Query the witness both before and after taking. The kernel signals the youngest member of a group first, so a group
    /// signal in the supervisor's queue is already in the witness's, and a signal that merged in the witness's queue is not
    /// yet in the supervisor's.
    ///
    /// Forgets a record whose signal merged with a taken one in the supervisor's queue, because it must not match a later
    /// signal. A signal that is `still_pending` for the supervisor has not merged.
    pub(super) fn scopes_of(
        &mut self,
        taken: &[SignalInfo],
        is_complete: bool,
        still_pending: SignalSet,
        now: Duration,
    ) -> Vec<SignalScope> {
        let scopes = taken.iter().map(|signal| self.scope_of(signal, is_complete, now)).collect();
        self.witnessed.retain(|(signal, until)| {
            still_pending.contains(signal.number) || (now < *until && !taken.contains(signal))
        });
        scopes
    }

    fn scope_of(&mut self, signal: &SignalInfo, is_complete: bool, now: Duration) -> SignalScope {
        match signal.sender {
            _ if self.take_record(signal) => SignalScope::Group,
            _ if !is_complete => SignalScope::Unknown,
            Sender::Process { .. } if self.unproven.len() < UNPROVEN_MAX => {
                self.unproven.push((*signal, now + EVIDENCE_WAIT));
                SignalScope::Unproven
            }
            // The kernel signals one process, or a group at once.
            Sender::Process { .. } | Sender::Kernel => SignalScope::SupervisorOnly,
        }
    }

    /// Removes the witness's record of `signal`, if there is one.
    fn take_record(&mut self, signal: &SignalInfo) -> bool {
        let place = self.witnessed.iter().position(|(other, _)| other == signal);
        place.map(|place| self.witnessed.remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(9);
    const UNPROVEN: SignalScope = SignalScope::Unproven;

    fn from(pid: i32, number: i32) -> SignalInfo {
        SignalInfo { number, sender: Sender::Process { pid, uid: 0 }, value: None }
    }

    fn records(evidence: &Evidence) -> Vec<SignalInfo> {
        evidence.witnessed.iter().map(|(signal, _)| *signal).collect()
    }

    #[track_caller]
    fn compare(
        taken: &[SignalInfo],
        witnessed: &[SignalInfo],
        pending: &[i32],
        expected: &[SignalScope],
        left: &[SignalInfo],
    ) {
        let mut evidence = Evidence::default();
        evidence.add(witnessed.to_vec(), NOW);
        let pending = pending.iter().copied().collect();
        assert_eq!(evidence.scopes_of(taken, true, pending, NOW), expected);
        assert_eq!(records(&evidence), left);
    }

    #[test]
    fn a_record_matches_one_signal_of_equal_number_sender_value() {
        use SignalScope::Group;
        compare(&[from(7, 10)], &[from(7, 10)], &[], &[Group], &[]);
        compare(&[from(7, 10), from(7, 10)], &[from(7, 10)], &[], &[Group, UNPROVEN], &[]);
        for other in [from(8, 10), from(7, 12), SignalInfo { sender: Sender::Kernel, ..from(7, 10) }] {
            compare(&[from(7, 10)], &[other], &[], &[UNPROVEN], &[other]);
        }
        let with = |value| SignalInfo { value: Some(value), ..from(7, 40) };
        compare(&[with(1), with(2)], &[with(2)], &[], &[UNPROVEN, Group], &[]);
        compare(&[from(7, 40)], &[with(1)], &[], &[UNPROVEN], &[with(1)]);
    }

    #[test]
    fn signal_of_the_kernel_does_not_wait_for_evidence() {
        let signal = SignalInfo { number: 1, sender: Sender::Kernel, value: None };
        compare(&[signal], &[], &[], &[SignalScope::SupervisorOnly], &[]);
    }

    #[test]
    fn record_of_a_merged_signal_is_forgotten() {
        use SignalScope::Group;
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[], &[Group], &[]);
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[10], &[Group], &[from(7, 10)]);
    }

    /// The record of a signal that the witness receives first was forgotten at the next look.
    #[test]
    fn record_of_a_signal_to_the_witness_first_is_kept_for_a_while() {
        let mut evidence = Evidence::default();
        evidence.add(vec![from(7, 15)], NOW);
        assert_eq!(evidence.scopes_of(&[from(8, 10)], true, SignalSet::default(), NOW), [UNPROVEN]);
        let later = NOW + EVIDENCE_WAIT / 2;
        assert_eq!(evidence.scopes_of(&[from(7, 15)], true, SignalSet::default(), later), [SignalScope::Group]);
        evidence.add(vec![from(7, 15)], NOW);
        evidence.scopes_of(&[], true, SignalSet::default(), NOW + EVIDENCE_WAIT);
        assert_eq!(records(&evidence), []);
    }

    #[test]
    fn later_record_proves_the_oldest_equal_signal() {
        let mut evidence = Evidence::default();
        let taken = [from(7, 15), from(7, 10), from(7, 15)];
        assert_eq!(evidence.scopes_of(&taken, true, SignalSet::default(), NOW), [UNPROVEN; 3]);
        evidence.add(vec![from(7, 15)], NOW);
        assert_eq!(evidence.take_settled(NOW), [(from(7, 15), SignalScope::Group)]);
        assert_eq!(evidence.look_at(), Some(NOW + EVIDENCE_STEP));
        let alone = [from(7, 10), from(7, 15)].map(|signal| (signal, SignalScope::SupervisorOnly));
        assert_eq!(evidence.take_settled(NOW + EVIDENCE_WAIT), alone);
        assert_eq!(evidence.look_at(), None);
    }

    #[test]
    fn without_the_witness_s_answer_the_scope_is_unknown() {
        let mut evidence = Evidence::default();
        assert_eq!(evidence.scopes_of(&[from(7, 15)], false, SignalSet::default(), NOW), [SignalScope::Unknown]);
    }

    #[test]
    fn flood_of_signals_does_not_wait_beyond_a_limit() {
        let mut evidence = Evidence::default();
        let taken = vec![from(7, 40); UNPROVEN_MAX + 1];
        let scopes = evidence.scopes_of(&taken, true, SignalSet::default(), NOW);
        assert_eq!(scopes[UNPROVEN_MAX - 1..], [UNPROVEN, SignalScope::SupervisorOnly]);
    }
}
