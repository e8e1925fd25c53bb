//! A PostgreSQL server and how to connect to it: the result of a connection string and its environment.
//! Owns the types; the serde names of an enum are libpq's words for it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::any_path;
use super::session_settings::schema_settings;

/// A PostgreSQL server, or several equivalent ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresTarget {
    /// At least one. Each attempt tries one.
    pub hosts: Vec<PostgresHost>,
    pub user: String,
    /// From the URL, `PGPASSWORD` or a service file. Without it each connection reads `passfile`.
    pub password: Option<Secret>,
    /// It may not exist.
    #[serde(with = "any_path::optional")]
    pub passfile: Option<PathBuf>,
    pub dbname: String,
    pub sslmode: SslMode,
    /// The directory of the default TLS files, each of which counts if it exists; `None` without a home directory.
    #[serde(with = "any_path::optional")]
    pub tls_directory: Option<PathBuf>,
    /// `sslrootcert=`, or the word `system`; `None` means the default file.
    #[serde(with = "any_path::optional")]
    pub sslrootcert: Option<PathBuf>,
    /// `sslcrl=`; `None` means the default file, if `sslcrldir` is `None` too.
    #[serde(with = "any_path::optional")]
    pub sslcrl: Option<PathBuf>,
    /// `sslcrldir=`, with names as `openssl rehash` gives them.
    #[serde(with = "any_path::optional")]
    pub sslcrldir: Option<PathBuf>,
    /// `sslcert=`; `None` means the default file, else no client certificate.
    #[serde(with = "any_path::optional")]
    pub sslcert: Option<PathBuf>,
    /// `sslkey=`; `None` means the default file.
    #[serde(with = "any_path::optional")]
    pub sslkey: Option<PathBuf>,
    /// The password of an encrypted key.
    pub sslpassword: Option<Secret>,
    /// `sslsni=`: the client sends the name of the host in the clear.
    pub sslsni: bool,
    pub ssl_min_protocol_version: TlsVersion,
    pub ssl_max_protocol_version: Option<TlsVersion>,
    pub channel_binding: ChannelBinding,
    pub target_session_attrs: TargetSessionAttrs,
    pub application_name: String,
    /// `options=`, sent at start-up only if set: a pooler refuses it.
    pub options: Option<String>,
    /// `connect_timeout=`, of the TCP connection alone; positive.
    pub connect_timeout_seconds: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresHost {
    /// A name, an address, or the directory of a Unix socket: then it begins with `/`.
    pub host: String,
    /// `hostaddr=`: the address of `host`, which saves the DNS query. The server's certificate must still name `host`.
    pub hostaddr: Option<IpAddr>,
    pub port: u16,
}

impl PostgresHost {
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl PostgresTarget {
    /// The settings that choose the schema of a table without one, as `search_path=…` and `role=…`.
    pub fn schema_settings(&self) -> Vec<String> {
        self.options.as_deref().map_or_else(Vec::new, schema_settings)
    }

    /// The least protection of a connection: `require` or better. `None` permits a connection without TLS.
    pub fn protection(&self) -> Option<SslMode> {
        match self.sslmode {
            // A socket leaves no host.
            _ if self.hosts.iter().all(PostgresHost::is_socket) => Some(SslMode::VerifyFull),
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => None,
            // As in libpq, a root file makes it verify.
            SslMode::Require if self.sslrootcert.is_some() => Some(SslMode::VerifyCa),
            demanded @ (SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => Some(demanded),
        }
    }
}

/// libpq's `sslmode`, the least protection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A version of the TLS protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    #[serde(rename = "TLSv1", alias = "tlsv1")]
    V1_0,
    #[serde(rename = "TLSv1.1", alias = "tlsv1.1")]
    V1_1,
    #[serde(rename = "TLSv1.2", alias = "tlsv1.2")]
    V1_2,
    #[serde(rename = "TLSv1.3", alias = "tlsv1.3")]
    V1_3,
}

/// libpq's `channel_binding`: whether the password exchange is bound to the TLS channel.
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

impl TargetSessionAttrs {
    /// The server must be asked for its state. `prefer-standby` accepts any server after one round over all hosts.
    pub fn needs_state(self, is_first_round: bool) -> bool {
        self != Self::Any && (self != Self::PreferStandby || is_first_round)
    }

    /// Whether a server in this state satisfies the attribute.
    pub fn accepts(self, in_recovery: bool, is_read_only: bool) -> bool {
        match self {
            Self::Any => true,
            Self::ReadWrite => !in_recovery && !is_read_only,
            Self::ReadOnly => in_recovery || is_read_only,
            Self::Primary => !in_recovery,
            Self::Standby | Self::PreferStandby => in_recovery,
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(out)
    }
}

impl fmt::Display for TargetSessionAttrs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(out)
    }
}

/// A password. Prints as asterisks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_session_attrs_match_libpq() {
        use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};

        // A writable primary, a read-only primary, a standby.
        for (attribute, accepted) in [
            (Any, [true, true, true]),
            (ReadWrite, [true, false, false]),
            (ReadOnly, [false, true, true]),
            (Primary, [true, true, false]),
            (Standby, [false, false, true]),
            (PreferStandby, [false, false, true]),
        ] {
            let states = [(false, false), (false, true), (true, true)];
            assert_eq!(states.map(|(in_recovery, read_only)| attribute.accepts(in_recovery, read_only)), accepted);
            assert_eq!(attribute.needs_state(true), attribute != Any, "{attribute:?}");
            assert_eq!(attribute.needs_state(false), ![Any, PreferStandby].contains(&attribute), "{attribute:?}");
        }
    }
}
