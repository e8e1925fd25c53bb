//! Gathers the facts of this host: the state directory in use, what waits in it, the kernel and the limits. Every wait for a file system
//! is bounded. Must not leave a file, and must not judge.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bounded::within;
use super::facts::{Locks, StateFacts, SystemFacts, Trial, Trouble};
use crate::commands::CommandError;
use crate::commands::run::KEEPER_DESCRIPTORS;
use crate::config::{DatabaseTarget, Settings};
use crate::delivery::{Destination, Waiting, undelivered};
use crate::journal::Home;
use crate::sys::clock::boot_time;
use crate::sys::file_system::{FileSystem, check_writable, refuses_locks, unnamed_file};
use crate::sys::fs::file_bytes_within;
use crate::sys::kernel::Kernel;
use crate::sys::limits::{Limits, free_tasks};
use crate::sys::lock_trial::between_processes;
use crate::sys::process::free_descriptors;

/// The processes and threads of a run besides the trainer's own: the keeper with its threads, the witness and the trainer.
const RUN_TASKS: usize = 7;

/// More than the journal of most runs.
const WRITTEN_BYTES: usize = 64 * 1024;

/// How long a killed process may hold its lock.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);

/// The kernel and the limits.
pub(super) fn system(settings: &Settings) -> SystemFacts {
    // Before any other thread.
    let free_tasks = free_tasks(RUN_TASKS);
    let database_bytes = match &settings.database {
        DatabaseTarget::Sqlite(path) => file_bytes_within(path, settings.start_timeout),
        DatabaseTarget::Postgres(_) => None,
    };
    SystemFacts {
        kernel: Kernel::here(),
        limits: Limits::current().map_err(|error| error.to_string()),
        free_descriptors: free_descriptors(KEEPER_DESCRIPTORS),
        needed_descriptors: KEEPER_DESCRIPTORS,
        free_tasks,
        needed_tasks: RUN_TASKS,
        database_bytes,
    }
}

/// The state directory, what waits in it, and the log.
pub(super) fn state(settings: &Settings) -> StateFacts {
    let limit = settings.start_timeout;
    let lock_limit = limit.min(LOCK_WAIT_MAX);
    let (path, log_file) = (settings.state_dir.clone(), settings.log_file.clone());
    let tried = within(limit, move || {
        let trial = try_directory(&path, lock_limit).map_err(|error| error.to_string());
        (trial, cannot_write(&log_file))
    });
    let (trial, log_error) = tried.unzip();
    let own = settings.clone();
    let waiting =
        trial.as_ref().and_then(|_answered| within(limit, move || waiting(&own).map_err(|error| Trouble::of(&error))));
    StateFacts {
        path: settings.state_dir.clone(),
        limit,
        trial,
        waiting,
        log_file: settings.log_file.clone(),
        log_error: log_error.flatten(),
    }
}

/// Uses the state directory as a run does, with a file that has no name.
fn try_directory(state_dir: &Path, lock_limit: Duration) -> io::Result<Trial> {
    // Its owner, its mode, and who may replace it.
    let is_used = Home::open_existing(state_dir)?.is_some();
    let exists = state_dir.is_dir();
    let directory = if is_used { state_dir.join("runs") } else { nearest_directory(&state_dir.join("runs")) };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    let file = unnamed_file(&directory).map_err(named)?;
    let locks = if refuses_locks(&directory) {
        Locks::Refused
    } else {
        between_processes(&file, lock_limit).map_or_else(|error| Locks::Unknown(error.to_string()), Locks::Tried)
    };
    Ok(Trial {
        exists,
        file_system: FileSystem::of(&directory).map_err(|error| error.to_string()),
        written: written(file).map_err(|error| error.to_string()),
        locks,
    })
}

fn written(mut file: File) -> io::Result<Duration> {
    let start = boot_time();
    file.write_all(&vec![b'\n'; WRITTEN_BYTES])?;
    file.sync_all()?;
    Ok(boot_time().saturating_sub(start))
}

/// The nearest directory that exists and holds `path`, or would.
pub(super) fn nearest_directory(path: &Path) -> PathBuf {
    let found = path.ancestors().skip(1).find(|parent| parent.is_dir());
    found.map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// Why this user cannot make the file `path` and its directories.
pub(super) fn cannot_make(path: &Path) -> Option<String> {
    let nearest = path.ancestors().skip(1).find(|parent| parent.symlink_metadata().is_ok())?;
    if !nearest.is_dir() {
        return Some(format!("{} is not a directory", nearest.display()));
    }
    check_writable(nearest).err().map(|error| format!("{}: {error}", nearest.display()))
}

/// Why this user cannot append to the file `path`, or make it.
fn cannot_write(path: &Path) -> Option<String> {
    match path.symlink_metadata() {
        Ok(file) if file.is_symlink() => Some("it is a symbolic link".to_owned()),
        Ok(file) if file.is_dir() => Some("it is a directory".to_owned()),
        Ok(_) => check_writable(path).err().map(|error| error.to_string()),
        Err(_) => cannot_make(path),
    }
}

fn waiting(settings: &Settings) -> Result<Vec<Waiting>, CommandError> {
    let unusable = |cause| CommandError::StateDirectory { path: settings.state_dir.clone(), cause };
    undelivered(&settings.state_dir, &Destination::of(&settings.database)).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_directory_of_a_file_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(nearest_directory(&home.path().join("a/b/c")), home.path());
        assert_eq!(cannot_make(&home.path().join("a/b")), None);
        let file = home.path().join("file");
        File::create(&file).unwrap();
        let why = cannot_make(&file.join("a/b")).unwrap();
        assert!(why.ends_with("file is not a directory"), "{why}");
        assert_eq!(cannot_write(&file), None);
        assert_eq!(cannot_write(home.path()).as_deref(), Some("it is a directory"));
    }

    #[test]
    fn directory_in_use_keeps_locks_and_leaves_no_file() {
        let home = tempfile::tempdir().unwrap();
        let trial = try_directory(&home.path().join("state/runwrap"), Duration::from_secs(30)).unwrap();
        assert!(!trial.exists && trial.written.is_ok(), "{trial:?}");
        assert!(matches!(trial.locks, Locks::Tried(locks) if locks.is_exclusive && locks.is_freed), "{trial:?}");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
