//! What is left of a run that died while its directory was being made, before it had a journal, or while it was being
//! removed: it has no story to tell, and the next run removes it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::site::Site;
use crate::support::wait::wait_until;

fn make_old(path: &Path) {
    assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(path).status().unwrap().success());
}

/// The process died between the making of the directory and its publication, or after all files were removed.
#[test]
fn what_died_before_it_had_a_journal_or_while_it_was_removed_is_cleared_away() {
    let site = Site::sqlite();
    let runs = site.state_dir().join("runs");
    assert!(site.run(&[], "true").status.success());
    let directory = |name: &str, files: &[&str]| {
        let path = runs.join(name);
        fs::create_dir(&path).unwrap();
        for file in files {
            fs::write(path.join(file), "").unwrap();
        }
        path
    };
    directory("01900000-0000-7000-8000-000000000001", &[]);
    make_old(&directory(".01900000-0000-7000-8000-000000000002", &[]));
    make_old(&directory(".01900000-0000-7000-8000-000000000003", &["lock", "report.jsonl", "journal-1.jsonl"]));
    // This one is being made at the moment.
    let young = directory(".01900000-0000-7000-8000-000000000004", &["lock"]);
    assert!(site.run(&[], "true").status.success());
    wait_until("everything but the young one is gone", || site.run_directories() == [young.clone()]);
    assert_eq!(site.records().len(), 2);
}
