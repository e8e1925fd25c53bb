//! The state directory: where the runs of this user on this host keep their journals, and which of them still live.
//! Owns names, permissions and locks; the content is `writer`'s and `report`'s.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Damage, RunState, read_lines};
use crate::record::RunId;
use crate::sys::fs::{Directory, read_from_start};
use crate::sys::lock::{is_held, try_lock};

const LOCK: &str = "lock";
const REPORT: &str = "report.jsonl";
const QUARANTINE: &str = "quarantine";

/// The byte of the lock file that the journal's writer holds.
const WRITER: std::ops::Range<i64> = 0..1;
/// The byte that the keeper holds.
const KEEPER: std::ops::Range<i64> = 1..2;

/// How long the making of a run's directory may take, with the process stopped meanwhile.
const UNBORN_MAX: Duration = Duration::from_mins(1);

/// The state directory, open.
#[derive(Debug)]
pub struct Home {
    root: Directory,
    runs: Directory,
}

/// One run's directory, open.
#[derive(Debug)]
pub struct RunDirectory {
    directory: Directory,
    path: PathBuf,
    name: OsString,
    /// Our opening of the lock file: what we lock is freed when the last copy of this descriptor is closed.
    lock: File,
}

/// Whether anybody still looks after a run.
#[derive(Debug)]
pub enum LockState {
    /// Its supervisor or its keeper lives.
    Alive,
    /// Nobody; both of its locks are ours now.
    Dead,
}

