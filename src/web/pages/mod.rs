//! The pages of `runwrap serve`: pure functions from what was read to HTML. Must not read a database or a clock.

mod drawing;
mod escape;
mod labels;
mod scale;
mod time;
