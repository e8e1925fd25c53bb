//! The cost of each operation in a large table, by the steps of SQLite's virtual machine.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::sqlite::STEPS;
use super::*;
use crate::record::{Change, Decision, Run};
use crate::record::{Doubt, Ending, Progress, Reason, Report, Status};

fn moment() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn progress() -> Progress {
    Progress {
        started_at: Some(moment()),
        seen_at: Some(moment()),
        pid: Some(1),
        stop_signal: None,
        report: Report::default(),
        model_bytes: None,
    }
}

fn ended() -> Change {
    let ending = Ending {
        status: Status::Completed,
        reason: Reason::Success,
        ended_at: moment(),
        duration_seconds: 0,
        exit_code: Some(0),
        signal: None,
        error_message: None,
        usage: None,
    };
    Change::Finalize(progress(), ending)
}

/// A life, and everything that is asked regularly. Returns the steps of each, under its name.
fn everything(store: &mut Store) -> Vec<(&'static str, i64)> {
    let (first, second) = (Run::sample("model-7", moment()), Run::sample("a new name", moment()));
    let mut taken = Vec::new();
    let mut step = |what: &'static str, work: &mut dyn FnMut(&mut Store)| {
        STEPS.set(0);
        work(store);
        taken.push((what, STEPS.get()));
    };
    step("begin", &mut |store| _ = store.begin(&first, None).unwrap());
    step("begin under a new name", &mut |store| _ = store.begin(&second, None).unwrap());
    let heartbeat = Change::Heartbeat(progress());
    step("heartbeat", &mut |store| _ = store.apply(first.run_id, &heartbeat).unwrap());
    let all = Filter { limit: 20, ..Filter::default() };
    let named = Filter { name: Some("model-7".into()), ..all.clone() };
    step("list", &mut |store| _ = store.list(&all).unwrap());
    step("list a name", &mut |store| _ = store.list(&named).unwrap());
    let training = Filter { statuses: vec![Status::Training], ..all.clone() };
    step("list a status", &mut |store| _ = store.list(&training).unwrap());
    let nobody = Filter { name: Some("nobody".into()), ..all.clone() };
    step("list nobody", &mut |store| _ = store.list(&nobody).unwrap());
    let of_host = Filter { host: Some("gpu-7".into()), ..all.clone() };
    step("list a host", &mut |store| assert_eq!(store.list(&of_host).unwrap().len(), 20));
    let pattern = Filter { name: Some("*l-7".into()), ..all.clone() };
    step("list a pattern", &mut |store| assert_eq!(store.list(&pattern).unwrap().len(), 20));
    step("overdue", &mut |store| _ = store.overdue(u32::MAX).unwrap());
    step("stuck", &mut |store| _ = store.stuck(86_400).unwrap());
    step("examine live runs", &mut |store| {
        assert_eq!(store.examine(Scope::LiveRuns, None, 10_000).unwrap().read, 2);
    });
    let after = RecordId("200".into());
    step("examine a page", &mut |store| _ = store.examine(Scope::All, Some(&after), 10).unwrap());
    step("estimate", &mut |store| _ = store.estimate().unwrap());
    step("show", &mut |store| _ = store.show("17").unwrap().unwrap());
    step("show a run", &mut |store| _ = store.show(&first.run_id.to_string()).unwrap().unwrap());
    let doubt = Decision::GiveUp(Doubt {
        silent_seconds: 1,
        model_written_at: None,
        assume_now: false,
        by: "eve".into(),
        message: "stuck".into(),
    });
    step("give up", &mut |store| _ = store.decide(&RecordId("18".into()), &doubt).unwrap());
    step("derive", &mut |store| _ = store.decide(&RecordId("19".into()), &Decision::Derive).unwrap());
    for run in [&first, &second] {
        step("finalize", &mut |store| _ = store.apply(run.run_id, &ended()).unwrap());
    }
    taken
}

/// A store with so many finished records, of ten names.
fn filled(path: &Path, count: u32) -> Store {
    let options = OpenOptions {
        table: "training_records".into(),
        migrate: true,
        attempt: 0,
        statement_timeout: Duration::from_mins(1),
        answer_bytes_max: usize::MAX,
        cache: StoreCache::default(),
    };
    let mut store = open(&DatabaseTarget::Sqlite(path.to_owned()), &options).unwrap();
    store.migrate().unwrap();
    // In one transaction: nobody needs them to last.
    store.rehearse();
    for number in 0..count {
        let run = Run::sample(&format!("model-{}", number % 10), moment());
        store.begin(&run, None).unwrap();
        store.apply(run.run_id, &ended()).unwrap();
    }
    store
}

/// After `ANALYZE`, `recover --stuck-after` read the whole table: a third of the rows seemed to be in training.
#[test]
fn no_operation_reads_the_whole_table_whatever_the_statistics() {
    for is_analyzed in [false, true] {
        let of = |count: u32| {
            let directory = tempfile::tempdir().unwrap();
            let mut store = filled(&directory.path().join("runs.db"), count);
            if is_analyzed {
                store.session.script("ANALYZE").unwrap();
            }
            everything(&mut store)
        };
        let (small, large) = (of(300), of(1_200));
        for ((what, few), (_, many)) in small.into_iter().zip(large) {
            assert!(
                many < few + few / 5 + 100,
                "{what}: {few} steps, {many} in a table four times as large ({is_analyzed})"
            );
        }
    }
}
