//! What a run is, how it can end, and the rules that merge two versions of its state. Defines the crate's vocabulary.
//! Pure: no I/O, no clock, no log.

mod consistency;
mod curve;
mod decide;
mod difference;
mod ending;
mod instant;
mod json;
mod merge;
mod report;
mod row;
mod run;
mod secret;
mod series;
mod size;
mod status;
mod tail;
mod version;

pub use consistency::{Cell, Examined, Finding, FindingKind, Repair, Watched};
pub(crate) use consistency::{findings, shell_quoted};
pub(crate) use curve::{curve_rank, extremes, points};
pub(crate) use decide::may_be_stuck;
pub use decide::{Decision, Doubt, Verdict, decide};
pub use difference::Difference;
pub(crate) use difference::differences;
pub(crate) use ending::elapsed_seconds;
pub use ending::{Ending, TrainerExit, Usage, ending_of};
pub(crate) use instant::read_instant;
pub(crate) use json::same_json;
pub(crate) use merge::is_overdue;
pub use merge::{Applied, Change, DatabaseClock, Presumption, Proof, merge};
pub use report::{LineError, METRICS_BYTES_MAX, Report};
pub(crate) use report::{parse_line, parse_metrics};
pub use row::{Row, Watch};
pub use run::{Begun, Circumstances, Progress, RecordId, Run, RunId};
pub use secret::redact_command;
pub use series::{BUCKETS_MAX, Buckets, Series};
pub(crate) use series::{Recorder, Reported, number as number_of};
pub(crate) use size::Size;
pub use status::{Reason, Status};
pub(crate) use tail::readable_tail;
pub(crate) use version::{version_key, version_label, version_number};
