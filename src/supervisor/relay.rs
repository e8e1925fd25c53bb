//! Decides which signals the supervisor relays: those that the trainer has not received itself. Pure.

use crate::sys::signals::{self, Sender, SignalInfo, SignalSet};

/// Signal state inherited at exec. The trainer inherits the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InheritedSignals {
    /// A closing terminal sends SIGHUP to the session leader only.
    pub(super) leads_session: bool,
    pub(super) ignored: SignalSet,
    pub(super) blocked: SignalSet,
}

/// The processes that a signal was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalScope {
    /// The process group, including the trainer.
    Group,
    /// The supervisor but not the trainer.
    SupervisorOnly,
    /// Undetermined: there is no witness, or its answer is missing.
    Unknown,
}

/// The kind of a signal. SIGCHLD from the kernel is not classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalClass {
    /// A request to end the run.
    Stop,
    /// A request to stop the job until it is continued.
    Suspend,
    /// Any other signal.
    Other,
}

/// The kind of `signal`, and whether to relay it.
pub(super) fn classify(signal: SignalInfo, scope: SignalScope, inherited: InheritedSignals) -> (SignalClass, bool) {
    let relay = match (scope, signal.sender) {
        (SignalScope::Group, Sender::Kernel | Sender::Process { .. }) => false,
        (SignalScope::SupervisorOnly, Sender::Kernel | Sender::Process { .. }) => true,
        (SignalScope::Unknown, Sender::Process { .. }) => true,
        (SignalScope::Unknown, Sender::Kernel) => match signal.number {
            // The terminal signals the foreground group; on hangup it signals only the session leader.
            signals::SIGHUP | signals::SIGCONT => inherited.leads_session,
            // An interval timer survives exec, so it belongs to the command; runwrap sets none.
            signals::SIGALRM | signals::SIGVTALRM | signals::SIGPROF => true,
            _ => false,
        },
    };
    let class = match signal.number {
        // A signal that was ignored at exec (`nohup`) is no request to runwrap. The trainer may handle it.
        number if inherited.ignored.contains(number) => SignalClass::Other,
        signals::SIGINT | signals::SIGTERM | signals::SIGHUP | signals::SIGQUIT => SignalClass::Stop,
        signals::SIGTSTP | signals::SIGTTIN | signals::SIGTTOU => SignalClass::Suspend,
        _ => SignalClass::Other,
    };
    (class, relay)
}

