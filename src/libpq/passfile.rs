//! The password of a connection, and the format of the password file (`.pgpass`). Each connection reads the file again,
//! so that a changed password needs no restart. Must not keep or log its content.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::defaults;
use super::target::{PostgresHost, PostgresTarget, Secret};

/// A plain file that holds a secret.
pub struct SecretFile {
    /// The mode bits of its inode.
    pub mode: u32,
    pub owner: u32,
    pub content: Vec<u8>,
}

/// The password of `target`, else that of the first line in its password file that matches `host`. A password file that
/// does not exist, that `read` refuses as not plain (`InvalidInput`), or that others may read, is ignored, as in libpq.
///
/// # Errors
/// The password file exists and cannot be read.
pub fn password(
    target: &PostgresTarget,
    host: &PostgresHost,
    read: &dyn Fn(&Path) -> io::Result<SecretFile>,
) -> io::Result<Option<Secret>> {
    let (None, Some(path)) = (&target.password, &target.passfile) else { return Ok(target.password.clone()) };
    let ignored = |cause: &str| {
        log::warn!(event = "passfile_ignored", path:% = path.display(), cause;
            "the password file {} is not used: {cause}", path.display());
        Ok(None)
    };
    let file = match read(path) {
        Ok(file) if file.mode & 0o077 != 0 => return ignored("others may read it: chmod 600 it"),
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => return ignored("it is not a plain file"),
        Err(error) => {
            let message = format!("cannot read the password file {}: {error}", path.display());
            return Err(io::Error::new(error.kind(), message));
        }
    };
    let (name, port) = (defaults::passfile_host(&host.host), host.port.to_string());
    Ok(find(&String::from_utf8_lossy(&file.content), [name, &port, &target.dbname, &target.user]))
}

/// The password of the first line that matches `wanted`: host, port, database, user.
fn find(text: &str, wanted: [&str; 4]) -> Option<Secret> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for value in wanted {
            let (field, after) = next_field(rest);
            if !rest.starts_with("*:") && field != value {
                return None;
            }
            rest = after?;
        }
        Some(Secret::new(next_field(rest).0))
    })
}

/// The field before the next unescaped colon, without its escapes, and the text after the colon, if there is one.
fn next_field(line: &str) -> (String, Option<&str>) {
    let mut text = String::new();
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ':' => return (text, Some(&line[at + 1..])),
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            plain => text.push(plain),
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::super::env::fake::FakeEnv;
    use super::super::target_from_pairs;
    use super::*;

    #[track_caller]
    fn check(file: &str, wanted: [&str; 4], password: Option<&str>) {
        assert_eq!(find(file, wanted).as_ref().map(Secret::reveal), password);
    }

    #[test]
    fn first_matching_line_gives_the_password() {
        let file = "# comment\n\nother:5432:db:me:no\ndb.example:5432:*:me:first\n*:*:*:*:second\n";
        check(file, ["db.example", "5432", "training", "me"], Some("first"));
        check(file, ["db.example", "5433", "training", "me"], Some("second"));
        check("a:1:b:c:d", ["a", "1", "b", "x"], None);
        check("a:1:b:c:d:ignored", ["a", "1", "b", "c"], Some("d"));
    }

    #[test]
    fn backslash_escapes_colons_backslashes_and_stars() {
        check(r"\:\:1:5432:d\\b:me:p\:w\\", ["::1", "5432", r"d\b", "me"], Some(r"p:w\"));
        check(r"\*:1:b:c:d", ["a", "1", "b", "c"], None);
        check(r"\*:1:b:c:d", ["*", "1", "b", "c"], Some("d"));
    }

    #[test]
    fn broken_line_gives_no_password() {
        check("a:1:b", ["a", "1", "b", "c"], None);
        check("a:1:b:c", ["a", "1", "b", "c"], None);
        check("", ["a", "1", "b", "c"], None);
    }

    /// The password for `host=HOST PAIRS` if the file has this mode, or cannot be read.
    fn password_of(pairs: &str, file: Result<u32, ErrorKind>) -> Result<Option<String>, ErrorKind> {
        let target = FakeEnv::new(&[]).with(|env| target_from_pairs(pairs, env)).unwrap();
        let read = |path: &Path| {
            assert_eq!(path, Path::new("/home/ml/.pgpass"));
            let content = b"localhost:5432:*:ml:local\ndb:*:*:*:remote\n".to_vec();
            Ok(SecretFile { mode: file?, owner: 1000, content })
        };
        let found = password(&target, &target.hosts[0], &read).map_err(|error| error.kind())?;
        Ok(found.map(|secret| secret.reveal().to_owned()))
    }

    #[test]
    fn password_of_the_target_precedes_the_file() {
        let found = |pairs: &str, mode| password_of(pairs, Ok(mode)).unwrap();
        assert_eq!(found("host=db", 0o100_600).as_deref(), Some("remote"));
        assert_eq!(found("host=db password=own", 0o100_600).as_deref(), Some("own"));
        for local in ["", "host=/tmp", "host=/var/run/postgresql", "host=localhost"] {
            assert_eq!(found(local, 0o100_600).as_deref(), Some("local"), "{local}");
        }
        assert_eq!(found("host=/run/other", 0o100_600), None);
        assert_eq!(found("host=db", 0o100_640), None);
        assert_eq!(found("host=db", 0o100_604), None);
    }

    #[test]
    fn passfile_that_is_absent_or_not_plain_is_ignored() {
        for absent in [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::InvalidInput] {
            assert_eq!(password_of("host=db", Err(absent)), Ok(None));
        }
        let unreadable = ErrorKind::PermissionDenied;
        assert_eq!(password_of("host=db", Err(unreadable)), Err(unreadable));
    }
}
