//! Opens an SQLite file. Owns the order of the settings: the timeout first, since every later one can meet a lock; and the identity
//! of the open file, which may not be the file at its path any more.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::errors::sort;
use crate::store::StoreError;
use crate::sys::clock;
use crate::sys::file_system::{check_writable, is_shared, refuses_locks};
use crate::sys::poll::pause;

/// A file that is replaced more often than this while it is opened is left for a later attempt.
const OPENS_MAX: usize = 3;

const SWITCH_WAIT: Duration = Duration::from_millis(500);
const SWITCH_STEP: Duration = Duration::from_millis(2);

/// Device and inode. The inode is not used again while the file is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    /// The file at `path` now, through symbolic links.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self(file.dev(), file.ino()))
    }
}

/// Whether this process has the write-ahead log of `path` open, and the file was removed: a backup was copied into the database's
/// file, which keeps its identity.
pub(super) fn log_is_removed(path: &Path) -> bool {
    let mut removed = path.as_os_str().to_owned();
    removed.push("-wal (deleted)");
    let descriptors = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| target.as_os_str() == removed)
}

/// Opens the file at `path`; makes it if `create`.
pub(super) fn connect(path: &Path, busy_timeout: Duration, create: bool) -> Result<(Connection, FileId), StoreError> {
    check_place(path, create)?;
    for _ in 0..OPENS_MAX {
        let before = FileId::at(path);
        let connection = open(path, busy_timeout, create)?;
        // SQLite does not report which file it has opened.
        if let Some(opened) = FileId::at(path).filter(|opened| before.is_none_or(|before| before == *opened)) {
            return Ok((connection, opened));
        }
    }
    Err(StoreError::Transient {
        message: format!("sqlite:{}: the file was replaced while it was opened", path.display()),
    })
}

fn open(path: &Path, busy_timeout: Duration, create: bool) -> Result<Connection, StoreError> {
    let sorted = |error: rusqlite::Error| sort(path, &error);
    // The application that created the database chose its journal mode: a switch to WAL would break its read-only readers.
    let is_new = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
    let mut flags = OpenFlags::default();
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let connection = Connection::open_with_flags(path, flags).map_err(|error| cannot_open(path, &error, create))?;
    check_locks(path, &connection)?;
    connection.busy_timeout(busy_timeout).map_err(sorted)?;
    // WAL needs shared memory, which hosts of a network file system do not share.
    if is_new && !is_shared(path) {
        switch_to_wal(&connection).map_err(sorted)?;
    }
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(sorted)?;
    // The last connection to close the file checkpoints its log. A log that stays makes the next opening read all of it: four to
    // ten times the cost after some hundred runs.
    Ok(connection)
}

/// Of processes that make a file at once, SQLite refuses the switch to some without the wait of the busy timeout. The bound is
/// far below that of an attempt: a file that is locked for longer is the error that a message names.
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = clock::boot_time() + SWITCH_WAIT;
    loop {
        let switched = connection.query_row("PRAGMA journal_mode = WAL", [], |_mode| Ok(()));
        let is_busy = switched.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !is_busy || clock::boot_time() >= deadline || pause(SWITCH_STEP).is_err() {
            return switched;
        }
    }
}

/// SQLite takes a refused lock (ENOLCK) for a held one, and waits for it.
fn check_locks(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let tried = connection
        .busy_timeout(Duration::ZERO)
        .and_then(|()| connection.query_row("PRAGMA schema_version", [], |_version| Ok(())));
    let suspicious = [ErrorCode::DatabaseBusy, ErrorCode::SystemIoFailure, ErrorCode::FileLockingProtocolFailed];
    let is_suspicious =
        tried.is_err_and(|error| error.sqlite_error_code().is_some_and(|code| suspicious.contains(&code)));
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if !is_suspicious || !refuses_locks(directory.unwrap_or(Path::new("."))) {
        return Ok(());
    }
    Err(StoreError::Permanent {
        message: format!("sqlite:{}: the file system does not support locks", path.display()),
        hint: "put the file on a local disk with --database-url sqlite:PATH, or mount the file system with locks"
            .into(),
    })
}

/// The file at `path` was there, and is not now. Only a beginning run makes a file.
pub(super) fn missing(path: &Path) -> StoreError {
    StoreError::Permanent {
        message: format!("sqlite:{}: the file is missing: it was removed or renamed, or never made", path.display()),
        hint: "put the file back, or make a new one with `runwrap migrate`; then run `runwrap recover`".into(),
    }
}

/// Makes the directory, readable by its owner alone, and reports what no retry can heal.
fn check_place(path: &Path, create: bool) -> Result<(), StoreError> {
    let permanent = |why: &str| StoreError::Permanent {
        message: format!("sqlite:{}: {why}", path.display()),
        hint: "name a file that this user may read and write: --database-url sqlite:PATH".into(),
    };
    if path.is_dir() {
        return Err(permanent("it is a directory, not a database file"));
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    // Opening a file that may only be read can leave -wal and -shm files behind that its owner cannot write.
    if path.exists() {
        for needed in [Some(path), directory].into_iter().flatten() {
            check_writable(needed)
                .map_err(|error| permanent(&format!("{} may not be written: {error}", needed.display())))?;
        }
        return Ok(());
    }
    if !create {
        return Err(missing(path));
    }
    let made = directory.map_or(Ok(()), |directory| DirBuilder::new().recursive(true).mode(0o700).create(directory));
    made.map_err(|error| {
        let why = format!("cannot make the directory {}: {error}", directory.unwrap_or(path).display());
        let hopeless = [ErrorKind::PermissionDenied, ErrorKind::NotADirectory, ErrorKind::AlreadyExists];
        if hopeless.contains(&error.kind()) {
            permanent(&why)
        } else {
            StoreError::Transient { message: format!("sqlite:{}: {why}", path.display()) }
        }
    })
}

/// SQLite reports only that it is unable; the file itself shows whether a person must act.
fn cannot_open(path: &Path, error: &rusqlite::Error, create: bool) -> StoreError {
    match std::fs::OpenOptions::new().read(true).append(true).create(create).open(path) {
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => StoreError::Permanent {
            message: format!("sqlite:{}: {cause}", path.display()),
            hint: "give this user the right to read and write the file and its directory".into(),
        },
        Ok(_) | Err(_) => sort(path, error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn file_that_many_make_at_once_is_opened_by_each() {
        const MAKERS: usize = 8;
        for _round in 0..40 {
            let directory = tempfile::tempdir().unwrap();
            let (path, start) = (directory.path().join("runs.db"), Barrier::new(MAKERS));
            std::thread::scope(|scope| {
                for _maker in 0..MAKERS {
                    scope.spawn(|| {
                        start.wait();
                        let (connection, _) = connect(&path, Duration::from_secs(10), true).unwrap();
                        let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
                        assert_eq!(mode.unwrap(), "wal");
                    });
                }
            });
        }
    }
}
