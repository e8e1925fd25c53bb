//! The supervisor: the process that the user started, with one thread and no database.
//!
//! 1. A keeper is started (`keepers`), and while that gets going the journal is begun that it delivers.
//! 2. The trainer waits for the record, `--start-timeout` at most; then it is forked and executed.
//! 3. Signals that only we have got are relayed (`signal_inbox`, `relay`), stop requests written down first; deadlines are kept.
//!    A job that is stopped stops us with its trainer, and time stands still until the two go on.
//! 4. The trainer's end is looked at, written down by the drop guard (`guard`), and only then reaped.
//! 5. The keeper delivers the end; that is waited for, `--finish-timeout` at most. Then runwrap ends as the trainer did.
//!
//! `machine` decides, `reactor` waits and does, `guard` is what no way out can miss.
//! Must never name a store. Called by `commands::run`.

mod deadlines;
mod events;
mod guard;
mod keeper_process;
mod machine;
mod reactor;
mod relay;
mod signal_inbox;
mod trainer;

pub use guard::Undelivered;
pub use machine::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_RUNWRAP, EXIT_TIMEOUT, RunLimits};
pub use reactor::{SupervisorConfig, SupervisorError, SupervisorOutcome, supervise};
