//! The environment of a PostgreSQL client, as functions: a test can be any environment. Pure.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The environment that completes a connection string.
#[derive(Clone, Copy)]
pub struct ClientEnv<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The text of a small file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
    pub is_dir: &'a dyn Fn(&Path) -> bool,
    /// Absolute.
    pub cwd: &'a Path,
    /// The name of the effective user in the password database, which may be a directory server: ask it last.
    pub user_name: &'a dyn Fn() -> Option<String>,
    /// The home directory of the effective user in the password database.
    pub user_home: &'a dyn Fn() -> Option<PathBuf>,
}

impl ClientEnv<'_> {
    /// A variable as text; an empty one counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.to_string_lossy().into_owned()).filter(|text| !text.is_empty())
    }

    /// `path` seen from the current directory, without `.` in it.
    pub(super) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path).components().collect()
    }
}

/// A client environment of a test's own.
#[cfg(test)]
pub(super) mod fake {
    use std::collections::BTreeMap;

    use super::*;

    pub(in crate::libpq) struct FakeEnv {
        pub(in crate::libpq) variables: BTreeMap<&'static str, &'static str>,
        pub(in crate::libpq) files: BTreeMap<&'static str, &'static str>,
        pub(in crate::libpq) directories: Vec<&'static str>,
        pub(in crate::libpq) user_name: Option<&'static str>,
        pub(in crate::libpq) user_home: Option<&'static str>,
    }

    impl FakeEnv {
        /// User `ml` with the home directory `/home/ml`, in the current directory `/here`, without any file.
        pub(in crate::libpq) fn new(variables: &[(&'static str, &'static str)]) -> Self {
            Self {
                variables: variables.iter().copied().collect(),
                files: BTreeMap::new(),
                directories: Vec::new(),
                user_name: Some("ml"),
                user_home: Some("/home/ml"),
            }
        }

        pub(in crate::libpq) fn with_file(mut self, path: &'static str, content: &'static str) -> Self {
            self.files.insert(path, content);
            self
        }

        pub(in crate::libpq) fn with<T>(&self, examine: impl FnOnce(&ClientEnv<'_>) -> T) -> T {
            examine(&ClientEnv {
                variable: &|name| self.variables.get(name).map(OsString::from),
                read: &|path| {
                    let content = path.to_str().and_then(|path| self.files.get(path));
                    content.map(|content| (*content).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
                },
                is_dir: &|path| self.directories.iter().any(|directory| Path::new(directory) == path),
                cwd: Path::new("/here"),
                user_name: &|| self.user_name.map(str::to_owned),
                user_home: &|| self.user_home.map(PathBuf::from),
            })
        }
    }
}
