//! The trainer's files: the report file and `--metrics-file`. Reads within limits; skips and logs invalid content. Must
//! never wait for the trainer or write to its files.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::record::{METRICS_BYTES_MAX, Report, RunId, parse_metrics, parse_report};
use crate::sys::fs::open_plain;

/// The limit per heartbeat.
const PIECE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The limit of pieces at the end of a run.
const FINISHED_PIECES_MAX: u32 = 64;
/// The limit of invalid lines logged one by one: one run must not fill the log.
const LOGGED_LINES_MAX: u64 = 20;
/// The size of the fingerprint that detects a rewritten file.
const FINGERPRINT_BYTES_MAX: usize = 256;

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
        log::info!(event = "report_not_removed", path:?, error:%; "");
    }
}

/// Reads a growing report file, each line once. A file that was truncated or replaced (`open(…, "w")`, rename) is read
/// from its start.
#[derive(Debug, Default)]
pub(crate) struct ReportReader {
    offset_bytes: u64,
    /// The last bytes before the offset: the fingerprint of the file.
    fingerprint: Vec<u8>,
    lines: u64,
    skipped: u64,
    report: Report,
    metrics_bytes: usize,
}

impl ReportReader {
    /// Everything reported so far.
    pub(crate) const fn report(&self) -> &Report {
        &self.report
    }

    /// Reads the lines appended since the last call, at most 16 MiB. If `finished`, the trainer has ended: reads to the
    /// end, and a last line without newline counts. Invalid lines are skipped; the first 20 are logged.
    pub(crate) fn read_on(&mut self, path: &Path, finished: bool) -> io::Result<()> {
        let skipped_before = self.skipped;
        let result = self.read_pieces(path, finished);
        if self.skipped > skipped_before.max(LOGGED_LINES_MAX) {
            log::warn!(event = "report_lines_skipped", lines = self.skipped; "more reported lines were skipped");
        }
        result
    }

    fn read_pieces(&mut self, path: &Path, finished: bool) -> io::Result<()> {
        let file = match open_plain(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // An unreadable report file must not prevent the run's delivery.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied || !path.is_file() => {
                log::warn!(event = "report_unreadable", path:? = path; "cannot use the report file: {error}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if !self.is_same_file(&file)? {
            (self.offset_bytes, self.lines) = (0, 0);
            self.fingerprint.clear();
        }
        let pieces = if finished { FINISHED_PIECES_MAX } else { 1 };
        for _ in 0..pieces {
            if !self.read_piece(&file, finished)? {
                return Ok(());
            }
        }
        if finished {
            log::warn!(event = "report_cut", path:?;
                "the report file is too long: content after the first GiB is ignored");
        }
        Ok(())
    }

    /// Reads one piece. Returns whether more may follow.
    fn read_piece(&mut self, mut file: &File, finished: bool) -> io::Result<bool> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.offset_bytes))?;
        file.take(PIECE_BYTES_MAX).read_to_end(&mut bytes)?;
        let full = bytes.len() as u64 == PIECE_BYTES_MAX;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        // A single line that fills the piece exceeds the line limit: skip it.
        let take_all = if full { complete == 0 } else { finished };
        let used = if take_all { bytes.len() } else { complete };
        for line in bytes[..used].split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            self.add_line(line);
        }
        self.offset_bytes += used as u64;
        self.fingerprint.extend_from_slice(&bytes[used.saturating_sub(FINGERPRINT_BYTES_MAX)..used]);
        self.fingerprint.drain(..self.fingerprint.len().saturating_sub(FINGERPRINT_BYTES_MAX));
        Ok(full)
    }

    /// Whether the bytes before the offset are unchanged.
    fn is_same_file(&self, file: &File) -> io::Result<bool> {
        let mut present = vec![0; self.fingerprint.len()];
        match file.read_exact_at(&mut present, self.offset_bytes - self.fingerprint.len() as u64) {
            Ok(()) => Ok(present == self.fingerprint),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn add_line(&mut self, line: &[u8]) {
        self.lines += 1;
        let absorbed = parse_report(line).and_then(|later| self.report.absorb_counted(later, &mut self.metrics_bytes));
        let Err(error) = absorbed else { return };
        self.skipped += 1;
        if self.skipped <= LOGGED_LINES_MAX {
            log::warn!(event = "report_line_skipped", line = self.lines; "a reported line was skipped: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn append(file: &mut File, text: &str) {
        file.write_all(text.as_bytes()).unwrap();
    }

    fn metrics(reader: &ReportReader) -> Value {
        reader.report().metrics.clone().map_or(Value::Null, Value::Object)
    }

    #[test]
    fn each_line_is_read_once_when_complete() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut reader = ReportReader::default();
        append(file.as_file_mut(), "{\"metrics\": {\"a\": 1}}\nnonsense\n\n{\"metrics\": {\"b\"");
        reader.read_on(file.path(), false).unwrap();
        assert_eq!(metrics(&reader), json!({"a": 1}));
        append(file.as_file_mut(), ": 2}}\n{\"metrics\": {\"c\": 3}}");
        reader.read_on(file.path(), false).unwrap();
        assert_eq!(metrics(&reader), json!({"a": 1, "b": 2}));
        reader.read_on(file.path(), true).unwrap();
        assert_eq!(metrics(&reader), json!({"a": 1, "b": 2, "c": 3}));
        assert_eq!(reader.lines, 4);
    }

    #[test]
    fn rewritten_report_file_is_read_from_its_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        let mut reader = ReportReader::default();
        // Longer, shorter, of equal length, and of equal length with another line.
        for content in [
            "{\"metrics\": {\"a\": 1}}\n",
            "{\"metrics\": {\"a\": 11}}\n",
            "{\"metrics\": {\"b\": 3}}\n",
            "{\"metrics\": {\"b\": 4}}\n",
            "{\"metrics\": {\"b\": 5}}\n{\"metrics\": {\"c\": 6}}\n",
        ] {
            append(&mut File::create(&path).unwrap(), content);
            reader.read_on(&path, false).unwrap();
            reader.read_on(&path, false).unwrap();
        }
        assert_eq!(metrics(&reader), json!({"a": 11, "b": 5, "c": 6}));
        assert_eq!(reader.lines, 2);
        let renamed = directory.path().join("renamed");
        append(&mut File::create(&renamed).unwrap(), "{\"metrics\": {\"b\": 7}}\n");
        #[expect(clippy::disallowed_methods, reason = "trainers rename over their files")]
        std::fs::rename(&renamed, &path).unwrap();
        reader.read_on(&path, true).unwrap();
        assert_eq!(metrics(&reader)["b"], 7);
    }

    #[test]
    fn missing_report_file_reports_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut reader = ReportReader::default();
        reader.read_on(&directory.path().join("none"), true).unwrap();
        assert_eq!(*reader.report(), Report::default());
    }

    #[test]
    fn metrics_file_of_an_earlier_run_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.json");
        assert_eq!(read_metrics_file(&path, snapshot(&path)).unwrap(), None);
        append(&mut File::create(&path).unwrap(), "{\"loss\": 1}");
        let before = snapshot(&path);
        assert_eq!(read_metrics_file(&path, before).unwrap(), None);
        append(&mut File::create(&path).unwrap(), "{\"loss\": NaN}");
        assert_eq!(read_metrics_file(&path, before).unwrap(), json!({"loss": "NaN"}).as_object().cloned());
        append(&mut File::create(&path).unwrap(), "{\"loss\": ");
        assert!(read_metrics_file(&path, before).is_err());
    }
}
