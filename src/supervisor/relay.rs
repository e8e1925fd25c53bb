//! Which signals the trainer gets from us: those that it has not got already. Pure. Called by `machine`.

use crate::sys::signals::{self, Received, Sender};

/// What a signal to runwrap means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A child has changed.
    Child,
    /// Somebody asks runwrap to stop.
    Stop { relay: bool },
    /// The trainer, or the whole job, is to go on.
    Continue,
    /// Anything else.
    Other { relay: bool },
}

/// What `signal` means for a supervisor that does or does not lead its session.
pub(super) fn meaning(signal: Received, leads_session: bool) -> Meaning {
    let relay = match signal.sender {
        Sender::Process { .. } => true,
        // The terminal has told the trainer too; only when it closes it tells the session's leader alone.
        Sender::Kernel => signal.number == signals::SIGHUP && leads_session,
    };
    match signal.number {
        signals::SIGCHLD => Meaning::Child,
        signals::SIGINT | signals::SIGTERM | signals::SIGHUP | signals::SIGQUIT => Meaning::Stop { relay },
        signals::SIGCONT => Meaning::Continue,
        _ => Meaning::Other { relay },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sender = Sender::Process { pid: 7, uid: 0 };

    #[track_caller]
    fn check(number: i32, sender: Sender, leads_session: bool, expected: Meaning) {
        assert_eq!(meaning(Received { number, sender, value: None }, leads_session), expected);
    }

    #[test]
    fn what_a_process_sent_is_relayed_and_what_the_terminal_sent_is_not() {
        for number in [signals::SIGINT, signals::SIGTERM, signals::SIGHUP, signals::SIGQUIT] {
            check(number, SENT, false, Meaning::Stop { relay: true });
            check(number, Sender::Kernel, false, Meaning::Stop { relay: false });
        }
        check(signals::SIGWINCH, Sender::Kernel, false, Meaning::Other { relay: false });
        check(40, SENT, false, Meaning::Other { relay: true });
        check(signals::SIGCHLD, SENT, false, Meaning::Child);
        check(signals::SIGCONT, SENT, false, Meaning::Continue);
    }

    #[test]
    fn a_closed_terminal_tells_only_the_leader_of_the_session() {
        check(signals::SIGHUP, Sender::Kernel, true, Meaning::Stop { relay: true });
        check(signals::SIGINT, Sender::Kernel, true, Meaning::Stop { relay: false });
    }
}
