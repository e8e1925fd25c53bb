//! The trainer's files: the report file and `--metrics-file`. Reads within limits; skips and logs invalid content. Must
//! never wait for the trainer or write to its files.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Begin;
use super::sightings::{FINGERPRINT_BYTES_MAX, Sightings, fingerprint};
use crate::record::{
    LineError, METRICS_BYTES_MAX, Recorder, Report, Reported, RunId, Series, Size, parse_line, parse_metrics,
};
use crate::sys::clock;
use crate::sys::fs::open_plain;

/// The size of a piece: more than a line may have.
const PIECE_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// The limit of pieces at one look.
const PIECES_MAX: u32 = 512;
/// The limit of invalid lines logged one by one: one run must not fill the log.
const LOGGED_LINES_MAX: u64 = 20;
/// A line's own time counts within a day before the beginning of the run and 10 years after it: else its unit or its clock is another.
const TIMES: Range<f64> = -86_400.0..315_360_000.0;

/// The identity of a file's content: inode, size and modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    inode: u64,
    size_bytes: u64,
    modified_ns: i64,
}

/// The snapshot of `path`; `None` if it is not a regular file.
pub(crate) fn snapshot(path: &Path) -> Option<Snapshot> {
    let metadata = open_plain(path).ok()?.metadata().ok()?;
    let modified_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Some(Snapshot { inode: metadata.ino(), size_bytes: metadata.size(), modified_ns })
}

/// The metrics in `path`; `None` if the file is missing or unchanged since `before`.
///
/// # Errors
/// The file is not a valid JSON object. It may be incomplete; the next read may succeed.
pub(crate) fn read_metrics_file(path: &Path, before: Option<Snapshot>) -> io::Result<Option<Map<String, Value>>> {
    let now = snapshot(path);
    if now.is_none() || now == before {
        return Ok(None);
    }
    let mut text = Vec::new();
    open_plain(path)?.take(METRICS_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    parse_metrics(&text).map(Some).map_err(io::Error::other)
}

/// Creates the report file of a run without a directory, 0600, in the temporary directory.
///
/// # Errors
/// The file cannot be created.
pub(crate) fn temporary_report(run_id: RunId) -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("runwrap-{run_id}.jsonl"));
    let with_path = |error| io::Error::other(format!("{}: {error}", path.display()));
    File::options().append(true).create_new(true).mode(0o600).open(&path).map_err(with_path)?;
    Ok(path)
}

/// Removes that file once its run is delivered or abandoned. A failure is only logged.
pub(crate) fn discard_temporary_report(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::info!(event = "report_not_removed", path:?, error:%; "{} cannot be removed: {error}", path.display());
    }
}

/// A look at a report file, and its moment: microseconds since the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The keeper, while the trainer may write. Its look is noted beside the file.
    Living { us: u64 },
    /// Any process after the trainer's end, at this moment of the journal.
    Finished { us: u64 },
}

/// Reads a growing report file, each line once. A file that was truncated or replaced (`open(…, "w")`, rename) is read
/// from its start.
#[derive(Debug, Default)]
pub(crate) struct ReportReader {
    path: PathBuf,
    /// The beginning of the run, in seconds since 1970.
    begun_at: f64,
    /// None before the first look.
    sightings: Option<Sightings>,
    offset_bytes: u64,
    /// The last bytes before the offset: the fingerprint of the file.
    fingerprint: Vec<u8>,
    lines: u64,
    skipped: u64,
    report: Report,
    size: Size,
    is_cut: bool,
    recorder: Recorder,
}

