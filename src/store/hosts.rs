//! Questions to one database of several hosts: each goes to one host after the other until one answers. Owns the order of the hosts
//! and the deadline of each; must not retry on a host.

use std::collections::HashMap;
use std::time::Duration;

use super::attempt::{Attempts, Keep};
use super::{OpenOptions, Store, StoreCache, StoreError};
use crate::config::DatabaseTarget;

/// The database of some settings, for one thread.
pub struct Hosts {
    target: DatabaseTarget,
    migrate: bool,
    /// For all hosts together.
    limit: Duration,
    answer_bytes_max: usize,
    attempts: Attempts,
    /// The number of the host that answered last.
    host: usize,
    /// By its name as asked for, each table as earlier attempts found it.
    caches: HashMap<String, StoreCache>,
}

impl Hosts {
    /// Questions to `target`, each answered within `limit`. `migrate`: missing tables of runwrap's own may be made.
    pub fn of(target: &DatabaseTarget, migrate: bool, limit: Duration, answer_bytes_max: usize) -> Self {
        let attempts = Attempts::on(target.clone());
        Self { target: target.clone(), migrate, limit, answer_bytes_max, attempts, host: 0, caches: HashMap::new() }
    }

    /// Does `work` on the store of `table`, at one host after the other until one answers.
    ///
    /// # Errors
    /// The error of the last host, or that it did not answer in time.
    pub fn ask<T: Send + 'static>(
        &mut self,
        table: &str,
        keep: Keep,
        work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let hosts = match &self.target {
            DatabaseTarget::Sqlite(_) => 1,
            DatabaseTarget::Postgres(target) => target.hosts.len().max(1),
        };
        let deadline = self.limit / u32::try_from(hosts).unwrap_or(u32::MAX);
        let mut left = hosts;
        loop {
            let options = OpenOptions {
                table: table.to_owned(),
                migrate: self.migrate,
                attempt: self.host,
                statement_timeout: deadline,
                answer_bytes_max: self.answer_bytes_max,
                cache: self.caches.entry(table.to_owned()).or_default().clone(),
            };
            let answer = self.attempts.within(deadline, options, keep, work.clone());
            left -= 1;
            if left > 0 && matches!(answer, Err(StoreError::Transient { .. })) {
                self.host = (self.host + 1) % hosts;
                continue;
            }
            return answer;
        }
    }

    /// Closes the connection, for a caller that is about to end or to pause.
    pub fn close(&mut self) {
        self.attempts.close();
    }
}
