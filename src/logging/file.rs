//! The log file: appended to by many processes at once, bounded in size, owner only. Owns opening and rotation. Must
//! not wait, follow a symbolic link or block on a pipe.
//!
//! Every append is one O_APPEND write, so lines of several processes never mix. A process that finds the file full
//! tries its lock without waiting, checks again that the path still names this file, and renames it to `….1`. The other
//! processes see at their next line that the path names another file, and open that one. While another process holds
//! the lock, lines still go to the full file, up to twice its limit; beyond that they are dropped. Held by
//! `processes_that_append_and_rotate_at_once_tear_no_line`.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::sys::fs::open_to_append;

/// The log at a path, opened at the first write.
pub(super) struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    file: Option<File>,
}

impl LogFile {
    pub(super) fn new(path: &Path, bytes_max: u64) -> Self {
        Self { path: path.to_owned(), bytes_max, file: None }
    }

    /// Opens the file that the path names now, and reads its metadata. Creates it and its directory if missing.
    ///
    /// # Errors
    /// The file cannot be opened, or is a symbolic link.
    pub(super) fn open(&mut self) -> io::Result<(&File, Metadata)> {
        let named = identity(fs::symlink_metadata(&self.path));
        let mut opened = self.file.take().and_then(|file| Some((file.metadata().ok()?, file)));
        opened.take_if(|(metadata, _)| named != Some((metadata.dev(), metadata.ino())));
        let (metadata, file) = match opened {
            Some(opened) => opened,
            None => open(&self.path).and_then(|file| Ok((file.metadata()?, file)))?,
        };
        Ok((self.file.insert(file), metadata))
    }
}

impl Write for LogFile {
    /// Appends a whole line in one write. Renames a full file first, unless another process does or has done so.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let bytes_max = self.bytes_max;
        let (mut file, metadata) = self.open()?;
        if metadata.is_file() && metadata.len() >= bytes_max {
            if file.try_lock().is_ok() {
                // Check again under the lock: another process may have rotated in between, and then the path names the
                // new file, which must not replace the old one.
                if identity(fs::symlink_metadata(&self.path)) == identity(Ok(metadata)) {
                    #[expect(clippy::disallowed_methods, reason = "a rename that a crash undoes loses nothing")]
                    fs::rename(&self.path, self.path.with_added_extension("1"))?;
                }
                self.file = None;
            } else if metadata.len() >= 2 * bytes_max {
                // The holder of the lock may be stopped: the size limit must hold nonetheless.
                return Err(ErrorKind::FileTooLarge.into());
            }
            (file, _) = self.open()?;
        }
        file.write(line)
    }

    /// Closes the file. The next line opens it again.
    fn flush(&mut self) -> io::Result<()> {
        self.file = None;
        Ok(())
    }
}

/// Device and inode.
fn identity(metadata: io::Result<Metadata>) -> Option<(u64, u64)> {
    metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    open_to_append(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};
    use std::{env, thread};

    use super::*;

    #[test]
    fn full_log_is_renamed_and_a_new_one_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/runwrap.log");
        let mut log = LogFile::new(&path, 10);
        for line in ["first line\n", "second\n", "third\n", "fourth\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(path.with_added_extension("1")).unwrap(), "second\nthird\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "fourth\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn removed_log_is_created_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runwrap.log");
        let mut log = LogFile::new(&path, 1000);
        log.write_all(b"one\n").unwrap();
        fs::remove_file(&path).unwrap();
        log.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn symbolic_link_and_pipe_without_reader_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link.log");
        symlink(directory.path().join("elsewhere"), &link).unwrap();
        assert!(LogFile::new(&link, 10).open().is_err());
        assert!(!directory.path().join("elsewhere").exists());

        let pipe = directory.path().join("pipe.log");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(LogFile::new(&pipe, 10).open().is_err());
    }

    #[test]
    fn stopped_rotation_of_another_process_keeps_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runwrap.log");
        let mut log = LogFile::new(&path, 10);
        log.write_all(b"0123456789\n").unwrap();
        let stopped = open(&path).unwrap();
        stopped.lock().unwrap();
        log.write_all(b"0123456789\n").unwrap();
        assert!(log.write_all(b"dropped\n").is_err());
        stopped.unlock().unwrap();
        log.write_all(b"anew\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "anew\n");
    }

    #[test]
    fn device_is_never_rotated() {
        let mut log = LogFile::new(Path::new("/dev/null"), 1);
        log.write_all(b"gone\n").unwrap();
        log.write_all(b"gone too\n").unwrap();
        assert!(!Path::new("/dev/null.1").exists());
    }

    const WRITERS: usize = 6;
    const LINES: usize = 400;

    /// Appends numbered lines of various lengths.
    fn append_lines(path: &Path, bytes_max: u64, writer: &str) {
        let mut log = LogFile::new(path, bytes_max);
        for number in 0..LINES {
            let padding = "x".repeat(number % 97);
            let result = log.write_all(format!("begin {writer} {number} {padding} end\n").as_bytes());
            assert!(result.is_ok() || result.unwrap_err().kind() == ErrorKind::FileTooLarge);
        }
    }

    /// The number of lines in the log and its predecessor, all of them whole.
    fn whole_lines(path: &Path) -> usize {
        let text =
            fs::read_to_string(path.with_added_extension("1")).unwrap() + &fs::read_to_string(path).unwrap_or_default();
        for line in text.lines() {
            assert!(
                line.starts_with("begin ") && line.ends_with(" end") && line.matches("begin").count() == 1,
                "{line}"
            );
        }
        text.lines().count()
    }

    #[test]
    fn concurrent_rotation_loses_no_line_of_the_last_two_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runwrap.log");
        // All lines together pass the limit once, so none may be missing.
        let bytes_max = 100_000;
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let path = &path;
                scope.spawn(move || append_lines(path, bytes_max, &writer.to_string()));
            }
        });
        assert_eq!(whole_lines(&path), WRITERS * LINES);
    }

    #[test]
    fn processes_that_append_and_rotate_at_once_tear_no_line() {
        const PATH: &str = "RUNWRAP_TEST_LOG_FILE";
        const BYTES_MAX: u64 = 8192;
        if let Some(path) = env::var_os(PATH) {
            append_lines(Path::new(&path), BYTES_MAX, &std::process::id().to_string());
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runwrap.log");
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                Command::new(env::current_exe().unwrap())
                    .args(["--exact", "logging::file::tests::processes_that_append_and_rotate_at_once_tear_no_line"])
                    .env(PATH, &path)
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for mut writer in writers {
            assert!(writer.wait().unwrap().success());
        }
        assert!(whole_lines(&path) > 10);
        // Each writer may add one line after it has checked the size.
        let slack = (WRITERS * 200) as u64;
        assert!(fs::metadata(path.with_added_extension("1")).unwrap().len() < 2 * BYTES_MAX + slack);
    }
}
