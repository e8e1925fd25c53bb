//! The keeper: the process that speaks to the database for a run, and that ends the run if its supervisor cannot.
//!
//! It starts with a link to the supervisor, a brief and the journal (see `link`). It delivers the beginning, then a
//! heartbeat now and then, then the end, each from the journal, each in an attempt with a deadline. An attempt that hangs is
//! abandoned by replacing the whole image: all that is needed is in the journal. When the supervisor goes away the keeper
//! makes sure that the journal has an end (`takeover`), delivers it, and goes on trying for `--linger`.
//!
//! `machine` decides, `reactor` waits and does. Must never write to the journal while the supervisor lives.
//! Called by the hidden command `keeper`.

mod machine;
mod reactor;
mod takeover;

pub use reactor::{KeeperError, run};
