//! Which signals the trainer gets from us: those that it has not got already. Pure. Called by `machine` and `signal_inbox`.

use crate::sys::signals::{self, Numbers, Received, Sender};

/// What we were started with. The trainer is started with it as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InheritedSignals {
    /// A closing terminal signals the leader of the session alone.
    pub(super) leads_session: bool,
    pub(super) ignored: Numbers,
    pub(super) blocked: Numbers,
}

/// Whom a signal to us has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The process group, and the trainer with it.
    Group,
    /// Us, and not the trainer.
    Alone,
    /// Nobody can tell: there is no witness.
    Unknown,
}

impl Reach {
    /// What is left of it where the witness did not say all: that it has a signal is certain, that it has none is not.
    pub(super) const fn or_unknown(self) -> Self {
        match self {
            Self::Group => Self::Group,
            Self::Alone | Self::Unknown => Self::Unknown,
        }
    }
}

/// What a signal to runwrap means. (The kernel's news of a child is none.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Somebody asks runwrap to end.
    Stop { relay: bool },
    /// The job is to stand still until it is continued.
    Suspend { relay: bool },
    /// Anything else.
    Other { relay: bool },
}

/// What `signal` means to a supervisor that was started so.
pub(super) fn meaning(signal: Received, reach: Reach, found: InheritedSignals) -> Meaning {
    let relay = match (reach, signal.sender) {
        (Reach::Group, Sender::Kernel | Sender::Process { .. }) => false,
        (Reach::Alone, Sender::Kernel | Sender::Process { .. }) => true,
        (Reach::Unknown, Sender::Process { .. }) => true,
        (Reach::Unknown, Sender::Kernel) => match signal.number {
            // The terminal tells the whole group; only when it closes it tells the session's leader alone.
            signals::SIGHUP | signals::SIGCONT => found.leads_session,
            // A timer that was set before runwrap began has run out: the command's, not ours.
            signals::SIGALRM | signals::SIGVTALRM | signals::SIGPROF => true,
            _ => false,
        },
    };
    match signal.number {
        // It was ignored before us (`nohup`): the trainer may think otherwise, but nobody has asked us.
        number if found.ignored.contains(number) => Meaning::Other { relay },
        signals::SIGINT | signals::SIGTERM | signals::SIGHUP | signals::SIGQUIT => Meaning::Stop { relay },
        signals::SIGTSTP | signals::SIGTTIN | signals::SIGTTOU => Meaning::Suspend { relay },
        _ => Meaning::Other { relay },
    }
}

