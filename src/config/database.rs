//! The database that `--database-url` names: PostgreSQL, by the conventions of libpq, or a file of SQLite. Owns the
//! choice between the two and the forms of `sqlite:`. Must not connect, and no error may repeat a part of the text.
//!
//! | text | file of SQLite |
//! |---|---|
//! | `sqlite:` | `runwrap.db` in the data directory |
//! | `sqlite:rel/x.db`, `sqlite:/abs/x.db`, `sqlite:~/x.db` | that path; nothing in it is decoded |
//! | `sqlite:///rel/x.db`, `sqlite:////abs/x.db` | SQLAlchemy's rule: three slashes and a relative path, four and an absolute one |

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::libpq::{self, Env, InvalidValue, PostgresHost, PostgresTarget, SslMode, any_path, nearest, refuse};

/// A database, ready to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseTarget {
    /// An absolute path.
    Sqlite(#[serde(with = "any_path")] PathBuf),
    Postgres(Box<PostgresTarget>),
}

impl DatabaseTarget {
    /// The name of this database in messages, without user and password: `sqlite:/abs/path` or
    /// `postgres://host:port[,host:port]/dbname`.
    pub fn identity(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(target) => format!("postgres://{}", address(target)),
        }
    }

    /// The name of this database in journals, with all that chooses the schema of a table without one:
    /// `postgres://user@host:port/dbname?search_path=…&role=…`. It holds no password.
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(_) => self.identity(),
            Self::Postgres(target) => {
                let settings = target.schema_settings().join("&");
                let question = if settings.is_empty() { "" } else { "?" };
                format!("postgres://{}@{}{question}{settings}", target.user, address(target))
            }
        }
    }

    /// The file of SQLite.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// The least protection of a connection to it: `require` or better. `None` permits one without TLS. Data for a file or a socket
    /// does not leave the host.
    pub fn protection(&self) -> Option<SslMode> {
        match self {
            Self::Sqlite(_) => Some(SslMode::VerifyFull),
            Self::Postgres(target) => target.protection(),
        }
    }

    /// The least protection that a run demands for its journal.
    pub fn demanded_protection(&self) -> Option<SslMode> {
        match self {
            Self::Postgres(target) if !target.hosts.iter().all(PostgresHost::is_socket) => target.protection(),
            Self::Sqlite(_) | Self::Postgres(_) => None,
        }
    }
}

/// `host:port[,host:port]/dbname`
fn address(target: &PostgresTarget) -> String {
    let hosts: Vec<String> = target.hosts.iter().map(|host| format!("{}:{}", host.host, host.port)).collect();
    format!("{}/{}", hosts.join(","), target.dbname)
}

const FORMS: &str = "write postgres://USER@HOST/DATABASE, key=value pairs as for libpq, or sqlite:PATH";

/// The database that `text` names in `env`.
pub(super) fn parse_database(text: &str, env: &Env<'_>) -> Result<DatabaseTarget, InvalidValue> {
    let text = text.trim();
    if text.is_empty() {
        return refuse("it is empty", FORMS);
    }
    if text.contains('\0') {
        return refuse("it holds a NUL", FORMS);
    }
    let postgres = |target: PostgresTarget| DatabaseTarget::Postgres(Box::new(target));
    let Some((scheme, rest)) = split_scheme(text) else {
        if text.contains('=') {
            return libpq::target_from_pairs(text, env).map(postgres);
        }
        let hint = "write sqlite:PATH for a file, postgres:///NAME for a database of the local server";
        return refuse("it has no scheme", hint);
    };
    let scheme = scheme.to_ascii_lowercase();
    let (scheme, has_driver) = scheme.split_once('+').map_or((scheme.as_str(), false), |(scheme, _)| (scheme, true));
    match scheme {
        "sqlite" => parse_sqlite(rest, env).map(DatabaseTarget::Sqlite),
        "postgres" | "postgresql" => match rest.strip_prefix("//") {
            Some(rest) => libpq::target_from_url(rest, has_driver, env).map(postgres),
            None => refuse(format!("{scheme}: is not followed by //"), FORMS),
        },
        "jdbc" => refuse("it is a JDBC URL", "leave out the jdbc: in front"),
        // It may be a password, as in `hunter2:x`.
        _ if !rest.starts_with("//") => refuse("it names no database that runwrap supports", FORMS),
        other => {
            let known = nearest(other, ["postgres", "postgresql", "sqlite"]);
            let hint = known.map_or_else(|| FORMS.to_owned(), |known| format!("did you mean {known}:?"));
            refuse(format!("{other}:// is not supported"), hint)
        }
    }
}

