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
    /// The supervisor and, so far, not the witness. A sender may signal all processes of the job in turn (systemd, Slurm,
    /// supervisord, `pkill -u`): the witness may still receive the signal.
    Unproven,
    /// Undetermined: there is no witness, or its answer is missing.
    Unknown,
}

impl SignalScope {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Group => "to the process group",
            Self::SupervisorOnly => "to runwrap alone",
            Self::Unproven => "to runwrap, and perhaps to each process of the job",
            Self::Unknown => "to unknown processes",
        }
    }
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

/// Whether a signal is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relay {
    Never,
    Now,
    /// Once its scope is settled.
    Later,
}

/// The kind of `signal`, and whether to relay it.
pub(super) fn classify(signal: SignalInfo, scope: SignalScope, inherited: InheritedSignals) -> (SignalClass, Relay) {
    let relay = match (scope, signal.sender) {
        (SignalScope::Group, Sender::Kernel | Sender::Process { .. }) => Relay::Never,
        (SignalScope::SupervisorOnly, Sender::Kernel | Sender::Process { .. }) => Relay::Now,
        (SignalScope::Unproven, Sender::Kernel | Sender::Process { .. }) => Relay::Later,
        (SignalScope::Unknown, Sender::Process { .. }) => Relay::Now,
        (SignalScope::Unknown, Sender::Kernel) => match signal.number {
            // The terminal signals the foreground group; on hangup it signals only the session leader.
            signals::SIGHUP | signals::SIGCONT if inherited.leads_session => Relay::Now,
            // An interval timer survives exec, so it belongs to the command; runwrap sets none.
            signals::SIGALRM | signals::SIGVTALRM | signals::SIGPROF => Relay::Now,
            _ => Relay::Never,
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

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sender = Sender::Process { pid: 7, uid: 0 };

    #[track_caller]
    fn check(number: i32, sender: Sender, scope: SignalScope, leads_session: bool, expected: (SignalClass, bool)) {
        let expected = (expected.0, if expected.1 { Relay::Now } else { Relay::Never });
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
            (signals::SIGHUP, (SignalClass::Other, Relay::Now)),
            (signals::SIGTSTP, (SignalClass::Other, Relay::Now)),
            (signals::SIGTERM, (SignalClass::Stop, Relay::Now)),
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
}
