//! Attempts of a verb on the database, each answered within `--start-timeout` by one of its hosts, or failed.

use std::collections::HashMap;

use crate::commands::CommandError;
use crate::config::{DatabaseTarget, Settings};
use crate::store::attempt::{Attempts, Keep};
use crate::store::{OpenOptions, ShapeCache, Store, StoreError};

/// The most bytes that a server may send as one answer: a thousand records of a list, each with much text.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// The database of some settings.
pub(super) struct Database<'a> {
    settings: &'a Settings,
    pub(super) attempts: Attempts,
    /// The number of the host that answered last.
    host: usize,
    /// By its name as asked for, each table as earlier attempts found it.
    shapes: HashMap<String, ShapeCache>,
}

impl<'a> Database<'a> {
    pub(super) fn of(settings: &'a Settings) -> Self {
        Self { settings, attempts: Attempts::on(settings.database.clone()), host: 0, shapes: HashMap::new() }
    }

    /// Does `work` on the store of `table`, at one host after the other until one answers. `purpose` completes "cannot …".
    ///
    /// # Errors
    /// The error of the last host, or that it did not answer in time.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        table: &str,
        keep: Keep,
        purpose: &'static str,
        work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, CommandError> {
        let hosts = match &self.settings.database {
            DatabaseTarget::Sqlite(_) => 1,
            DatabaseTarget::Postgres(target) => target.hosts.len().max(1),
        };
        let deadline = self.settings.start_timeout / u32::try_from(hosts).unwrap_or(u32::MAX);
        let mut left = hosts;
        loop {
            let options = OpenOptions {
                table: table.to_owned(),
                migrate: self.settings.migrate,
                attempt: self.host,
                statement_timeout: deadline,
                answer_bytes_max: ANSWER_BYTES_MAX,
                shape: self.shapes.entry(table.to_owned()).or_default().clone(),
            };
            let answer = self.attempts.within(deadline, options, keep, work.clone());
            left -= 1;
            if left > 0 && matches!(answer, Err(StoreError::Transient { .. })) {
                self.host = (self.host + 1) % hosts;
                continue;
            }
            return answer.map_err(|source| {
                let database = self.settings.database.identity();
                log::info!(event = "command_failed", database, purpose, error:% = source; "cannot {purpose}: {source}");
                CommandError::Database { purpose, source }
            });
        }
    }
}

/// One attempt on the table of `settings`, as [`Database::ask`].
///
/// # Errors
/// As there.
pub(super) fn ask<T: Send + 'static>(
    settings: &Settings,
    purpose: &'static str,
    work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
) -> Result<T, CommandError> {
    let mut database = Database::of(settings);
    let answer = database.ask(&settings.table, Keep::Closed, purpose, work);
    database.attempts.close();
    answer
}
