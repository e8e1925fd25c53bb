//! One question to the database, answered within `--start-timeout` or not at all. Called by the verbs that read.

use std::time::Duration;

use crate::commands::CommandError;
use crate::config::{DatabaseTarget, Settings};
use crate::store::{OpenOptions, ShapeCache, Store, StoreError, attempt};

/// Opens the database of `settings` and does `work` with it, at each of its hosts in turn until one answers.
/// `purpose` completes "cannot …".
///
/// # Errors
/// What the last host said, or that none answered in time.
pub(super) fn ask<T: Send + 'static>(
    settings: &Settings,
    purpose: &'static str,
    work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
) -> Result<T, CommandError> {
    let hosts = match &settings.database {
        DatabaseTarget::Sqlite(_) => 1,
        DatabaseTarget::Postgres(target) => target.hosts.len().max(1),
    };
    let deadline = settings.start_timeout / u32::try_from(hosts).unwrap_or(u32::MAX);
    let mut answer = attempt_on(0, deadline, settings, work.clone());
    for host in 1..hosts {
        if !matches!(answer, Err(StoreError::Transient { .. })) {
            break;
        }
        answer = attempt_on(host, deadline, settings, work.clone());
    }
    answer.map_err(|source| {
        log::info!(event = "command_failed", database:% = settings.database.identity(), purpose, error:% = source; "");
        CommandError::Database { purpose, source }
    })
}

fn attempt_on<T: Send + 'static>(
    host: usize,
    deadline: Duration,
    settings: &Settings,
    work: impl Fn(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let options = OpenOptions {
        table: settings.table.clone(),
        migrate: settings.migrate,
        attempt: host,
        statement_timeout: deadline,
        shape: ShapeCache::default(),
    };
    attempt::within(deadline, settings.database.clone(), options, move |store| work(store))
}
