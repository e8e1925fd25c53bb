//! The runs that have the same file as stderr: the lines of two trainers in one file cannot be separated. Must not touch the file
//! itself: the trainer may lock it.
//!
//! `stderr.lock` in the state directory has 64 bytes to lock for each file, found by a hash of its identity. A run holds one of
//! them while it lives, and detects the other runs by their locks. A run that begins later may end earlier: it leaves the time of
//! its beginning in the content, in one of 4096 places.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::Home;
use crate::sys::clock;
use crate::sys::lock::{is_held, try_lock};

const FILE: &str = "stderr.lock";

/// The bytes to lock for each hash. With more runs than that some hold none, and still detect the others.
const BYTES_PER_FILE: i64 = 64;

const PLACES: u64 = 4096;

/// The lock of a run on the identity of its stderr. Freed by the kernel.
#[derive(Debug)]
pub(super) struct StderrClaim {
    file: File,
    bytes: Range<i64>,
    place: u64,
    begun_us: i64,
    /// Another run lived when this one began.
    was_shared: bool,
}

impl StderrClaim {
    /// Claims the file `stderr`. `outer_run` is the id of the run around this one: the output of inner runs is its trainer's output too.
    pub(super) fn take(home: &Home, stderr: &Metadata, outer_run: &str) -> io::Result<Self> {
        let identity = format!("{}:{}:{outer_run}", stderr.dev(), stderr.ino());
        let hash = crc32fast::hash(identity.as_bytes());
        let first = i64::from(hash) * BYTES_PER_FILE;
        let bytes = first..first + BYTES_PER_FILE;
        let (file, begun_us) = (home.create_or_open(FILE)?, clock::wall_time().timestamp_micros());
        for byte in bytes.clone() {
            if try_lock(&file, &(byte..byte + 1))? {
                break;
            }
        }
        let place = u64::from(hash) % PLACES * 8;
        let was_shared = is_held(&file, &bytes)?;
        if was_shared {
            file.write_all_at(&begun_us.to_ne_bytes(), place)?;
        }
        Ok(Self { file, bytes, place, begun_us, was_shared })
    }

    /// Whether another run has had the same stderr since the claim.
    pub(super) fn is_shared(&self) -> bool {
        let mut later = [0; 8];
        // An error is a file without marks.
        let has_mark = self.file.read_exact_at(&mut later, self.place).is_ok();
        self.was_shared
            || is_held(&self.file, &self.bytes).unwrap_or(false)
            || (has_mark && i64::from_ne_bytes(later) >= self.begun_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_with_the_same_stderr_find_each_other_also_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(&directory.path().join("state")).unwrap();
        let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let [one, other] = files.map(|file| file.metadata().unwrap());
        let take = |stderr: &Metadata, outer_run| StderrClaim::take(&home, stderr, outer_run).unwrap();
        let first = take(&one, "");
        let foreign = [take(&other, ""), take(&one, "outer")];
        assert!(!first.is_shared() && foreign.iter().all(|claim| !claim.is_shared()));
        let second = take(&one, "");
        assert!(first.is_shared() && second.is_shared());
        drop(second);
        assert!(first.is_shared() && foreign.iter().all(|claim| !claim.is_shared()));
        drop(first);
        assert!(!take(&one, "").is_shared());
    }

    #[test]
    fn more_runs_than_bytes_are_shared_too() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(&directory.path().join("state")).unwrap();
        let stderr = tempfile::tempfile().unwrap().metadata().unwrap();
        let claims: Vec<_> = (0..66).map(|_| StderrClaim::take(&home, &stderr, "").unwrap()).collect();
        assert!(claims.iter().all(StderrClaim::is_shared));
    }
}
