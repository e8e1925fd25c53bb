//! The controlling terminal: its foreground process group. Must not read from the terminal or write to it.

use std::fs::File;
use std::io;

use nix::unistd::{Pid, getppid, getsid, tcgetpgrp, tcsetpgrp};

use super::process::is_in_our_group;

/// The terminal's foreground process group; `None` without a controlling terminal.
pub fn foreground_group() -> Option<i32> {
    Some(tcgetpgrp(open().ok()?).ok()?.as_raw())
}

/// Whether `group` is in the foreground and the parent is a job-control shell, which takes the terminal back when its
/// job stops.
pub fn is_foreground_job(group: i32) -> bool {
    let parent = getppid();
    // If the parent is in another PID namespace, getppid returns 0.
    let is_shell = parent.as_raw() > 0 && getsid(Some(parent)) == getsid(None) && !is_in_our_group(parent.as_raw());
    is_shell && foreground_group() == Some(group)
}

/// Makes `group` the foreground group. Call it with SIGTTOU blocked; unblocked, SIGTTOU would stop this process.
pub fn set_foreground_group(group: i32) -> io::Result<()> {
    Ok(tcsetpgrp(open()?, Pid::from_raw(group))?)
}

fn open() -> io::Result<File> {
    File::open("/dev/tty")
}
