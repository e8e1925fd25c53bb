//! The environment as arguments, so that `settings` stays pure and a test can replace it. Owns the XDG directories.
//! Must not touch the system: `gather` fills it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The user that runwrap runs as, from the password database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAccount {
    pub uid: u32,
    /// `None` if the user has no entry, as in a container with an arbitrary user id.
    pub name: Option<String>,
    pub home: Option<PathBuf>,
}

/// Variables, files, directory and user of this process.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The text of a small file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    pub is_dir: &'a dyn Fn(&Path) -> bool,
    /// Absolute.
    pub cwd: &'a Path,
    /// Called only if nothing else decides: the password database may be a directory server's.
    pub account: &'a dyn Fn() -> UserAccount,
}

impl Env<'_> {
    /// A variable as text; an empty one counts as unset.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.to_string_lossy().into_owned()).filter(|text| !text.is_empty())
    }

    /// The home directory: `$HOME`, else that of the password database, else `/tmp/runwrap-UID`. Ignores relative ones.
    /// Any user can create the last; check its owner before writing to it.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.directory("HOME")
            .or_else(|| (self.account)().home.filter(|home| home.is_absolute()))
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/runwrap-{}", (self.account)().uid)))
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

    /// Ignores a relative path, as the XDG specification demands.
    fn directory(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// An environment for tests.
#[cfg(test)]
pub(super) mod fake {
    use std::collections::BTreeMap;

    use super::*;

    pub(in crate::config) struct FakeEnv {
        pub(in crate::config) variables: BTreeMap<String, String>,
        pub(in crate::config) files: BTreeMap<String, String>,
        pub(in crate::config) directories: Vec<&'static str>,
        pub(in crate::config) account: UserAccount,
    }

    impl FakeEnv {
        /// User `ml` with home `/home/ml` in directory `/here`, and no files.
        pub(in crate::config) fn new(variables: &[(&str, &str)]) -> Self {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            Self {
                variables: variables.iter().map(owned).collect(),
                files: BTreeMap::new(),
                directories: Vec::new(),
                account: UserAccount { uid: 1000, name: Some("ml".to_owned()), home: Some("/home/ml".into()) },
            }
        }

        pub(in crate::config) fn with_file(mut self, path: &str, content: &str) -> Self {
            self.files.insert(path.to_owned(), content.to_owned());
            self
        }

        pub(in crate::config) fn with<T>(&self, use_env: impl FnOnce(&Env<'_>) -> T) -> T {
            use_env(&Env {
                variable: &|name| self.variables.get(name).map(OsString::from),
                read: &|path| {
                    let found = path.to_str().and_then(|path| self.files.get(path));
                    found.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
                },
                is_dir: &|path| self.directories.iter().any(|directory| Path::new(directory) == path),
                cwd: Path::new("/here"),
                account: &|| self.account.clone(),
            })
        }
    }

    #[test]
    fn directories_follow_xdg_then_home_then_account_then_tmp() {
        let state_dir = |env: &FakeEnv| env.with(|env| env.state_dir().display().to_string());
        let mut env = FakeEnv::new(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(state_dir(&env), "/x/runwrap");
        env.variables.insert("XDG_STATE_HOME".to_owned(), "relative".to_owned());
        assert_eq!(state_dir(&env), "/h/.local/state/runwrap");
        env.variables.insert("HOME".to_owned(), String::new());
        assert_eq!(state_dir(&env), "/home/ml/.local/state/runwrap");
        env.account.home = None;
        assert_eq!(state_dir(&env), "/tmp/runwrap-1000/.local/state/runwrap");
    }
}
