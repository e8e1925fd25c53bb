//! A database for a case of the conformance suite: either kind behind the same few calls, so that a case is written once.
//! Must not assert anything about a record.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use runwrap::config::{DatabaseTarget, PostgresTarget};
use runwrap::record::{Begun, Circumstances, Ending, Presumption, Progress, Proof, Reason, Report, Run, RunId, Status};
use runwrap::store::attempt::{Attempts, Keep};
use runwrap::store::{OpenOptions, RecordView, Store, StoreCache, StoreError, open};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::support::postgres::{Postgres, connect};

/// A database that no other case uses.
pub(crate) struct Place {
    pub(crate) target: DatabaseTarget,
    pub(crate) table: String,
    /// Holds an SQLite file's directory.
    pub(crate) _directory: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let target = DatabaseTarget::Sqlite(directory.path().join("runs.db"));
        Self { target, table: "training_records".into(), _directory: Some(directory) }
    }

    pub(crate) fn postgres() -> Self {
        Self::at(Postgres::shared().database())
    }

    /// A database that may or may not exist.
    pub(crate) fn at(target: DatabaseTarget) -> Self {
        Self { target, table: "training_records".into(), _directory: None }
    }

    pub(crate) fn at_postgres(target: PostgresTarget) -> Self {
        Self::at(DatabaseTarget::Postgres(Box::new(target)))
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.target, DatabaseTarget::Postgres(_))
    }

    pub(crate) fn postgres_target(&self) -> &PostgresTarget {
        match &self.target {
            DatabaseTarget::Postgres(target) => target,
            DatabaseTarget::Sqlite(_) => panic!("this place is not in PostgreSQL"),
        }
    }

    /// Makes one attempt.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        deadline: Duration,
        options: OpenOptions,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        Attempts::on(self.target.clone()).within(deadline, options, Keep::Closed, work)
    }

    pub(crate) fn options(&self) -> OpenOptions {
        OpenOptions {
            table: self.table.clone(),
            migrate: true,
            attempt: 0,
            statement_timeout: Duration::from_mins(1),
            answer_bytes_max: usize::MAX,
            cache: StoreCache::default(),
        }
    }

    pub(crate) fn open(&self) -> Store {
        open(&self.target, &self.options()).unwrap()
    }

    /// Runs statements on a connection of its own, as an application does.
    pub(crate) fn sql(&self, statements: &str) {
        match &self.target {
            DatabaseTarget::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(Duration::from_mins(1)).unwrap();
                connection.execute_batch(statements).unwrap();
            }
            DatabaseTarget::Postgres(target) => connect(target).batch_execute(statements).unwrap(),
        }
    }

    /// Does `work` while another connection holds what `statements` lock, and rolls that back.
    pub(crate) fn holding(&self, statements: &str, work: impl FnOnce()) {
        match &self.target {
            DatabaseTarget::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.execute_batch(statements).unwrap();
                work();
                connection.execute_batch("ROLLBACK").unwrap();
            }
            DatabaseTarget::Postgres(target) => {
                let mut connection = connect(target);
                connection.batch_execute(statements).unwrap();
                work();
                connection.batch_execute("ROLLBACK").unwrap();
            }
        }
    }

    /// The first column of every row, as text.
    pub(crate) fn texts(&self, query: &str) -> Vec<Option<String>> {
        match &self.target {
            DatabaseTarget::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let mut statement = connection.prepare(&format!("SELECT CAST(x AS TEXT) FROM ({query})")).unwrap();
                let rows = statement.query_map([], |row| row.get(0)).unwrap();
                rows.collect::<Result<_, _>>().unwrap()
            }
            DatabaseTarget::Postgres(target) => {
                let rows = connect(target).query(&format!("SELECT CAST(x AS text) FROM ({query}) AS q"), &[]).unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    pub(crate) fn text(&self, query: &str) -> Option<String> {
        self.texts(query).into_iter().next().unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> usize {
        self.text(&format!("SELECT count(*) AS x FROM {table}")).unwrap().parse().unwrap()
    }

    /// Moves the last heartbeat of a run by some seconds from now, by the database's own clock.
    pub(crate) fn set_heartbeat(&self, run_id: RunId, seconds: i32) {
        let moment = if self.is_postgres() {
            format!("clock_timestamp() + make_interval(secs => {seconds})")
        } else {
            format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '{seconds} seconds')")
        };
        self.sql(&format!("UPDATE runwrap_runs SET heartbeat_at = {moment} WHERE run_id = '{run_id}'"));
    }

    /// Waits for 1 s of uptime: a server that has been up for less than the lease, here 1 s, presumes nothing.
    pub(crate) fn wait_until_up_for_a_second(&self) {
        if let DatabaseTarget::Postgres(target) = &self.target {
            let wait =
                "SELECT pg_sleep(GREATEST(0, 1 - EXTRACT(EPOCH FROM clock_timestamp() - pg_postmaster_start_time())))";
            connect(target).batch_execute(wait).unwrap();
        }
    }

    pub(crate) fn show(&self, id: &str) -> Map<String, Value> {
        let RecordView(entry) = self.open().show(id).unwrap().unwrap();
        entry
    }

    /// The same without the ages, which change by themselves.
    pub(crate) fn show_ageless(&self, id: &str) -> Map<String, Value> {
        let mut entry = self.show(id);
        entry.retain(|key, _| !["elapsed_seconds", "last_seen_seconds_ago"].contains(&key.as_str()));
        entry
    }
}

/// An instant, `seconds` after the begin of each test's run.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    "2026-01-02T03:04:05.678901Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn run(name: &str) -> Run {
    Run {
        run_id: RunId(Uuid::now_v7()),
        name: name.into(),
        version: None,
        adopt: None,
        set: Vec::new(),
        begun_at: at(0),
        command: vec!["python".into(), "train.py".into(), "--name=it's \\ \"x\"".into()],
        cwd: "/home/ann".into(),
        host: "gpu-7".into(),
        username: "ann".into(),
        context: object(r#"{"git_commit": "abc", "slurm": {"job": 7}}"#),
        model_path: None,
        lease_seconds: 300,
        circumstances: Circumstances::default(),
        is_exclusive: false,
    }
}

pub(crate) fn object(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn progress(metrics: &str) -> Progress {
    Progress {
        started_at: Some(at(1)),
        seen_at: Some(at(61)),
        pid: Some(4711),
        stop_signal: None,
        report: Report { metrics: Some(object(metrics)), ..Report::default() },
        model_bytes: None,
    }
}

pub(crate) fn success() -> Ending {
    Ending {
        status: Status::Completed,
        reason: Reason::Success,
        ended_at: at(101),
        duration_seconds: 100,
        exit_code: Some(0),
        signal: None,
        error_message: None,
        usage: None,
    }
}

pub(crate) fn presumption(proof: Proof) -> Presumption {
    Presumption { proof, seen_at: None, recovered_by: "ann@gpu-7".into(), message: "presumed lost by ann@gpu-7".into() }
}

pub(crate) fn begin(place: &Place, run: &Run) -> Begun {
    place.open().begin(run, None).unwrap()
}

#[track_caller]
pub(crate) fn bad_input(result: Result<Begun, StoreError>) -> String {
    match result {
        Err(StoreError::BadInput { message, hint }) => format!("{message} | {hint}"),
        other => panic!("expected bad input, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn permanent<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Permanent { message, hint }) => format!("{message} | {hint}"),
        other => panic!("expected a permanent error, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn transient<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Transient { message }) => message,
        other => panic!("expected a transient error, got {other:?}"),
    }
}
