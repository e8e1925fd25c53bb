//! Random changes of a run, applied to `record::merge` and to both stores. After every step all three must agree.

use std::cell::RefCell;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use runwrap::record::{
    Applied, Change, DatabaseClock, Decision, Doubt, Ending, Presumption, Progress, Proof, Reason, RecordId, Report,
    Row, Run, Status, Usage, Verdict, Watch, decide, merge,
};
use runwrap::store::{RecordView, Store};
use serde_json::{Map, Value, json};

use super::place::{Place, at, run};

/// Random histories per test. Each is a run of its own in the same two databases.
const STORIES: u32 = 48;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Heartbeat(Progress),
    /// A heartbeat that brings nothing but this sign of life.
    Renew(i64),
    Finalize(Progress, Ending),
    /// The heartbeat is an hour old, or an hour ahead: nothing depends on how fast the test runs.
    Presume(Presumption, bool),
    Decide(Decision),
    /// The application writes the status itself.
    Application(Status),
    RowDeleted,
}

fn option_of<T: std::fmt::Debug + Clone + 'static>(values: &'static [T]) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(proptest::sample::select(values))
}

fn progress() -> impl Strategy<Value = Progress> {
    let metrics = proptest::option::of(proptest::collection::hash_map("[abc]", 0..3_i32, 0..3));
    let report = (metrics, option_of(&["/m/1", "/m/2"]), option_of(&["bad", "worse"]));
    let facts = (option_of(&[1_i64, 2]), option_of(&[10_i64, 60, 30]), option_of(&[7_i32, 8]), option_of(&["SIGINT"]));
    (report, facts).prop_map(|((metrics, model_path, error), (started, seen, pid, stop))| Progress {
        started_at: started.map(at),
        seen_at: seen.map(at),
        pid,
        stop_signal: stop.map(str::to_owned),
        report: Report {
            metrics: metrics.map(|metrics| metrics.into_iter().map(|(key, value)| (key, json!(value))).collect()),
            model_path: model_path.map(str::to_owned),
            error: error.map(str::to_owned),
        },
        model_bytes: model_path.map(|path| i64::try_from(path.len()).unwrap()),
    })
}

fn ending() -> impl Strategy<Value = Ending> {
    let usage = Usage { cpu_user_seconds: 0.5, cpu_system_seconds: 0.25, max_rss_bytes: 4096 };
    (any::<bool>(), proptest::option::of(Just(usage)), 1..100_i64).prop_map(|(good, usage, seconds)| Ending {
        status: if good { Status::Completed } else { Status::Failed },
        reason: if good { Reason::Success } else { Reason::Exit },
        ended_at: at(1 + seconds),
        duration_seconds: seconds,
        exit_code: Some(i32::from(!good)),
        signal: None,
        error_message: if good { None } else { Some("exited with code 1".to_owned()) },
        usage,
    })
}

fn presumption() -> impl Strategy<Value = Presumption> {
    (any::<bool>(), option_of(&[5_i64, 99])).prop_map(|(dead, seen)| Presumption {
        proof: if dead { Proof::DeadJournal } else { Proof::Lease },
        seen_at: seen.map(at),
        recovered_by: "ann".to_owned(),
        message: "presumed lost".to_owned(),
    })
}

fn verdict() -> impl Strategy<Value = Decision> {
    let given = (option_of(&["checked the logs"]), progress(), any::<bool>());
    // Before the start, after it, and an hour ahead.
    (any::<bool>(), option_of(&[-5_i64, 40, 1 << 32]), given).prop_map(
        |(good, ended, (explanation, reported, force))| {
            Decision::Close(Verdict {
                status: if good { Status::Completed } else { Status::Failed },
                ended_at: ended
                    .map(|seconds| if seconds > 99 { Utc::now() + TimeDelta::hours(1) } else { at(seconds) }),
                explanation: explanation.map(str::to_owned),
                metrics: reported.report.metrics,
                model_path: reported.report.model_path,
                force,
                by: "eve".to_owned(),
                at: at(0),
                message: "ended by hand".to_owned(),
            })
        },
    )
}