impl ReportReader {
    /// The reader of the run's report file `path`.
    pub(crate) fn new(path: &Path, begin: &Begin) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are exact until the year 2255")]
        let begun_at = begin.run.begun_at.timestamp_micros() as f64 / 1e6;
        Self { path: path.to_owned(), begun_at, recorder: Recorder::new(begin.curves), ..Self::default() }
    }

    /// Everything reported so far; `None` while an earlier process has seen more of the file, for later values win.
    pub(crate) fn report(&self) -> Option<&Report> {
        Some(&self.report).filter(|_| !self.is_behind())
    }

    /// The history so far; `None` while an earlier process has seen more of the file.
    pub(crate) fn series(&self) -> Option<&[Series]> {
        Some(self.recorder.series()).filter(|series| !series.is_empty() && !self.is_behind())
    }

    /// The limit of the last look was too short for the whole file.
    pub(crate) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn is_behind(&self) -> bool {
        self.sightings.as_ref().is_some_and(|seen| self.offset_bytes < seen.end())
    }

    /// Reads the lines appended since the last call, for about `limit`, and at most 1 GiB. After the trainer's end a last line without
    /// newline counts, and if the limit is too short, the last lines are read for their values all the same. Invalid lines are
    /// skipped; the first 20 are logged.
    pub(crate) fn read_on(&mut self, sight: Sight, limit: Duration) -> io::Result<()> {
        let skipped_before = self.skipped;
        let result = self.read_pieces(sight, limit);
        if self.skipped > skipped_before.max(LOGGED_LINES_MAX) {
            log::warn!(event = "report_lines_skipped", lines = self.skipped; "more reported lines were skipped");
        }
        result
    }

    fn read_pieces(&mut self, sight: Sight, limit: Duration) -> io::Result<()> {
        let deadline = clock::boot_time().saturating_add(limit);
        let path = &self.path;
        let file = match open_plain(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // An unreadable report file must not prevent the run's delivery.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied || !path.is_file() => {
                log::warn!(event = "report_unreadable", path:?; "cannot use the report file: {error}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if self.sightings.is_none() {
            self.sightings.insert(Sightings::of(path)).load(&file);
        }
        if !self.is_same_file(&file)? {
            (self.offset_bytes, self.lines) = (0, 0);
            self.fingerprint.clear();
            // As for a process that reads only the new file.
            self.recorder.reset();
            self.sightings.get_or_insert_default().clear(matches!(sight, Sight::Living { .. }));
        }
        for _ in 0..PIECES_MAX {
            if !self.read_piece(&file, sight)? {
                self.is_cut = false;
                return Ok(());
            }
            if clock::boot_time() >= deadline {
                break;
            }
        }
        self.is_cut = true;
        if matches!(sight, Sight::Finished { .. }) {
            let (path, read) = (&self.path, self.offset_bytes);
            log::warn!(event = "report_cut", path:?, read;
                "of the rest of the report file only the last values are recorded for now, and no curve");
            self.read_last_lines(&file)?;
        }
        Ok(())
    }

    /// Reads the whole lines of the last piece, for their values alone.
    fn read_last_lines(&mut self, mut file: &File) -> io::Result<()> {
        let start = file.metadata()?.size().saturating_sub(PIECE_BYTES_MAX).max(self.offset_bytes);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(PIECE_BYTES_MAX).read_to_end(&mut bytes)?;
        for line in bytes.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.trim_ascii().is_empty()) {
            if let Ok((later, _)) = parse_line(line) {
                // The metrics together may be too large: then they stay as they are.
                if let Ok(size) = self.report.size_with(&later, self.size) {
                    self.report.take(later);
                    self.size = size;
                }
            }
        }
        Ok(())
    }

    /// Reads one piece. Returns whether more may follow.
    fn read_piece(&mut self, mut file: &File, sight: Sight) -> io::Result<bool> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.offset_bytes))?;
        file.take(PIECE_BYTES_MAX).read_to_end(&mut bytes)?;
        let full = bytes.len() as u64 == PIECE_BYTES_MAX;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        // A single line that fills the piece exceeds the line limit: skip it.
        let take_all = if full { complete == 0 } else { matches!(sight, Sight::Finished { .. }) };
        bytes.truncate(if take_all { bytes.len() } else { complete });
        let mut offset = self.offset_bytes;
        self.offset_bytes += bytes.len() as u64;
        self.fingerprint.extend_from_slice(&bytes[bytes.len().saturating_sub(FINGERPRINT_BYTES_MAX)..]);
        self.fingerprint.drain(..self.fingerprint.len().saturating_sub(FINGERPRINT_BYTES_MAX));
        let sightings = self.sightings.get_or_insert_default();
        let behind = match sight {
            Sight::Living { us } => {
                sightings.note(self.offset_bytes, us, &self.fingerprint);
                us
            }
            // The keeper may have looked before it knew of the end.
            Sight::Finished { us } => us.max(sightings.last_us()),
        };
        for line in bytes.split(|byte| *byte == b'\n') {
            if !line.trim_ascii().is_empty() {
                let seen_us = self.sightings.as_ref().and_then(|seen| seen.moment(offset)).unwrap_or(behind);
                self.add_line(line, seen_us);
            }
            offset += line.len() as u64 + 1;
        }
        Ok(full)
    }

    /// Whether the bytes before the offset are unchanged.
    fn is_same_file(&self, file: &File) -> io::Result<bool> {
        match fingerprint(file, self.offset_bytes) {
            Ok(present) => Ok(present == self.fingerprint),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn add_line(&mut self, line: &[u8], seen_us: u64) {
        self.lines += 1;
        let Err(error) = self.absorb(line, seen_us) else { return };
        self.skipped += 1;
        if self.skipped <= LOGGED_LINES_MAX {
            log::warn!(event = "report_line_skipped", line = self.lines; "a reported line was skipped: {error}");
        }
    }

    fn absorb(&mut self, line: &[u8], seen_us: u64) -> Result<(), LineError> {
        let (later, mut position) = parse_line(line)?;
        let size = self.report.size_with(&later, self.size)?;
        position.time = position.time.filter(|time| TIMES.contains(&(time - self.begun_at)));
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a run are exact for 285 years")]
        let seen = seen_us as f64 / 1e6;
        let seconds = position.time.map_or(seen, |time| (time - self.begun_at).max(0.0));
        let seconds = (seconds * 1e3).round() / 1e3;
        if let Some(metrics) = &later.metrics {
            self.recorder.add(metrics, Reported { line: self.lines, position, seconds });
        }
        self.report.take(later);
        self.size = size;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
