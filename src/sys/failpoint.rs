//! Named points at which a test stops the process. Without the feature `failpoints` this compiles to nothing.
//! `RUNWRAP_FAILPOINTS` lists `name=action`, separated by commas; the actions are `kill` (SIGKILL to the
//! process itself), `kill-parent`, `kill-both`, `kill-group` (the parent's process group, then itself),
//! `panic` (a real unwinding panic) and `stop` (SIGSTOP). Called by supervisor, keeper, journal and delivery.

/// Does what `RUNWRAP_FAILPOINTS` asks for at the point `name`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn reached(_name: &str) {}

/// Whether `RUNWRAP_FAILPOINTS` asks for an error at the point `name` (`name=error`).
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
    use nix::sys::signal::{Signal, kill, killpg, raise};
    use nix::unistd::{Pid, getpgid, getppid};

    /// Does what `RUNWRAP_FAILPOINTS` asks for at the point `name`.
    ///
    /// # Panics
    /// If that is what the test asked for.
    pub fn reached(name: &str) {
        let own = || raise(Signal::SIGKILL);
        let parent = || kill(getppid(), Signal::SIGKILL);
        let done = match action(name).as_deref() {
            None => return,
            Some("kill") => own(),
            Some("kill-parent") => parent(),
            Some("kill-both") => parent().and_then(|()| own()),
            Some("kill-group") => getpgid(Some(getppid())).and_then(|group| killpg(group, Signal::SIGKILL)),
            Some("stop") => raise(Signal::SIGSTOP),
            Some(action) => {
                if let Some(pid) = action.strip_prefix("kill-pid-").and_then(|pid| pid.parse().ok()) {
                    kill(Pid::from_raw(pid), Signal::SIGKILL)
                } else {
                    #[expect(clippy::panic, reason = "the action is to panic")]
                    {
                        panic!("failpoint {name}={action}");
                    }
                }
            }
        };
        #[expect(clippy::panic, reason = "a failpoint that did not work would make a test pass for nothing")]
        if let Err(error) = done {
            panic!("failpoint {name}: {error}");
        }
    }

    /// Whether `RUNWRAP_FAILPOINTS` asks for an error at the point `name` (`name=error`).
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
