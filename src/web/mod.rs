//! The pages of `runwrap serve`.

pub(crate) mod pages;
