//! Files that no other user can write or redirect: opened relative to a checked directory, without following symbolic
//! links, owner only.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fchmod, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Uid, UnlinkatFlags, unlinkat};

use super::clock;
use super::poll::readable_within;

const DIRECTORY_FLAGS: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_RDONLY).union(OFlag::O_CLOEXEC);
const FILE_FLAGS: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK);

/// The kernel shows a user without an id in this user namespace as this one.
const OVERFLOW_UID: u32 = 65534;

/// The length of one read, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// The size limit of [`read_small`], in bytes.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;
/// How long [`read_small`] waits for the end of a pipe.
const SMALL_WAIT_MAX: Duration = Duration::from_secs(5);

/// An open directory that belongs to this user and that only this user may write.
#[derive(Debug)]
pub struct Directory {
    file: File,
    path: PathBuf,
}

impl Directory {
    /// Opens `path`; creates it and its parents (0700) if it does not exist. Refuses a directory that another user owns
    /// or may write, and one that another user may replace. With a subdirectory `mark` of this user it was made by runwrap: then
    /// it loses the right of the others, which Kubernetes adds to a volume at each mount.
    pub fn open_or_create(path: &Path, mark: &OsStr) -> io::Result<Self> {
        check_parents(path)?;
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Self::opened(path, mark)
    }

    /// The same for a directory that exists. For one that does not, checks only whether another user may replace it.
    pub fn open_existing(path: &Path, mark: &OsStr) -> io::Result<Self> {
        check_parents(path)?;
        Self::opened(path, mark)
    }

    fn opened(path: &Path, mark: &OsStr) -> io::Result<Self> {
        let file = File::from(open(path, DIRECTORY_FLAGS, Mode::empty())?);
        check_parents(&std::fs::canonicalize(path)?)?;
        let marked = fstatat(&file, mark, AtFlags::AT_SYMLINK_NOFOLLOW);
        let is_marked = marked
            .is_ok_and(|mark| mark.st_uid == Uid::effective().as_raw() && mark.st_mode & libc::S_IFMT == libc::S_IFDIR);
        Self::checked(file, path.to_owned(), is_marked)
    }

    /// Opens the subdirectory `name`. Refuses a symbolic link.
    pub fn open_child(&self, name: &OsStr) -> io::Result<Self> {
        let fd = openat(&self.file, name, DIRECTORY_FLAGS | OFlag::O_NOFOLLOW, Mode::empty())?;
        Self::checked(File::from(fd), self.path.join(name), true)
    }

    /// Creates the subdirectory `name` (0700) unless it exists, and opens it.
    pub fn create_child(&self, name: &OsStr) -> io::Result<Self> {
        match mkdirat(&self.file, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => self.open_child(name),
            Err(errno) => Err(errno.into()),
        }
    }

    /// `is_made` by runwrap: its mode may be corrected.
    fn checked(file: File, path: PathBuf, is_made: bool) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let (owner, own) = (metadata.uid(), Uid::effective().as_raw());
        let closed = Mode::from_bits_truncate(metadata.mode() & 0o7700);
        let message = if owner != own {
            let hint = "name a subdirectory of it, which runwrap makes: --state-dir";
            format!("{} belongs to user {owner}, not to user {own} ({hint} {}/runwrap)", path.display(), path.display())
        } else if metadata.mode() & 0o022 != 0 && !(is_made && fchmod(&file, closed).is_ok()) {
            format!("{} may be written by others (chmod go-w fixes it)", path.display())
        } else {
            return Ok(Self { file, path });
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the file `name` (0600) for reading and appending. Fails with EEXIST if it exists.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = FILE_FLAGS | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_APPEND;
        Ok(File::from(openat(&self.file, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?))
    }

    /// Opens the regular file `name` of this user for reading and appending.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        own(File::from(openat(&self.file, name, FILE_FLAGS | OFlag::O_RDWR | OFlag::O_APPEND, Mode::empty())?))
    }

