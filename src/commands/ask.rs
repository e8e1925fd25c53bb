//! Questions of a verb to the database, each answered within `--start-timeout` by one of its hosts, or failed.

use crate::commands::CommandError;
use crate::config::Settings;
use crate::store::attempt::Keep;
use crate::store::{Hosts, Store, StoreError};

/// The most bytes that a server may send as one answer: a thousand records of a list, each with much text.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// The database of some settings.
pub(super) struct Database<'a> {
    settings: &'a Settings,
    hosts: Hosts,
}

impl<'a> Database<'a> {
    pub(super) fn of(settings: &'a Settings) -> Self {
        let hosts = Hosts::of(&settings.database, settings.migrate, settings.start_timeout, ANSWER_BYTES_MAX);
        Self { settings, hosts }
    }

    /// Does `work` on the store of `table`, as [`Hosts::ask`]. `purpose` completes "cannot …".
    ///
    /// # Errors
    /// As there.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        table: &str,
        keep: Keep,
        purpose: &'static str,
        work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, CommandError> {
        self.hosts.ask(table, keep, work).map_err(|source| {
            let database = self.settings.database.identity();
            // For the log alone: the verb reports its error.
            log::info!(event = "command_failed", database, purpose, error:% = source; "");
            CommandError::Database { purpose, source }
        })
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.hosts.close();
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
    database.close();
    answer
}
