//! `~/.pgpass`: the password for one host, database and user. Read at each connection, so that a changed password is
//! found without a restart. Owns the format; must not keep or log what it reads. Called by `connect`.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::{PostgresHost, PostgresTarget, Secret};
use crate::store::StoreError;
use crate::sys::fs::open_plain;

/// The most that a file of secrets may hold.
const BYTES_MAX: u64 = 1024 * 1024;
/// Where servers put their socket by default: such a connection is one to `localhost` in a password file.
const DEFAULT_SOCKET_DIRS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The first password that fits; `None` where the file has none, does not exist, or is open to others.
pub(super) fn password(target: &PostgresTarget, host: &PostgresHost) -> Result<Option<Secret>, StoreError> {
    let Some(path) = &target.passfile else { return Ok(None) };
    let unreadable = |error: &std::io::Error| StoreError::Permanent {
        message: format!("cannot read the password file {}: {error}", path.display()),
        hint: "make it readable for this user, or name another with passfile= or PGPASSFILE".into(),
    };
    let ignored = |cause: &str| log::warn!(event = "passfile_ignored", path:% = path.display(), cause; "");
    match fs::metadata(path) {
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => return Ok(None),
        Ok(metadata) if !metadata.is_file() => {
            ignored("it is no plain file");
            return Ok(None);
        }
        other => other.map_err(|error| unreadable(&error))?,
    };
    let (metadata, text) = read_plain(path).map_err(|error| unreadable(&error))?;
    if metadata.mode() & 0o077 != 0 {
        ignored("others may read it: chmod 600 it");
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&text);
    let name = if DEFAULT_SOCKET_DIRS.contains(&host.host.as_str()) { "localhost" } else { &host.host };
    let port = host.port.to_string();
    Ok(find(&text, [name, &port, &target.dbname, &target.user]))
}

/// What is in a plain file, and whose it is.
pub(super) fn read_plain(path: &Path) -> io::Result<(Metadata, Vec<u8>)> {
    let file = open_plain(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {BYTES_MAX} bytes")));
    }
    Ok((metadata, bytes))
}

/// The password of the first line whose four fields fit `wanted`: host, port, database, user.
fn find(text: &str, wanted: [&str; 4]) -> Option<Secret> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for field in wanted {
            let (written, after) = next_field(rest)?;
            if written.raw != "*" && written.text != field {
                return None;
            }
            rest = after;
        }
        Some(Secret::new(last_field(rest)))
    })
}

/// A field, as it stands and without its escapes.
struct Field<'a> {
    raw: &'a str,
    text: String,
}

/// The field before the next colon that no backslash escapes, and what follows the colon.
fn next_field(line: &str) -> Option<(Field<'_>, &str)> {
    let mut text = String::new();
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ':' => return Some((Field { raw: &line[..at], text }, &line[at + 1..])),
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            plain => text.push(plain),
        }
    }
    None
}

fn last_field(rest: &str) -> String {
    let mut text = String::new();
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => break,
            '\\' => text.extend(characters.next()),
            plain => text.push(plain),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, wanted: [&str; 4], password: Option<&str>) {
        assert_eq!(find(file, wanted).as_ref().map(Secret::reveal), password);
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let file = "# comment\n\nother:5432:db:me:no\ndb.example:5432:*:me:first\n*:*:*:*:second\n";
        check(file, ["db.example", "5432", "training", "me"], Some("first"));
        check(file, ["db.example", "5433", "training", "me"], Some("second"));
        check("a:1:b:c:d", ["a", "1", "b", "x"], None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        check(r"\:\:1:5432:d\\b:me:p\:w\\", ["::1", "5432", r"d\b", "me"], Some(r"p:w\"));
        check(r"\*:1:b:c:d", ["a", "1", "b", "c"], None);
    }

    #[test]
    fn a_broken_line_gives_nothing() {
        check("a:1:b", ["a", "1", "b", "c"], None);
        check("", ["a", "1", "b", "c"], None);
    }
}
