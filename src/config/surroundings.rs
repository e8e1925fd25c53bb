//! What `settings` may ask of the world, as arguments: so that it stays a pure function and a test can be any
//! world. Also where the XDG directories are. Built from the real world by `gather`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The user that runwrap runs as, from the password database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    /// `None` where the user has no entry, as in a container with an arbitrary user id.
    pub name: Option<String>,
    pub home: Option<PathBuf>,
}

/// The world as `settings` sees it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The text of a small file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    pub is_dir: &'a dyn Fn(&Path) -> bool,
    /// Absolute.
    pub cwd: &'a Path,
    pub account: &'a Account,
}

impl Surroundings<'_> {
    /// A variable as text; an empty one counts as unset.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.to_string_lossy().into_owned()).filter(|text| !text.is_empty())
    }

    /// The home directory: `$HOME`, else that of the password database, else `/tmp/runwrap-UID`. Each counts only
    /// if it is absolute. Whoever writes to the last must make sure that it is the user's own: anybody can make it.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.directory("HOME")
            .or_else(|| self.account.home.clone().filter(|home| home.is_absolute()))
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/runwrap-{}", self.account.uid)))
    }

    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.xdg("XDG_STATE_HOME", ".local/state")
    }

    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.xdg("XDG_DATA_HOME", ".local/share")
    }

    fn xdg(&self, variable: &str, below_home: &str) -> PathBuf {
        self.directory(variable).unwrap_or_else(|| self.home().join(below_home)).join("runwrap")
    }

    /// The XDG specification: a relative path is invalid and to be ignored.
    fn directory(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}
