//! `runwrap migrate`: creates or upgrades the tables, or prints the SQL for an administrator.

use super::ask::ask;
use super::error::CommandError;
use crate::config::Settings;
use crate::output;
use crate::store::Store;

/// Brings the database of `settings` up to date, and names on stderr why the user's table cannot take a record; with `print_only`
/// prints the SQL of both and changes nothing.
///
/// # Errors
/// The database did not answer or refused, or stdout cannot be written.
pub(super) fn migrate(settings: &Settings, print_only: bool) -> Result<(), CommandError> {
    let text = if print_only {
        ask(settings, "print the migrations", Store::missing_sql)?
    } else {
        // An explicit migration overrides `no_migrate` in the configuration file.
        let settings = Settings { migrate: true, ..settings.clone() };
        let applied = ask(&settings, "migrate the database", Store::migrate)?;
        let database = settings.database.identity();
        log::info!(event = "migrated", database:% = database, applied; "{applied} migrations applied");
        for unfit in ask(&settings, "check the table", Store::unfit)? {
            log::warn!(event = "table_unfit", hint = unfit.repair; "{}", unfit.detail);
        }
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
