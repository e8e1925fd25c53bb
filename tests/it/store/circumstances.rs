//! The circumstances of a run: attempts of a job, tags, runs in runs, and runs that must be the only one of their name.

use std::thread;

use runwrap::record::{Applied, Change, Circumstances, Proof, Reason, RecordId, Run, RunId, Status, Watched};
use runwrap::store::{Filter, Note, OpenOptions, RecordView, Scope, StoreError, open};
use serde_json::json;

use super::conformance;
use super::place::{Place, at, begin, presumption, progress, run, success};

conformance!(
    runs_of_a_job_are_numbered_without_twins,
    list_is_filtered_by_what_runs_are,
    circumstances_are_shown,
    exclusive_runs_of_a_name_begin_one_at_a_time,
    exclusive_run_begins_after_the_end_and_the_loss_of_its_namesake,
    exclusive_run_that_has_begun_begins_again,
    notes_and_tags_are_added_to_any_record,
    noted_row_without_a_run_is_still_adopted_and_given_up,
    notes_at_once_on_a_row_without_a_run_are_all_kept,
    notes_and_tags_of_a_waiting_row_go_to_its_run,
    note_stays_with_its_row_and_not_with_the_number,
    notes_are_limited_and_never_hinder_a_run,
);

const ALL: u32 = 100;

fn of_job(job: &str) -> Run {
    let circumstances = Circumstances { job: Some(job.into()), ..Circumstances::default() };
    Run { circumstances, ..run("cifar") }
}

fn exclusive(name: &str) -> Run {
    Run { is_exclusive: true, ..run(name) }
}

fn runs_of_a_job_are_numbered_without_twins(place: &Place) {
    place.open().migrate().unwrap();
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| begin(place, &of_job("77")));
        }
    });
    begin(place, &of_job("78"));
    begin(place, &run("cifar"));
    let attempts =
        |job: &str| place.texts(&format!("SELECT attempt AS x FROM runwrap_runs WHERE job = '{job}' ORDER BY attempt"));
    let numbers: Vec<_> = (1..=12).map(|number| Some(number.to_string())).collect();
    assert_eq!((attempts("77"), attempts("78")), (numbers, vec![Some("1".to_owned())]));
    assert_eq!(place.text("SELECT count(*) AS x FROM runwrap_runs WHERE attempt IS NULL").unwrap(), "1");
}

fn listed(place: &Place, filter: Filter) -> Vec<String> {
    let entries = place.open().list(&Filter { limit: ALL, ..filter }).unwrap();
    entries.iter().map(|RecordView(entry)| entry["id"].to_string()).collect()
}

