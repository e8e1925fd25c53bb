//! Opens an SQLite file. Owns the order of the settings: the timeout first, since every later one can meet a lock.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::errors::sort;
use crate::store::StoreError;
use crate::sys::fs::{check_writable, is_shared};

pub(super) fn connect(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let sorted = |error: rusqlite::Error| sort(path, &error);
    check_place(path)?;
    // The application that created the database chose its journal mode: a switch to WAL would break its read-only readers.
    let is_new = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
    let connection = Connection::open(path).map_err(|error| cannot_open(path, &error))?;
    connection.busy_timeout(busy_timeout).map_err(sorted)?;
    // WAL needs shared memory, which hosts of a network file system do not share.
    if is_new && !is_shared(path) {
        connection.query_row("PRAGMA journal_mode = WAL", [], |_mode| Ok(())).map_err(sorted)?;
    }
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(sorted)?;
    // The last connection to close the file checkpoints its log. A log that stays makes the next opening read all of it: four to
    // ten times the cost after some hundred runs.
    Ok(connection)
}

/// Makes the directory, readable by its owner alone, and reports what no retry can heal.
fn check_place(path: &Path) -> Result<(), StoreError> {
    let permanent = |why: &str| StoreError::Permanent {
        message: format!("sqlite:{}: {why}", path.display()),
        hint: "name a file that this user may read and write: --database-url sqlite:PATH".into(),
    };
    if path.is_dir() {
        return Err(permanent("it is a directory, not a database file"));
    }
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else { return Ok(()) };
    // Opening a file that may only be read can leave -wal and -shm files behind that its owner cannot write.
    if path.exists() {
        for needed in [path, directory] {
            check_writable(needed)
                .map_err(|error| permanent(&format!("{} may not be written: {error}", needed.display())))?;
        }
        return Ok(());
    }
    match DirBuilder::new().recursive(true).mode(0o700).create(directory) {
        Ok(()) => Ok(()),
        Err(error) => {
            let why = format!("cannot make the directory {}: {error}", directory.display());
            let hopeless = [ErrorKind::PermissionDenied, ErrorKind::NotADirectory, ErrorKind::AlreadyExists];
            if hopeless.contains(&error.kind()) {
                Err(permanent(&why))
            } else {
                Err(StoreError::Transient { message: format!("sqlite:{}: {why}", path.display()) })
            }
        }
    }
}

/// SQLite reports only that it is unable; the file itself shows whether a person must act.
fn cannot_open(path: &Path, error: &rusqlite::Error) -> StoreError {
    match std::fs::OpenOptions::new().read(true).append(true).create(true).open(path) {
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => StoreError::Permanent {
            message: format!("sqlite:{}: {cause}", path.display()),
            hint: "give this user the right to read and write the file and its directory".into(),
        },
        Ok(_) | Err(_) => sort(path, error),
    }
}
