//! What was typed, before anything is read into it: the verb, its own arguments, and the layer of flags.
//! Plain data. Filled by `cli`, performed by the verbs.

use std::ffi::OsString;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::config::Layer;
use crate::record::Status;

/// One call of runwrap.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub flags: Layer,
    pub action: Command,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Not empty, and neither is its first word.
    Run {
        command: Vec<OsString>,
    },
    List(ListArgs),
    Show(ShowArgs),
    Check(CheckArgs),
    Recover(RecoverArgs),
    Finalize(FinalizeArgs),
    Report(ReportArgs),
    Migrate(MigrateArgs),
    /// The hidden verb by which runwrap starts its keeper; the arguments are its own affair.
    Keeper {
        arguments: Vec<OsString>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListArgs {
    pub status: Option<Status>,
    pub name: Option<String>,
    /// At least 1.
    pub limit: u32,
    pub json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowArgs {
    /// A record's id or a run's.
    pub id: String,
    pub json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckArgs {
    pub json: bool,
    /// Repair what follows from a record itself.
    pub fix: bool,
    /// Only the records of runs that have no end yet, and the journals.
    pub live: bool,
    /// How long nothing may be heard of a record that nothing watches.
    pub stuck_after: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoverArgs {
    pub json: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Also what nothing watches, once nothing was heard of it for so long.
    pub stuck_after: Option<Duration>,
    /// The end of such a record is now where nothing proves another; else it stays unknown.
    pub assume_now: bool,
    /// Do it again and again, with this pause, until SIGTERM.
    pub every: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizeArgs {
    /// A record's id or a run's.
    pub id: String,
    /// Else it failed.
    pub completed: bool,
    pub ended_at: Option<DateTime<Utc>>,
    pub explanation: Option<String>,
    pub metrics: Option<Map<String, Value>>,
    /// As typed.
    pub model_path: Option<String>,
    /// Also against the truth.
    pub force: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrateArgs {
    /// Only show the statements.
    pub print: bool,
}

/// At least one of the three is there. Invalid UTF-8 is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportArgs {
    /// Keys and values as typed; no key is empty.
    pub metrics: Vec<(String, String)>,
    pub model_path: Option<String>,
    pub error: Option<String>,
}
