//! `runwrap serve`.

mod browser;
