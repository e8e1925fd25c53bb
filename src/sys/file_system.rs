//! The file system that holds a file: its type and room, whether hosts share it, this process may write there, and locks work. Owns the
//! numbers of statfs(2).

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{Statfs, statfs};
use nix::unistd::{AccessFlags, access, faccessat, unlink};

use super::host;

/// Network and cluster file systems: several hosts can open a file, and a shared memory map is not shared between them. FUSE serves
/// such file systems too, and does not tell which.
const SHARED: [(u32, &str); 16] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x517b, "SMB"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x1983_0326, "BeeGFS"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0xaad7_aaea, "PanFS"),
    (0xa501_fcf5, "VxFS"),
];

/// File systems in memory: a reboot empties them.
const VOLATILE: [(u32, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// Other file systems, for messages.
const LOCAL: [(u32, &str); 6] = [
    (0xef53, "ext4"),
    (0x5846_5342, "XFS"),
    (0x9123_683e, "Btrfs"),
    (0x2fc1_2fc1, "ZFS"),
    (0xf2f5_2010, "F2FS"),
    (0x794c_7630, "overlayfs"),
];

/// A file system, as statfs(2) describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// `ext4`; the number of an unknown one.
    pub kind: String,
    /// Other hosts may have mounted it.
    pub is_shared: bool,
    /// A reboot empties it.
    pub is_volatile: bool,
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Files that can still be made; `None` if their number has no limit of its own.
    pub free_files: Option<u64>,
}

impl FileSystem {
    /// The file system that holds `path`.
    ///
    /// # Errors
    /// Those of statfs(2).
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = statfs(path)?;
        let number = number(&found);
        let named =
            |list: &[(u32, &'static str)]| list.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
        let [shared, volatile, local] = [named(&SHARED), named(&VOLATILE), named(&LOCAL)];
        let kind = shared.or(volatile).or(local).map_or_else(|| format!("type {number:#x}"), str::to_owned);
        let block_bytes = u64::try_from(found.block_size()).unwrap_or(1);
        Ok(Self {
            kind,
            is_shared: shared.is_some(),
            is_volatile: volatile.is_some(),
            free_bytes: found.blocks_available().saturating_mul(block_bytes),
            free_files: (found.files() > 0).then(|| found.files_free()),
        })
    }
}

/// The type is a signed long; magic numbers have 32 bits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low 32 bits are the number")]
fn number(found: &Statfs) -> u32 {
    found.filesystem_type().0 as u32
}

/// Whether other hosts may share the file system that holds `path`. False if that cannot be found out.
pub fn is_shared(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| SHARED.iter().any(|(shared, _)| *shared == number(&found)))
}

/// Checks that this process, by its effective user, may write `path`.
///
/// # Errors
/// EACCES, EROFS and others of faccessat(2).
pub fn check_writable(path: &Path) -> io::Result<()> {
    let checked = match faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS) {
        // An immutable file, or a seccomp profile that does not know faccessat2. The older call checks the real user.
        Err(Errno::EPERM) => access(path, AccessFlags::W_OK),
        checked => checked,
    };
    Ok(checked?)
}

/// Whether the file system of `directory` refuses locks of byte ranges, as NFS without a lock service does. Locks a temporary file:
/// to open and close a database file would release the locks that this process holds on it.
pub fn refuses_locks(directory: &Path) -> bool {
    let file = unnamed_file(directory);
    let whole = libc::flock {
        #[expect(clippy::cast_possible_truncation, reason = "a small constant in a struct of shorts")]
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let refusals = [Errno::ENOLCK, Errno::ENOSYS, Errno::EOPNOTSUPP];
    file.is_ok_and(|file| fcntl(&file, FcntlArg::F_SETLK(&whole)).is_err_and(|errno| refusals.contains(&errno)))
}

/// A new file (0600) in `directory` that has no name: it ends with its last descriptor.
///
/// # Errors
/// Those of open(2).
pub fn unnamed_file(directory: &Path) -> io::Result<File> {
    let unnamed = open(directory, OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::S_IRUSR | Mode::S_IWUSR);
    match unnamed {
        // The file system (NFS) or the kernel has no such files.
        Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => Ok(tempfile_in(directory)?),
        unnamed => Ok(File::from(unnamed?)),
    }
}

/// A new file in `directory`, without a name as soon as it is open.
fn tempfile_in(directory: &Path) -> nix::Result<File> {
    let path = directory.join(format!(".runwrap-locks-{}", host::own_pid()));
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let file = open(&path, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    unlink(&path)?;
    Ok(File::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_directory_is_not_shared_may_be_written_and_has_locks() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_shared(directory.path()) && !is_shared(Path::new("/nowhere")));
        check_writable(directory.path()).unwrap();
        assert!(!refuses_locks(directory.path()));
        tempfile_in(directory.path()).unwrap();
        unnamed_file(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let found = FileSystem::of(directory.path()).unwrap();
        assert!(!found.is_shared && !found.kind.is_empty() && found.free_bytes > 0, "{found:?}");
        assert_eq!(check_writable(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
