//! Named points at which a test stops a process. Without the feature `failpoints` this compiles to nothing.
//! `RUNWRAP_FAILPOINTS` lists `name=action`, separated by commas; the actions are `stop` (SIGSTOP: the test does what it wants
//! and lets it go on), `kill` (SIGKILL), `panic` (a real unwinding panic) and `error` (see [`fails`]).
//! Called by supervisor, keeper, journal and delivery, each point in one place.

/// Does what `RUNWRAP_FAILPOINTS` asks for at the point `name`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn reached(_name: &str) {}

/// Whether `RUNWRAP_FAILPOINTS` asks for an error at the point `name`.
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

    /// Does what `RUNWRAP_FAILPOINTS` asks for at the point `name`.
    ///
    /// # Panics
    /// If that is what the test asked for, or if the test asked for something unknown.
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

    /// Whether `RUNWRAP_FAILPOINTS` asks for an error at the point `name`.
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