fn list_is_filtered_by_what_runs_are(place: &Place) {
    let outer = run("a");
    let tagged = |tags: &[(&str, &str)]| Circumstances {
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        parent_run_id: Some(outer.run_id),
        ..Circumstances::default()
    };
    begin(place, &outer);
    begin(place, &Run { circumstances: tagged(&[("team", "fraud"), ("gpu", "")]), ..run("a") });
    begin(
        place,
        &Run { circumstances: tagged(&[("team", "x"), ("a\"b' $1 ?", "1")]), host: "gpu-9".into(), ..run("b") },
    );
    begin(place, &of_job("5"));
    place.open().apply(outer.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    let tag = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    let with = |tags: Vec<(String, Option<String>)>| listed(place, Filter { tags, ..Filter::default() });
    assert_eq!(with(vec![tag("team", None)]), ["3", "2"]);
    assert_eq!(with(vec![tag("team", Some("x"))]), ["3"]);
    assert_eq!(with(vec![tag("team", Some("fraud")), tag("gpu", Some(""))]), ["2"]);
    assert_eq!(with(vec![tag("team", Some("x")), tag("gpu", None)]), [""; 0]);
    assert_eq!(with(vec![tag("a\"b' $1 ?", Some("1"))]), ["3"]);
    assert_eq!(with(vec![tag("tea", None)]), [""; 0]);
    assert_eq!(listed(place, Filter { parent: Some(outer.run_id), ..Filter::default() }), ["3", "2"]);
    assert_eq!(listed(place, Filter { job: Some("5".into()), ..Filter::default() }), ["4"]);
    assert_eq!(
        listed(place, Filter { host: Some("gpu-9".into()), name: Some("b".into()), ..Filter::default() }),
        ["3"]
    );
    assert_eq!(listed(place, Filter { reason: Some(Reason::Success), ..Filter::default() }), ["1"]);
}

fn circumstances_are_shown(place: &Place) {
    let outer = RunId(uuid::Uuid::now_v7());
    let circumstances = Circumstances {
        parent_run_id: Some(outer),
        job: Some("5_1".into()),
        tags: [("team".to_owned(), "fraud\0".to_owned())].into(),
        stdout_path: Some("/var/log/train.out".into()),
        stderr_path: None,
    };
    let run = Run { circumstances, ..run("a") };
    begin(place, &run);
    let mut end = progress("{}");
    end.model_bytes = Some(5_000_000_000);
    place.open().apply(run.run_id, &Change::Finalize(end, success())).unwrap();
    let shown = place.show("1");
    assert_eq!(shown["parent_run_id"], json!(outer.to_string()));
    assert_eq!((&shown["job"], &shown["attempt"]), (&json!("5_1"), &json!(1)));
    assert_eq!(shown["tags"], json!({"team": "fraud\u{fffd}"}));
    assert_eq!((&shown["stdout_path"], &shown["stderr_path"]), (&json!("/var/log/train.out"), &json!(null)));
    assert_eq!(shown["model_bytes"], json!(5_000_000_000_i64));
}

fn exclusive_runs_of_a_name_begin_one_at_a_time(place: &Place) {
    place.open().migrate().unwrap();
    let begun = thread::scope(|scope| {
        // Without the counter of versions, which would serialize the runs of a name too.
        let given = |number: usize| Run { version: Some(format!("x{number}")), ..exclusive("a") };
        let starts: Vec<_> =
            (0..50).map(|number| scope.spawn(move || place.open().begin(&given(number), None))).collect();
        starts.into_iter().flat_map(|start| start.join().unwrap()).count()
    });
    assert_eq!((begun, place.count("training_records")), (1, 1));
    assert!(place.open().begin(&exclusive("b"), None).is_ok());
    let Err(StoreError::Running { message, .. }) = place.open().begin(&exclusive("a"), None) else {
        panic!("another run of the name began");
    };
    assert!(message.contains("\"a\"") && message.contains("record 1"), "{message}");
    // A run that does not ask for it begins.
    begin(place, &run("a"));
}

fn exclusive_run_begins_after_the_end_and_the_loss_of_its_namesake(place: &Place) {
    let first = exclusive("a");
    begin(place, &first);
    place.open().apply(first.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    let second = Run { lease_seconds: 1, ..exclusive("a") };
    begin(place, &second);
    place.wait_until_up_for_a_second();
    place.set_heartbeat(second.run_id, -60);
    assert!(
        matches!(place.open().begin(&exclusive("a"), None), Err(StoreError::Running { run_id, .. }) if run_id == second.run_id)
    );
    place.open().apply(second.run_id, &Change::Presume(presumption(Proof::Lease))).unwrap();
    begin(place, &exclusive("a"));
}

/// A lost answer, or a keeper that was replaced.
fn exclusive_run_that_has_begun_begins_again(place: &Place) {
    let run = exclusive("a");
    let begun = begin(place, &run);
    assert_eq!(begin(place, &run), begun);
    assert_eq!(place.open().begin(&run, Some(&begun)).unwrap(), begun);
    assert_eq!(place.count("training_records"), 1);
}

fn note(text: Option<&str>, tags: &[(&str, &str)], untagged: &[&str]) -> Note {
    Note {
        text: text.map(str::to_owned),
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        untagged: untagged.iter().map(|key| (*key).to_owned()).collect(),
        by: "ann@gpu-7".into(),
        at: at(5),
    }
}

fn notes_and_tags_are_added_to_any_record(place: &Place) {
    let watched = run("a");
    let id = begin(place, &watched).record_id;
    place.sql("INSERT INTO training_records (status) VALUES ('completed')");
    for id in [id, RecordId("2".into())] {
        let mut store = place.open();
        store.note(&id, &note(Some("first\0"), &[("a", "1"), ("b", "")], &[])).unwrap();
        let noted = store.note(&id, &note(Some("second"), &[("a", "2")], &["b", "none"])).unwrap();
        assert_eq!(noted.applied, Applied::Written);
        let shown = place.show(&id.0);
        assert_eq!(shown["tags"], json!({"a": "2"}));
        let texts: Vec<_> = shown["context"]["notes"].as_array().unwrap().iter().map(|note| &note["text"]).collect();
        assert_eq!(texts, ["first\u{fffd}", "second"]);
        store.note(&id, &note(None, &[], &["a"])).unwrap();
        assert_eq!(place.show(&id.0)["tags"], json!(null));
    }
    assert_eq!(place.show("1")["context"]["git_commit"], "abc");
    assert_eq!(place.count("runwrap_runs"), 2);
    // The run goes on, and its end keeps the notes.
    place.open().apply(watched.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    assert_eq!(place.show("1")["context"]["notes"].as_array().unwrap().len(), 2);
    assert_eq!(
        place.open().note(&RecordId("77".into()), &note(Some("x"), &[], &[])).unwrap().applied,
        Applied::Missing
    );
}

/// The row that holds the note is no run.
fn noted_row_without_a_run_is_still_adopted_and_given_up(place: &Place) {
    place.open().migrate().unwrap();
    let old = "'training', '2020-01-02 03:04:05', '2020-01-02 03:04:05'";
    let columns = "status, train_start_time, created_at";
    place.sql(&format!("INSERT INTO training_records ({columns}) VALUES ({old}), ({old})"));
    for id in ["1", "2"] {
        place.open().note(&RecordId(id.into()), &note(Some("left"), &[], &[])).unwrap();
    }
    assert_eq!(place.open().overdue(9).unwrap(), []);
    assert_eq!(listed(place, Filter { statuses: vec![Status::Training], ..Filter::default() }), ["2", "1"]);
    let suspects = place.open().stuck(86_400).unwrap();
    assert_eq!(suspects.iter().map(|suspect| suspect.record_id.0.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    for scope in [Scope::All, Scope::LiveRuns] {
        let page = place.open().examine(scope, None, 9).unwrap();
        assert!(page.suspicious.iter().all(|suspicious| suspicious.examined.watch == Watched::Never), "{page:?}");
    }
    begin(place, &Run { adopt: Some(RecordId("1".into())), ..run("a") });
    assert_eq!(place.show("1")["name"], "a");
}

/// Each made a row of its own, and the last one hid the others.
fn notes_at_once_on_a_row_without_a_run_are_all_kept(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (status) VALUES ('completed')");
    thread::scope(|scope| {
        for number in 0..20 {
            let note = note(Some(&format!("note {number}")), &[(&format!("k{number}"), "v")], &[]);
            scope.spawn(move || place.open().note(&RecordId("1".into()), &note).unwrap());
        }
    });
    let shown = place.show("1");
    assert_eq!(shown["context"]["notes"].as_array().unwrap().len(), 20);
    assert_eq!(shown["tags"].as_object().unwrap().len(), 20);
    assert_eq!(place.count("runwrap_runs"), 1);
}

/// The row of the run hid them.
fn notes_and_tags_of_a_waiting_row_go_to_its_run(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (status) VALUES ('training')");
    let id = RecordId("1".into());
    place.open().note(&id, &note(Some("prepared"), &[("team", "vision"), ("a", "1")], &[])).unwrap();
    let circumstances = Circumstances { tags: [("a".to_owned(), "2".to_owned())].into(), ..Circumstances::default() };
    begin(place, &Run { adopt: Some(id), circumstances, ..run("a") });
    let shown = place.show("1");
    assert_eq!(shown["context"]["notes"][0]["text"], "prepared");
    assert_eq!(shown["context"]["git_commit"], "abc");
    assert_eq!(shown["tags"], json!({"team": "vision", "a": "2"}));
}

fn note_stays_with_its_row_and_not_with_the_number(place: &Place) {
    place.open().migrate().unwrap();
    let insert = |time: &str| {
        place.sql(&format!(
            "INSERT INTO training_records (id, status, train_start_time, created_at) VALUES (3, 'completed', '{time}', '{time}')"
        ));
    };
    insert("2026-01-01 00:00:00");
    place.open().note(&RecordId("3".into()), &note(Some("of the first"), &[("a", "1")], &[])).unwrap();
    assert_eq!(place.show("3")["tags"], json!({"a": "1"}));
    place.sql("DELETE FROM training_records");
    insert("2026-02-02 11:11:11");
    assert_eq!((&place.show("3")["tags"], &place.show("3")["context"]), (&json!(null), &json!(null)));
}

/// A keeper that locked the run's row read all of them, up to a limit beyond which it could not end the run.
fn notes_are_limited_and_never_hinder_a_run(place: &Place) {
    let watched = run("a");
    let id = begin(place, &watched).record_id;
    let mut store = place.open();
    let text = "x".repeat(10_000);
    let refused = (0..200).find_map(|_| store.note(&id, &note(Some(&text), &[], &[])).err()).unwrap();
    assert!(matches!(&refused, StoreError::BadInput { message, .. } if message.contains("notes")), "{refused:?}");
    let value = "y".repeat(1000);
    let refused =
        (0..400).find_map(|number| store.note(&id, &note(None, &[(&format!("k{number}"), &value)], &[])).err());
    assert!(matches!(refused.unwrap(), StoreError::BadInput { message, .. } if message.contains("tags")));
    let large = "z".repeat(12 << 20);
    place.sql(&format!("UPDATE runwrap_runs SET cwd = '{large}'"));
    let options = OpenOptions { answer_bytes_max: 1 << 20, ..place.options() };
    let mut keeper = open(&place.target, &options).unwrap();
    keeper.apply(watched.run_id, &Change::Heartbeat(progress("{}"))).unwrap();
    keeper.apply(watched.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
}
