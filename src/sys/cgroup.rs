//! How often the kernel has killed for want of memory in this process's control group and its parent, cgroup v2 and v1.
//! Compared before and after a run: a count that has_increased explains a SIGKILL.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are mounted: v2 alone, v2 beside v1, v1's memory controller.
const MOUNTS: [(&str, &str, Version); 3] = [
    ("/sys/fs/cgroup", "memory.events", Version::Two),
    ("/sys/fs/cgroup/unified", "memory.events", Version::Two),
    ("/sys/fs/cgroup/memory", "memory.oom_control", Version::One),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Counts out-of-memory kills from its making on; the default counts none.
#[derive(Debug, Default)]
pub struct OomKills {
    /// What counts, and how far it had counted.
    before: Vec<(PathBuf, u64)>,
}

impl OomKills {
    /// Counts from now on. Counts nothing where there is no memory controller to ask.
    #[must_use]
    pub fn watch() -> Self {
        Self::of(counters(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default()))
    }

    fn of(files: Vec<PathBuf>) -> Self {
        Self { before: files.into_iter().filter_map(|file| count(&file).map(|count| (file, count))).collect() }
    }

    /// Whether there was one since. Each file is asked for itself: a group that is gone takes no other's count with it.
    #[must_use]
    pub fn has_increased(&self) -> bool {
        self.before.iter().any(|(file, before)| count(file).is_some_and(|now| now > *before))
    }
}

/// `None` for a group that is gone, or a kernel that does not count.
fn count(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok().and_then(|text| kills(&text))
}

/// The files that count for the groups in the text of `/proc/self/cgroup`.
fn counters(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (mount, file, version) in MOUNTS {
        let Some(group) = group_of(groups, version) else { continue };
        let own = Path::new(mount).join(group.trim_start_matches('/'));
        files.extend(own.ancestors().take(2).filter(|path| path.starts_with(mount)).map(|path| path.join(file)));
        // A container that does not see the host's hierarchy has its own group at the mount. (On a host this is the
        // root group, which does not count.)
        files.push(Path::new(mount).join(file));
    }
    files.sort();
    files.dedup();
    files
}

fn group_of(groups: &str, version: Version) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let fits = match version {
            Version::Two => controllers.is_empty(),
            Version::One => controllers.split(',').any(|name| name == "memory"),
        };
        fits.then_some(path)
    })
}

/// The `oom_kill` line of `memory.events` or `memory.oom_control`.
fn kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_kernel_s_own_texts_are_read() {
        assert_eq!(kills("low 0\nhigh 0\nmax 13\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\n"), None);
        assert_eq!(kills("oom_kill many\n"), None);
        assert_eq!(kills(""), None);
    }

    #[test]
    fn a_kill_is_seen_in_any_group_also_where_another_has_gone() {
        let place = tempfile::tempdir().unwrap();
        let [own, parent, new] = ["own", "parent", "new"].map(|name| place.path().join(name));
        let say = |file: &Path, count: u64| {
            fs::File::create(file).unwrap().write_all(format!("oom 0\noom_kill {count}\n").as_bytes()).unwrap();
        };
        say(&own, 3);
        say(&parent, 40);
        let kills = OomKills::of(vec![own.clone(), parent.clone(), new.clone()]);
        assert!(!kills.has_increased());
        say(&new, 5);
        assert!(!kills.has_increased(), "nobody knows how far it had counted");
        fs::remove_file(&parent).unwrap();
        assert!(!kills.has_increased());
        say(&own, 4);
        assert!(kills.has_increased());
        assert!(!OomKills::default().has_increased());
    }

    #[test]
    fn own_group_and_parent_are_counted_in_both_versions() {
        let names = |groups: &str| counters(groups).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
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
