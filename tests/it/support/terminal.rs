//! Owns a real terminal: a pty with a program as the leader of its session, typed input and shown output. Must not assert
//! anything about runwrap.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use super::site::Site;
use super::wait::wait_until;

/// No text takes this long to appear unless it never does.
const SIGHT_LIMIT: Duration = Duration::from_secs(30);
/// The prompt of the shell, shown when it has the terminal.
pub(crate) const PROMPT: &str = "prompt> ";

/// Ctrl-C
pub(crate) const INTERRUPT: &str = "\x03";
/// Ctrl-Z
pub(crate) const SUSPEND: &str = "\x1a";
/// Ctrl-\
pub(crate) const QUIT: &str = "\x1c";

pub(crate) struct Terminal {
    leader: Child,
    /// Keyboard and screen; `None` once the window is closed.
    window: Option<File>,
    /// The path of the device.
    pub(crate) name: String,
    /// The shown text that no call has consumed yet.
    unseen: String,
    /// All shown text, for a failure.
    shown: String,
}

impl Terminal {
    /// Starts `command` as the session leader of a new terminal.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        // Close-on-exec: a copy in another process would keep the terminal open.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname_r(&master).unwrap();
        let slave = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(&name).unwrap();
        let mut leading = Command::new("setsid");
        leading.arg("--ctty").arg(command.get_program()).args(command.get_args());
        leading.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        leading.current_dir(command.get_current_dir().unwrap());
        leading.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let leader = leading.spawn().unwrap();
        let window = Some(File::from(OwnedFd::from(master)));
        Self { leader, window, name, unseen: String::new(), shown: String::new() }
    }

    /// An interactive bash in `site` that shows no more than needed. `$W COMMAND` is the command under runwrap with
    /// `options`, or bare without: bash shows the same text for both.
    #[track_caller]
    pub(crate) fn bash(site: &Site, options: Option<&str>) -> Self {
        let mut command = site.program("bash");
        command.args(["--norc", "--noprofile", "--noediting", "-i"]).env("PS1", PROMPT).env("TERM", "dumb");
        let runwrap = options.map(|options| format!("{} {options} --", env!("CARGO_BIN_EXE_runwrap")));
        command.env("W", runwrap.unwrap_or_default());
        let mut terminal = Self::start(&mut command);
        terminal.prompt();
        terminal.enter("stty -echo");
        terminal.prompt();
        terminal
    }

    /// Types `keys`.
    pub(crate) fn press(&mut self, keys: &str) {
        self.window.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub(crate) fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Waits until `text` is shown, and returns the text before it.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
        self.sees_one_of([text]).0
    }

    /// Waits until one of `texts` is shown, and returns the text before the first of them and its index.
    #[track_caller]
    pub(crate) fn sees_one_of<const N: usize>(&mut self, texts: [&str; N]) -> (String, usize) {
        let deadline = Instant::now() + SIGHT_LIMIT;
        loop {
            let places = texts.iter().enumerate().filter_map(|(which, text)| Some((self.unseen.find(text)?, which)));
            if let Some((at, which)) = places.min() {
                let rest = self.unseen.split_off(at + texts[which].len());
                let mut before = std::mem::replace(&mut self.unseen, rest);
                before.truncate(at);
                return (before, which);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && self.look(left), "{texts:?}: not shown; shown was:\n{}", self.shown);
        }
    }

    /// Reads the next output; false if all programs have closed the terminal.
    fn look(&mut self, limit: Duration) -> bool {
        let window = self.window.as_mut().unwrap();
        let limit = PollTimeout::try_from(limit).unwrap();
        if poll(&mut [PollFd::new(window.as_fd(), PollFlags::POLLIN)], limit).unwrap() == 0 {
            return true;
        }
        let mut bytes = [0; 4096];
        let Ok(length) = window.read(&mut bytes) else { return false };
        let text = String::from_utf8_lossy(&bytes[..length]).replace('\r', "");
        self.unseen.push_str(&text);
        self.shown.push_str(&text);
        true
    }

    /// Waits for the prompt, and returns the text before it.
    #[track_caller]
    pub(crate) fn prompt(&mut self) -> String {
        self.sees(PROMPT)
    }

    /// Types a line, and returns its output up to the next prompt.
    #[track_caller]
    pub(crate) fn answer(&mut self, line: &str) -> String {
        self.enter(line);
        self.prompt()
    }

    /// Changes the size of the window.
    pub(crate) fn resize(&self, columns: u16) {
        let status = Command::new("stty").args(["-F", &self.name, "cols", &columns.to_string()]).status().unwrap();
        assert!(status.success(), "stty {status}");
    }

    /// Closes the window.
    pub(crate) fn close(&mut self) {
        drop(self.window.take());
    }

    /// Waits for the end of the session's leader.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end of the session", || {
            status = self.leader.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn leader(&self) -> i32 {
        i32::try_from(self.leader.id()).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _already_ended = self.leader.kill().and_then(|()| self.leader.wait()).is_err();
    }
}
