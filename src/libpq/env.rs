//! The environment as functions: a test can be any environment. Owns the rules for variables and the home directory.
//! Pure.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The effective user, from the password database.
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
    /// Ask it last: the password database may be a directory server's.
    pub account: &'a dyn Fn() -> UserAccount,
}

impl Env<'_> {
    /// A variable as text; an empty one counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.to_string_lossy().into_owned()).filter(|text| !text.is_empty())
    }

    /// A variable as a path; a relative one counts as unset.
    pub(crate) fn directory(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// `$HOME` if absolute, else the home directory in the password database. Without either there are no default files:
    /// in a shared directory any user could plant them.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.directory("HOME").or_else(|| (self.account)().home.filter(|home| home.is_absolute()))
    }

    pub(super) fn in_home(&self, name: &str) -> Option<PathBuf> {
        self.home().map(|home| home.join(name))
    }

    /// `path` seen from the current directory, without `.` in it. `..` stays: its target depends on symbolic links.
    pub(crate) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path).components().collect()
    }
}

/// An environment for tests.
#[cfg(test)]
pub(crate) mod fake {
    use std::collections::BTreeMap;

    use super::*;

    pub(crate) struct FakeEnv {
        pub(crate) variables: BTreeMap<&'static str, &'static str>,
        pub(crate) files: BTreeMap<&'static str, &'static str>,
        pub(crate) directories: Vec<&'static str>,
        pub(crate) user_name: Option<&'static str>,
        pub(crate) user_home: Option<&'static str>,
    }

    impl FakeEnv {
        /// User `ml`, id 1000, with the home directory `/home/ml`, in the directory `/here`, without any file.
        pub(crate) fn new(variables: &[(&'static str, &'static str)]) -> Self {
            Self {
                variables: variables.iter().copied().collect(),
                files: BTreeMap::new(),
                directories: Vec::new(),
                user_name: Some("ml"),
                user_home: Some("/home/ml"),
            }
        }

        pub(crate) fn with_file(mut self, path: &'static str, content: &'static str) -> Self {
            self.files.insert(path, content);
            self
        }

        pub(crate) fn with<T>(&self, examine: impl FnOnce(&Env<'_>) -> T) -> T {
            let (name, home) = (self.user_name.map(str::to_owned), self.user_home.map(PathBuf::from));
            examine(&Env {
                variable: &|name| self.variables.get(name).map(OsString::from),
                read: &|path| {
                    let content = path.to_str().and_then(|path| self.files.get(path));
                    content.map(|content| (*content).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
                },
                is_dir: &|path| self.directories.iter().any(|directory| Path::new(directory) == path),
                cwd: Path::new("/here"),
                account: &|| UserAccount { uid: 1000, name: name.clone(), home: home.clone() },
            })
        }
    }
}
