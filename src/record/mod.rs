//! What a run is, how it can end, and the rules that merge two versions of its state. Defines the crate's vocabulary.
//! Pure: no I/O, no clock, no log.

mod consistency;
mod decide;
mod ending;
mod instant;
mod json;
mod merge;
mod report;
mod row;
mod run;
mod status;
mod tail;
mod version;

pub use consistency::{Cell, Examined, Finding, FindingKind, Repair, Watched, derived_end, findings, is_off};
pub use decide::{Decision, Doubt, Verdict, decide, may_be_stuck};
pub use ending::{Ending, TrainerExit, Usage, elapsed_seconds, ending_of};
pub use instant::read_instant;
pub use json::same_json;
pub use merge::{Applied, Change, DatabaseClock, Presumption, Proof, is_overdue, merge};
pub use report::{LineError, METRICS_BYTES_MAX, Report, ReportAccumulator, merge_metrics, parse_metrics, parse_report};
pub use row::{Row, Watch};
pub use run::{Begun, Progress, RecordId, Run, RunId};
pub use status::{Reason, Status};
pub use tail::readable_tail;
pub use version::{version_key, version_label, version_number};
