//! The kernel's count of out-of-memory kills in this process's cgroup and its parent, cgroup v2 and v1. Compared before
//! and after a run: if the count has increased, it explains a SIGKILL.

use std::fs;
use std::path::{Path, PathBuf};

/// Mount point, counter file and controller of the hierarchies: v2 alone, v2 beside v1, v1's memory controller. A v2
/// hierarchy lists no controllers.
const MOUNTS: [(&str, &str, &str); 3] = [
    ("/sys/fs/cgroup", "memory.events", ""),
    ("/sys/fs/cgroup/unified", "memory.events", ""),
    ("/sys/fs/cgroup/memory", "memory.oom_control", "memory"),
];

/// Counts out-of-memory kills from its creation on. The default counts none.
#[derive(Debug, Default)]
pub struct OomKills {
    /// Counter files and their values at creation.
    before: Vec<(PathBuf, u64)>,
}

impl OomKills {
    /// Starts counting. Without a memory controller it counts nothing.
    pub fn start() -> Self {
        Self::from_files(counter_files(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default()))
    }

    fn from_files(files: Vec<PathBuf>) -> Self {
        Self { before: files.into_iter().filter_map(|file| count(&file).map(|count| (file, count))).collect() }
    }

    /// Whether there is a counter.
    pub const fn can_increase(&self) -> bool {
        !self.before.is_empty()
    }

    /// Whether any counter has increased. Each file is compared by itself: a removed cgroup must not hide the count of
    /// another.
    pub fn has_increased(&self) -> bool {
        self.before.iter().any(|(file, before)| count(file).is_some_and(|now| now > *before))
    }
}

/// `None` if the cgroup is gone or the kernel does not count.
fn count(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok().and_then(|text| parse_oom_kills(&text))
}

/// The counter files for the cgroups listed in `/proc/self/cgroup`.
fn counter_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (mount, file, controller) in MOUNTS {
        let Some(group) = group_of(groups, controller) else { continue };
        let own = Path::new(mount).join(group.trim_start_matches('/'));
        files.extend(own.ancestors().take(2).filter(|path| path.starts_with(mount)).map(|path| path.join(file)));
        // A container that does not see the host's hierarchy has its own cgroup at the mount point. (On a host that is
        // the root cgroup, which has no counter.)
        files.push(Path::new(mount).join(file));
    }
    files.sort();
    files.dedup();
    files
}

/// The path of the hierarchy with `controller` in the text of `/proc/PID/cgroup`.
fn group_of<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

/// The value of the `oom_kill` line of `memory.events` or `memory.oom_control`.
fn parse_oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn parses_oom_kill_counts_of_both_versions() {
        assert_eq!(parse_oom_kills("low 0\nhigh 0\nmax 13\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\n"), None);
        assert_eq!(parse_oom_kills("oom_kill many\n"), None);
        assert_eq!(parse_oom_kills(""), None);
    }

    #[test]
    fn increase_is_seen_even_if_another_cgroup_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let [own, parent, new] = ["own", "parent", "new"].map(|name| place.path().join(name));
        let write = |file: &Path, count: u64| {
            fs::File::create(file).unwrap().write_all(format!("oom 0\noom_kill {count}\n").as_bytes()).unwrap();
        };
        write(&own, 3);
        write(&parent, 40);
        let kills = OomKills::from_files(vec![own.clone(), parent.clone(), new.clone()]);
        assert!(!kills.has_increased() && kills.can_increase());
        write(&new, 5);
        assert!(!kills.has_increased(), "a file without an earlier value counts nothing");
        fs::remove_file(&parent).unwrap();
        assert!(!kills.has_increased());
        write(&own, 4);
        assert!(kills.has_increased());
        assert!(!OomKills::default().has_increased() && !OomKills::default().can_increase());
    }

    #[test]
    fn counter_files_of_own_and_parent_cgroup_in_both_versions() {
        let names =
            |groups: &str| counter_files(groups).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            names("0::/user.slice/job.scope\n"),
            [
                "/sys/fs/cgroup/memory.events",
                "/sys/fs/cgroup/unified/memory.events",
                "/sys/fs/cgroup/unified/user.slice/job.scope/memory.events",
                "/sys/fs/cgroup/unified/user.slice/memory.events",
                "/sys/fs/cgroup/user.slice/job.scope/memory.events",
                "/sys/fs/cgroup/user.slice/memory.events",
            ]
        );
        assert_eq!(
            names("9:name=systemd:/\n4:memory,cpu:/a/b\n"),
            [
                "/sys/fs/cgroup/memory/a/b/memory.oom_control",
                "/sys/fs/cgroup/memory/a/memory.oom_control",
                "/sys/fs/cgroup/memory/memory.oom_control",
            ]
        );
        assert_eq!(names("garbage"), Vec::<String>::new());
    }
}