    /// The names in this directory, unordered.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        // By descriptor: the path may meanwhile refer to another directory.
        names_in(&mut Dir::openat(&self.file, c".", DIRECTORY_FLAGS, Mode::empty())?)
    }

    /// Removes the file `name`. ENOENT counts as success.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        absent_is_done(unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir))
    }

    /// Removes `name`, a directory with its content. Follows no symbolic link.
    pub fn remove_all(&self, name: &OsStr) -> io::Result<()> {
        match self.remove_file(name) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => remove_tree(&self.file, name),
            result => result,
        }
    }

    /// Removes the empty directory `name`. ENOENT counts as success.
    pub fn remove_child(&self, name: &OsStr) -> io::Result<()> {
        absent_is_done(unlinkat(&self.file, name, UnlinkatFlags::RemoveDir))
    }

    /// Creates the file `name` (0600), or opens the existing regular file of this user.
    pub fn create_or_open(&self, name: &str) -> io::Result<File> {
        let flags = FILE_FLAGS | OFlag::O_CREAT | OFlag::O_RDWR;
        own(File::from(openat(&self.file, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?))
    }

    /// Renames the subdirectory `from` to `to`.
    pub fn rename_child(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(nix::fcntl::renameat(&self.file, from, &self.file, to)?)
    }

    /// Moves the subdirectory `name` into `target` and syncs both directories.
    pub fn move_child(&self, name: &OsStr, target: &Self) -> io::Result<()> {
        nix::fcntl::renameat(&self.file, name, &target.file, name)?;
        target.sync()?;
        self.sync()
    }

    /// Makes created, renamed and removed names in this directory durable. Some file systems (CIFS, vboxsf, FUSE) refuse to
    /// sync a directory with EINVAL: they are used without.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all().or_else(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => Ok(()),
            Some(_) | None => Err(error),
        })
    }

    /// The clock of the file system, which a file server sets: the time of a change to this directory now.
    pub fn clock(&self) -> io::Result<SystemTime> {
        touch(&self.file)?;
        self.file.metadata()?.modified()
    }

    /// When a name was last created or removed in this directory, by the clock of the file system.
    pub fn changed_at(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// The last change of a file in this directory or of the directory itself.
    pub fn last_change(&self) -> io::Result<SystemTime> {
        let mut last = self.changed_at()?;
        for name in self.names()? {
            let changed = match fstatat(&self.file, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => continue,
                changed => changed?,
            };
            let [seconds, nanoseconds] = [changed.st_mtime, changed.st_mtime_nsec].map(u64::try_from);
            let since_epoch =
                Duration::from_secs(seconds.unwrap_or(0)) + Duration::from_nanos(nanoseconds.unwrap_or(0));
            last = last.max(SystemTime::UNIX_EPOCH + since_epoch);
        }
        Ok(last)
    }

    /// Whether `name` exists. Does not follow a symbolic link.
    pub fn contains(&self, name: &OsStr) -> bool {
        fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }
}

/// Opens a regular file for reading. Never blocks on a pipe.
pub fn open_plain(path: &Path) -> io::Result<File> {
    // Checked before opening: opening and closing a pipe would send SIGPIPE to its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(not_plain());
    }
    plain(File::from(open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?))
}

/// The text of a small file or pipe (the shell's `<(…)`). Waits at most 5 s for the end of a pipe.
pub fn read_small(path: &Path) -> io::Result<String> {
    let file = File::from(open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?);
    let deadline = clock::boot_time() + SMALL_WAIT_MAX;
    let mut bytes = Vec::new();
    loop {
        if !readable_within(&file, deadline.saturating_sub(clock::boot_time()))? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("it did not end within {SMALL_WAIT_MAX:?}")));
        }
        let count = match (&file).take(SMALL_BYTES_MAX).read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            result => result?,
        };
        if bytes.len() as u64 > SMALL_BYTES_MAX {
            let message = format!("it is larger than {SMALL_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        if count == 0 {
            return String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"));
        }
    }
}

