//! The parsed command line: the flags of the options, and the verb with its own arguments. Plain data.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use crate::config::Layer;
use crate::output::{ColorChoice, Format};
use crate::store::Filter;
use crate::web::Listen;

/// One call of runwrap.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub flags: Layer,
    pub action: Action,
}

/// A verb with its own arguments, or a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Neither `command` nor its first word is empty.
    Run(Vec<OsString>),
    List(ListArgs),
    Show(ShowArgs),
    Diff {
        /// Records' ids, or runs'.
        ids: [String; 2],
        json: bool,
    },
    Check(CheckArgs),
    Doctor {
        json: bool,
    },
    Recover(RecoverArgs),
    Serve(ServeArgs),
    Finalize(FinalizeArgs),
    Note(NoteArgs),
    Report(ReportArgs),
    Migrate {
        /// Print the missing statements, and change nothing.
        print: bool,
    },
    /// The hidden verb that starts a keeper, which parses the arguments.
    Keeper(Vec<OsString>),
}

/// The beginning of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Ago(TimeDelta),
    Time(DateTime<Utc>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListArgs {
    /// Without the time.
    pub filter: Filter,
    /// Only records that started then or later.
    pub since: Option<Since>,
    pub format: Format,
    /// A column each.
    pub metrics: Vec<String>,
    /// A key of [`super::list::sort_key`], and whether the greatest value comes first.
    pub sort: Option<(String, bool)>,
    /// Draw the table again and again.
    pub watch: bool,
    pub color: ColorChoice,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShowArgs {
    /// A record's id, or a run's.
    pub id: String,
    pub json: bool,
    /// The names of the curves to draw; if empty, the most interesting ones.
    pub curves: Vec<String>,
    /// Print the points of this curve and nothing else.
    pub points: Option<String>,
    /// For the points.
    pub format: Format,
    pub color: ColorChoice,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckArgs {
    pub json: bool,
    /// Repair what follows from a record itself.
    pub fix: bool,
    /// Only the runs without an end, and the journals.
    pub live: bool,
    /// How long an unwatched record may be without a sign of life.
    pub stuck_after: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoverArgs {
    pub json: bool,
    /// Print what would be done, and do nothing.
    pub dry_run: bool,
    /// Also end unwatched records after this time without a sign of life.
    pub stuck_after: Option<Duration>,
    /// End such a record now if nothing proves another end; else its end stays unknown.
    pub assume_now: bool,
    /// Also deliver the journals that name this database.
    pub from: Option<String>,
    /// Repeat with this pause until SIGTERM.
    pub every: Option<Duration>,
    /// Write metrics to this file after each round.
    pub textfile: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeArgs {
    pub listen: Listen,
    /// Names besides those of loopback that a Host header may have.
    pub allowed_hosts: Vec<String>,
    /// Recover with this pause.
    pub recover: Option<Duration>,
    /// The recovery also ends unwatched records after this time without a sign of life.
    pub stuck_after: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizeArgs {
    /// A record's id, or a run's.
    pub id: String,
    /// Completed, else failed.
    pub completed: bool,
    pub ended_at: Option<DateTime<Utc>>,
    pub explanation: Option<String>,
    pub metrics: Option<Map<String, Value>>,
    /// As typed.
    pub model_path: Option<String>,
    /// Override a known end.
    pub force: bool,
}

/// There is a text, a tag or a tag to take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoteArgs {
    /// A record's id, or a run's.
    pub id: String,
    pub text: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub untagged: Vec<String>,
}

/// At least one of the three is given. Invalid UTF-8 is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportArgs {
    /// Keys and values as typed; no key is empty.
    pub metrics: Vec<(String, String)>,
    /// The step of the metrics: a JSON number.
    pub step: Option<serde_json::Number>,
    pub model_path: Option<String>,
    pub error: Option<String>,
}