/// Compares what we have `taken` from our own queue with what a witness in our group has got (`records`, in its order): for
/// each, whether the group has it too. The records must have been asked for before and after the taking: the kernel signals
/// the youngest of a group first, so what we had by then the witness had, too, and what it had merged by then we had not.
/// Leaves in `records` what belongs to a signal that was `still_pending` for us after that; what does not is a signal that
/// has merged with one before it in our queue, and must not speak for another later.
pub(super) fn reaches(
    taken: &[Received],
    records: &mut Vec<Received>,
    still_pending: impl Fn(i32) -> bool,
) -> Vec<Reach> {
    let reaches = taken.iter().map(|signal| match records.iter().position(|record| record == signal) {
        Some(place) => {
            records.remove(place);
            Reach::Group
        }
        None => Reach::Alone,
    });
    let reaches = reaches.collect();
    records.retain(|record| still_pending(record.number));
    reaches
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sender = Sender::Process { pid: 7, uid: 0 };

    #[track_caller]
    fn check(number: i32, sender: Sender, reach: Reach, leads_session: bool, expected: Meaning) {
        let found = InheritedSignals { leads_session, ..InheritedSignals::default() };
        assert_eq!(meaning(Received { number, sender, value: None }, reach, found), expected);
    }

    #[test]
    fn a_stop_that_was_ignored_before_us_asks_nobody_and_is_relayed() {
        let found = InheritedSignals {
            ignored: [signals::SIGHUP, signals::SIGTSTP].into_iter().collect(),
            ..InheritedSignals::default()
        };
        for (number, expected) in [
            (signals::SIGHUP, Meaning::Other { relay: true }),
            (signals::SIGTSTP, Meaning::Other { relay: true }),
            (signals::SIGTERM, Meaning::Stop { relay: true }),
        ] {
            assert_eq!(meaning(from(7, number), Reach::Alone, found), expected);
        }
    }

    #[test]
    fn what_has_reached_the_trainer_is_not_relayed_and_all_else_is() {
        for sender in [SENT, Sender::Kernel] {
            for number in [signals::SIGINT, signals::SIGTERM, signals::SIGHUP, signals::SIGQUIT] {
                check(number, sender, Reach::Group, true, Meaning::Stop { relay: false });
                check(number, sender, Reach::Alone, false, Meaning::Stop { relay: true });
            }
            for number in [signals::SIGWINCH, signals::SIGCONT, 6, 10, 40] {
                check(number, sender, Reach::Group, true, Meaning::Other { relay: false });
                check(number, sender, Reach::Alone, false, Meaning::Other { relay: true });
            }
        }
        check(signals::SIGCHLD, SENT, Reach::Alone, false, Meaning::Other { relay: true });
    }

    #[test]
    fn without_a_witness_what_a_process_sent_is_relayed_and_what_the_terminal_sent_is_not() {
        for number in [signals::SIGINT, signals::SIGTERM, signals::SIGHUP, signals::SIGQUIT] {
            check(number, SENT, Reach::Unknown, false, Meaning::Stop { relay: true });
            check(number, Sender::Kernel, Reach::Unknown, false, Meaning::Stop { relay: false });
        }
        check(signals::SIGWINCH, Sender::Kernel, Reach::Unknown, false, Meaning::Other { relay: false });
        check(40, SENT, Reach::Unknown, false, Meaning::Other { relay: true });
    }

    #[test]
    fn without_a_witness_a_closed_terminal_tells_only_the_leader_of_the_session() {
        check(signals::SIGHUP, Sender::Kernel, Reach::Unknown, true, Meaning::Stop { relay: true });
        check(signals::SIGCONT, Sender::Kernel, Reach::Unknown, true, Meaning::Other { relay: true });
        check(signals::SIGINT, Sender::Kernel, Reach::Unknown, true, Meaning::Stop { relay: false });
    }

    #[test]
    fn a_timer_that_ran_out_before_the_trainer_had_it_is_relayed() {
        for number in [signals::SIGALRM, signals::SIGVTALRM, signals::SIGPROF] {
            check(number, Sender::Kernel, Reach::Unknown, false, Meaning::Other { relay: true });
        }
    }

    fn from(pid: i32, number: i32) -> Received {
        Received { number, sender: Sender::Process { pid, uid: 0 }, value: None }
    }

    #[track_caller]
    fn compare(taken: &[Received], records: &[Received], pending: &[i32], expected: &[Reach], left: &[Received]) {
        let mut records = records.to_vec();
        assert_eq!(reaches(taken, &mut records, |number| pending.contains(&number)), expected);
        assert_eq!(records, left);
    }

    #[test]
    fn a_record_speaks_for_one_signal_of_the_same_number_sender_and_value() {
        use Reach::{Alone, Group};
        compare(&[from(7, 10)], &[from(7, 10)], &[], &[Group], &[]);
        compare(&[from(7, 10), from(7, 10)], &[from(7, 10)], &[], &[Group, Alone], &[]);
        for other in [from(8, 10), from(7, 12), Received { sender: Sender::Kernel, ..from(7, 10) }] {
            compare(&[from(7, 10)], &[other], &[], &[Alone], &[]);
        }
        let with = |value| Received { value: Some(value), ..from(7, 40) };
        compare(&[with(1), with(2)], &[with(2)], &[], &[Alone, Group], &[]);
        compare(&[from(7, 40)], &[with(1)], &[], &[Alone], &[]);
    }

    #[test]
    fn a_record_without_its_signal_waits_only_for_one_that_is_pending() {
        use Reach::Group;
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[], &[Group], &[]);
        compare(&[from(7, 10)], &[from(7, 10), from(7, 10)], &[10], &[Group], &[from(7, 10)]);
        compare(&[], &[from(7, 10), from(7, 12)], &[12], &[], &[from(7, 12)]);
    }
}