/// Reads `file` from its start, through an offset of its own: other processes share that of `file`.
pub fn read_from_start(file: &File) -> io::Result<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
    loop {
        match file.read_at(&mut piece, bytes.len() as u64) {
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens `path` for appending; creates it (0600) if it does not exist. Refuses a symbolic link and a regular file of another
/// user. If `path` is a pipe without a reader, it fails with ENXIO at once.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    let flags = FILE_FLAGS | OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT;
    let file = File::from(open(path, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    if file.metadata()?.is_file() { own(file) } else { Ok(file) }
}

/// Opens the existing regular file `path` for appending.
pub fn append_to_plain(path: &Path) -> io::Result<File> {
    plain(File::from(open(path, FILE_FLAGS | OFlag::O_WRONLY | OFlag::O_APPEND, Mode::empty())?))
}

/// Marks `file` as changed now, by the clock of its file system.
pub fn touch(file: &File) -> io::Result<()> {
    Ok(futimens(file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)?)
}

fn names_in(directory: &mut Dir) -> io::Result<Vec<OsString>> {
    let names = directory.iter().map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
    names.filter(|name| name.as_ref().is_ok_and(|name| name != "." && name != "..") || name.is_err()).collect()
}

/// Removes the directory `name` in `parent` with its content. Follows no symbolic link.
fn remove_tree(parent: &impl AsFd, name: &OsStr) -> io::Result<()> {
    let mut directory = Dir::openat(parent, name, DIRECTORY_FLAGS | OFlag::O_NOFOLLOW, Mode::empty())?;
    for name in names_in(&mut directory)? {
        match unlinkat(&directory, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => remove_tree(&directory, &name)?,
            removed => absent_is_done(removed)?,
        }
    }
    absent_is_done(unlinkat(parent, name, UnlinkatFlags::RemoveDir))
}

fn plain(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_plain()) }
}

/// A regular file of this user. The directory may have been open to others for a while.
fn own(file: File) -> io::Result<File> {
    let owner = file.metadata()?.uid();
    if owner == Uid::effective().as_raw() {
        return plain(file);
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it belongs to user {owner}")))
}

/// Refuses `path` if another user than root may replace it or one of its parents. A group may: Kubernetes gives it the right to
/// a volume, and many systems give each user a group of its own.
fn check_parents(path: &Path) -> io::Result<()> {
    let own = Uid::effective().as_raw();
    for parent in path.ancestors().skip(1) {
        let metadata = match std::fs::metadata(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        let Some(risk) = risk(metadata.mode(), metadata.uid(), own) else { continue };
        let shown = parent.display();
        let message = match risk {
            // Unknown owners are those of the host outside a user namespace.
            Risk::Owner if metadata.uid() == OVERFLOW_UID && has_user_namespace() => continue,
            Risk::Owner => format!("{shown} belongs to user {}, who may replace {}", metadata.uid(), path.display()),
            Risk::Mode => {
                format!("others may replace {} (chmod +t {shown}, or chmod o-w, fixes it)", path.display())
            }
        };
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// Why another user may replace the entries of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Risk {
    Owner,
    Mode,
}

/// In a directory with the sticky bit only the owner of an entry, that of the directory and root may rename or remove it.
fn risk(mode: u32, owner: u32, own: u32) -> Option<Risk> {
    if owner != own && owner != 0 {
        return Some(Risk::Owner);
    }
    (mode & 0o002 != 0 && mode & 0o1000 == 0).then_some(Risk::Mode)
}

/// Whether some users of the host have no id here.
fn has_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn not_plain() -> io::Error {
    io::Error::other("not a regular file")
}

fn absent_is_done(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The size of the regular file at `path`; `None` if there is none, or if the file system does not answer within `limit`.
pub fn file_bytes_within(path: &Path, limit: Duration) -> Option<u64> {
    let (sender, receiver) = channel();
    let path = path.to_owned();
    let ask = move || {
        let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
        sender.send(file.map(|file| file.len())).ok();
    };
    // It is not joined: the kernel may never answer.
    let _detached = std::thread::Builder::new().name("size".into()).spawn(ask).ok()?;
    receiver.recv_timeout(limit).ok().flatten()
}

/// The absolute path of the regular file that the standard descriptor `fd` is open on; `None` for anything else, or a removed file.
pub fn path_of_standard(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let file = File::from(fd.try_clone_to_owned().ok()?).metadata().ok().filter(std::fs::Metadata::is_file)?;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let named = std::fs::metadata(&path).ok()?;
    ((named.dev(), named.ino()) == (file.dev(), file.ino())).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticky_or_closed_directory_of_this_user_or_root_is_safe() {
        for (mode, owner, expected) in [
            (0o040_755, 0, None),
            (0o041_777, 0, None),
            (0o041_777, 7, None),
            (0o040_700, 7, None),
            (0o042_775, 0, None),
            (0o040_777, 0, Some(Risk::Mode)),
            (0o042_777, 7, Some(Risk::Mode)),
            (0o040_702, 7, Some(Risk::Mode)),
            (0o040_755, 8, Some(Risk::Owner)),
            (0o041_777, 8, Some(Risk::Owner)),
        ] {
            assert_eq!(risk(mode, owner, 7), expected, "{mode:o} of {owner}");
        }
    }
}
