//! The cgroup that a run has for itself: it proves the run's orphans, whatever they did to their environment and session. Must not
//! prove a process that entered from outside.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::unistd::getppid;

use super::cgroup::group_of;
use super::host::own_pid;
use super::leftovers::{self, ProcessFacts};

/// Mount point and controller of the hierarchies that follow the processes of a service, a container or a job.
const HIERARCHIES: [(&str, &str); 3] =
    [("/sys/fs/cgroup", ""), ("/sys/fs/cgroup/unified", ""), ("/sys/fs/cgroup/systemd", "name=systemd")];
/// A cgroup with more processes at the start of a run is not the run's alone.
const OWN_MAX: usize = 64;

/// A cgroup that a run has for itself: when its keeper started, no other processes were in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCgroup {
    controller: &'static str,
    path: String,
}

impl OwnCgroup {
    /// This process's cgroup, if each process in it is this one, its parent `supervisor` or a descendant of them.
    pub fn of_run(supervisor: i32) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        HIERARCHIES.into_iter().find_map(|(mount, controller)| {
            let path = group_of(&groups, controller)?;
            // A container that does not see the host's hierarchy has its own cgroup at the mount point.
            let places = [Path::new(mount).join(path.trim_start_matches('/')), mount.into()];
            let listed = places.into_iter().map(|place| pids(&place.join("cgroup.procs")));
            let pids = listed.flatten().find(|pids| pids.contains(&own_pid()))?;
            let is_own = is_family(&pids, supervisor, |pid| leftovers::facts(pid).map(|facts| facts.parent));
            // After the look: a supervisor that has ended leaves its children to the parent of strangers.
            (is_own && getppid().as_raw() == supervisor).then(|| Self { controller, path: path.to_owned() })
        })
    }

    /// Whether the run left the process as an orphan: it is in the cgroup, and its parent is the process that reaps this run's
    /// orphans. A process that entered the cgroup from outside (`docker exec`) has another parent.
    pub fn has_orphan(&self, process: &ProcessFacts) -> bool {
        let groups = || fs::read_to_string(format!("/proc/{}/cgroup", process.id.pid)).ok();
        process.parent == getppid().as_raw() && groups().is_some_and(|groups| self.is_in(&groups))
    }

    fn is_in(&self, groups: &str) -> bool {
        let below =
            |path: &str| path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        group_of(groups, self.controller).is_some_and(below)
    }
}

fn pids(file: &Path) -> Option<BTreeSet<i32>> {
    fs::read_to_string(file).ok()?.lines().map(|line| line.parse().ok()).collect()
}

/// Whether `pids` are this process, `supervisor` and descendants of them. Ends at the first that is not: each parent costs a file.
fn is_family(pids: &BTreeSet<i32>, supervisor: i32, parent_of: impl Fn(i32) -> Option<i32>) -> bool {
    let is_descendant = |pid: i32| {
        let mut ancestors = std::iter::successors(Some(pid), |pid| parent_of(*pid)).take(OWN_MAX);
        ancestors.any(|ancestor| ancestor == supervisor || ancestor == own_pid())
    };
    pids.len() <= OWN_MAX && pids.iter().copied().all(is_descendant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_the_runs_own_if_it_has_only_descendants() {
        let own = own_pid();
        let parents = |pid: i32| [(1, 0), (20, 1), (21, 20), (22, 21), (30, 1)].into_iter().find(|(of, _)| *of == pid);
        let parent_of = |pid: i32| parents(pid).map(|(_, parent)| parent);
        let is_own = |pids: &[i32]| is_family(&pids.iter().copied().chain([own]).collect(), 20, parent_of);
        assert!(is_own(&[20]) && is_own(&[20, 21, 22]) && is_own(&[20, 22, 21]));
        // A shell beside it, the first process of a container, a process of another namespace, and one that has ended meanwhile.
        assert!(!is_own(&[20, 30]) && !is_own(&[1, 20, 21]) && !is_own(&[0, 20]) && !is_own(&[20, 99]));
        assert!(!is_own(&(40..140).collect::<Vec<_>>()));
    }

    #[test]
    fn a_process_in_a_cgroup_below_is_in_it_and_one_beside_it_is_not() {
        let group = OwnCgroup { controller: "", path: "/jobs/7".into() };
        let is_in = |groups: &str| group.is_in(groups);
        assert!(is_in("0::/jobs/7\n") && is_in("4:memory:/x\n0::/jobs/7/step\n"));
        assert!(!is_in("0::/jobs/77\n") && !is_in("0::/jobs\n") && !is_in("4:memory:/jobs/7\n") && !is_in(""));
        // The root of a cgroup namespace: a process outside it is shown above.
        let root = OwnCgroup { controller: "", path: "/".into() };
        assert!(root.is_in("0::/\n") && !root.is_in("0::/../other\n"));
    }
}
