//! The processes in /proc: identities, relations and the mark of a run, and signals to exactly one of them. Must not decide
//! which process belongs to a run.
//!
//! A process is identified by its id and its start time: the id may be used again. A group or session id is not used again
//! while the group or session has a member, even if its leader has ended.

use std::collections::BTreeSet;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host;
use super::pidfd::PidFd;

/// The variable with the id of a process's run.
pub(super) const RUN_ID: &str = "RUNWRAP_RUN_ID";

/// The most processes that [`family`] returns.
const FAMILY_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    pub pid: i32,
    /// Since boot, in the kernel's clock ticks.
    pub start_ticks: u64,
}

/// A process, as /proc shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    pub id: ProcessId,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// A zombie.
    pub has_ended: bool,
    /// Its environment has the run's id.
    pub is_marked: bool,
}

/// The effect of [`send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Yes,
    /// The process has ended.
    Gone,
    /// This process may not signal it.
    Refused,
}

/// The identity of the process that has the id `pid` now.
pub fn identify(pid: i32) -> io::Result<Option<ProcessId>> {
    check_proc()?;
    Ok(facts(pid).map(|facts| facts.id))
}

/// The process `pid` now, without its mark.
pub fn facts(pid: i32) -> Option<ProcessFacts> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Every process except keepers and this process; with `thorough` also those of the ids in `strangers`, as the last ones. Reads
/// the mark only if `needs_mark`: of all facts, it takes the most time. Calls `marked` at once for each mark: a process that forks
/// and exits may be gone after the list.
pub fn all(
    run_id: &str,
    strangers: &BTreeSet<i32>,
    thorough: bool,
    needs_mark: impl Fn(ProcessId) -> bool,
    mut marked: impl FnMut(ProcessId),
) -> io::Result<Vec<ProcessFacts>> {
    check_proc()?;
    let names = std::fs::read_dir("/proc")?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let mut pids: Vec<i32> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    pids.retain(|pid| thorough || !strangers.contains(pid));
    // The newest first: they may not live long. Ids begin again at the low end.
    pids.sort_unstable_by_key(|pid| (strangers.contains(pid), std::cmp::Reverse(*pid)));
    let mut found = Vec::new();
    for pid in pids {
        if let Some(facts) = facts(pid).filter(|facts| !is_keeper(facts)) {
            let is_marked = needs_mark(facts.id) && is_marked(pid, run_id);
            if is_marked {
                marked(facts.id);
            }
            found.push(ProcessFacts { is_marked, ..facts });
        }
    }
    Ok(found)
}

/// The processes of `roots` that still exist, and their descendants, without marks and without keepers. Reads only these
/// processes: a host may have thousands of others.
pub fn family(roots: impl IntoIterator<Item = ProcessId>) -> io::Result<Vec<ProcessFacts>> {
    check_proc()?;
    let is_root = |root: ProcessId| facts(root.pid).filter(|facts| facts.id == root);
    let mut found: Vec<ProcessFacts> = roots.into_iter().filter_map(is_root).collect();
    let mut seen: BTreeSet<i32> = found.iter().map(|facts| facts.id.pid).collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied().filter(|_| found.len() < FAMILY_MAX) {
        next += 1;
        for child in children(parent.id.pid) {
            if seen.insert(child)
                && let Some(facts) = facts(child).filter(|facts| !is_keeper(facts))
            {
                found.push(facts);
            }
        }
    }
    Ok(found)
}

/// The children of every thread of `pid`. Empty if the kernel does not list them.
fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

/// Whether the environment of `pid` has the run's id. False for a zombie and for an unreadable environment.
fn is_marked(pid: i32, run_id: &str) -> bool {
    let marker = format!("{RUN_ID}={run_id}");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
}

/// The name of `pid`: the first 15 bytes of the program's name, or of the name that it has set.
pub fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Sends `signals` in order to the process `id`. Without pidfds (Linux before 5.3, a seccomp profile) it compares the start time
/// directly before each signal.
pub fn send(id: ProcessId, signals: &[i32]) -> io::Result<Sent> {
    let pidfd = PidFd::open(id.pid).ok();
    for signal in signals {
        // After the pidfd is open: from then on it refers to this process.
        if facts(id.pid).is_none_or(|facts| facts.id != id) {
            return Ok(Sent::Gone);
        }
        let sent = match &pidfd {
            Some(None) => return Ok(Sent::Gone),
            // A seccomp profile may refuse this call alone.
            Some(Some(pidfd)) => pidfd.signal(*signal).or_else(|_| send_by_number(id.pid, *signal)),
            None => send_by_number(id.pid, *signal),
        };
        match sent {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(Sent::Gone),
            Err(Errno::EPERM) => return Ok(Sent::Refused),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Sent::Yes)
}

fn send_by_number(pid: i32, signal: i32) -> nix::Result<()> {
    kill(Pid::from_raw(pid), Signal::try_from(signal)?)
}

/// In a PID namespace without a mount of its own, /proc shows other processes under the same numbers.
fn check_proc() -> io::Result<()> {
    let shown = std::fs::read_link("/proc/self")?;
    if shown.to_str() == Some(&host::own_pid().to_string()) {
        return Ok(());
    }
    Err(io::Error::other("/proc shows another PID namespace"))
}

/// Whether the process is a keeper of runwrap, this process included. A keeper leads its session.
fn is_keeper(facts: &ProcessFacts) -> bool {
    let pid = facts.id.pid;
    let leads = facts.session == pid;
    let words = || std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pid == host::own_pid() || (leads && words().starts_with(b"runwrap\0keeper\0"))
}

/// The facts in the text of `/proc/PID/stat`.
fn parse(pid: i32, stat: &str) -> Option<ProcessFacts> {
    // The fields follow the name, which is in parentheses and may contain any character.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<i32>().ok());
    Some(ProcessFacts {
        id: ProcessId { pid, start_ticks: fields.get(19)?.parse().ok()? },
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        has_ended: ["Z", "X", "x"].contains(fields.first()?),
        is_marked: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_of_any_name_is_parsed() {
        let rest = "S 7 8 9 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4321 1000 100 18446744073709551615";
        for name in ["sh", "a b", ") Z 1 (", "x)\n("] {
            let facts = parse(5, &format!("5 ({name}) {rest}")).unwrap();
            let id = ProcessId { pid: 5, start_ticks: 4321 };
            let expected = ProcessFacts { id, parent: 7, group: 8, session: 9, has_ended: false, is_marked: false };
            assert_eq!(facts, expected);
        }
        assert!(parse(5, "5 (sh) Z 7 8 9").is_none());
        assert!(parse(5, "").is_none());
    }

    #[test]
    fn process_with_another_start_time_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = identify(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
        let other = ProcessId { start_ticks: id.start_ticks + 1, ..id };
        assert_eq!(send(other, &[libc::SIGKILL]).unwrap(), Sent::Gone);
        assert!(family([other]).unwrap().is_empty());
        assert_eq!(family([id]).unwrap().len(), 1);
        assert_eq!(send(id, &[libc::SIGKILL]).unwrap(), Sent::Yes);
        child.wait().unwrap();
        assert_eq!(send(id, &[libc::SIGKILL]).unwrap(), Sent::Gone);
    }
}
