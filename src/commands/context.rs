//! The context of a run: commit, job, container, environment, GPUs. Owns the list of variables that are recorded. Must not execute
//! a program, record a secret or wait: files that cannot be read at once are skipped.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::sys::fs::open_plain;
use crate::sys::host::host_name;

/// Variables of schedulers, containers and Python environments, each with its key in the context.
const VARIABLES: [(&str, &str); 11] = [
    ("SLURM_JOB_ID", "slurm_job_id"),
    ("SLURM_ARRAY_JOB_ID", "slurm_array_job_id"),
    ("SLURM_ARRAY_TASK_ID", "slurm_array_task_id"),
    ("SLURM_RESTART_COUNT", "slurm_restart_count"),
    ("SLURM_NODELIST", "slurm_nodelist"),
    ("PBS_JOBID", "pbs_job_id"),
    ("LSB_JOBID", "lsf_job_id"),
    ("CI_JOB_ID", "ci_job_id"),
    ("GITHUB_RUN_ID", "github_run_id"),
    ("CONDA_DEFAULT_ENV", "conda_env"),
    ("VIRTUAL_ENV", "virtual_env"),
];

/// Of each GPU NVIDIA's driver has a directory here, with a file `information`.
const NVIDIA_GPUS: &str = "/proc/driver/nvidia/gpus";

/// More than any host has.
const GPUS_MAX: usize = 64;

/// Most files fit into one read.
const READ_BYTES: usize = 8192;

/// Longer files are cut: none of them is expected.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The context of a command that starts in `cwd`.
pub(super) fn gather(cwd: &Path) -> Map<String, Value> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Inside a pod, the host name is the name of the pod.
    let pod = variable("KUBERNETES_SERVICE_HOST").map(|_address| host_name());
    let found = [("kubernetes_pod", pod), ("git_commit", git_commit(cwd)), ("container_id", container_id())];
    let all = VARIABLES.into_iter().map(|(name, key)| (key, variable(name))).chain(found);
    let texts = all.filter_map(|(key, value)| Some((key.to_owned(), Value::String(value?))));
    let gpus = Some(gpu_models(Path::new(NVIDIA_GPUS))).filter(|models| !models.is_empty());
    texts.chain(gpus.map(|models| ("gpu_models".to_owned(), models.into()))).collect()
}

/// The Slurm job of this process, an array's task behind its job.
pub(super) fn slurm_job() -> Option<String> {
    const BYTES_MAX: usize = 100;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| (1..=BYTES_MAX).contains(&value.len()));
    let task = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
    task.map(|(job, task)| format!("{job}_{task}")).or_else(|| variable("SLURM_JOB_ID"))
}

/// The model of each GPU, ordered by bus address.
fn gpu_models(gpus: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(gpus).into_iter().flatten().flatten().take(GPUS_MAX);
    let mut files: Vec<_> = entries.map(|entry| entry.path().join("information")).collect();
    files.sort_unstable();
    let model = |text: String| Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned());
    files.iter().filter_map(|file| model(read(file)?)).filter(|model| !model.is_empty()).collect()
}

/// The commit of the work tree around `cwd`, read from git's files.
fn git_commit(cwd: &Path) -> Option<String> {
    let git = cwd.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    // In a linked worktree or a submodule, `.git` is a file with the path of the directory, relative to that file.
    let git = match read(&git) {
        Some(pointer) => git.parent()?.join(pointer.strip_prefix("gitdir:")?.trim()),
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

/// The 64 hexadecimal digits in the name of a container's cgroup or mounts.
fn container_id() -> Option<String> {
    let mut texts = ["/proc/self/cgroup", "/proc/self/mountinfo"].into_iter().filter_map(|path| read(Path::new(path)));
    texts.find_map(|text| {
        let mut words = text.split(|character: char| !character.is_ascii_hexdigit());
        words.find(|word| word.len() == 64).map(str::to_owned)
    })
}

fn read(path: &Path) -> Option<String> {
    // The kernel generates files in `/proc` anew for each read.
    let mut text = String::with_capacity(READ_BYTES);
    open_plain(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn git_commit_reads_loose_packed_detached_and_worktree_heads() {
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

    /// The relative pointer was resolved in the current directory: below the top of the submodule there was no commit.
    #[test]
    fn git_commit_of_a_submodule_is_found_in_each_of_its_directories() {
        let folder = tempfile::tempdir().unwrap();
        let [library, top] = ["library", "top"].map(|name| folder.path().join(name));
        for repository in [&library, &top] {
            std::fs::create_dir(repository).unwrap();
            git(repository, &["init", "-q"]);
            git(repository, &["commit", "-q", "--allow-empty", "-m", repository.to_str().unwrap()]);
        }
        let add = ["-c", "protocol.file.allow=always", "submodule", "add", "-q", library.to_str().unwrap(), "deps/lib"];
        git(&top, &add);
        git(&top, &["commit", "-q", "-m", "add"]);
        let [of_library, of_top] = [&library, &top].map(|repository| git(repository, &["rev-parse", "HEAD"]));
        assert_ne!(of_library, of_top);
        let deep = top.join("deps/lib/a/b");
        std::fs::create_dir_all(&deep).unwrap();
        for below in [deep.as_path(), &top.join("deps/lib/a"), &top.join("deps/lib")] {
            assert_eq!(git_commit(below).as_ref(), Some(&of_library), "{}", below.display());
        }
        assert_eq!(git_commit(&top.join("deps")), Some(of_top));
    }

    #[test]
    fn gpu_models_are_read_in_the_order_of_the_bus() {
        let gpus = tempfile::tempdir().unwrap();
        let add = |bus: &str, content: &str| {
            std::fs::create_dir(gpus.path().join(bus)).unwrap();
            let mut file = std::fs::File::create(gpus.path().join(bus).join("information")).unwrap();
            file.write_all(content.as_bytes()).unwrap();
        };
        for (bus, content) in [
            ("0000:81:00.0", "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 120\n"),
            ("0000:07:00.0", "IRQ: 1\nModel: \t\t NVIDIA H100 PCIe\n"),
            ("0000:90:00.0", "Model:\n"),
            ("0000:91:00.0", "nothing"),
        ] {
            add(bus, content);
        }
        std::fs::create_dir(gpus.path().join("0000:99:00.0")).unwrap();
        assert_eq!(gpu_models(gpus.path()), ["NVIDIA H100 PCIe", "NVIDIA A100-SXM4-80GB"]);
        assert!(gpu_models(&gpus.path().join("none")).is_empty());
        for number in 100..200 {
            add(&number.to_string(), "Model: x\n");
        }
        assert!(gpu_models(gpus.path()).len() <= GPUS_MAX);
    }

    #[test]
    fn a_fifo_instead_of_git_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join(".git")).status().unwrap().success());
        assert_eq!(git_commit(folder.path()), None);
    }
}
