//! The terminal of our session: which process group has it, and handing it over. Must not read from it or write to it.
//! Called by `supervisor`.

use std::fs::File;
use std::io;

use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp};

/// The process group that has the terminal; `None` where our session has no terminal.
#[must_use]
pub fn foreground_group() -> Option<i32> {
    Some(tcgetpgrp(open().ok()?).ok()?.as_raw())
}

/// Whether `group` has the terminal and a shell waits for us, as for its job, to have it back.
#[must_use]
pub fn is_foreground_job(group: i32) -> bool {
    let parent = getppid();
    // A parent of another PID namespace has no number here.
    let is_shell =
        parent.as_raw() > 0 && getsid(Some(parent)) == getsid(None) && getpgid(Some(parent)) != Ok(getpgrp());
    is_shell && foreground_group() == Some(group)
}

/// Gives the terminal to `group`. Only to be called with SIGTTOU blocked: it would stop us.
pub fn set_foreground_group(group: i32) -> io::Result<()> {
    Ok(tcsetpgrp(open()?, Pid::from_raw(group))?)
}

fn open() -> io::Result<File> {
    File::open("/dev/tty")
}