fn doubt() -> impl Strategy<Value = Decision> {
    // Every record has been silent for an hour, and none for a century.
    let silent = proptest::sample::select(&[3600_u32, u32::MAX][..]);
    (silent, option_of(&[0_i64, 30, 1 << 32]), any::<bool>()).prop_map(|(silent_seconds, written, assume_now)| {
        Decision::GiveUp(Doubt {
            silent_seconds,
            model_written_at: written.map(at),
            assume_now,
            by: "eve".to_owned(),
            message: "given up".to_owned(),
        })
    })
}

/// The application's `train_start_time`, `created_at` and `updated_at`.
fn times() -> impl Strategy<Value = [Option<DateTime<Utc>>; 3]> {
    let seconds = (option_of(&[1_i64]), 0..3_i64, option_of(&[0_i64, 2, 60, 1 << 32]));
    seconds.prop_map(|(started, created, updated)| [started, Some(created), updated].map(|seconds| seconds.map(at)))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Begin),
        5 => progress().prop_map(Step::Heartbeat),
        2 => (1..99_i64).prop_map(Step::Renew),
        2 => (progress(), ending()).prop_map(|(progress, ending)| Step::Finalize(progress, ending)),
        4 => (presumption(), any::<bool>()).prop_map(|(presumption, overdue)| Step::Presume(presumption, overdue)),
        2 => verdict().prop_map(Step::Decide),
        2 => doubt().prop_map(Step::Decide),
        2 => Just(Step::Decide(Decision::Derive)),
        1 => proptest::sample::select(&[Status::Training, Status::Completed, Status::Failed][..]).prop_map(Step::Application),
        1 => Just(Step::RowDeleted),
    ]
}

/// One store, and the row that the rules expect in it.
struct Subject<'a> {
    place: &'a Place,
    store: &'a mut Store,
    run: &'a Run,
    record_id: RecordId,
    expected: Option<Row>,
    /// The run's own row, once the application has deleted the record.
    without_record: Option<Row>,
}

