//! What helps to find a run's circumstances later: commit, job, container. A short list of names, never the whole
//! environment and never a secret; nothing is executed, and what cannot be read quickly is left out.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::sys::fs::open_plain;

/// Variables that schedulers and containers set, and the key under which each is kept.
const VARIABLES: [(&str, &str); 9] = [
    ("SLURM_JOB_ID", "slurm_job_id"),
    ("SLURM_ARRAY_TASK_ID", "slurm_array_task_id"),
    ("PBS_JOBID", "pbs_job_id"),
    ("LSB_JOBID", "lsf_job_id"),
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
    ("CI_JOB_ID", "ci_job_id"),
    ("GITHUB_RUN_ID", "github_run_id"),
    ("CONDA_DEFAULT_ENV", "conda_env"),
    ("VIRTUAL_ENV", "virtual_env"),
];

/// Room for most of what is read, so that one read is enough.
const READ_BYTES: usize = 8192;

/// Longer files than this are not what we look for.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What is known of the circumstances of a command that is started in `cwd`.
#[must_use]
pub(super) fn gather(cwd: &Path) -> Map<String, Value> {
    let set = |(variable, key): (&str, &str)| {
        let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
        Some((key.to_owned(), Value::String(value)))
    };
    let mut context: Map<String, Value> = VARIABLES.into_iter().filter_map(set).collect();
    // Inside a pod the host's name is the pod's.
    if context.remove("kubernetes").is_some() {
        context.insert("kubernetes_pod".to_owned(), Value::String(crate::sys::host::host_name()));
    }
    let found = [("git_commit", git_commit(cwd)), ("container_id", container_id())];
    context.extend(found.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::String(value?)))));
    context
}

/// The commit that is checked out around `cwd`, read from the repository's own files.
fn git_commit(cwd: &Path) -> Option<String> {
    let git = cwd.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    // In a worktree `.git` is a file that names the folder.
    let git = match read(&git) {
        Some(pointer) => cwd.join(pointer.strip_prefix("gitdir:")?.trim()),
        None => git,
    };
    let head = read(&git.join("HEAD"))?;
    let Some(reference) = head.strip_prefix("ref:").map(str::trim) else { return commit(&head) };
    let common = read(&git.join("commondir")).map_or_else(|| git.clone(), |folder| git.join(folder.trim()));
    let loose = [&git, &common].into_iter().find_map(|folder| read(&folder.join(reference)));
    loose.and_then(|text| commit(&text)).or_else(|| {
        let packed = read(&common.join("packed-refs"))?;
        packed.lines().find_map(|line| commit(line.strip_suffix(reference)?.strip_suffix(' ')?))
    })
}

fn commit(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| text.to_owned())
}

/// The 64 hexadecimal digits by which container engines name a container's cgroup or mounts.
fn container_id() -> Option<String> {
    ["/proc/self/cgroup", "/proc/self/mountinfo"].into_iter().filter_map(|path| read(Path::new(path))).find_map(
        |text| {
            let mut words = text.split(|character: char| !character.is_ascii_hexdigit());
            words.find(|word| word.len() == 64).map(str::to_owned)
        },
    )
}

fn read(path: &Path) -> Option<String> {
    // The kernel makes what `/proc` shows anew for each read.
    let mut text = String::with_capacity(READ_BYTES);
    open_plain(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn the_commit_is_git_s_own_loose_packed_detached_and_in_a_worktree() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        git(folder.path(), &["init", "-q"]);
        assert_eq!(git_commit(&deep), None);
        git(folder.path(), &["commit", "-q", "--allow-empty", "-m", "x"]);
        let head = git(folder.path(), &["rev-parse", "HEAD"]);
        assert_eq!(git_commit(&deep), Some(head.clone()));
        git(folder.path(), &["pack-refs", "--all"]);
        assert_eq!(git_commit(&deep), Some(head.clone()));
        git(folder.path(), &["worktree", "add", "-q", "-b", "other", "tree"]);
        assert_eq!(git_commit(&folder.path().join("tree")), Some(head.clone()));
        git(folder.path(), &["checkout", "-q", "--detach"]);
        assert_eq!(git_commit(folder.path()), Some(head));
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join(".git")).status().unwrap().success());
        assert_eq!(git_commit(folder.path()), None);
    }
}
