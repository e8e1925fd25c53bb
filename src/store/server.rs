//! The facts of a server, of its connection and of the tables, for `doctor`. Must not write or judge.

use chrono::{DateTime, Utc};

use super::fitness::Unfit;
use super::session::{Access, NEEDED_MIGRATION};
use super::statement::section;
use super::{Store, StoreError};
use crate::record::read_instant;

/// The facts of a server and of the connection to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// `PostgreSQL 17.2`, `SQLite 3.50.4`.
    pub version: String,
    /// `None`: the database has no roles.
    pub role: Option<String>,
    /// Its clock during the question.
    pub clock: DateTime<Utc>,
    /// It follows another server, and takes no write.
    pub is_standby: bool,
    /// The protocol and the cipher of TLS.
    pub encryption: Option<String>,
    /// The settings that are off, and without which a crash of the server can lose a commit.
    pub not_durable: String,
}

/// The facts of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    /// The user's table, quoted.
    pub table: String,
    pub has_table: bool,
    /// The last migration that was applied.
    pub migrated: u32,
    /// The last one that a record needs.
    pub needed: u32,
    /// The last one that this program has.
    pub newest: u32,
    pub unfit: Vec<Unfit>,
    /// The columns that a run must fill with `--set`, save those that were given.
    pub left_to_set: Vec<String>,
}

impl Store {
    /// The facts of the server.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn server(&mut self) -> Result<ServerFacts, StoreError> {
        let question = section(self.session.dialect(), "server");
        let rows = self.begin_with(Access::Read, &[(question, &[])]);
        let rows = self.end_transaction(rows)?;
        let text = |at: usize| rows.first().and_then(|row| row.get(at)?.clone());
        let clock = text(2).as_deref().and_then(read_instant);
        Ok(ServerFacts {
            version: text(0).unwrap_or_default(),
            role: text(1),
            clock: clock.ok_or_else(|| StoreError::Transient {
                message: format!("{}: its clock cannot be read: {rows:?}", self.session.name()),
            })?,
            is_standby: text(3).as_deref() == Some("true"),
            encryption: self.session.encryption().map(str::to_owned),
            not_durable: text(4).unwrap_or_default(),
        })
    }

    /// The facts of the tables for a run that fills the columns `set`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn tables(&mut self, set: &[String]) -> Result<TableFacts, StoreError> {
        let looked = self.looked(set)?;
        Ok(TableFacts {
            has_table: looked.facts.has_table(),
            table: looked.table,
            migrated: looked.migrated,
            needed: NEEDED_MIGRATION,
            newest: self.session.dialect().newest_migration(),
            unfit: looked.unfit,
            left_to_set: looked.left_to_set,
        })
    }
}
