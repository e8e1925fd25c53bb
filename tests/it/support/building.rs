//! Builds that a test starts: cargo, a script that runs it, or the C compiler. Must not choose cargo's target directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

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

/// The program or library of `source`, a C file below `tests/it`, compiled with `options`, and the directory that it is in.
#[track_caller]
pub(crate) fn compile(source: &str, options: &[&str]) -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(Path::new(source).file_stem().unwrap()).to_str().unwrap().to_owned();
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Werror", "-o", &path]).arg(source).args(options);
    let status = compiler.status().unwrap();
    assert!(status.success(), "cc {status}");
    (directory, path)
}
