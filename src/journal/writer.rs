//! Appends to a run's journal. A write survives the death of every process; [`sync`] makes it survive a power failure, and may
//! wait for the disk: only the keeper calls it, on a thread. A disk error never stops a run: the journal moves to a new file in
//! the same directory or, if that fails too, into memory. If even a memory file is refused, only this process has the journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::line::encode;
use super::{Begin, Home, JournalEntry, RunDirectory, RunEvent, RunState};
use crate::sys::memory_file::memory_file;
use crate::sys::{clock, failpoint, fs};

/// The files that a journal uses on disk. The second may fail as the first did.
const FILES_MAX: u32 = 2;

/// The medium of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Disk,
    /// No disk was writable: the journal is lost with the processes that hold it. Without a memory file (`ulimit -f`,
    /// `ulimit -n`) that is this process alone.
    Memory,
}

/// The result of an append, for processes that have the journal's file open.
#[derive(Debug)]
pub(crate) enum Appended {
    InPlace,
    /// The whole journal moved to another file because of this error.
    Moved(io::Error),
}

/// An open journal file, or none: [`Writer`] has its content.
pub(crate) struct JournalFile {
    file: Option<Arc<File>>,
    medium: Medium,
    /// The number in the file's name.
    number: u32,
}

/// The only writer of a run's journal.
pub(crate) struct Writer {
    journal: JournalFile,
    /// Everything written so far: the content of a new file.
    bytes: Vec<u8>,
    state: RunState,
}

impl JournalFile {
    /// Creates an empty journal in `directory` or, without one, in memory. The second value is the error that forced it
    /// into memory.
    pub(crate) fn create(directory: Option<&RunDirectory>) -> (Self, Option<io::Error>) {
        Self::make(directory, 1, &[])
    }

    /// As [`JournalFile::create`], but with the number in the name and the content.
    fn make(directory: Option<&RunDirectory>, number: u32, bytes: &[u8]) -> (Self, Option<io::Error>) {
        match directory.map(|directory| new_file(directory, number, bytes)) {
            Some(Ok(file)) => (Self { file: Some(Arc::new(file)), medium: Medium::Disk, number }, None),
            failed => {
                let file = memory_file(c"runwrap-journal", bytes).inspect_err(|error| {
                    log::info!(event = "no_memory_file", error:%; "no journal can be made in memory: {error}");
                });
                let file = file.ok().map(Arc::new);
                (Self { file, medium: Medium::Memory, number }, failed.and_then(Result::err))
            }
        }
    }

    /// `None`: no other process can read the journal.
    pub(crate) const fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    fn write_at(&self, line: &[u8], offset: usize) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| write_at(file, line, offset))
    }

    /// The file, for a sync of it; `None` in memory.
    pub(crate) fn file_on_disk(&self) -> Option<Arc<File>> {
        self.file.clone().filter(|_| self.medium == Medium::Disk)
    }

    /// The number in the file's name; `None` in memory.
    pub(crate) fn number_on_disk(&self) -> Option<u32> {
        (self.medium == Medium::Disk).then_some(self.number)
    }
}

impl Writer {
    /// Writes the beginning of a run to the empty `journal`.
    ///
    /// # Errors
    /// The beginning cannot be encoded.
    pub(crate) fn begin(
        journal: JournalFile,
        directory: Option<&RunDirectory>,
        begin: Begin,
    ) -> io::Result<(Self, Appended)> {
        let state = RunState::new(begin.clone());
        let bytes = encode(&JournalEntry { seq: 0, elapsed_us: 0, event: RunEvent::Begin(Box::new(begin)) })?;
        let mut writer = Self { journal, bytes, state };
        let written = writer.journal.write_at(&writer.bytes, 0);
        let written = writer.move_on_error(written, directory);
        Ok((writer, written))
    }

    /// Continues the journal of another process. The caller holds its lock. Truncates a torn last line. `number` is the
    /// number in the file's name; `None` in memory.
    pub(crate) fn resume(file: Arc<File>, number: Option<u32>) -> io::Result<Self> {
        let mut bytes = fs::read_from_start(&file)?;
        let (state, complete_bytes) = RunState::from_lines(&bytes).map_err(io::Error::other)?;
        if complete_bytes < bytes.len() {
            bytes.truncate(complete_bytes);
            file.set_len(u64::try_from(complete_bytes).unwrap_or(u64::MAX))?;
        }
        let medium = if number.is_some() { Medium::Disk } else { Medium::Memory };
        Ok(Self { journal: JournalFile { file: Some(file), medium, number: number.unwrap_or(1) }, bytes, state })
    }

    /// Writes `event`.
    ///
    /// # Errors
    /// The event cannot be encoded.
    pub(crate) fn append(&mut self, directory: Option<&RunDirectory>, event: RunEvent) -> io::Result<Appended> {
        let elapsed_us = self.state.begin.elapsed_us(clock::boot_time()).max(self.state.last_elapsed_us);
        let entry = JournalEntry { seq: self.state.events, elapsed_us, event };
        let line = encode(&entry)?;
        let written = self.journal.write_at(&line, self.bytes.len());
        self.bytes.extend_from_slice(&line);
        self.state.apply(&entry);
        Ok(self.move_on_error(written, directory))
    }

    fn move_on_error(&mut self, written: io::Result<()>, directory: Option<&RunDirectory>) -> Appended {
        written.map_or_else(|error| self.move_after(error, directory), |()| Appended::InPlace)
    }

    /// Moves the journal to a new file after the write or sync `error`. A failed fsync is never repeated on the same file: the
    /// kernel may have dropped the pages and marked them clean.
    pub(crate) fn move_after(&mut self, error: io::Error, directory: Option<&RunDirectory>) -> Appended {
        let number = self.journal.number + 1;
        (self.journal, _) = JournalFile::make(directory.filter(|_| number <= FILES_MAX), number, &self.bytes);
        Appended::Moved(error)
    }

    pub(crate) const fn journal(&self) -> &JournalFile {
        &self.journal
    }

    pub(crate) const fn medium(&self) -> Medium {
        self.journal.medium
    }

    /// The state folded from the events written so far.
    pub(crate) const fn state(&self) -> &RunState {
        &self.state
    }
}

fn new_file(directory: &RunDirectory, number: u32, bytes: &[u8]) -> io::Result<File> {
    let file = directory.create_journal(number)?;
    if !bytes.is_empty() {
        write_at(&file, bytes, 0)?;
    }
    Ok(file)
}

/// Makes everything written to the journal `file` durable and, with `place`, its name. May wait for the disk without a bound.
pub(crate) fn sync(file: &File, place: Option<&(Home, RunDirectory)>) -> io::Result<()> {
    failpoint::may_fail("journal-sync")?;
    file.sync_data()?;
    place.map_or(Ok(()), |(home, run)| run.sync().and_then(|()| home.sync_names()))
}

/// One write per line: after a crash the line is whole, absent, or the torn last line.
fn write_at(file: &File, line: &[u8], offset: usize) -> io::Result<()> {
    failpoint::may_fail("journal-write").map_err(|_| io::ErrorKind::StorageFull)?;
    file.write_all_at(line, offset as u64)
}
