//! The pages of `runwrap serve`: pure functions from the data of `look` to HTML. Must not read a database or a clock, and no value
//! reaches a page but through a template, which escapes it.

mod chart;
mod comparison;
mod drawing;
mod escape;
mod fields;
mod frame;
mod groups;
mod health;
mod labels;
mod message;
mod run;
mod runs;
mod scale;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use comparison::comparison;
pub(crate) use frame::Frame;
pub(crate) use health::health;
pub(crate) use message::{Problem, message};
pub(crate) use run::run;
pub(crate) use runs::runs;

/// The style sheet of all pages.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The script of all pages.
pub(crate) const SCRIPT: &str = include_str!("script.js");
