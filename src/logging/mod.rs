//! The log file and stderr. One call to a macro of `log` serves both:
//!
//! ```text
//! log::warn!(event = "deliver_failed", run_id:% = run_id, attempt = 3, hint = "check the server";
//!     "cannot reach the database: {error}");
//! ```
//!
//! - The log file gets every record of level info and above as one line: time (UTC), level, process id, then
//!   `event=… key=value … message="…"`.
//! - stderr gets only the message, prefixed `runwrap: `, then the `hint` if there is one: warnings and errors; with `-v` also
//!   info, with `-q` only errors.
//!
//! A record only for the file has the message `""`. Must not fail, panic or wait: a log that cannot be written stops no run.
//! Must not log between fork and exec.

mod file;
mod line;
mod non_blocking;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use chrono::SecondsFormat;
use log::{LevelFilter, Log, Metadata, Record};

use crate::config::Verbosity;
use crate::sys::clock::wall_time;
use file::LogFile;
use non_blocking::NonBlockingWriter;

/// At this size the log is renamed to `….1`.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The run that this process belongs to.
static RUN_ID: OnceLock<String> = OnceLock::new();

/// Adds `run_id` to every line of this process in the log file. Only the first call has an effect.
pub fn set_run_id(run_id: &impl ToString) {
    RUN_ID.get_or_init(|| run_id.to_string());
}

/// Installs the logger. Only the first call has an effect.
///
/// # Errors
/// The log file cannot be opened. stderr works nonetheless, and each line tries to open the file again.
pub fn init(log_file: Option<&Path>, verbosity: Verbosity, to_stderr: bool) -> io::Result<()> {
    let mut file = log_file.map(|path| LogFile::new(path, LOG_BYTES_MAX));
    let opened = file.as_mut().map_or(Ok(()), LogFile::open);
    let stderr = to_stderr.then(|| (stderr_level(verbosity), Mutex::new(NonBlockingWriter::new(io::stderr()))));
    let logger = Logger { file: file.map(Mutex::new), stderr };
    // Fails only if a logger is installed already; that one stays.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    opened
}

const fn stderr_level(verbosity: Verbosity) -> LevelFilter {
    match verbosity {
        Verbosity::Quiet => LevelFilter::Error,
        Verbosity::Normal => LevelFilter::Warn,
        Verbosity::Verbose => LevelFilter::Info,
    }
}

struct Logger<W> {
    file: Option<Mutex<LogFile>>,
    stderr: Option<(LevelFilter, Mutex<W>)>,
}

impl<W: Write + Send + 'static> Log for Logger<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Records of libraries may contain secrets.
        metadata.level() <= LevelFilter::Info && metadata.target().starts_with("runwrap")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Some(file) = &self.file {
            let time = wall_time().to_rfc3339_opts(SecondsFormat::Micros, true);
            let fields = line::for_file(record, RUN_ID.get().map(String::as_str));
            write_line(file, &format!("{time} [{}] {fields}\n", record.level()));
        }
        if let Some((level, stderr)) = &self.stderr
            && record.level() <= *level
        {
            write_line(stderr, &line::for_stderr(record));
        }
    }

    fn flush(&self) {}
}

/// Writes `line` at once: another process may write in between two writes. Not retried: a log must not wait.
fn write_line(writer: &Mutex<impl Write>, line: &str) {
    writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use log::Level;

    use super::*;

    /// Stands for stderr.
    #[derive(Clone, Default)]
    struct CapturedStderr(Arc<Mutex<Vec<u8>>>);

    impl io::Write for CapturedStderr {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log_line(logger: &impl Log, level: Level, target: &str, message: &str) {
        let pairs = [("event", "tested")];
        let mut record = Record::builder();
        record.level(level).target(target).key_values(&pairs);
        logger.log(&record.args(format_args!("{message}")).build());
    }

    /// The output on stderr and in the file for one record of each level and one of a library.
    fn both(verbosity: Verbosity) -> (String, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runwrap.log");
        let stderr = CapturedStderr::default();
        let file = LogFile::new(&path, LOG_BYTES_MAX);
        let logger = Logger {
            file: Some(Mutex::new(file)),
            stderr: Some((stderr_level(verbosity), Mutex::new(stderr.clone()))),
        };
        for level in Level::iter() {
            log_line(&logger, level, "runwrap::keeper", &format!("this is {level}"));
        }
        log_line(&logger, Level::Error, "rustls::client", "secret");
        let stderr = String::from_utf8(stderr.0.lock().unwrap().clone()).unwrap();
        (stderr, fs::read_to_string(path).unwrap())
    }

    #[test]
    fn verbosity_affects_stderr_but_not_the_file() {
        let check_file = |text: &str| {
            let lines: Vec<String> = text.lines().map(|line| line.split_once(" pid=").unwrap().0.to_owned()).collect();
            assert_eq!(lines.len(), 3);
            for (line, level) in lines.iter().zip(["[ERROR]", "[WARN]", "[INFO]"]) {
                let (time, rest) = line.split_once(' ').unwrap();
                assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok() && time.ends_with('Z'), "{time}");
                assert_eq!(rest, level);
            }
            assert!(text.contains(" event=tested message=\"this is WARN\"\n"), "{text}");
        };
        for (verbosity, expected) in [
            (Verbosity::Quiet, "runwrap: this is ERROR\n"),
            (Verbosity::Normal, "runwrap: this is ERROR\nrunwrap: this is WARN\n"),
            (Verbosity::Verbose, "runwrap: this is ERROR\nrunwrap: this is WARN\nrunwrap: this is INFO\n"),
        ] {
            let (stderr, file) = both(verbosity);
            assert_eq!(stderr, expected);
            check_file(&file);
        }
    }

    #[test]
    fn unwritable_log_file_does_not_affect_stderr() {
        let directory = tempfile::tempdir().unwrap();
        let stderr = CapturedStderr::default();
        let file = LogFile::new(directory.path(), LOG_BYTES_MAX);
        let logger =
            Logger { file: Some(Mutex::new(file)), stderr: Some((LevelFilter::Warn, Mutex::new(stderr.clone()))) };
        log_line(&logger, Level::Warn, "runwrap", "still here");
        assert_eq!(*stderr.0.lock().unwrap(), b"runwrap: still here\n");
    }
}
