//! Processes that a run left behind, found by the run's id in their environment (daemonised ones too) or by their group.
//! Acts through pidfds, so that a reused process id is never hit.

use std::io;

use super::host;
use super::pidfd::PidFd;

/// What to do with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftoverSignal {
    /// Only count them.
    Count,
    /// SIGTERM, and SIGCONT so that a stopped one hears it.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Signals every process that has `RUNWRAP_RUN_ID=run_id` in its environment or is in the process group `group`, save this
/// one. Returns how many there are. One that may not be looked at (another user's) is not ours to stop.
pub fn signal_all(run_id: &str, group: Option<i32>, stop: LeftoverSignal) -> io::Result<usize> {
    let marker = format!("RUNWRAP_RUN_ID={run_id}");
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if pid == host::own_pid() {
            continue;
        }
        let Some(pidfd) = PidFd::open(pid)? else { continue };
        // Looked at after the pidfd is open: what it refers to cannot be another process any more.
        if !marked(pid, marker.as_bytes()) && (group.is_none() || group_of(pid) != group) {
            continue;
        }
        found += 1;
        match stop {
            LeftoverSignal::Count => {}
            LeftoverSignal::Terminate => {
                pidfd.signal(libc::SIGTERM)?;
                pidfd.signal(libc::SIGCONT)?;
            }
            LeftoverSignal::Kill => pidfd.signal(libc::SIGKILL)?,
        }
    }
    Ok(found)
}

/// The trainer `pid` of the run `run_id`, held by a descriptor; `None` where that number is not its any more.
pub fn open_trainer(run_id: &str, pid: i32) -> io::Result<Option<PidFd>> {
    let pidfd = PidFd::open(pid)?;
    Ok(pidfd.filter(|_| marked(pid, format!("RUNWRAP_RUN_ID={run_id}").as_bytes())))
}

/// The process group of `pid`, unless it is a zombie: that has ended.
fn group_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which is in parentheses and may itself hold any character: state, parent, group.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let alive = fields.next()? != "Z";
    fields.nth(1)?.parse().ok().filter(|_| alive)
}

fn marked(pid: i32, marker: &[u8]) -> bool {
    // A zombie has no environment, and one that cannot be read is another user's.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == marker)
}
