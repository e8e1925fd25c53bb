//! Output for people and programs: tables, JSON, durations, progress, and all writing to stdout and stderr.
//! Must not know the source of the data. While a trainer runs, only [`report_error`] may be called.

mod format;
mod human;
mod json;
mod plot;
mod printable;
mod progress;
mod streams;
mod table;

pub use anstream::ColorChoice;
pub use format::Format;
pub(crate) use format::formatted;
pub(crate) use human::{ago, bytes, duration, shell_word, utc};
pub(crate) use json::{JsonArray, json};
pub(crate) use plot::{PlotPoint, number, plot, sparkline};
pub(crate) use printable::{printable, printable_lines, shortened};
pub(crate) use progress::ProgressBar;
pub(crate) use streams::{format_message, print, print_data, report_error, styled, terminal_columns, terminal_size};
pub(crate) use table::{Column, cut, fitted, key_values, table};
