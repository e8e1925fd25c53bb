//! Keeps the memory of a process that has secrets out of core dumps. Must not change the limits of the trainer.
//!
//! | `core_pattern` | prevented by |
//! |---|---|
//! | a file | a limit below one page |
//! | `\|program` | the limit 1; the kernel ignores 0 |
//! | `@socket` (Linux 6.16) | `PR_SET_DUMPABLE` 0; the kernel ignores every limit |
//!
//! A process that is not dumpable hides most of its `/proc` from its own user: it is the last resort.

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

const PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Excludes this process and its children from core dumps; not dumpable is only this image.
pub fn forbid() -> std::io::Result<()> {
    // Fails if the limit is 0 for good.
    let is_limited = setrlimit(Resource::RLIMIT_CORE, 1, 1).is_ok();
    if ignores_limit(std::fs::read_to_string(PATTERN).ok().as_deref(), is_limited) {
        set_dumpable(false)?;
    }
    Ok(())
}

/// Whether the kernel dumps in spite of the limit: 1, or 0 if it could not be set.
fn ignores_limit(pattern: Option<&str>, is_limited: bool) -> bool {
    match pattern.map(str::trim_start) {
        None => true,
        Some(pattern) => pattern.starts_with('@') || (pattern.starts_with('|') && !is_limited),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn limit_suffices_except_for_a_socket_or_a_pipe_under_limit_0() {
        for (pattern, limited, unlimited) in [
            (Some("core.%p\n"), false, false),
            (Some("|/lib/systemd/systemd-coredump %P"), false, true),
            (Some("@/run/coredump.socket"), true, true),
            (Some("@@/run/coredump.socket"), true, true),
            (None, true, true),
        ] {
            assert_eq!(ignores_limit(pattern, true), limited, "{pattern:?}");
            assert_eq!(ignores_limit(pattern, false), unlimited, "{pattern:?}");
        }
    }

    /// By the kernel of this host, with its own pattern.
    #[test]
    fn aborted_process_leaves_no_core() {
        const FORBIDS: &str = "RUNWRAP_TEST_FORBIDS_CORE";
        if let Some(forbids) = env::var_os(FORBIDS) {
            if forbids == "yes" {
                forbid().unwrap();
            }
            std::process::abort();
        }
        let directory = tempfile::tempdir().unwrap();
        let dumped = |limit: &str, forbids: &str| {
            let name = "sys::core_dump::tests::aborted_process_leaves_no_core";
            let script = format!("ulimit -S -c {limit} 2>/dev/null; exec \"$0\" --exact {name}");
            let mut child = Command::new("sh");
            child.arg("-c").arg(script).arg(env::current_exe().unwrap()).current_dir(directory.path());
            let status = child.env(FORBIDS, forbids).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            assert_eq!(status.signal(), Some(libc::SIGABRT));
            status.core_dumped()
        };
        for limit in ["unlimited", "0", "4096"] {
            assert!(!dumped(limit, "yes"), "{limit}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        // Proves the test on a host that dumps to a file.
        let hard = Command::new("sh").args(["-c", "ulimit -H -c"]).output().unwrap().stdout;
        let pattern = std::fs::read_to_string(PATTERN).unwrap();
        let to_file = hard != b"0\n" && !pattern.starts_with(['|', '@', '/', '\n']);
        assert!(!to_file || dumped("unlimited", "no"), "{pattern}");
    }
}
