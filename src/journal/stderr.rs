//! The end of the trainer's stderr, read from the file it was redirected to; nothing is interposed. If stderr is not a
//! regular file, or was truncated, rotated or deleted, there is no tail. Excludes runwrap's own messages, and the lines of other
//! processes as far as they can be separated: else the tail begins with a note.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use super::Home;
use super::sharing::StderrClaim;
use crate::logging;
use crate::record::readable_tail;
use crate::sys::fs::open_plain;

/// Stands before a tail that may hold lines of other processes.
const SHARED: &str = "(other processes write to the same stderr: some of these lines may be theirs)";

/// The position of the trainer's output in stderr.
#[derive(Debug)]
pub(crate) struct StderrTail {
    from_bytes: u64,
    limit_bytes: u64,
    claim: Option<StderrClaim>,
}

impl StderrTail {
    /// Records the present size of stderr; `None` if it is not a regular file or the limit is 0. `outer_run` is the id of the run
    /// that this run is in, or empty. Without a state directory other runs are not noticed.
    pub(crate) fn begin(limit_bytes: u64, home: Option<&Home>, outer_run: &str) -> Option<Self> {
        let metadata = duplicate(io::stderr().as_fd()).ok()?.metadata().ok()?;
        if !metadata.is_file() || limit_bytes == 0 {
            return None;
        }
        logging::forget_own_lines();
        let claim = home.and_then(|home| {
            let claimed = StderrClaim::take(home, &metadata, outer_run);
            claimed
                .inspect_err(|error| {
                    log::info!(event = "stderr_not_claimed", error:%; "the end of stderr is not kept: {error}");
                })
                .ok()
        });
        Some(Self { from_bytes: metadata.len(), limit_bytes, claim })
    }

    /// The last `limit_bytes` written since. One small read, whatever the size of the file.
    pub(crate) fn read(&self) -> Option<String> {
        // Opened anew: the inherited descriptor may be write-only.
        let file = open_plain("/proc/self/fd/2".as_ref()).ok()?;
        let metadata = file.metadata().ok()?;
        let written_to = written_to(&metadata).unwrap_or(metadata.len());
        let (written, cut) = self.read_from(file, written_to, &logging::own_lines()).ok()??;
        let tail = readable_tail(&written, cut)?;
        let is_shared = written_to < metadata.len() || self.claim.as_ref().is_some_and(StderrClaim::is_shared);
        Some(if is_shared { format!("{SHARED}\n{tail}") } else { tail })
    }

    /// The bytes up to `end_bytes` without `own` lines, and whether earlier output was cut off; `None` if the file was truncated, or
    /// if only other processes have written to it.
    fn read_from(&self, mut file: File, end_bytes: u64, own: &[Vec<u8>]) -> io::Result<Option<(Vec<u8>, bool)>> {
        let size_bytes = file.metadata()?.len();
        if size_bytes < self.from_bytes || (end_bytes <= self.from_bytes && size_bytes > self.from_bytes) {
            return Ok(None);
        }
        let own_bytes: usize = own.iter().map(Vec::len).sum();
        let window_bytes = self.limit_bytes + own_bytes as u64;
        let end_bytes = end_bytes.clamp(self.from_bytes, size_bytes);
        let start_bytes = self.from_bytes.max(end_bytes.saturating_sub(window_bytes));
        file.seek(SeekFrom::Start(start_bytes))?;
        let mut written = Vec::new();
        file.take(end_bytes - start_bytes).read_to_end(&mut written)?;
        remove_in_order(&mut written, own);
        let limit = usize::try_from(self.limit_bytes).unwrap_or(usize::MAX);
        let surplus = written.len().saturating_sub(limit);
        written.drain(..surplus);
        Ok(Some((written, surplus > 0 || start_bytes > self.from_bytes)))
    }
}

/// Removes each of `lines` from `text`, in their order. One that is not found is out of the window, or was overwritten.
fn remove_in_order(text: &mut Vec<u8>, lines: &[Vec<u8>]) {
    let mut from = 0;
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let rest = text.get(from..).unwrap_or_default();
        if let Some(at) = rest.windows(line.len()).position(|window| window == line) {
            text.drain(from + at..from + at + line.len());
            from += at;
        }
    }
}

/// The offset of our stderr, which the trainer's inherited descriptors share: the end of the trainer's output. stdout may be
/// another opening of the same file.
fn written_to(stderr: &Metadata) -> io::Result<u64> {
    let mut end_bytes = duplicate(io::stderr().as_fd())?.stream_position()?;
    if let Ok(mut stdout) = duplicate(io::stdout().as_fd())
        && stdout.metadata().is_ok_and(|stdout| (stdout.dev(), stdout.ino()) == (stderr.dev(), stderr.ino()))
    {
        end_bytes = end_bytes.max(stdout.stream_position()?);
    }
    Ok(end_bytes)
}

fn duplicate(fd: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from(fd.try_clone_to_owned()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn tail_is_the_output_since_the_start() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before;since").unwrap();
        let read = |from_bytes, limit_bytes, end_bytes| {
            let tail = StderrTail { from_bytes, limit_bytes, claim: None };
            tail.read_from(file.try_clone().unwrap(), end_bytes, &[]).unwrap()
        };
        assert_eq!(read(7, 100, 12), Some((b"since".to_vec(), false)));
        assert_eq!(read(7, 2, 12), Some((b"ce".to_vec(), true)));
        assert_eq!(read(12, 2, 12), Some((Vec::new(), false)));
        assert_eq!(read(13, 2, 12), None);
        // Other processes have written after the trainer, or instead of it.
        assert_eq!(read(7, 100, 10), Some((b"sin".to_vec(), false)));
        assert_eq!(read(7, 2, 10), Some((b"in".to_vec(), true)));
        assert_eq!(read(7, 100, 7), None);
        assert_eq!(read(7, 100, 0), None);
        assert_eq!(read(12, 100, 0), Some((Vec::new(), false)));
        // Past the end, as after a truncation.
        assert_eq!(read(7, 100, 99), Some((b"since".to_vec(), false)));
    }

    #[test]
    fn own_lines_are_neither_kept_nor_counted() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"runwrap: a\none\n 50%runwrap: b\ntwo\nrunwrap: a\n").unwrap();
        let own = ["runwrap: a\n", "runwrap: b\n", "runwrap: c\n", "runwrap: a\n"].map(|line| line.as_bytes().to_vec());
        let read = |limit_bytes| {
            let tail = StderrTail { from_bytes: 0, limit_bytes, claim: None };
            let (text, cut) = tail.read_from(file.try_clone().unwrap(), 99, &own).unwrap().unwrap();
            (String::from_utf8(text).unwrap(), cut)
        };
        assert_eq!(read(100), ("one\n 50%two\n".into(), false));
        assert_eq!(read(12), ("one\n 50%two\n".into(), false));
        assert_eq!(read(11), ("ne\n 50%two\n".into(), true));
        assert_eq!(read(3), ("wo\n".into(), true));
    }
}
