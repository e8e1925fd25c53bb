//! The single actions of a step. Must not decide.

use super::{Sender, SignalInfo, SupervisorAction, SupervisorMachine, journal, signals};

impl SupervisorMachine {
    pub(super) fn warn(&mut self, message: &str, hint: String) {
        self.actions.push(SupervisorAction::Warn { message: message.to_owned(), hint });
    }

    pub(super) fn send(&mut self, signal: i32, value: Option<usize>) {
        self.actions.push(SupervisorAction::SignalTrainer { signal, value });
    }

    pub(super) fn write(&mut self, event: journal::RunEvent) {
        self.actions.push(SupervisorAction::Write(event));
    }

    pub(super) fn write_stop_request(&mut self, signal: SignalInfo) {
        let (pid, uid) = match signal.sender {
            Sender::Kernel => (None, None),
            Sender::Process { pid, uid } => (Some(pid), Some(uid)),
        };
        let signal = signals::name(signal.number);
        self.write(journal::RunEvent::StopRequested { signal, sender_pid: pid, sender_uid: uid });
    }
}
