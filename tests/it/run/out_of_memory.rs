//! OOM kills in real control groups with a limit: only the trainer's own is recorded as `oom`. The formats of the kernel's
//! files are tested in `sys::cgroup`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::support::site::{Site, output};
use crate::support::skipped;
use crate::support::wait::wait_until;

/// Takes more memory than [`LIMIT_BYTES`].
const GREEDY: &str = "python3 -c 'x = bytearray(200 << 20)'";
const LIMIT_BYTES: &str = "52428800";

/// A control group with a limit. Removed when dropped, once its processes have ended.
struct Group {
    path: PathBuf,
}

impl Group {
    /// `None`, and a line on stderr, if this user may not make one.
    fn make() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("runwrap-test-{}-{number}", std::process::id());
        let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        for (place, limit) in places {
            let path = Path::new(place).join(&name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self { path };
            if fs::write(group.path.join(limit), LIMIT_BYTES).is_ok() {
                return Some(group);
            }
        }
        skipped("no control group with a memory limit may be made here (run the tests as root)");
        None
    }

    /// Runs `runwrap -- sh -c SCRIPT` in this group.
    fn run(&self, site: &Site, script: &str) -> Output {
        let mut command: Command = site.program("sh");
        let enter = format!("echo $$ > {}/cgroup.procs", self.path.display());
        command.args([
            "-c",
            &format!("{enter} && exec \"$@\""),
            "sh",
            env!("CARGO_BIN_EXE_runwrap"),
            "--",
            "sh",
            "-c",
            script,
        ]);
        output(&mut command)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if fs::remove_dir(&self.path).is_err() && !std::thread::panicking() {
            wait_until("the group is empty", || fs::remove_dir(&self.path).is_ok());
        }
    }
}

fn reason_and_signal(site: &Site) -> (Value, Value) {
    let mut newest = site.records().swap_remove(0);
    (newest["reason"].take(), newest["signal"].take())
}

// Holds: failures/trainer-oom
#[test]
fn oom_kill_of_the_trainer_is_recorded_as_oom() {
    let Some(group) = Group::make() else { return };
    let site = Site::sqlite();
    let ended = group.run(&site, &format!("exec {GREEDY}"));
    assert_eq!(ended.status.signal(), Some(9));
    assert_eq!(reason_and_signal(&site), (json!("oom"), json!("SIGKILL")));
    let message = site.record()["error_message"].clone();
    assert_eq!(message, "killed by SIGKILL: the kernel ran out of memory in the trainer's cgroup");

    // An OOM kill that was counted before the run does not count for it.
    assert_eq!(group.run(&site, "kill -9 $$").status.signal(), Some(9));
    assert_eq!(reason_and_signal(&site), (json!("signal"), json!("SIGKILL")));
    site.quiet();
}

// Holds: failures/trainer-child-oom
#[test]
fn oom_kill_of_a_child_leaves_the_trainer_its_own_reason() {
    let Some(group) = Group::make() else { return };
    let site = Site::sqlite();
    let run = |end: &str| group.run(&site, &format!("{GREEDY}; test $? = 137 || exit 99; {end}")).status;
    assert_eq!(run("exit 0").code(), Some(0));
    assert_eq!(reason_and_signal(&site), (json!("success"), json!(null)));
    assert_eq!(run("exit 1").code(), Some(1));
    assert_eq!(reason_and_signal(&site), (json!("exit"), json!(null)));
    assert_eq!(run("kill -TERM $$").signal(), Some(15));
    assert_eq!(reason_and_signal(&site), (json!("signal"), json!("SIGTERM")));
    site.quiet();
}