impl Home {
    /// Opens the state directory, made where it does not exist.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let root = Directory::open_or_create(state_dir)?;
        let runs = root.create_child(OsStr::new("runs"))?;
        Ok(Self { root, runs })
    }

    /// Makes the directory of a new run and takes its writer's lock. Nobody else looks at it before [`Home::publish`]:
    /// a run that can be seen has a lock that is held and a journal with a beginning.
    pub fn make_run(&self, run_id: RunId) -> io::Result<RunDirectory> {
        let name = OsString::from(run_id.to_string());
        let directory = self.runs.create_child(&hidden(&name))?;
        let lock = directory.create(LOCK)?;
        if !try_lock(&lock, &WRITER)? {
            return Err(io::Error::other("somebody else holds the lock of a run that has just been made"));
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

    /// Takes the right to linger for the database `identity`: `None` while another keeper of this state directory has it.
    pub fn lock_for_lingering(&self, identity: &str) -> io::Result<Option<File>> {
        let lock = self.root.create_or_open(&format!("linger-{:08x}.lock", crc32fast::hash(identity.as_bytes())))?;
        Ok(if try_lock(&lock, &WRITER)? { Some(lock) } else { None })
    }

    /// Whether the run `name` is still there.
    #[must_use]
    pub fn has_run(&self, name: &OsStr) -> bool {
        self.runs.contains(name)
    }

    /// The names of all runs, the oldest first: a run's id begins with its time.
    pub fn run_names(&self) -> io::Result<Vec<OsString>> {
        let mut names = self.runs.names()?;
        names.retain(|name| !is_hidden(name));
        names.sort();
        Ok(names)
    }

    /// What was put aside.
    pub fn quarantined(&self) -> io::Result<Vec<PathBuf>> {
        if !self.root.contains(OsStr::new(QUARANTINE)) {
            return Ok(Vec::new());
        }
        let aside = self.root.open_child(OsStr::new(QUARANTINE))?;
        Ok(aside.names()?.iter().map(|name| aside.path().join(name)).collect())
    }

    /// Clears away what somebody left who died while making a run's directory, or while removing it: there is no story in
    /// it. One directory's trouble is logged and stops no other.
    pub fn remove_remains(&self) -> io::Result<()> {
        for name in self.runs.names()? {
            let removed = if is_hidden(&name) { self.remove_unborn(&name) } else { self.remove_emptied(&name) };
            if let Err(error) = removed {
                log::info!(event = "remains_left", run:? = name, error:%; "");
            }
        }
        Ok(())
    }

    /// Its maker holds its lock, once there is one; a dead one's is free.
    fn remove_unborn(&self, name: &OsStr) -> io::Result<()> {
        let directory = self.runs.open_child(name)?;
        if directory.changed_within(UNBORN_MAX)? {
            return Ok(());
        }
        if directory.contains(OsStr::new(LOCK)) && !try_lock(&directory.open_file(LOCK)?, &(WRITER.start..KEEPER.end))?
        {
            return Ok(());
        }
        for file in directory.names()? {
            directory.remove_file(&file)?;
        }
        self.runs.remove_child(name)
    }

    /// The lock file is the last to be removed: a run without one was removed but for its directory.
    fn remove_emptied(&self, name: &OsStr) -> io::Result<()> {
        if self.runs.open_child(name)?.contains(OsStr::new(LOCK)) { Ok(()) } else { self.runs.remove_child(name) }
    }

    /// Opens a run's directory, without a lock.
    pub fn open_run(&self, name: &OsStr) -> io::Result<RunDirectory> {
        let directory = self.runs.open_child(name)?;
        let lock = directory.open_file(LOCK)?;
        Ok(RunDirectory { path: directory.path().to_owned(), directory, name: name.to_owned(), lock })
    }

    /// Removes a run whose end the database has.
    pub fn remove_run(&self, run: &RunDirectory) -> io::Result<()> {
        // The lock file last: as long as there is a journal, there is a lock to ask for.
        let names = run.directory.names()?;
        for name in names.iter().filter(|name| *name != LOCK) {
            // The trainer knows the place, and may have put more there than its report.
            run.directory.remove_all(name)?;
        }
        run.directory.remove_file(OsStr::new(LOCK))?;
        self.runs.remove_child(&run.name)
    }

    /// Puts a run aside whose journal is damaged, for a person to look at.
    pub fn quarantine(&self, run: &RunDirectory) -> io::Result<PathBuf> {
        let target = self.root.create_child(OsStr::new(QUARANTINE))?;
        self.runs.move_child(&run.name, &target)?;
        Ok(target.path().join(&run.name))
    }
}

impl RunDirectory {
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that the trainer reports to.
    #[must_use]
    pub fn report_path(&self) -> PathBuf {
        self.path().join(REPORT)
    }

    /// Another opening of the lock file that holds the keeper's byte, to be given to a keeper and closed here:
    /// from its first moment on the run is alive.
    pub fn lock_for_keeper(&self) -> io::Result<File> {
        let lock = self.directory.open_file(LOCK)?;
        if try_lock(&lock, &KEEPER)? {
            Ok(lock)
        } else {
            Err(io::Error::new(io::ErrorKind::WouldBlock, "another keeper still holds its lock"))
        }
    }

    /// Takes the writer's byte; false while the supervisor, or somebody else, has it.
    pub fn try_lock_writer(&self) -> io::Result<bool> {
        try_lock(&self.lock, &WRITER)
    }

    /// Whether a supervisor, or a keeper in its place, still writes the journal.
    pub fn is_written(&self) -> io::Result<bool> {
        is_held(&self.lock, &WRITER)
    }

    /// Asks the kernel whether anybody looks after the run, and takes its place if not.
    pub fn lock_state(&self) -> io::Result<LockState> {
        let both = WRITER.start..KEEPER.end;
        Ok(if try_lock(&self.lock, &both)? { LockState::Dead } else { LockState::Alive })
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
        let mut numbers: Vec<u32> = self.directory.names()?.iter().filter_map(|name| journal_number(name)).collect();
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            let file = self.directory.open_file(&journal_name(number))?;
            match read_lines(&read_from_start(&file)?) {
                Ok((entries, _)) => match RunState::from_entries(&entries) {
                    Some(state) => return Ok(Ok((state, file, number))),
                    None => return Ok(Err(Damage::Empty)),
                },
                // Its writer died before the first line was whole: the file before it is complete.
                Err(Damage::Empty) => {}
                Err(damage) => return Ok(Err(damage)),
            }
        }
        Ok(Err(Damage::Empty))
    }
}

/// The name of a run that is being made.
fn hidden(name: &OsStr) -> OsString {
    [OsStr::new("."), name].into_iter().collect()
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn journal_name(number: u32) -> String {
    format!("journal-{number}.jsonl")
}

fn journal_number(name: &OsStr) -> Option<u32> {
    name.to_str()?.strip_prefix("journal-")?.strip_suffix(".jsonl")?.parse().ok()
}

/// Reads the journal behind an inherited descriptor.
pub fn read_run_state(file: &File) -> io::Result<RunState> {
    let (entries, _) = read_lines(&read_from_start(file)?).map_err(io::Error::other)?;
    RunState::from_entries(&entries).ok_or_else(|| io::Error::other(Damage::Empty))
}
