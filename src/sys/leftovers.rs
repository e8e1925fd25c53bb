//! Processes that a run left behind, daemonised ones included: found by the run id in their environment or by their
//! process group. Signals are sent through pidfds, so a reused process id is never hit.

use std::io;

use super::host;
use super::pidfd::PidFd;

/// The variable with the id of a process's run.
pub(super) const RUN_ID: &str = "RUNWRAP_RUN_ID";

/// Sends `signals` to every process that has `RUNWRAP_RUN_ID=run_id` in its environment or belongs to the process group
/// `group`, except this process. Returns the number of processes found. A stopped process handles SIGTERM only after
/// SIGCONT. A process whose environment is unreadable belongs to another user and is skipped.
pub fn signal_all(run_id: &str, group: Option<i32>, signals: &[i32]) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if pid == host::own_pid() {
            continue;
        }
        let Some(pidfd) = PidFd::open(pid)? else { continue };
        // Checked after the pidfd is open: the id can no longer refer to another process.
        if !is_of_run(pid, run_id) && (group.is_none() || group_of(pid) != group) {
            continue;
        }
        count += 1;
        for signal in signals {
            pidfd.signal(*signal)?;
        }
    }
    Ok(count)
}

/// A pidfd of the trainer `pid` of the run `run_id`; `None` if the process id was reused.
pub fn open_trainer(run_id: &str, pid: i32) -> io::Result<Option<PidFd>> {
    let pidfd = PidFd::open(pid)?;
    Ok(pidfd.filter(|_| is_of_run(pid, run_id)))
}

/// The process group of `pid`; `None` for a zombie.
fn group_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // State, parent and group follow the name, which is in parentheses and may contain any character.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let alive = fields.next()? != "Z";
    fields.nth(1)?.parse().ok().filter(|_| alive)
}

fn is_of_run(pid: i32, run_id: &str) -> bool {
    let marker = format!("{RUN_ID}={run_id}");
    // Empty for a zombie; unreadable for another user's process.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
}
