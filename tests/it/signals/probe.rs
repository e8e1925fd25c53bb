//! Owns the probe of `probe.c`, compiled once: the command whose signals are counted, bare and under runwrap, and the process
//! that sends them. Must not assert anything about runwrap.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::building::compile;
use crate::support::site::Site;
use crate::support::wait::wait_until;

/// No signal takes this long unless it is lost.
const LINE_LIMIT: Duration = Duration::from_secs(30);
/// The last signal ends the probe: by then every signal that was sent before has arrived.
pub(crate) const LAST: i32 = 64;

/// How often a probe has received which signal.
pub(crate) type Counts = BTreeMap<i32, usize>;

/// The compiled probe.
pub(crate) fn program() -> &'static str {
    static BUILT: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    &BUILT.get_or_init(|| compile("signals/probe", &[])).1
}

/// A process that takes commands on stdin and prints events on stdout. Killed if the test ends first.
pub(crate) struct Conversation {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Conversation {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        // Ends with the pipe, or when the test drops the receiver.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, stdin, lines }
    }

    /// A probe that sends signals.
    pub(crate) fn sender() -> Self {
        Self::start(Command::new(program()).arg("sender"))
    }

    pub(crate) fn send(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    #[track_caller]
    pub(crate) fn recv(&self) -> String {
        self.lines.recv_timeout(LINE_LIMIT).expect("a line of the probe")
    }

    /// Sends the command `line` and waits until it is done.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) {
        self.send(line);
        assert_eq!(self.recv(), "sent");
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        drop(self.stdin.take());
        let mut status = None;
        wait_until("the end of the command", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _already_ended = self.child.kill().and_then(|()| self.child.wait()).is_err();
    }
}

/// A probe that runs, bare or under runwrap.
pub(crate) struct Subject {
    pub(crate) talk: Conversation,
    /// The process that the user started: runwrap, or the probe itself.
    pub(crate) pid: i32,
    /// The probe.
    pub(crate) probe: i32,
    pub(crate) group: i32,
}

impl Subject {
    /// Starts `launcher` with the command of a probe, under runwrap or not.
    #[track_caller]
    pub(crate) fn start(mut launcher: Command, wrapped: bool) -> Self {
        if wrapped {
            launcher.args([env!("CARGO_BIN_EXE_runwrap"), "--"]);
        }
        Self::of(Conversation::start(launcher.arg(program())), wrapped)
    }

    /// Waits until the probe of `talk` is ready.
    #[track_caller]
    pub(crate) fn of(talk: Conversation, wrapped: bool) -> Self {
        let ready = talk.recv();
        let numbers: Vec<i32> = ready.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [probe, parent, group] = numbers[..] else { panic!("{ready}") };
        Self { talk, pid: if wrapped { parent } else { probe }, probe, group }
    }

    /// In a process group of its own.
    #[track_caller]
    pub(crate) fn alone(site: &Site, wrapped: bool) -> Self {
        let mut launcher = site.program("env");
        std::os::unix::process::CommandExt::process_group(&mut launcher, 0);
        Self::start(launcher, wrapped)
    }

    /// Waits for the signal `number`, which must be the next that arrives.
    #[track_caller]
    pub(crate) fn receives(&self, number: i32) {
        let line = self.talk.recv();
        assert_eq!(line.split(' ').next().unwrap(), number.to_string(), "{line}");
    }

    /// Sends the last signal, and returns the lines of all that arrived before it.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<String> {
        Conversation::sender().ask(&format!("kill {} {LAST}", self.pid));
        let mut received = Vec::new();
        loop {
            let line = self.talk.recv();
            if line == format!("{LAST} -") {
                return received;
            }
            received.push(line);
        }
    }
}

/// How often each signal is in `lines`.
pub(crate) fn count(lines: &[String]) -> Counts {
    let mut counts = Counts::new();
    for line in lines {
        *counts.entry(line.split(' ').next().unwrap().parse().unwrap()).or_default() += 1;
    }
    counts
}
