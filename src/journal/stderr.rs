//! The end of the trainer's stderr, read from the file it was redirected to; nothing is interposed. If stderr is not a
//! regular file, or was truncated, rotated or deleted, there is no tail.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;

use crate::record::readable_tail;
use crate::sys::fs::open_plain;

/// The position of the trainer's output in stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StderrTail {
    from_bytes: u64,
    limit_bytes: u64,
}

impl StderrTail {
    /// Records the present size of stderr; `None` if it is not a regular file or the limit is 0.
    pub(crate) fn begin(limit_bytes: u64) -> Option<Self> {
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?);
        let metadata = stderr.metadata().ok()?;
        (metadata.is_file() && limit_bytes > 0).then_some(Self { from_bytes: metadata.len(), limit_bytes })
    }

    /// The last `limit_bytes` written since. One small read, whatever the size of the file.
    pub(crate) fn read(&self) -> Option<String> {
        // Opened anew: the inherited descriptor may be write-only.
        let file = open_plain("/proc/self/fd/2".as_ref()).ok()?;
        let (written, cut) = self.read_from(file).ok()??;
        readable_tail(&written, cut)
    }

    /// The bytes, and whether earlier output was cut off; `None` if the file was truncated.
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
    fn tail_is_the_output_since_the_start() {
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
