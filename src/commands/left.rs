//! The journals that `recover` leaves alone, grouped: to which process or database, why, and the next step. Must not change the state
//! directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::config::SslMode;
use crate::delivery::{Deliverer, Destination, Inspection, deliverer, inspect, label};
use crate::journal::Home;
use crate::record::shell_quoted;

/// Why a journal is left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Held(Deliverer),
    Foreign(String),
    Unprotected(SslMode),
    Newer(String),
    /// It has no end, and its locks are on this host.
    Elsewhere(String),
}

/// Some journals that are left for one cause.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) message: String,
    pub(super) hint: String,
    /// Nothing is wrong: the runs may live.
    pub(super) is_normal: bool,
}

/// The journals that are left to other processes and databases, one entry for each of these.
///
/// # Errors
/// The state directory cannot be used.
pub(super) fn left(state_dir: &Path, log_file: &Path, destination: &Destination) -> io::Result<Vec<Left>> {
    if !state_dir.exists() {
        return Ok(Vec::new());
    }
    let home = Home::open(state_dir)?;
    let mut causes: BTreeMap<Cause, Vec<String>> = BTreeMap::new();
    for name in home.names()?.runs {
        // An error has been reported by the round.
        if let Ok(Some(cause)) = cause(&home, &name, destination) {
            causes.entry(cause).or_default().push(label(&name));
        }
    }
    Ok(causes.iter().map(|(cause, runs)| describe(cause, runs, log_file)).collect())
}

fn cause(home: &Home, name: &OsStr, destination: &Destination) -> io::Result<Option<Cause>> {
    Ok(match inspect(home, name, destination)? {
        Inspection::Held(directory) => {
            deliverer(&directory)?.filter(|_| home.has_run(name)).map(|(deliverer, _)| Cause::Held(deliverer))
        }
        Inspection::Foreign(database) => Some(Cause::Foreign(database)),
        Inspection::Unprotected(demanded) => Some(Cause::Unprotected(demanded)),
        Inspection::Newer(damage) => Some(Cause::Newer(damage.to_string())),
        Inspection::Elsewhere(host) => Some(Cause::Elsewhere(host)),
        Inspection::Dead(_)
        | Inspection::Gone
        | Inspection::Emptied
        | Inspection::NeverBegun(_)
        | Inspection::Damaged(..) => None,
    })
}

fn describe(cause: &Cause, runs: &[String], log_file: &Path) -> Left {
    let (what, it) = match runs {
        [run] => (format!("left run {run}"), "it"),
        runs => (format!("left {} runs", runs.len()), "them"),
    };
    let wait = || format!("wait, or read the last error of the database in {}", log_file.display());
    let (message, hint) = match cause {
        Cause::Held(Deliverer::Keeper { .. }) => {
            (format!("{what} to the run's own keeper, which delivers {it}"), wait())
        }
        Cause::Held(Deliverer::Recovery) => {
            (format!("{what} to a lingering keeper or another recovery, which delivers {it}"), wait())
        }
        Cause::Foreign(database) => (
            format!("{what} for the database {database}"),
            format!(
                "recover with its --database-url; if only its address has changed, add --from {}",
                shell_quoted(database)
            ),
        ),
        Cause::Unprotected(demanded) => (
            format!("{what}: the journal may travel only with sslmode={demanded} or better"),
            format!("recover with sslmode={demanded} in the --database-url"),
        ),
        Cause::Newer(damage) => (format!("{what}: {damage}"), "recover with the newer runwrap".to_owned()),
        Cause::Elsewhere(host) => (
            format!("{what} on the host {host}: no end, and locks that are not seen here"),
            "recover again once the lease has run out".to_owned(),
        ),
    };
    Left { message, hint, is_normal: matches!(cause, Cause::Elsewhere(_)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_one_line_and_a_next_step() {
        let described = |cause, count: usize| {
            let Left { message, hint, .. } = describe(&cause, &vec!["r".to_owned(); count], Path::new("/log"));
            (message, hint)
        };
        let (message, hint) = described(Cause::Held(Deliverer::Keeper { is_supervised: false }), 1);
        assert_eq!(message, "left run r to the run's own keeper, which delivers it");
        assert_eq!(hint, "wait, or read the last error of the database in /log");
        let (message, hint) = described(Cause::Foreign("sqlite:/a b".into()), 3);
        assert_eq!(message, "left 3 runs for the database sqlite:/a b");
        assert!(hint.ends_with("add --from 'sqlite:/a b'"), "{hint}");
        let (message, _) = described(Cause::Held(Deliverer::Recovery), 2);
        assert_eq!(message, "left 2 runs to a lingering keeper or another recovery, which delivers them");
    }
}
