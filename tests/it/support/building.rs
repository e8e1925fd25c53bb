//! Builds that a test starts: cargo, a script that runs it, or the C compiler. Must not choose the target directory.

use std::path::Path;
use std::process::{Command, Stdio};

/// The longest time of a first build, in seconds.
const BUILD_SECONDS_MAX: &str = "1800";

/// Closes all inherited descriptors but the standard ones. If the test dies, or the time runs out, `timeout` ends its process group.
const ALONE: &str = "for fd in /proc/self/fd/*; do fd=${fd##*/}; [ \"$fd\" -le 2 ] || eval \"exec $fd>&-\"; done; \
                     exec setpriv --pdeathsig TERM timeout --kill-after 10 \"$@\"";

/// A command for a build. A build once kept a lock that the test had inherited, and outlived the killed test.
pub(crate) fn building(words: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", ALONE, "bash", BUILD_SECONDS_MAX]).args(words).stdin(Stdio::null());
    command
}

/// The program of the file `source`.c in this folder's parent, compiled with `options`, and the directory that holds it.
#[track_caller]
pub(crate) fn compile(source: &str, options: &[&str]) -> (tempfile::TempDir, String) {
    let directory = tempfile::TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/{source}.c"));
    let path = directory.path().join(source.file_stem().unwrap()).to_str().unwrap().to_owned();
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Werror", "-o", &path]).arg(source).args(options);
    let status = compiler.status().unwrap();
    assert!(status.success(), "cc {status}");
    (directory, path)
}
