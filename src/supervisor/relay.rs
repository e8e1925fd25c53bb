//! Which signals the trainer gets from us: those that it has not got already. Pure. Called by `machine` and `signal_inbox`.

use crate::sys::signals::{self, Sender, SignalInfo, SignalSet};

/// What we were started with. The trainer is started with it as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InheritedSignals {
    /// A closing terminal signals the leader of the session alone.
    pub(super) leads_session: bool,
    pub(super) ignored: SignalSet,
    pub(super) blocked: SignalSet,
}

/// Whom a signal to us has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalScope {
    /// The process group, and the trainer with it.
    Group,
    /// Us, and not the trainer.
    SupervisorOnly,
    /// Nobody can tell: there is no witness.
    Unknown,
}

impl SignalScope {
    /// What is left of it where the witness did not say all: that it has a signal is certain, that it has none is not.
    pub(super) const fn or_unknown(self) -> Self {
        match self {
            Self::Group => Self::Group,
            Self::SupervisorOnly | Self::Unknown => Self::Unknown,
        }
    }
}

/// What a signal to runwrap means. (The kernel's news of a child is none.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalClass {
    /// Somebody asks runwrap to end.
    Stop { relay: bool },
    /// The job is to stand still until it is continued.
    Suspend { relay: bool },
    /// Anything else.
    Other { relay: bool },
}

/// What `signal` means to a supervisor that was started so.
pub(super) fn classify(signal: SignalInfo, scope: SignalScope, inherited: InheritedSignals) -> SignalClass {
    let relay = match (scope, signal.sender) {
        (SignalScope::Group, Sender::Kernel | Sender::Process { .. }) => false,
        (SignalScope::SupervisorOnly, Sender::Kernel | Sender::Process { .. }) => true,
        (SignalScope::Unknown, Sender::Process { .. }) => true,
        (SignalScope::Unknown, Sender::Kernel) => match signal.number {
            // The terminal tells the whole group; only when it closes it tells the session's leader alone.
            signals::SIGHUP | signals::SIGCONT => inherited.leads_session,
            // A timer that was set before runwrap began has run out: the command's, not ours.
            signals::SIGALRM | signals::SIGVTALRM | signals::SIGPROF => true,
            _ => false,
        },
    };
    match signal.number {
        // It was ignored before us (`nohup`): the trainer may think otherwise, but nobody has asked us.
        number if inherited.ignored.contains(number) => SignalClass::Other { relay },
        signals::SIGINT | signals::SIGTERM | signals::SIGHUP | signals::SIGQUIT => SignalClass::Stop { relay },
        signals::SIGTSTP | signals::SIGTTIN | signals::SIGTTOU => SignalClass::Suspend { relay },
        _ => SignalClass::Other { relay },
    }
}

