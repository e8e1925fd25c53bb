//! How often the kernel has killed for want of memory in this process's control group and its parent, cgroup v2 and v1.
//! Compared before and after a run: a count that rose explains a SIGKILL.

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
    files: Vec<PathBuf>,
    before: u64,
}

impl OomKills {
    /// Counts from now on. Counts nothing where there is no memory controller to ask.
    #[must_use]
    pub fn watch() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let files = counters(&groups);
        let before = total(&files);
        Self { files, before }
    }

    /// Whether there was one since.
    #[must_use]
    pub fn rose(&self) -> bool {
        total(&self.files) > self.before
    }
}

fn total(files: &[PathBuf]) -> u64 {
    // A group that is gone, or a kernel that does not count, adds nothing.
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).map(|text| kills(&text)).sum()
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
fn kills(text: &str) -> u64 {
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_own_texts_are_read() {
        assert_eq!(kills("low 0\nhigh 0\nmax 13\noom 2\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), 7);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\n"), 0);
        assert_eq!(kills(""), 0);
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
