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
//! Must not be used between fork and exec.

mod file;
mod line;
mod non_blocking;
mod own_lines;

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use crate::config::Verbosity;
use file::LogFile;
use line::WholeLineWriter;
use non_blocking::NonBlockingWriter;
pub(crate) use own_lines::{forget_own_lines, own_lines};

/// At this size the log is renamed to `….1`.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The run that this process belongs to.
static RUN_ID: OnceLock<String> = OnceLock::new();

/// False in a forked keeper.
static HAS_STDERR: AtomicBool = AtomicBool::new(true);

/// Adds `run_id` to every line of this process in the log file. Only the first call has an effect.
pub(crate) fn set_run_id(run_id: &impl ToString) {
    RUN_ID.get_or_init(|| run_id.to_string());
}

/// Installs the logger. Only the first call has an effect, also in a forked keeper, whose log is its supervisor's.
///
/// # Errors
/// The log file cannot be opened. stderr works nonetheless, and each line tries to open the file again.
pub(crate) fn init(log_file: Option<&Path>, verbosity: Verbosity, to_stderr: bool) -> io::Result<()> {
    if log::max_level() != LevelFilter::Off {
        return Ok(());
    }
    let mut file = log_file.map(|path| LogFile::new(path, LOG_BYTES_MAX));
    let opened = file.as_mut().map_or(Ok(()), |file| file.open().map(drop));
    let logger = Logger::new(file, to_stderr.then(|| stderr_level(verbosity)), NonBlockingWriter::new(io::stderr()));
    // Fails only if another thread was first.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    opened
}

/// In a forked keeper, before it has its own descriptors: closes the log file until the next line, and writes nothing to stderr.
pub(crate) fn release() {
    HAS_STDERR.store(false, Ordering::Relaxed);
    log::logger().flush();
}

const fn stderr_level(verbosity: Verbosity) -> LevelFilter {
    match verbosity {
        Verbosity::Quiet => LevelFilter::Error,
        Verbosity::Normal => LevelFilter::Warn,
        Verbosity::Verbose => LevelFilter::Info,
    }
}

/// Formats each record for file and stderr; simplelog writes both.
struct Logger<W: io::Write + Send + 'static> {
    file: Option<Box<WriteLogger<WholeLineWriter<LogFile>>>>,
    stderr: Option<Box<WriteLogger<WholeLineWriter<W>>>>,
}

impl<W: io::Write + Send + 'static> Logger<W> {
    fn new(file: Option<LogFile>, stderr_level: Option<LevelFilter>, stderr: W) -> Self {
        let mut format = ConfigBuilder::new();
        // Only runwrap's own records: those of libraries may contain secrets.
        format.add_filter_allow_str("runwrap").set_time_format_rfc3339();
        format.set_thread_level(LevelFilter::Off).set_target_level(LevelFilter::Off);
        format.set_location_level(LevelFilter::Off);
        let file = file.map(|file| WriteLogger::new(LevelFilter::Info, format.build(), WholeLineWriter::new(file)));
        format.set_time_level(LevelFilter::Off).set_max_level(LevelFilter::Off);
        let stderr = stderr_level.map(|level| WriteLogger::new(level, format.build(), WholeLineWriter::new(stderr)));
        Self { file, stderr }
    }
}

impl<W: io::Write + Send + 'static> Log for Logger<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Info
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(file) = &self.file {
            log_as(file.as_ref(), record, &line::for_file(record, RUN_ID.get().map(String::as_str)));
        }
        let stderr = self.stderr.as_ref().filter(|_| HAS_STDERR.load(Ordering::Relaxed));
        if let Some((stderr, text)) = stderr.zip(line::for_stderr(record)) {
            log_as(stderr.as_ref(), record, &text);
        }
    }

    fn flush(&self) {
        if let Some(file) = &self.file {
            file.flush();
        }
    }
}

/// Logs `text` as the message of `record`.
fn log_as(logger: &impl Log, record: &Record<'_>, text: &str) {
    logger.log(&Record::builder().metadata(record.metadata().clone()).args(format_args!("{text}")).build());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Arc, Mutex};

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
        let logger = Logger::new(Some(file), Some(stderr_level(verbosity)), stderr.clone());
        for level in Level::iter() {
            log_line(&logger, level, "runwrap::keeper", &format!("this is {level}"));
        }
        log_line(&logger, Level::Error, "tokio_postgres::config", "secret");
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
        let logger = Logger::new(Some(file), Some(LevelFilter::Warn), stderr.clone());
        log_line(&logger, Level::Warn, "runwrap", "still here");
        assert_eq!(*stderr.0.lock().unwrap(), b"runwrap: still here\n");
    }
}
