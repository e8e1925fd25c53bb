//! Named points at which a test stops a process. Without the feature `failpoints` this compiles to nothing.
//! `RUNWRAP_FAILPOINTS` lists `name=action`, separated by commas. Actions: `stop` (SIGSTOP; the test sends SIGCONT),
//! `kill` (SIGKILL), `panic` (an unwinding panic) and `error` (see [`fails`]). Each name is used at one place in the
//! code.

/// Performs the action that `RUNWRAP_FAILPOINTS` lists for `name`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn reached(_name: &str) {}

/// Whether `RUNWRAP_FAILPOINTS` lists `error` for `name`.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[must_use]
pub const fn fails(_name: &str) -> bool {
    false
}

#[cfg(feature = "failpoints")]
pub use compiled_in::{fails, reached};

#[cfg(feature = "failpoints")]
mod compiled_in {
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

    /// Whether `RUNWRAP_FAILPOINTS` lists `error` for `name`.
    #[must_use]
    pub fn fails(name: &str) -> bool {
        action(name).as_deref() == Some("error")
    }

    fn action(name: &str) -> Option<String> {
        let list = std::env::var("RUNWRAP_FAILPOINTS").ok()?;
        let found = list.split(',').find_map(|item| item.split_once('=').filter(|(point, _)| *point == name));
        found.map(|(_, action)| action.to_owned())
    }
}
