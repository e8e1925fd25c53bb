//! The supervisor: the process that the user started. One thread of its own, no database.
//!
//! 1. It starts a keeper (`keeper_process`). While the keeper starts, it writes the beginning of the journal.
//! 2. It waits for the record, at most `--start-timeout`, then forks and executes the trainer.
//! 3. It relays the signals that did not reach the trainer (`signal_inbox`, `evidence`, `relay`). Stop requests are written to the
//!    journal first. If the job is stopped, the supervisor stops too, and its deadlines pause.
//! 4. When the trainer ends, the drop guard (`guard`) writes the end to the journal; only then is the trainer reaped.
//! 5. It waits until the keeper has delivered the end, at most `--finish-timeout`, and exits as the trainer did.
//!
//! `machine` decides, `reactor` waits and performs, `guard` writes the end on every way out. Must never name a store.

mod deadlines;
mod events;
mod evidence;
mod guard;
mod keeper_process;
mod machine;
mod reactor;
mod relay;
mod signal_inbox;
mod trainer_end;

pub use deadlines::RunLimits;
pub use guard::Undelivered;
pub use machine::EXIT_RUNWRAP;
pub use reactor::{SupervisorConfig, SupervisorError, supervise};
pub use trainer_end::become_command;
