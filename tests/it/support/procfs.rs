//! States, names and children of other processes, as /proc shows them. Must not change anything.

use std::fs;

/// The letter of `/proc/PID/stat`: `T` stopped, `Z` ended and not reaped; none once it is gone.
pub(crate) fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the parentheses may hold anything.
    stat.rsplit(") ").next()?.chars().next()
}

/// The name of the process, from `comm`.
pub(crate) fn name(pid: i32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The descendant of `pid` with this name, if there is one.
pub(crate) fn descendant(pid: i32, name: &str) -> Option<i32> {
    let found = |child: i32| (self::name(child)? == name).then_some(child).or_else(|| descendant(child, name));
    children(pid).into_iter().find_map(found)
}

/// The children of a process, of all its threads.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()).collect()
}
