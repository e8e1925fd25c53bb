//! The state directory: the journals of this user's runs, and the locks that show which runs are alive.
//! Owns names, permissions and locks; must not read the content of a journal beyond [`RunDirectory::read`].
//!
//! A run's directory is named `RUN_ID.TAG`. The tag is a hash of the database's identity: a reader that delivers to one
//! database skips the directories of others without opening them. The tag only excludes; the journal names the database.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::holder::{FreeLock, Holder};
use super::{Damage, RunState};
use crate::record::{Run, RunId};
use crate::sys::clock;
use crate::sys::file_system::is_shared;
use crate::sys::fs::{self, Directory, read_from_start};
use crate::sys::lock::{is_held, is_own, try_lock};

const LOCK: &str = "lock";
const RUNS: &str = "runs";
pub(super) const REPORT: &str = "report.jsonl";
pub(super) const SEEN: &str = "seen";
const QUARANTINE: &str = "quarantine";

/// The byte of the lock file that the journal's writer holds.
const WRITER: Range<i64> = 0..1;
/// The byte that the keeper holds.
const KEEPER: Range<i64> = 1..2;
/// The byte that a recoverer holds besides: a lingering keeper, or `recover`.
const RECOVERER: Range<i64> = 2..3;
const ALL: Range<i64> = 0..3;

/// How long a supervisor may take to make a run's directory, also if it is stopped meanwhile.
const UNBORN_MAX: Duration = Duration::from_mins(1);

/// The state directory, open.
#[derive(Debug)]
pub struct Home {
    root: Directory,
    runs: Directory,
    /// The first time that [`Home::now`] returned: a scan of a thousand runs asks the file server once.
    scanned_at: OnceLock<SystemTime>,
}

/// One run's directory, open.
#[derive(Debug)]
pub struct RunDirectory {
    directory: Directory,
    path: PathBuf,
    name: OsString,
    /// Our opening of the lock file: its locks are freed when the last copy of this descriptor is closed. The file names the
    /// holder's host.
    lock: File,
}

/// Whether a run's locks are free.
#[derive(Debug)]
pub enum LockState {
    /// Its supervisor, its keeper or another recovery holds one.
    Held,
    /// All were free and are ours now.
    Taken,
}

/// The entries of the directory of runs.
#[derive(Debug, Default)]
pub struct RunNames {
    /// The runs, the oldest first: a run's id begins with its time.
    pub runs: Vec<OsString>,
    /// Directories that are being made, or whose maker died.
    pub unborn: Vec<OsString>,
}

/// The name of the directory of the run `run_id`, which is meant for the database `identity`.
pub(crate) fn run_name(run_id: RunId, identity: &str) -> OsString {
    format!("{run_id}.{}", tag(identity)).into()
}

/// The tag of the database `identity` in names.
pub(crate) fn tag(identity: &str) -> String {
    format!("{:08x}", crc32fast::hash(identity.as_bytes()))
}

/// Whether the directory `name` may hold a run for the database with this tag. A name without a tag may.
pub(crate) fn may_be_for(name: &OsStr, tag: &str) -> bool {
    let name = name.as_encoded_bytes();
    name.iter().position(|byte| *byte == b'.').is_none_or(|dot| name.get(dot + 1..) == Some(tag.as_bytes()))
}

/// The id of the run in the directory `name`.
pub(crate) fn run_id_of(name: &OsStr) -> Option<RunId> {
    name.to_str()?.split('.').next()?.parse().ok().map(RunId)
}