impl Subject<'_> {
    /// The application may have archived the record of a run that has truly ended: nothing makes another.
    fn has_truly_ended(&self) -> bool {
        self.without_record.as_ref().is_some_and(|run| run.reason.is_some() && !run.presumed)
    }

    fn begin(&mut self) {
        if self.has_truly_ended() {
            assert_eq!(self.store.begin(self.run, None).unwrap().record_id, self.record_id);
            return;
        }
        self.without_record = None;
        self.record_id = self.store.begin(self.run, None).unwrap().record_id;
        self.expected = merge(self.expected.take(), &Change::Begin(self.run.clone()), clock()).0;
    }

    fn step(&mut self, step: &Step) {
        let change = match step {
            Step::Begin => return self.begin(),
            Step::Heartbeat(progress) => Change::Heartbeat(progress.clone()),
            Step::Renew(seconds) => return self.renew(at(*seconds)),
            Step::Finalize(progress, ending) => Change::Finalize(progress.clone(), ending.clone()),
            Step::Presume(presumption, overdue) => {
                let seconds = if *overdue { -3600 } else { 3600 };
                self.place.set_heartbeat(self.run.run_id, seconds);
                let rows = [&mut self.expected, &mut self.without_record];
                for watch in rows.into_iter().flatten().filter_map(|row| row.watch.as_mut()) {
                    watch.heartbeat_at = Utc::now() + TimeDelta::seconds(i64::from(seconds));
                }
                let change = Change::Presume(presumption.clone());
                if let Some(run) = self.without_record.take() {
                    return self.presume_without_record(run, &change);
                }
                change
            }
            Step::Decide(decision) => return self.decide(decision),
            Step::Application(status) => return self.application(*status),
            Step::RowDeleted => {
                if let Some(Row { reason, presumed, watch, .. }) =
                    self.expected.take().filter(|row| row.watch.is_some())
                {
                    let status = Some(Status::Training);
                    self.without_record = Some(Row { status, reason, presumed, watch, ..Row::default() });
                }
                return self.place.sql(&format!("DELETE FROM training_records WHERE {}", self.own_row()));
            }
        };
        if self.has_truly_ended() {
            assert_eq!(self.store.apply(self.run.run_id, &change).unwrap(), Applied::Kept);
            return;
        }
        let (row, expected) = merge(self.expected.take(), &change, clock());
        self.expected = row;
        assert_eq!(self.store.apply(self.run.run_id, &change).unwrap(), expected);
    }

    /// Equal to a heartbeat that reports nothing, if the run has no end.
    fn renew(&mut self, seen_at: DateTime<Utc>) {
        let heartbeat = Change::Heartbeat(Progress { seen_at: Some(seen_at), ..Progress::default() });
        let rows = [&mut self.expected, &mut self.without_record].into_iter().flatten();
        let unended: Vec<&mut Row> = rows.filter(|row| row.watch.is_some() && row.reason.is_none()).collect();
        assert_eq!(self.store.renew(self.run.run_id, Some(seen_at)).unwrap(), !unended.is_empty());
        for row in unended {
            *row = merge(Some(row.clone()), &heartbeat, clock()).0.unwrap();
        }
    }

    /// The run is presumed lost, once, and the record stays deleted.
    fn presume_without_record(&mut self, run: Row, change: &Change) {
        let (run, expected) = match run.reason {
            Some(_) => (Some(run), Applied::Kept),
            None => merge(Some(run), change, clock()),
        };
        self.without_record = run;
        assert_eq!(self.store.apply(self.run.run_id, change).unwrap(), expected);
    }

    fn decide(&mut self, decision: &Decision) {
        let (row, expected) = decide(self.expected.take(), decision, clock());
        self.expected = row;
        let decided = self.store.decide(&self.record_id, decision).unwrap();
        assert_eq!(decided.applied, expected, "{decision:?}");
        assert_eq!(decided.before == decided.after, expected != Applied::Written);
        let lasting = |view: Option<RecordView>| {
            view.map(|RecordView(mut view)| {
                // It is in the next second perhaps.
                view.remove("elapsed_seconds");
                view
            })
        };
        assert_eq!(lasting(decided.after), lasting(self.store.show(&self.record_id.0).unwrap()));
    }

    fn application(&mut self, status: Status) {
        let word = status.as_str();
        let set = format!("status = '{word}', train_duration = 7");
        self.place.sql(&format!("UPDATE training_records SET {set} WHERE {}", self.own_row()));
        if let Some(row) = &mut self.expected {
            row.status = Some(status);
            row.train_duration = Some(7.0);
        }
    }

    fn own_row(&self) -> String {
        format!("id = {}", self.record_id)
    }

    /// The application inserts a record without runwrap.
    fn insert(&mut self, times: [Option<DateTime<Utc>>; 3]) {
        let [started, created, updated] = times
            .map(|time| time.map_or("NULL".to_owned(), |time| format!("'{}'", time.format("%Y-%m-%d %H:%M:%S%.6f"))));
        self.place.sql(&format!(
            "INSERT INTO training_records (status, train_start_time, created_at, updated_at)
             VALUES ('training', {started}, {created}, {updated})"
        ));
        self.record_id = RecordId(self.place.text("SELECT max(id) AS x FROM training_records").unwrap());
        self.expected = self.shown();
    }

    fn shown(&mut self) -> Option<Row> {
        self.store.show(&self.record_id.0).unwrap().map(|RecordView(entry)| row(&entry))
    }

    fn compare(&mut self) {
        let shown = self.shown();
        let mut expected = self.expected.clone();
        // The database's clock sets these times: only their presence is compared.
        if let (Some(shown), Some(expected)) = (&shown, &mut expected) {
            assert_eq!(shown.watch.is_some(), expected.watch.is_some());
            if let (Some(shown), Some(expected)) = (shown.watch, expected.watch.as_mut()) {
                expected.heartbeat_at = shown.heartbeat_at;
            }
            assert_eq!(shown.recovered_at.is_some(), expected.recovered_at.is_some());
            expected.recovered_at = shown.recovered_at;
            (expected.created_at, expected.updated_at) = (shown.created_at, shown.updated_at);
            if expected.train_end_time.is_some_and(|end| (Utc::now() - end).num_seconds().abs() < 60) {
                assert_eq!(shown.train_duration.is_some(), expected.train_duration.is_some());
                (expected.train_end_time, expected.train_duration) = (shown.train_end_time, shown.train_duration);
            }
        }
        assert_eq!(shown, expected);
    }
}

