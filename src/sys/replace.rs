//! Replaces a file as a whole, for readers that may come at any time. Not durable: the file is written again soon.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `bytes` to a new file beside `path`, readable by every user, and gives it that name. A device, a pipe or a link at `path`
/// stays: root could replace `/dev/null`.
///
/// # Errors
/// The system refuses it, or `path` is no regular file.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it names no file"))?;
    if path.symlink_metadata().is_ok_and(|file| !file.is_file()) {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no regular file"));
    }
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let hidden = path.with_file_name(hidden);
    match std::fs::remove_file(&hidden) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = File::options().write(true).create_new(true).mode(0o644).open(&hidden).and_then(|mut file| {
        file.write_all(bytes)?;
        rename(&hidden, path)
    });
    if written.is_err() {
        // The first error is the cause.
        std::fs::remove_file(&hidden).ok();
    }
    written
}

#[expect(clippy::disallowed_methods, reason = "a file that is written again soon need not be durable")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runwrap.prom");
        for text in ["one", "two"] {
            replace_file(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(replace_file(&directory.path().join("none/x"), b"").is_err());
        assert!(replace_file(directory.path(), b"").is_err());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert!(replace_file(&link, b"").is_err() && link.is_symlink());
        assert!(replace_file(Path::new("/"), b"").is_err());
    }
}