impl Home {
    /// Opens the state directory, and makes it first if it does not exist.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let root = Directory::open_or_create(state_dir, OsStr::new(RUNS))?;
        let runs = root.create_child(OsStr::new(RUNS))?;
        Ok(Self { root, runs, scanned_at: OnceLock::new() })
    }

    /// As [`Home::open`], but makes nothing: `None` if no run has used the directory, which need not exist.
    pub fn open_existing(state_dir: &Path) -> io::Result<Option<Self>> {
        let root = match Directory::open_existing(state_dir, OsStr::new(RUNS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            root => root?,
        };
        if !root.contains(OsStr::new(RUNS)) {
            return Ok(None);
        }
        let runs = root.open_child(OsStr::new(RUNS))?;
        Ok(Some(Self { root, runs, scanned_at: OnceLock::new() }))
    }

    /// Makes the directory of a new run for the database `identity` and takes its writer's lock. It is hidden until
    /// [`Home::publish`]: a visible run has a held lock and a journal with a beginning.
    pub fn make_run(&self, run_id: RunId, identity: &str, lease: Duration) -> io::Result<RunDirectory> {
        let name = run_name(run_id, identity);
        let directory = self.runs.create_child(&hidden(&name))?;
        // Closed before the lock is taken: a network file system shows a write to other hosts after the close.
        let named = directory.create(LOCK)?.write_all(&serde_json::to_vec(&Holder::here(lease))?);
        // Without it, the journal names the host.
        named.unwrap_or_else(|error| {
            log::info!(event = "holder_not_named", run_id:%, error:%;
            "the lock of run {run_id} names no holder: {error}");
        });
        let lock = directory.open_file(LOCK)?;
        if !try_lock(&lock, &WRITER)? {
            return Err(io::Error::other("another process holds the lock of a run that has just been made"));
        }
        directory.create(REPORT)?;
        Ok(RunDirectory { path: self.runs.path().join(&name), directory, name, lock })
    }

    /// Gives a new run its name, durable after [`Home::sync_names`]. Its journal has begun.
    pub fn publish(&self, run: &RunDirectory) -> io::Result<()> {
        self.runs.rename_child(&hidden(&run.name), &run.name)
    }

    /// Makes the names of the runs durable.
    pub fn sync_names(&self) -> io::Result<()> {
        self.runs.sync()
    }

    /// Takes the lock of the lingering keeper for a database, its user and its schema; `None` while another one holds it.
    pub fn lock_for_lingering(&self, place: &str) -> io::Result<Option<File>> {
        let lock = self.root.create_or_open(&format!("linger-{}.lock", tag(place)))?;
        Ok(try_lock(&lock, &WRITER)?.then_some(lock))
    }

    /// A file of all runs.
    pub(super) fn create_or_open(&self, name: &str) -> io::Result<File> {
        self.root.create_or_open(name)
    }

    /// Whether the run `name` is still there.
    pub fn has_run(&self, name: &OsStr) -> bool {
        self.runs.contains(name)
    }

    /// Reads the directory of runs once.
    pub fn names(&self) -> io::Result<RunNames> {
        let (unborn, mut runs): (Vec<_>, Vec<_>) = self.runs.names()?.into_iter().partition(|name| is_hidden(name));
        runs.sort_unstable();
        Ok(RunNames { runs, unborn })
    }

    /// The directories in quarantine.
    pub fn quarantined(&self) -> io::Result<Vec<PathBuf>> {
        if !self.root.contains(OsStr::new(QUARANTINE)) {
            return Ok(Vec::new());
        }
        let aside = self.root.open_child(OsStr::new(QUARANTINE))?;
        Ok(aside.names()?.iter().map(|name| aside.path().join(name)).collect())
    }

    /// Removes an unborn run whose maker died: its journal never began. False while it may still be in the making.
    pub fn remove_unborn(&self, name: &OsStr) -> io::Result<bool> {
        let directory = match self.runs.open_child(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            opened => opened?,
        };
        if !is_older(self.now(), directory.changed_at()?, UNBORN_MAX) {
            return Ok(false);
        }
        if directory.contains(OsStr::new(LOCK)) {
            let lock = directory.open_file(LOCK)?;
            // Its maker holds the lock as soon as the file exists.
            if !try_lock(&lock, &ALL)? {
                return Ok(false);
            }
            if let Some(FreeLock::LeaseDecides { lease, .. }) = self.free_lock(&lock, None)?
                && !self.is_silent(&directory, lease)?
            {
                return Ok(false);
            }
        }
        for file in directory.names()? {
            directory.remove_file(&file)?;
        }
        self.runs.remove_child(name).map(|()| true)
    }

    /// The proof in the lock of `run`, which this process has taken. The journal names the host if the lock file does not; `None` if
    /// neither does.
    pub fn proof(&self, run: &RunDirectory, begun: Option<&Run>) -> io::Result<Option<FreeLock>> {
        self.free_lock(&run.lock, begun)
    }

    fn free_lock(&self, lock: &File, begun: Option<&Run>) -> io::Result<Option<FreeLock>> {
        let named: Option<Holder> = serde_json::from_slice(&read_from_start(lock)?).ok();
        let holder = named.or_else(|| begun.map(Holder::of_run));
        Ok(holder.map(|holder| {
            let (is_real, is_shared) = (is_own(lock, &ALL), is_shared(self.runs.path()));
            holder.free_lock(&Holder::here(Duration::ZERO), is_real, is_shared)
        }))
    }

    /// Whether no process has written or touched a file of `run` for `lease`.
    pub fn has_been_silent(&self, run: &RunDirectory, lease: Duration) -> io::Result<bool> {
        self.is_silent(&run.directory, lease)
    }

    fn is_silent(&self, directory: &Directory, lease: Duration) -> io::Result<bool> {
        Ok(is_older(self.now(), directory.last_change()?, lease))
    }

    /// The time of this scan by the clock of the file system: those of two hosts may differ. A time that is too early spares a run.
    fn now(&self) -> SystemTime {
        *self.scanned_at.get_or_init(|| {
            self.root.clock().unwrap_or_else(|error| {
                log::info!(event = "no_clock_of_file_system", error:%;
                    "the clock of the file system cannot be read: {error}");
                clock::wall_time().into()
            })
        })
    }

    /// Removes the empty directory of a run that was being removed when its remover died.
    pub fn remove_emptied(&self, name: &OsStr) -> io::Result<()> {
        self.runs.remove_child(name)
    }

    /// Opens a run's directory, without a lock.
    pub fn open_run(&self, name: &OsStr) -> io::Result<RunDirectory> {
        let directory = self.runs.open_child(name)?;
        let lock = directory.open_file(LOCK)?;
        Ok(RunDirectory { path: directory.path().to_owned(), directory, name: name.to_owned(), lock })
    }

    /// Removes a run whose end is in the database.
    pub fn remove_run(&self, run: &RunDirectory) -> io::Result<()> {
        // The lock file last: a directory with a journal has a lock.
        let names = run.directory.names()?;
        for name in names.iter().filter(|name| *name != LOCK) {
            // The trainer knows this directory and may have written more than its report.
            run.directory.remove_all(name)?;
        }
        run.directory.remove_file(OsStr::new(LOCK))?;
        self.runs.remove_child(&run.name)
    }

    /// Moves a run with a damaged journal into quarantine, for a person to read.
    pub fn quarantine(&self, run: &RunDirectory) -> io::Result<PathBuf> {
        let target = self.root.create_child(OsStr::new(QUARANTINE))?;
        self.runs.move_child(&run.name, &target)?;
        Ok(target.path().join(&run.name))
    }
}

