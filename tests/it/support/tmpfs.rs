//! Owns a disk of a few pages that a test can fill: a tmpfs, which only root can mount. Must report a skipped test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Unmounted when dropped.
pub(crate) struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// Makes the directory `place` and mounts the disk there. `None`, and a line on stderr, if this user may not.
    pub(crate) fn mount(place: &Path) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "runwrap-test"]).arg(place);
        if command.stderr(Stdio::null()).status().unwrap().success() {
            return Some(Self { place: place.to_owned() });
        }
        super::skipped("a full disk needs the right to mount a tmpfs (run the tests as root)");
        None
    }

    fn filling(&self) -> PathBuf {
        self.place.join("filling")
    }

    /// A shell command that takes all free pages.
    pub(crate) fn fill_command(&self) -> String {
        format!("dd if=/dev/zero of='{}' bs=4096 2>/dev/null", self.filling().display())
    }

    pub(crate) fn fill(&self) {
        let full = Command::new("sh").args(["-c", &self.fill_command()]).status().unwrap();
        assert!(!full.success(), "the disk has no end");
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filling()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}