/// Compares the signals `taken` from the supervisor's queue with those that the witness has received (`witnessed`, in
/// order) and returns the scope of each. A recorded signal proves [`SignalScope::Group`]; an unrecorded one has the scope
/// `unrecorded`.
///
/// Query the witness both before and after taking. The kernel signals the youngest member of a group first, so a group
/// signal in the supervisor's queue is already in the witness's, and a signal that merged in the witness's queue is not
/// yet in the supervisor's.
///
/// Keeps in `witnessed` only records whose signal is `still_pending` for the supervisor. Any other record belongs to a
/// signal that merged with an earlier one in the supervisor's queue, and must not match a later signal.
pub(super) fn scopes_of(
    taken: &[SignalInfo],
    witnessed: &mut Vec<SignalInfo>,
    unrecorded: SignalScope,
    still_pending: SignalSet,
) -> Vec<SignalScope> {
    let scope_of = |signal| match witnessed.iter().position(|other| other == signal) {
        Some(place) => {
            witnessed.remove(place);
            SignalScope::Group
        }
        None => unrecorded,
    };
    let scopes = taken.iter().map(scope_of).collect();
    witnessed.retain(|signal| still_pending.contains(signal.number));
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sender = Sender::Process { pid: 7, uid: 0 };

    #[track_caller]
    fn check(number: i32, sender: Sender, scope: SignalScope, leads_session: bool, expected: (SignalClass, bool)) {
        let inherited = InheritedSignals { leads_session, ..InheritedSignals::default() };
        assert_eq!(classify(SignalInfo { number, sender, value: None }, scope, inherited), expected);
    }

    #[test]
    fn ignored_stop_signal_is_relayed_and_no_stop_request() {
        let inherited = InheritedSignals {
            ignored: [signals::SIGHUP, signals::SIGTSTP].into_iter().collect(),
            ..InheritedSignals::default()
        };
        for (number, expected) in [
            (signals::SIGHUP, (SignalClass::Other, true)),
            (signals::SIGTSTP, (SignalClass::Other, true)),
            (signals::SIGTERM, (SignalClass::Stop, true)),
        ] {
            assert_eq!(classify(from(7, number), SignalScope::SupervisorOnly, inherited), expected);
        }
    }

    #[test]
    fn only_signals_to_the_supervisor_alone_are_relayed() {
        for sender in [SENT, Sender::Kernel] {
            for number in [signals::SIGINT, signals::SIGTERM, signals::SIGHUP, signals::SIGQUIT] {
                check(number, sender, SignalScope::Group, true, (SignalClass::Stop, false));
                check(number, sender, SignalScope::SupervisorOnly, false, (SignalClass::Stop, true));
            }
            for number in [signals::SIGWINCH, signals::SIGCONT, 6, 10, 40] {
                check(number, sender, SignalScope::Group, true, (SignalClass::Other, false));
                check(number, sender, SignalScope::SupervisorOnly, false, (SignalClass::Other, true));
            }
        }
        check(signals::SIGCHLD, SENT, SignalScope::SupervisorOnly, false, (SignalClass::Other, true));
    }

    #[test]
    fn without_a_witness_only_signals_from_processes_are_relayed() {
        for number in [signals::SIGINT, signals::SIGTERM, signals::SIGHUP, signals::SIGQUIT] {
            check(number, SENT, SignalScope::Unknown, false, (SignalClass::Stop, true));
            check(number, Sender::Kernel, SignalScope::Unknown, false, (SignalClass::Stop, false));
        }
        check(signals::SIGWINCH, Sender::Kernel, SignalScope::Unknown, false, (SignalClass::Other, false));
        check(40, SENT, SignalScope::Unknown, false, (SignalClass::Other, true));
    }

    #[test]
    fn without_a_witness_a_session_leader_relays_hangups() {
        check(signals::SIGHUP, Sender::Kernel, SignalScope::Unknown, true, (SignalClass::Stop, true));
        check(signals::SIGCONT, Sender::Kernel, SignalScope::Unknown, true, (SignalClass::Other, true));
        check(signals::SIGINT, Sender::Kernel, SignalScope::Unknown, true, (SignalClass::Stop, false));
    }

    #[test]
    fn timer_signals_are_relayed() {
        for number in [signals::SIGALRM, signals::SIGVTALRM, signals::SIGPROF] {
            check(number, Sender::Kernel, SignalScope::Unknown, false, (SignalClass::Other, true));
        }
    }

    fn from(pid: i32, number: i32) -> SignalInfo {
        SignalInfo { number, sender: Sender::Process { pid, uid: 0 }, value: None }
    }

    #[track_caller]
    fn compare(
        taken: &[SignalInfo],
        witnessed: &[SignalInfo],
        pending: &[i32],
        expected: &[SignalScope],
        left: &[SignalInfo],
    ) {
        let mut witnessed = witnessed.to_vec();
        let pending = pending.iter().copied().collect();
        assert_eq!(scopes_of(taken, &mut witnessed, SignalScope::SupervisorOnly, pending), expected);
        assert_eq!(witnessed, left);
    }

    #[test]
    fn a_record_matches_one_signal_of_equal_number_sender_value() {
        use SignalScope::{Group, SupervisorOnly};
        compare(&[from(7, 10)], &[from(7, 10)], &[], &[Group], &[]);
        compare(&[from(7, 10), from(7, 10)], &[from(7, 10)], &[], &[Group, SupervisorOnly], &[]);
        for other in [from(8, 10), from(7, 12), SignalInfo { sender: Sender::Kernel, ..from(7, 10) }] {
            compare(&[from(7, 10)], &[other], &[], &[SupervisorOnly], &[]);
        }
        let with = |value| SignalInfo { value: Some(value), ..from(7, 40) };
        compare(&[with(1), with(2)], &[with(2)], &[], &[SupervisorOnly, Group], &[]);
        compare(&[from(7, 40)], &[with(1)], &[], &[SupervisorOnly], &[]);
    }

    #[test]
    fn unmatched_record_is_kept_only_for_a_pending_signal() {
        use SignalScope::Group;
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[], &[Group], &[]);
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[10], &[Group], &[from(7, 10)]);
        compare(&[], &[from(7, 10), from(7, 12)], &[12], &[], &[from(7, 12)]);
    }
}