impl RunDirectory {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `RUNWRAP_REPORT`: the trainer appends to it.
    pub fn report_path(&self) -> PathBuf {
        self.path().join(REPORT)
    }

    /// Another opening of the lock file that holds the keeper's byte. The supervisor passes it to a new keeper and closes
    /// its own copy: the byte is held from the keeper's first moment on.
    pub fn lock_for_keeper(&self) -> io::Result<File> {
        let lock = self.directory.open_file(LOCK)?;
        let held = || io::Error::new(io::ErrorKind::WouldBlock, "another keeper still holds its lock");
        try_lock(&lock, &KEEPER)?.then_some(lock).ok_or_else(held)
    }

    /// Takes the writer's byte; false while the supervisor or another process holds it.
    pub fn try_lock_writer(&self) -> io::Result<bool> {
        try_lock(&self.lock, &WRITER)
    }

    /// A sign of life for other hosts, which may not see the locks.
    pub fn show_life(&self) {
        if let Err(error) = fs::touch(&self.lock) {
            log::info!(event = "no_sign_of_life", error:%; "no sign of life can be written: {error}");
        }
    }

    /// Whether a supervisor, or a keeper in its place, still writes the journal.
    pub fn is_written(&self) -> io::Result<bool> {
        is_held(&self.lock, &WRITER)
    }

    /// Whether a recoverer holds the run.
    pub fn is_recovered(&self) -> io::Result<bool> {
        is_held(&self.lock, &RECOVERER)
    }

    /// Tries to take all bytes, as a recoverer.
    pub fn lock_state(&self) -> io::Result<LockState> {
        Ok(if try_lock(&self.lock, &ALL)? { LockState::Taken } else { LockState::Held })
    }

    /// Makes the journal file `number`, which must not exist.
    pub(super) fn create_journal(&self, number: u32) -> io::Result<File> {
        self.directory.create(&journal_name(number))
    }

    /// Makes new names in this directory durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.directory.sync()
    }

    /// Reads the journal that counts: the one with the highest number that has a beginning.
    pub fn read(&self) -> io::Result<Result<(RunState, File, u32), Damage>> {
        let numbers: BTreeSet<u32> = self.directory.names()?.iter().filter_map(|name| journal_number(name)).collect();
        for number in numbers.into_iter().rev() {
            let file = self.directory.open_file(&journal_name(number))?;
            match RunState::from_lines(&read_from_start(&file)?) {
                Ok((state, _)) => return Ok(Ok((state, file, number))),
                // Its writer died before the first line was complete: the previous file is whole.
                Err(Damage::Empty) => {}
                Err(damage) => return Ok(Err(damage)),
            }
        }
        Ok(Err(Damage::Empty))
    }
}

/// The name of a run's directory until it is published.
fn hidden(name: &OsStr) -> OsString {
    [OsStr::new("."), name].into_iter().collect()
}

/// Whether the directory `name` is of a run that is not published yet.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether `then` is more than `limit` before `now`.
fn is_older(now: SystemTime, then: SystemTime, limit: Duration) -> bool {
    now.duration_since(then).is_ok_and(|age| age > limit)
}

fn journal_name(number: u32) -> String {
    format!("journal-{number}.jsonl")
}

fn journal_number(name: &OsStr) -> Option<u32> {
    name.to_str()?.strip_prefix("journal-")?.strip_suffix(".jsonl")?.parse().ok()
}

/// Reads the journal behind an inherited descriptor.
pub(crate) fn read_run_state(file: &File) -> io::Result<RunState> {
    RunState::from_lines(&read_from_start(file)?).map(|(state, _)| state).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_name_excludes_other_databases_only_by_its_tag() {
        let run_id = RunId(Uuid::now_v7());
        let name = run_name(run_id, "sqlite:/a");
        assert!(may_be_for(&name, &tag("sqlite:/a")) && !may_be_for(&name, &tag("sqlite:/b")));
        let untagged = OsString::from(run_id.to_string());
        assert!(may_be_for(&untagged, &tag("sqlite:/b")));
        assert_eq!((run_id_of(&name), run_id_of(&untagged)), (Some(run_id), Some(run_id)));
        assert_eq!(run_id_of(OsStr::new("note")), None);
    }
}
