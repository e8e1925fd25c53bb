//! When each part of the report file was first seen, kept beside it: a line without a time of its own gets the same one from every
//! keeper, and from a recovery. Append-only; must not write after the trainer's end.
//!
//! A line is `TO US CRC`: the bytes before `TO` were seen `US` microseconds after the beginning of the run, and the last of them have
//! this checksum. A torn line is ignored.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::directory::{REPORT, SEEN};
use crate::sys::fs::{open_plain, open_to_append, read_from_start};

/// The bytes that show whether the report file is the one that was seen.
pub(super) const FINGERPRINT_BYTES_MAX: usize = 256;

/// A sighting within this part of the time before it counts as the one before it: a run of 30 days has at most 4,000.
const MERGED_PART: u64 = 256;

/// The sightings of one report file.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// None: without a directory of the run, which no other process continues.
    path: Option<PathBuf>,
    /// Ends in the report file, with their moments. Both rise.
    seen: Vec<(u64, u64)>,
}

impl Sightings {
    /// The sightings of `report`, a run's report file.
    pub(super) fn of(report: &Path) -> Self {
        let path = (report.file_name() == Some(REPORT.as_ref())).then(|| report.with_file_name(SEEN));
        Self { path, seen: Vec::new() }
    }

    /// Reads the sightings of `report` by earlier processes. If it was written anew since, there are none.
    pub(super) fn load(&mut self, report: &File) {
        let Some(path) = &self.path else { return };
        let bytes = match open_plain(path).and_then(|file| read_from_start(&file)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                log::info!(event = "sightings_unreadable", path:?, error:%;
                    "{} cannot be read: {error}", path.display());
                return;
            }
        };
        let mut last = None;
        for (to, us, crc) in String::from_utf8_lossy(&bytes).lines().filter_map(parsed) {
            self.push(to, us);
            last = Some((to, crc));
        }
        if last.is_some_and(|(to, crc)| fingerprint(report, to).map(|bytes| crc32fast::hash(&bytes)).ok() != Some(crc))
        {
            self.seen.clear();
        }
    }

    /// How much of the file was seen.
    pub(super) fn end(&self) -> u64 {
        self.seen.last().map_or(0, |(to, _)| *to)
    }

    /// The last moment.
    pub(super) fn last_us(&self) -> u64 {
        self.seen.last().map_or(0, |(_, us)| *us)
    }

    /// The moment at which the line that begins at `offset` was seen; `None` behind the end.
    pub(super) fn moment(&self, offset: u64) -> Option<u64> {
        let at = self.seen.partition_point(|(to, _)| *to <= offset);
        self.seen.get(at).map(|(_, us)| *us)
    }

    /// Notes that the file was seen up to `to`; `last` are the bytes before it. Written before a value is delivered with the moment.
    pub(super) fn note(&mut self, to: u64, us: u64, last: &[u8]) {
        if to <= self.end() {
            return;
        }
        let line = format!("\n{to} {us} {:08x}\n", crc32fast::hash(last));
        self.write(|mut file| file.write_all(line.as_bytes()));
        self.push(to, us);
    }

    /// The report file was written anew.
    pub(super) fn clear(&mut self, is_living: bool) {
        self.seen.clear();
        if is_living {
            self.write(|file| file.set_len(0));
        }
    }

    /// Without it, another process may give lines later moments.
    fn write(&self, work: impl FnOnce(File) -> io::Result<()>) {
        let Some(path) = &self.path else { return };
        if let Err(error) = open_to_append(path).and_then(work) {
            log::info!(event = "sighting_not_written", path:?, error:%;
                "{} cannot be written: {error}", path.display());
        }
    }

    fn push(&mut self, to: u64, us: u64) {
        match self.seen.last_mut() {
            Some((end, _)) if to <= *end => {}
            Some((end, before)) if us <= *before + *before / MERGED_PART => *end = to,
            Some(_) | None => self.seen.push((to, us)),
        }
    }
}

/// The bytes before `end`, as many as a fingerprint has.
pub(super) fn fingerprint(file: &File, end: u64) -> io::Result<Vec<u8>> {
    let length = FINGERPRINT_BYTES_MAX.min(usize::try_from(end).unwrap_or(usize::MAX));
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, end - length as u64)?;
    Ok(bytes)
}

fn parsed(line: &str) -> Option<(u64, u64, u32)> {
    let mut words = line.split(' ');
    let (to, us, crc) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    (crc.len() == 8).then(|| Some((to, us, u32::from_str_radix(crc, 16).ok()?))).flatten()
}
