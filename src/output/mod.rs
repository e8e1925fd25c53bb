//! Output for people and programs: tables, JSON, durations, progress, and all writing to stdout and stderr.
//! Must not know the source of the data. While a trainer runs, only [`report_error`] may be called.

mod human;
mod json;
mod printable;
mod progress;
mod streams;
mod table;

pub(crate) use human::{ago, duration, utc};
pub(crate) use json::{JsonArray, json};
pub(crate) use printable::{printable, shortened};
pub(crate) use progress::ProgressBar;
pub(crate) use streams::{format_message, print, report_error};
pub(crate) use table::{key_values, table};
