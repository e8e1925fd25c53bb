//! `sqlite:` in the forms in which people write it. Pure but for the directories that it is told.
//!
//! | text | file |
//! |---|---|
//! | `sqlite:` | `runwrap.db` in the data directory |
//! | `sqlite:rel/x.db`, `sqlite:/abs/x.db` | as it stands; nothing in it is decoded |
//! | `sqlite:///rel/x.db`, `sqlite:////abs/x.db` | SQLAlchemy's rule: three slashes and a relative path, four and an absolute one |

use std::path::{Path, PathBuf};

use super::Malformed;
use crate::config::env::Env;
use crate::config::values::absolute;

/// The absolute path of the file that `rest`, all after `sqlite:`, names.
pub(super) fn parse(rest: &str, around: &Env<'_>) -> Result<PathBuf, Malformed> {
    const HOW: &str = "write sqlite:PATH, with an absolute or a relative path";
    if rest.is_empty() {
        return Ok(default_path(around));
    }
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some("" | "/") => return Err(memory()),
        Some(after) => match after.strip_prefix('/') {
            None => return Err(Malformed::new("two slashes are followed by a host, and SQLite has none", HOW)),
            Some(path) if path.contains('?') => {
                return Err(Malformed::new("a file of SQLite takes no parameters", "leave out the ? and what follows"));
            }
            Some(path) => path,
        },
    };
    if path.contains(":memory:") {
        return Err(memory());
    }
    if path.starts_with("file:") {
        return Err(Malformed::new("SQLite's file: form is not supported", HOW));
    }
    if path.ends_with('/') {
        return Err(Malformed::new("it names a directory", "add the name of the file"));
    }
    Ok(absolute(around.cwd, Path::new(path)))
}

pub(super) fn default_path(around: &Env<'_>) -> PathBuf {
    around.data_dir().join("runwrap.db")
}

fn memory() -> Malformed {
    Malformed::new("a database in memory ends with the process that wrote to it", "name a file: sqlite:PATH")
}
