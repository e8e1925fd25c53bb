//! The one integration binary: everything that needs a real database, a real process or the real command line.
//! Needs `--features failpoints` and what `scripts/test` installs; whatever is missing fails. What this user or this
//! kernel may not do is skipped, and said on stderr.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test writes plain files and reads the plain clock")]

mod chaos;
mod checking;
mod completing;
mod container;
mod dashboard;
mod database_faults;
mod doctor;
mod door;
mod finalizing;
mod flooding;
mod incident;
mod inject;
mod kill;
mod libpq;
mod logging;
mod looking;
mod manual;
mod notifying;
mod on_finish;
mod owners;
mod picture;
mod places;
mod readme;
mod recipes;
mod reference;
mod refusing;
mod run;
mod serving;
mod signals;
mod state_directory;
mod store;
mod support;
mod verbs;
mod version;
