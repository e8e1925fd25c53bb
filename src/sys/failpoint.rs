//! Named points at which a test stops a process. Without the feature `failpoints` no name has an action, and the
//! compiler removes the rest. `RUNWRAP_FAILPOINTS` lists `name=action`, separated by commas. Actions: `stop` (SIGSTOP;
//! the test sends SIGCONT), `kill` (SIGKILL), `panic` (an unwinding panic) and `error` (see [`may_fail`]). Each name is
//! used at one place in the code.

use std::io;

use nix::sys::signal::{Signal, raise};

/// Performs the action that `RUNWRAP_FAILPOINTS` lists for `name`.
///
/// # Panics
/// On `panic`, and on an unknown action.
#[expect(clippy::panic, reason = "a failpoint that does nothing would make a test pass for nothing")]
pub fn reached(name: &str) {
    let done = match action(name).as_deref() {
        None | Some("error") => Ok(()),
        Some("stop") => raise(Signal::SIGSTOP),
        Some("kill") => raise(Signal::SIGKILL),
        Some(action) => panic!("failpoint {name}={action}"),
    };
    if let Err(error) = done {
        panic!("failpoint {name}: {error}");
    }
}

/// Fails if `RUNWRAP_FAILPOINTS` lists `error` for `name`.
pub fn may_fail(name: &str) -> io::Result<()> {
    if action(name).as_deref() == Some("error") { Err(io::Error::other("failpoint")) } else { Ok(()) }
}

fn action(name: &str) -> Option<String> {
    if !cfg!(feature = "failpoints") {
        return None;
    }
    let list = std::env::var("RUNWRAP_FAILPOINTS").ok()?;
    let found = list.split(',').find_map(|item| item.split_once('=').filter(|(point, _)| *point == name));
    found.map(|(_, action)| action.to_owned())
}
