//! Judges the kernel and the limits of this process, which a run inherits. Pure.

use super::{Line, ROOM_BYTES_LOW, ROOM_BYTES_MIN, size};
use crate::commands::doctor::facts::SystemFacts;
use crate::sys::kernel::Kernel;
use crate::sys::limits::Limits;

pub(super) fn judge(facts: &SystemFacts) -> Vec<Line> {
    [kernel(&facts.kernel), vec![cgroup(&facts.kernel)], limits(facts)].concat()
}

fn kernel(kernel: &Kernel) -> Vec<Line> {
    const CHECK: &str = "kernel";
    let Kernel { release, has_pidfds, has_death_signal, has_proc, .. } = kernel;
    let mut lines = Vec::new();
    if !has_death_signal {
        let detail = "a process cannot request a signal at its parent's death: no command can be started";
        lines.push(Line::failure(CHECK, detail, "permit prctl(PR_SET_PDEATHSIG) in the seccomp profile"));
    }
    if !has_proc {
        let detail = "/proc shows no process: after SIGKILL of runwrap, processes of the run may go on";
        lines.push(Line::warning(CHECK, detail, "mount /proc"));
    }
    if !has_pidfds {
        let detail =
            format!("Linux {release} has no pidfds here: processes are watched by their number and start time");
        lines.push(Line::warning(
            CHECK,
            detail,
            "use Linux 5.3 or later, and permit pidfd_open in the seccomp profile",
        ));
    }
    if lines.is_empty() {
        lines.push(Line::ok(CHECK, format!("Linux {release}, with pidfds, death signals and /proc")));
    }
    lines
}

fn cgroup(kernel: &Kernel) -> Line {
    const CHECK: &str = "cgroup";
    if kernel.counts_oom_kills {
        return Line::ok(CHECK, "the kernel counts the out-of-memory kills of this cgroup");
    }
    let detail = "no count of out-of-memory kills can be read: a command that is killed for lack of memory has the reason \
                  signal in place of oom";
    Line::warning(CHECK, detail, "run it in a cgroup with the memory controller: systemd-run --user --scope")
}

fn limits(facts: &SystemFacts) -> Vec<Line> {
    const CHECK: &str = "limits";
    let limits = match &facts.limits {
        Ok(limits) => *limits,
        Err(why) => return vec![Line::warning(CHECK, format!("they cannot be read: {why}"), "permit prlimit64")],
    };
    let mut lines = Vec::new();
    lines.extend(file_size(limits, facts.database_bytes));
    let SystemFacts { free_descriptors, needed_descriptors, free_tasks, needed_tasks, .. } = facts;
    if free_descriptors < needed_descriptors {
        let detail = format!(
            "only {free_descriptors} more files may be open, and a run needs {needed_descriptors}: it would have no keeper"
        );
        lines.push(Line::failure(CHECK, detail, "raise the limit with `ulimit -n`"));
    }
    if free_tasks < needed_tasks {
        let detail = format!(
            "only {free_tasks} more processes and threads may start, and a run needs {needed_tasks}: it would have no keeper"
        );
        lines.push(Line::failure(CHECK, detail, "raise the limit with `ulimit -u`, or pids.max of the cgroup"));
    }
    if lines.is_empty() {
        let Limits { file_bytes, open_files, processes, core_bytes } = limits;
        let count = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        let bytes = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), size);
        let detail = format!(
            "file size {}, open files {}, processes {}, core file {} (the keeper never writes one)",
            bytes(file_bytes),
            count(open_files),
            count(processes),
            bytes(core_bytes),
        );
        lines.push(Line::ok(CHECK, detail));
    }
    lines
}

/// `ulimit -f` bounds each file that a run writes: the journal, the log, and the database's file.
fn file_size(limits: Limits, database_bytes: Option<u64>) -> Option<Line> {
    const CHECK: &str = "limits";
    let limit = limits.file_bytes?;
    let repair = "raise the limit with `ulimit -f`";
    let left = limit.saturating_sub(database_bytes.unwrap_or(0));
    if limit < ROOM_BYTES_MIN {
        let detail = format!("a file may have {}: a journal beyond that is kept in memory alone", size(limit));
        return Some(Line::failure(CHECK, detail, repair));
    }
    if left < ROOM_BYTES_MIN {
        let detail = format!("a file may have {}: the file of the database cannot grow further", size(limit));
        return Some(Line::failure(CHECK, detail, repair));
    }
    let detail = || format!("a file may have {}, of which {} are left for the database", size(limit), size(left));
    (left < ROOM_BYTES_LOW).then(|| Line::warning(CHECK, detail(), repair))
}
