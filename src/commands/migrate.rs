//! `runwrap migrate`: creates or upgrades the tables, or prints the SQL for an administrator.

use super::ask::ask;
use super::error::CommandError;
use crate::config::Settings;
use crate::{output, store};

/// Brings the database of `settings` up to date; with `print_only` prints the SQL and opens nothing.
///
/// # Errors
/// The database did not answer or refused, or stdout cannot be written.
pub(super) fn migrate(settings: &Settings, print_only: bool) -> Result<(), CommandError> {
    let text = if print_only {
        let purpose = "print the migrations";
        store::migrations_sql(&settings.database, &settings.table)
            .map_err(|source| CommandError::Database { purpose, source })?
    } else {
        // An explicit migration overrides `no_migrate` in the configuration file.
        let settings = Settings { migrate: true, ..settings.clone() };
        let applied = ask(&settings, "migrate the database", store::Store::migrate)?;
        let database = settings.database.identity();
        log::info!(event = "migrated", database:% = database, applied; "");
        summary(&database, applied)
    };
    Ok(output::print(&text)?)
}

fn summary(database: &str, applied: usize) -> String {
    match applied {
        0 => format!("{database} is up to date.\n"),
        1 => format!("1 migration applied to {database}.\n"),
        _ => format!("{applied} migrations applied to {database}.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_summary_counts_the_migrations() {
        assert_eq!(summary("sqlite:/x", 0), "sqlite:/x is up to date.\n");
        assert_eq!(summary("sqlite:/x", 1), "1 migration applied to sqlite:/x.\n");
        assert_eq!(summary("sqlite:/x", 2), "2 migrations applied to sqlite:/x.\n");
    }
}
