//! `runwrap migrate`: makes or upgrades the tables, or prints the SQL for somebody who may. Called by `main`.

use super::ask::ask;
use crate::commands::CommandError;
use crate::config::Settings;
use crate::{output, store};

/// Brings the database of `settings` up to date, or with `print_only` prints what that takes and opens nothing.
///
/// # Errors
/// The database did not answer or refused, or stdout cannot be written.
pub(super) fn migrate(settings: &Settings, print_only: bool) -> Result<(), CommandError> {
    let text = if print_only {
        let purpose = "print the migrations";
        store::migrations_sql(&settings.database, &settings.table)
            .map_err(|source| CommandError::Database { purpose, source })?
    } else {
        // Who asks for a migration means it, whatever `--no-migrate` in a file says of runs.
        let settings = Settings { migrate: true, ..settings.clone() };
        let applied = ask(&settings, "migrate the database", |store| store.migrate())?;
        let database = settings.database.identity();
        log::info!(event = "migrated", database:% = database, applied; "");
        said(&database, applied)
    };
    Ok(output::print(&text)?)
}

fn said(database: &str, applied: usize) -> String {
    match applied {
        0 => format!("{database} is up to date.\n"),
        1 => format!("1 migration applied to {database}.\n"),
        _ => format!("{applied} migrations applied to {database}.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn the_number_of_migrations_is_said() {
        assert_eq!(said("sqlite:/x", 0), "sqlite:/x is up to date.\n");
        assert_eq!(said("sqlite:/x", 1), "1 migration applied to sqlite:/x.\n");
        assert_eq!(said("sqlite:/x", 2), "2 migrations applied to sqlite:/x.\n");
    }
}
