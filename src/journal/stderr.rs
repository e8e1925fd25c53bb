//! The end of the trainer's stderr, read back from the file that it goes to. Nothing ever stands in between; where stderr
//! is no regular file, or was truncated, rotated or deleted meanwhile, there is no tail, and that is all.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;

use crate::record::readable_tail;
use crate::sys::fs::open_plain;

/// Where the tail of this run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StderrTail {
    from_bytes: u64,
    limit_bytes: u64,
}

impl StderrTail {
    /// Remembers how far stderr has been written; `None` where it is no regular file, or nothing is to be kept.
    #[must_use]
    pub fn begin(limit_bytes: u64) -> Option<Self> {
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?);
        let metadata = stderr.metadata().ok()?;
        (metadata.is_file() && limit_bytes > 0).then_some(Self { from_bytes: metadata.len(), limit_bytes })
    }

    /// The last of what was written since. One small read, however long the log.
    #[must_use]
    pub fn read(&self) -> Option<String> {
        // Opened anew: the descriptor may be for writing only.
        let file = open_plain("/proc/self/fd/2".as_ref()).ok()?;
        let (written, cut) = self.read_from(file).ok()??;
        readable_tail(&written, cut)
    }

    /// The bytes, and whether more came before; `None` where the file was truncated meanwhile.
    fn read_from(self, mut file: File) -> io::Result<Option<(Vec<u8>, bool)>> {
        let size_bytes = file.metadata()?.len();
        if size_bytes < self.from_bytes {
            return Ok(None);
        }
        let start_bytes = self.from_bytes.max(size_bytes.saturating_sub(self.limit_bytes));
        file.seek(SeekFrom::Start(start_bytes))?;
        let mut written = Vec::new();
        file.take(self.limit_bytes).read_to_end(&mut written)?;
        Ok(Some((written, start_bytes > self.from_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_tail_is_what_was_written_since_the_start() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before;since").unwrap();
        let read = |from_bytes, limit_bytes| {
            StderrTail { from_bytes, limit_bytes }.read_from(file.try_clone().unwrap()).unwrap()
        };
        assert_eq!(read(7, 100), Some((b"since".to_vec(), false)));
        assert_eq!(read(7, 2), Some((b"ce".to_vec(), true)));
        assert_eq!(read(12, 2), Some((Vec::new(), false)));
        assert_eq!(read(13, 2), None);
    }
}
