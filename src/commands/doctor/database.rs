//! Gathers the facts of the database: each question is one attempt within `--start-timeout`, and a database that does not answer the
//! first one gets no other. Must not judge.

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Map, json};
use uuid::Uuid;

use super::bounded::within;
use super::facts::{Answer, DatabaseFacts, Reached, Trouble, Wire};
use super::host;
use crate::commands::ask::Database;
use crate::config::{DatabaseTarget, PostgresHost, Settings};
use crate::record::{Change, Circumstances, Ending, Progress, RecordId, Report, Run, RunId, TrainerExit, ending_of};
use crate::store::attempt::Keep;
use crate::store::{Rehearsal, RehearsedRun, ServerFacts, Store, StoreError, TableFacts};
use crate::sys::clock::{boot_time, wall_time};
use crate::sys::file_system::FileSystem;
use crate::sys::host as own;

/// The name of the rehearsed runs, if the settings have none.
const NAME: &str = "runwrap doctor";

/// The duration of the rehearsed runs.
const LASTED_SECONDS: i64 = 60;

/// The facts of the database of `settings`. `rehearses`: a run is rehearsed, which takes the rights of a run.
pub(super) fn database(settings: &Settings, rehearses: bool) -> DatabaseFacts {
    let wire = match &settings.database {
        DatabaseTarget::Sqlite(_) => Wire::File,
        DatabaseTarget::Postgres(target) if target.hosts.iter().all(is_here) => Wire::Local,
        DatabaseTarget::Postgres(target) => Wire::Network(target.protection()),
    };
    let (file_system, answer) = match &settings.database {
        DatabaseTarget::Sqlite(path) => of_file(settings, path, rehearses),
        DatabaseTarget::Postgres(_) => (None, answer(settings, rehearses)),
    };
    DatabaseFacts {
        name: settings.database.identity(),
        start_timeout: settings.start_timeout,
        migrates: settings.migrate,
        wire,
        file_system,
        answer,
    }
}

/// The file system of SQLite's file, and its answer. A file that is missing cannot be asked.
fn of_file(settings: &Settings, path: &Path, rehearses: bool) -> (Option<FileSystem>, Answer) {
    let (limit, path) = (settings.start_timeout, path.to_owned());
    let looked = within(limit, move || {
        let missing = (!path.exists()).then(|| Answer::NoFile(host::cannot_make(&path)));
        (FileSystem::of(&host::nearest_directory(&path)).ok(), missing)
    });
    if let Some((file_system, missing)) = looked {
        return (file_system, missing.unwrap_or_else(|| answer(settings, rehearses)));
    }
    let (name, limit) = (settings.database.identity(), humantime::format_duration(limit));
    let detail = format!("the file system of {name} did not answer within {limit}");
    let repair = "check the disk or the file server, or name a file elsewhere with --database-url".to_owned();
    (None, Answer::None(Trouble { detail, repair }))
}

fn is_here(host: &PostgresHost) -> bool {
    let is_loopback = |text: &str| text.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    host.is_socket()
        || host
            .hostaddr
            .map_or_else(|| host.host == "localhost" || is_loopback(&host.host), |address| address.is_loopback())
}

fn answer(settings: &Settings, rehearses: bool) -> Answer {
    let mut asked = Asked { settings, database: Database::of(settings) };
    let answer = asked.reached(rehearses).map_or_else(Answer::None, |reached| Answer::Server(Box::new(reached)));
    asked.database.close();
    answer
}

struct Asked<'a> {
    settings: &'a Settings,
    database: Database<'a>,
}

impl Asked<'_> {
    fn ask<T: Send + 'static>(
        &mut self,
        purpose: &'static str,
        work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, Trouble> {
        let answer = self.database.ask(&self.settings.table, Keep::Open, purpose, work);
        answer.map_err(|error| Trouble::of(&error))
    }

    /// The facts of a database that answers the first question.
    fn reached(&mut self, rehearses: bool) -> Result<Reached, Trouble> {
        let start = boot_time();
        let (opened, ahead, uncertainty, server) = self.ask("reach the database", |store| {
            let (opened, before) = (boot_time(), wall_time());
            let server: ServerFacts = store.server()?;
            let uncertainty = boot_time().saturating_sub(opened) / 2;
            let here = before + TimeDelta::from_std(uncertainty).unwrap_or_default();
            Ok((opened, server.clock - here, uncertainty, server))
        })?;
        let set: Vec<String> = self.settings.set.iter().map(|(column, _)| column.clone()).collect();
        let tables = self.ask("check the table", move |store| store.tables(&set));
        let may_begin = tables.as_ref().is_ok_and(|tables| may_begin(tables, self.settings.migrate));
        let rehearsal = (rehearses && may_begin && !server.is_standby).then(|| self.rehearse());
        Ok(Reached { took: opened.saturating_sub(start), server, ahead, uncertainty, tables, rehearsal })
    }

    fn rehearse(&mut self) -> Result<(Duration, Rehearsal), Trouble> {
        let runs = runs(self.settings);
        self.ask("rehearse a run", move |store| {
            let start = boot_time();
            let rehearsal = store.rehearse_runs(&runs)?;
            Ok((boot_time().saturating_sub(start), rehearsal))
        })
    }
}

/// Whether nothing that is known already keeps a run from its record.
fn may_begin(tables: &TableFacts, migrates: bool) -> bool {
    let is_ready = tables.has_table && tables.migrated >= tables.needed;
    (is_ready || migrates) && tables.left_to_set.is_empty()
}

/// The runs that are rehearsed: one completes, one fails. A row that a run adopts has one end.
fn runs(settings: &Settings) -> Vec<RehearsedRun> {
    let codes: &[i32] = if settings.record_id.is_some() { &[1] } else { &[0, 1] };
    codes.iter().map(|code| rehearsed(settings, *code)).collect()
}

fn rehearsed(settings: &Settings, code: i32) -> RehearsedRun {
    let ended_at = wall_time();
    let begun_at = ended_at - TimeDelta::seconds(LASTED_SECONDS);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let run = Run {
        run_id: RunId(Uuid::now_v7()),
        name: settings.name.clone().unwrap_or_else(|| NAME.to_owned()),
        version: settings.model_version.clone(),
        adopt: settings.record_id.clone().map(RecordId),
        set: settings.set.clone(),
        begun_at,
        command: vec!["runwrap".to_owned(), "doctor".to_owned()],
        cwd: text(&std::env::current_dir().unwrap_or_default()),
        host: own::host_name(),
        username: own::user_name(),
        context: Map::new(),
        model_path: settings.model_path.as_deref().map(text),
        lease_seconds: u32::try_from(settings.lease.as_secs()).unwrap_or(u32::MAX),
        circumstances: Circumstances { tags: settings.tags.clone(), ..Circumstances::default() },
        is_exclusive: false,
    };
    let metrics = Map::from_iter([("loss".to_owned(), json!(0.125))]);
    let report = Report { metrics: Some(metrics), model_path: run.model_path.clone(), error: None };
    let progress = Progress { started_at: Some(begun_at), seen_at: Some(ended_at), report, ..Progress::default() };
    let (status, reason, error_message) = ending_of(&TrainerExit::Exited { code }, None, false);
    let ending = Ending {
        status,
        reason,
        ended_at,
        duration_seconds: LASTED_SECONDS,
        exit_code: Some(code),
        signal: None,
        error_message,
        usage: None,
    };
    RehearsedRun { run, changes: vec![Change::Heartbeat(progress.clone()), Change::Finalize(progress, ending)] }
}
