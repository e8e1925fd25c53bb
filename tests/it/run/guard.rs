//! The finalize drop guard: on a panic and on an error of the supervisor the record has its end before runwrap exits.

use serde_json::json;

use crate::support::site::{Site, output};

/// Fails at the point `running`, right after the exec of the trainer.
#[track_caller]
fn fails(action: &str, message: &str) {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut command = site.shell(&[], "echo $$ > pid; exec sleep 60");
        let output = output(command.env("RUNWRAP_FAILPOINTS", format!("running={action}")));
        assert_eq!(output.status.code(), Some(125));
        let record = site.record();
        assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("supervisor_error")));
        assert!(record["error_message"].as_str().unwrap().contains(message), "{record:?}");
        assert!(!record["train_end_time"].is_null() && !record["train_duration"].is_null());
        assert!(site.run_directories().is_empty());
        site.quiet();
    }
}

// Holds: failures/supervisor-panic
#[test]
fn supervisor_panic_finalizes_before_the_exit() {
    fails("panic", "runwrap panicked");
}

// Holds: failures/supervisor-error
#[test]
fn supervisor_error_finalizes_before_the_exit() {
    fails("error", "runwrap failed");
}
