//! The verbs, one file each. A verb takes values that are read already, does one thing and says so on stdout; what
//! went wrong is returned, and `main` says it on stderr. Must not know how a flag is spelled. Called by `main`.

mod ask;
mod error;
pub mod list;
pub mod migrate;
pub mod report;
pub mod show;

pub use error::{CommandError, EXIT_FAILED, EXIT_NO_SUCH_RECORD};
