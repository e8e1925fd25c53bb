//! Appends to a run's journal. A disk error never stops a run: the journal moves to a new file in the same directory
//! or, if that fails too, into memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::line::encode;
use super::{Begin, Damage, JournalEntry, RunDirectory, RunEvent, RunState, read_lines};
use crate::sys::{clock, failpoint, fs};

/// The medium of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Disk,
    /// No disk was writable: the journal is lost with the processes that hold it.
    Memory,
}

/// The result of an append, for processes that have the journal's file open.
#[derive(Debug)]
pub enum Appended {
    InPlace,
    /// The whole journal moved to another file because of this error.
    Moved(io::Error),
}

/// An open journal file.
pub struct JournalFile {
    file: File,
    medium: Medium,
    /// The number in the file's name.
    number: u32,
}

/// The only writer of a run's journal.
pub struct Writer {
    journal: JournalFile,
    /// Everything written so far: the content of a new file.
    bytes: Vec<u8>,
    state: RunState,
}

impl JournalFile {
    /// Creates an empty journal in `directory` or, without one, in memory. The second value is the error that forced it
    /// into memory.
    pub fn create(directory: Option<&RunDirectory>) -> io::Result<(Self, Option<io::Error>)> {
        let (made, error) = match directory.map(|directory| directory.create_journal(1)) {
            None => (None, None),
            Some(Ok(file)) => (Some(file), None),
            Some(Err(error)) => (None, Some(error)),
        };
        let (file, medium) = match made {
            Some(file) => (file, Medium::Disk),
            None => (in_memory(&[])?, Medium::Memory),
        };
        Ok((Self { file, medium, number: 1 }, error))
    }

    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// The number in the file's name; `None` in memory.
    #[must_use]
    pub const fn number_on_disk(&self) -> Option<u32> {
        match self.medium {
            Medium::Disk => Some(self.number),
            Medium::Memory => None,
        }
    }
}

impl Writer {
    /// Writes the beginning of a run to the empty `journal`. It is durable after [`Writer::sync_beginning`].
    ///
    /// # Errors
    /// A memory file cannot be created.
    pub fn begin(journal: JournalFile, directory: Option<&RunDirectory>, begin: Begin) -> io::Result<(Self, Appended)> {
        let entry = JournalEntry { seq: 0, elapsed_us: 0, event: RunEvent::Begin(Box::new(begin)) };
        let bytes = encode(&entry)?;
        let state =
            RunState::from_entries(std::slice::from_ref(&entry)).ok_or_else(|| io::Error::other(Damage::Empty))?;
        let mut writer = Self { journal, bytes, state };
        let written = match write_at(&writer.journal.file, &writer.bytes, 0) {
            Ok(()) => Appended::InPlace,
            Err(error) => writer.relocate(directory, error)?,
        };
        Ok((writer, written))
    }

    /// Makes the beginning durable.
    ///
    /// # Errors
    /// A memory file cannot be created.
    pub fn sync_beginning(&mut self, directory: Option<&RunDirectory>) -> io::Result<Appended> {
        let Some(directory) = directory.filter(|_| self.medium() == Medium::Disk) else { return Ok(Appended::InPlace) };
        match sync(&self.journal.file).and_then(|()| directory.sync()) {
            Ok(()) => Ok(Appended::InPlace),
            Err(error) => self.relocate(Some(directory), error),
        }
    }

    /// Continues the journal of another process. The caller holds its lock. Truncates a torn last line. `number` is the
    /// number in the file's name; `None` in memory.
    pub fn resume(file: File, number: Option<u32>) -> io::Result<Self> {
        let mut bytes = fs::read_from_start(&file)?;
        let (entries, complete_bytes) = read_lines(&bytes).map_err(io::Error::other)?;
        let state = RunState::from_entries(&entries).ok_or_else(|| io::Error::other(Damage::Empty))?;
        if complete_bytes < bytes.len() {
            bytes.truncate(complete_bytes);
            file.set_len(u64::try_from(complete_bytes).unwrap_or(u64::MAX))?;
        }
        let medium = if number.is_some() { Medium::Disk } else { Medium::Memory };
        Ok(Self { journal: JournalFile { file, medium, number: number.unwrap_or(1) }, bytes, state })
    }

    /// Writes `event`; if `durable`, syncs it before returning.
    ///
    /// # Errors
    /// A memory file cannot be created.
    pub fn append(&mut self, directory: Option<&RunDirectory>, event: RunEvent, durable: bool) -> io::Result<Appended> {
        let elapsed_us = self.state.begin.elapsed_us(clock::boot_time()).max(self.state.last_elapsed_us);
        let entry = JournalEntry { seq: self.state.events, elapsed_us, event };
        let line = encode(&entry)?;
        let written = write_at(&self.journal.file, &line, self.bytes.len());
        self.bytes.extend_from_slice(&line);
        self.state.apply(&entry);
        match written.and_then(|()| if durable { sync(&self.journal.file) } else { Ok(()) }) {
            Ok(()) => Ok(Appended::InPlace),
            // Never retry a failed fsync on the same file: the kernel may have dropped the pages and marked them clean.
            Err(error) => self.relocate(directory, error),
        }
    }

    /// Moves the journal to a new file because of `error`, durably.
    fn relocate(&mut self, directory: Option<&RunDirectory>, error: io::Error) -> io::Result<Appended> {
        let number = self.journal.number + 1;
        let made = directory.and_then(|directory| new_file(directory, number, &self.bytes).ok());
        let (file, medium) = match made {
            Some(file) => (file, Medium::Disk),
            None => (in_memory(&self.bytes)?, Medium::Memory),
        };
        self.journal = JournalFile { file, medium, number };
        Ok(Appended::Moved(error))
    }

    #[must_use]
    pub const fn journal(&self) -> &JournalFile {
        &self.journal
    }

    #[must_use]
    pub const fn medium(&self) -> Medium {
        self.journal.medium
    }

    /// The state folded from the events written so far.
    #[must_use]
    pub const fn state(&self) -> &RunState {
        &self.state
    }
}

fn new_file(directory: &RunDirectory, number: u32, bytes: &[u8]) -> io::Result<File> {
    let file = directory.create_journal(number)?;
    write_at(&file, bytes, 0)?;
    sync(&file)?;
    directory.sync()?;
    Ok(file)
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    fs::memory_file("runwrap-journal", bytes)
}

/// One write per line: after a crash the line is whole, absent, or the torn last line.
fn write_at(file: &File, line: &[u8], offset: usize) -> io::Result<()> {
    failpoint::may_fail("journal-write").map_err(|_| io::ErrorKind::StorageFull)?;
    file.write_all_at(line, offset as u64)
}

fn sync(file: &File) -> io::Result<()> {
    failpoint::may_fail("journal-sync")?;
    file.sync_data()
}