/// The tests' server has been up for longer than the lease.
fn clock() -> DatabaseClock {
    DatabaseClock { now: Utc::now(), up_since: DateTime::UNIX_EPOCH, timeline: None }
}

fn row(entry: &Map<String, Value>) -> Row {
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    let time = |name: &str| entry[name].as_str().map(|text| text.parse::<DateTime<Utc>>().unwrap());
    let small = |name: &str| entry[name].as_i64().map(|number| i32::try_from(number).unwrap());
    Row {
        status: Status::parse(&text("status").unwrap()),
        train_start_time: time("train_start_time"),
        train_end_time: time("train_end_time"),
        train_duration: entry["train_duration"].as_f64(),
        train_metrics: entry["train_metrics"].as_object().cloned(),
        model_path: text("model_path"),
        error_message: text("error_message"),
        created_at: time("created_at"),
        updated_at: time("updated_at"),
        is_legible: true,
        reason: text("reason").map(|reason| Reason::parse(&reason).unwrap()),
        exit_code: small("exit_code"),
        signal: text("signal"),
        stop_signal: text("stop_signal"),
        pid: small("pid"),
        usage: entry["cpu_user_seconds"].as_f64().map(|cpu_user_seconds| Usage {
            cpu_user_seconds,
            cpu_system_seconds: entry["cpu_system_seconds"].as_f64().unwrap(),
            max_rss_bytes: entry["max_rss_bytes"].as_i64().unwrap(),
        }),
        model_bytes: entry["model_bytes"].as_i64(),
        presumed: entry["presumed"].as_bool().unwrap_or(false),
        watch: time("heartbeat_at").map(|heartbeat_at| Watch {
            heartbeat_at,
            last_seen_at: time("last_seen_at").unwrap(),
            lease_seconds: u32::try_from(entry["lease_seconds"].as_i64().unwrap()).unwrap(),
            timeline: None,
        }),
        recovered_at: time("recovered_at"),
        recovered_by: text("recovered_by"),
    }
}

#[test]
fn stores_and_rules_agree_on_every_run() {
    check_histories(&step().boxed(), &Just(None).boxed());
}

#[test]
fn stores_and_rules_agree_on_every_unwatched_row() {
    let step = step().prop_filter("no run begins", |step| !matches!(step, Step::Begin)).boxed();
    check_histories(&step, &times().prop_map(Some).boxed());
}

/// Checks histories of `step`s, of a run or of a row that the application has inserted with these times.
fn check_histories(step: &BoxedStrategy<Step>, inserted: &BoxedStrategy<Option<[Option<DateTime<Utc>>; 3]>>) {
    let places = [Place::sqlite(), Place::postgres()];
    places[1].wait_until_up_for_a_second();
    let stores = RefCell::new(places.each_ref().map(|place| {
        place.open().migrate().unwrap();
        place.sql("ALTER TABLE training_records ADD COLUMN updated_at TIMESTAMP");
        place.open()
    }));
    let mut runner = TestRunner::new(Config { cases: STORIES, ..Config::default() });
    runner
        .run(&(proptest::collection::vec(step.clone(), 1..14), inserted.clone()), |(steps, inserted)| {
            let run = Run { lease_seconds: 1, model_path: Some("/m/0".to_owned()), ..run("story") };
            for (place, store) in places.iter().zip(stores.borrow_mut().iter_mut()) {
                let record_id = RecordId(String::new());
                let mut subject = Subject { place, store, run: &run, record_id, expected: None, without_record: None };
                match inserted {
                    None => subject.begin(),
                    Some(times) => subject.insert(times),
                }
                for step in &steps {
                    subject.step(step);
                    subject.compare();
                }
            }
            Ok(())
        })
        .unwrap();
}
