//! Builds that a test starts: cargo, or a script that runs it. Must not choose the target directory.

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