/// The scheme and the text after its colon; `None` if the text does not begin with a scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_allowed))
        .then_some((scheme, rest))
}

/// The absolute path of the file that `sqlite:` + `rest` names.
fn parse_sqlite(rest: &str, env: &Env<'_>) -> Result<PathBuf, InvalidValue> {
    const HINT: &str = "write sqlite:PATH, with an absolute or a relative path";
    if rest.is_empty() {
        return Ok(env.xdg("XDG_DATA_HOME", ".local/share").join("runwrap.db"));
    }
    let path = match rest.strip_prefix("//") {
        None => rest,
        // SQLAlchemy's database in memory.
        Some("" | "/") => ":memory:",
        Some(after) => match after.strip_prefix('/') {
            None => return refuse("two slashes are followed by a host, and SQLite has none", HINT),
            Some(path) if path.contains('?') => {
                return refuse("a file of SQLite takes no parameters", "leave out the ? and the text after it");
            }
            Some(path) => path,
        },
    };
    if path.contains(":memory:") {
        return refuse("a database in memory ends with the process that wrote to it", "name a file: sqlite:PATH");
    }
    if path.starts_with("file:") {
        return refuse("SQLite's file: form is not supported", HINT);
    }
    if path.ends_with('/') || path == "~" {
        return refuse("it names a directory", "add the name of the file");
    }
    env.expanded(Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libpq::fake::FakeEnv as World;

    const PASSWORD: &str = "hunter2";

    fn parse(text: &str, world: &World) -> Result<DatabaseTarget, InvalidValue> {
        world.with(|env| parse_database(text, env))
    }

    #[track_caller]
    fn check(text: &str, world: &World, identity: &str) {
        assert_eq!(parse(text, world).unwrap().identity(), identity, "{text}");
    }

    #[track_caller]
    fn refused(text: &str, world: &World, part: &str) {
        let error = parse(text, world).unwrap_err();
        let message = format!("{}; {}", error.cause, error.hint);
        assert!(message.contains(part), "{text}: no \"{part}\" in: {message}");
        assert!(!message.contains(PASSWORD) && !error.hint.is_empty(), "{text}: {message}");
    }

    #[test]
    fn each_form_of_postgres_reaches_libpq() {
        let world = World::new(&[("PGPORT", "6000")]);
        check("postgres://h/db", &world, "postgres://h:6000/db");
        check(" postgresql://h ", &world, "postgres://h:6000/ml");
        check("postgresql+psycopg2://u:p@h/db", &world, "postgres://h:6000/db");
        check("POSTGRESQL+asyncpg://u@h/db?statement_cache_size=0", &world, "postgres://h:6000/db");
        check("host=h dbname=db", &world, "postgres://h:6000/db");
        refused("postgres://u@h/db?statement_cache_size=0", &world, "parameter 1");
    }

    #[test]
    fn sqlite_takes_a_path_in_its_common_forms() {
        let world = World::new(&[("XDG_DATA_HOME", "/data")]);
        for (text, path) in [
            ("sqlite:", "/data/runwrap/runwrap.db"),
            ("sqlite:runs.db", "/here/runs.db"),
            ("sqlite:./a/./runs.db", "/here/a/runs.db"),
            ("sqlite:../runs.db", "/here/../runs.db"),
            ("sqlite:/abs/my runs%20?.db", "/abs/my runs%20?.db"),
            ("sqlite:///runs.db", "/here/runs.db"),
            ("sqlite:////abs/runs.db", "/abs/runs.db"),
            ("sqlite+pysqlite:////abs/runs.db", "/abs/runs.db"),
            ("SQLite:x=y.db", "/here/x=y.db"),
            ("sqlite:~/runs.db", "/home/ml/runs.db"),
            ("sqlite:///~/runs.db", "/home/ml/runs.db"),
            ("sqlite:./~/runs.db", "/here/~/runs.db"),
        ] {
            assert_eq!(parse(text, &world).unwrap(), DatabaseTarget::Sqlite(path.into()), "{text}");
        }
        refused("sqlite://", &world, "in memory");
        refused("sqlite:///", &world, "in memory");
        refused("sqlite::memory:", &world, "in memory");
        refused("sqlite://host/x.db", &world, "two slashes");
        refused("sqlite:///x.db?mode=ro", &world, "no parameters");
        refused("sqlite:dir/", &world, "a directory");
        refused("sqlite:~", &world, "a directory");
    }

    #[test]
    fn unknown_text_is_refused_without_a_part_of_it() {
        let world = World::new(&[]);
        for (text, part) in [
            ("", "empty"),
            ("runs.db", "no scheme"),
            ("/var/runs.db", "no scheme"),
            (PASSWORD, "no scheme"),
            ("hunter2:hunter2", "names no database"),
            ("mysql://u:hunter2@h/db", "mysql:// is not supported"),
            ("postgress://u:hunter2@h/db", "did you mean postgres:?"),
            ("postgres:u:hunter2@h/db", "not followed by //"),
            ("jdbc:postgresql://h/db?password=hunter2", "leave out the jdbc:"),
        ] {
            refused(text, &world, part);
        }
    }

    #[test]
    fn place_names_the_user_and_what_chooses_the_schema() {
        let world = World::new(&[("PGOPTIONS", "-c search_path=ml -c app.token=hunter2 -c role=ann")]);
        let place = |text: &str| parse(text, &world).unwrap().place();
        assert_eq!(place("postgres://u:hunter2@h/db"), "postgres://u@h:5432/db?search_path=ml&role=ann");
        assert_eq!(place("postgres://h/db?options=-cgeqo%3Doff"), "postgres://ml@h:5432/db");
        assert_eq!(place("sqlite:/x"), "sqlite:/x");
    }

    #[test]
    fn protection_is_that_of_the_weakest_connection_allowed() {
        let both = |text: &str| {
            let target = parse(text, &World::new(&[])).unwrap();
            (target.demanded_protection(), target.protection())
        };
        assert_eq!(both("postgres://h/db"), (None, None));
        assert_eq!(both("postgres://h/db?sslmode=require"), (Some(SslMode::Require), Some(SslMode::Require)));
        let verified = both("postgres://h/db?sslmode=require&sslrootcert=/ca");
        assert_eq!(verified, (Some(SslMode::VerifyCa), Some(SslMode::VerifyCa)));
        // Nothing leaves the host.
        assert_eq!(both("postgres:///db?sslmode=require"), (None, Some(SslMode::VerifyFull)));
        assert_eq!(both("sqlite:/x"), (None, Some(SslMode::VerifyFull)));
    }

    #[test]
    fn identity_has_neither_user_nor_password() {
        let target = parse("postgres://u:hunter2@a,b:6000/db", &World::new(&[])).unwrap();
        assert_eq!(target.identity(), "postgres://a:5432,b:6000/db");
        assert_eq!(target.place(), "postgres://u@a:5432,b:6000/db");
        assert!(!format!("{target:?}").contains(PASSWORD));
    }
}