/// Compares what we have `taken` from our own queue with what a witness in our group has got (`witnessed`, in its order): for
/// each, whether the group has it too. The witnessed must have been asked for before and after the taking: the kernel signals
/// the youngest of a group first, so what we had by then the witness had, too, and what it had merged by then we had not.
/// Leaves in `witnessed` what belongs to a signal that was `still_pending` for us after that; what does not is a signal that
/// has merged with one before it in our queue, and must not speak for another later.
pub(super) fn scopes_of(
    taken: &[SignalInfo],
    witnessed: &mut Vec<SignalInfo>,
    still_pending: impl Fn(i32) -> bool,
) -> Vec<SignalScope> {
    let scope_of = |signal| match witnessed.iter().position(|other| other == signal) {
        Some(place) => {
            witnessed.remove(place);
            SignalScope::Group
        }
        None => SignalScope::SupervisorOnly,
    };
    let scopes = taken.iter().map(scope_of).collect();
    witnessed.retain(|signal| still_pending(signal.number));
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sender = Sender::Process { pid: 7, uid: 0 };

    #[track_caller]
    fn check(number: i32, sender: Sender, scope: SignalScope, leads_session: bool, expected: SignalClass) {
        let inherited = InheritedSignals { leads_session, ..InheritedSignals::default() };
        assert_eq!(classify(SignalInfo { number, sender, value: None }, scope, inherited), expected);
    }

    #[test]
    fn a_stop_that_was_ignored_before_us_asks_nobody_and_is_relayed() {
        let inherited = InheritedSignals {
            ignored: [signals::SIGHUP, signals::SIGTSTP].into_iter().collect(),
            ..InheritedSignals::default()
        };
        for (number, expected) in [
            (signals::SIGHUP, SignalClass::Other { relay: true }),
            (signals::SIGTSTP, SignalClass::Other { relay: true }),
            (signals::SIGTERM, SignalClass::Stop { relay: true }),
        ] {
            assert_eq!(classify(from(7, number), SignalScope::SupervisorOnly, inherited), expected);
        }
    }

    #[test]
    fn what_has_reached_the_trainer_is_not_relayed_and_all_else_is() {
        for sender in [SENT, Sender::Kernel] {
            for number in [signals::SIGINT, signals::SIGTERM, signals::SIGHUP, signals::SIGQUIT] {
                check(number, sender, SignalScope::Group, true, SignalClass::Stop { relay: false });
                check(number, sender, SignalScope::SupervisorOnly, false, SignalClass::Stop { relay: true });
            }
            for number in [signals::SIGWINCH, signals::SIGCONT, 6, 10, 40] {
                check(number, sender, SignalScope::Group, true, SignalClass::Other { relay: false });
                check(number, sender, SignalScope::SupervisorOnly, false, SignalClass::Other { relay: true });
            }
        }
        check(signals::SIGCHLD, SENT, SignalScope::SupervisorOnly, false, SignalClass::Other { relay: true });
    }

    #[test]
    fn without_a_witness_what_a_process_sent_is_relayed_and_what_the_terminal_sent_is_not() {
        for number in [signals::SIGINT, signals::SIGTERM, signals::SIGHUP, signals::SIGQUIT] {
            check(number, SENT, SignalScope::Unknown, false, SignalClass::Stop { relay: true });
            check(number, Sender::Kernel, SignalScope::Unknown, false, SignalClass::Stop { relay: false });
        }
        check(signals::SIGWINCH, Sender::Kernel, SignalScope::Unknown, false, SignalClass::Other { relay: false });
        check(40, SENT, SignalScope::Unknown, false, SignalClass::Other { relay: true });
    }

    #[test]
    fn without_a_witness_a_closed_terminal_tells_only_the_leader_of_the_session() {
        check(signals::SIGHUP, Sender::Kernel, SignalScope::Unknown, true, SignalClass::Stop { relay: true });
        check(signals::SIGCONT, Sender::Kernel, SignalScope::Unknown, true, SignalClass::Other { relay: true });
        check(signals::SIGINT, Sender::Kernel, SignalScope::Unknown, true, SignalClass::Stop { relay: false });
    }

    #[test]
    fn a_timer_that_ran_out_before_the_trainer_had_it_is_relayed() {
        for number in [signals::SIGALRM, signals::SIGVTALRM, signals::SIGPROF] {
            check(number, Sender::Kernel, SignalScope::Unknown, false, SignalClass::Other { relay: true });
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
        assert_eq!(scopes_of(taken, &mut witnessed, |number| pending.contains(&number)), expected);
        assert_eq!(witnessed, left);
    }

    #[test]
    fn a_record_speaks_for_one_signal_of_the_same_number_sender_and_value() {
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
    fn a_record_without_its_signal_waits_only_for_one_that_is_pending() {
        use SignalScope::Group;
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[], &[Group], &[]);
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[10], &[Group], &[from(7, 10)]);
        compare(&[], &[from(7, 10), from(7, 12)], &[12], &[], &[from(7, 12)]);
    }
}
