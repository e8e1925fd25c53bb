//! Which database is meant: the parsed form of `--database-url` and all that libpq's conventions add to it.
//! Owns the types; `conninfo` fills them. Must not connect to anything. Called by `config` and `store`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::any_path;

/// A database, ready to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseTarget {
    /// An absolute path.
    Sqlite(#[serde(with = "any_path")] PathBuf),
    Postgres(Box<PostgresTarget>),
}

impl DatabaseTarget {
    /// What tells this database from every other one, and stands in journals and messages: no user, no password.
    /// `sqlite:/abs/path` or `postgres://host:port[,host:port]/dbname`.
    #[must_use]
    pub fn identity(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(target) => {
                let hosts: Vec<String> =
                    target.hosts.iter().map(|host| format!("{}:{}", host.host, host.port)).collect();
                format!("postgres://{}/{}", hosts.join(","), target.dbname)
            }
        }
    }
}

/// A PostgreSQL server, or several that stand for one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresTarget {
    /// At least one. Tried one an attempt.
    pub hosts: Vec<PostgresHost>,
    pub user: String,
    /// From the URL, `PGPASSWORD` or a service file. Without it `passfile` is read at each connection.
    pub password: Option<Secret>,
    /// `~/.pgpass`, `PGPASSFILE` or `passfile=`. It may not exist.
    #[serde(with = "any_path::optional")]
    pub passfile: Option<PathBuf>,
    pub dbname: String,
    pub sslmode: SslMode,
    /// `sslrootcert=`; `None` means libpq's `~/.postgresql/root.crt` if it exists, else the system's roots.
    #[serde(with = "any_path::optional")]
    pub sslrootcert: Option<PathBuf>,
    /// `sslcert=`; `None` means libpq's `~/.postgresql/postgresql.crt` if it exists, else none.
    #[serde(with = "any_path::optional")]
    pub sslcert: Option<PathBuf>,
    /// `sslkey=`; `None` means libpq's `~/.postgresql/postgresql.key`.
    #[serde(with = "any_path::optional")]
    pub sslkey: Option<PathBuf>,
    pub channel_binding: ChannelBinding,
    pub target_session_attrs: TargetSessionAttrs,
    /// `runwrap` unless the user names another.
    pub application_name: String,
    /// `options=` / `PGOPTIONS`, sent at start-up only if the user asked for it (a pooler refuses it).
    pub options: Option<String>,
    /// `connect_timeout=`, for the TCP connection alone.
    pub connect_timeout_seconds: Option<u32>,
}

/// A host name, an address, or the directory of a Unix socket (then it begins with `/`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresHost {
    pub host: String,
    /// `hostaddr=`: where `host` is, so that nobody has to look it up. The certificate is still `host`'s.
    pub hostaddr: Option<IpAddr>,
    pub port: u16,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// libpq's `channel_binding`: whether the password exchange must be tied to the TLS channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetSessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// A password. Prints as asterisks; reaches a keeper only through an anonymous file that no one else can open.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The password itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}
