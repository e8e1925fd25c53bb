//! The conventions of libpq, the client library of PostgreSQL: connection strings, `PG*` variables, service file,
//! password file, default files and TLS settings. Owns every default of a PostgreSQL connection. Pure: the environment
//! and the files arrive as functions. Must not connect, must not know a PostgreSQL client, and no error may repeat a
//! part of a connection string: in a malformed one any part may belong to the password.

pub mod any_path;
mod connection_string;
mod defaults;
mod env;
mod error;
mod keywords;
mod parameters;
mod passfile;
mod resolve;
mod session_settings;
mod target;
mod tls;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use env::fake;
pub use env::{Env, UserAccount};
pub use error::{InvalidValue, nearest, refuse};
pub use passfile::{SecretFile, password};
pub use resolve::{target_from_pairs, target_from_url};
pub use target::{ChannelBinding, PostgresHost, PostgresTarget, Secret, SslMode, TargetSessionAttrs, TlsVersion};
pub use tls::{
    AlternativeName, Channel, ClientCertificate, Roots, TlsSettings, Verification, channels, is_key_exposed,
    names_host, tls_settings,
};
