//! Every default of a PostgreSQL connection: what applies if no connection string, service or variable sets it. Pure.

use std::path::{Path, PathBuf};

use super::env::Env;
use super::target::{ChannelBinding, SslMode, TargetSessionAttrs, TlsVersion};

pub(super) const PORT: u16 = 5432;
pub(super) const SSLMODE: SslMode = SslMode::Prefer;
pub(super) const TLS_VERSION_MIN: TlsVersion = TlsVersion::V1_2;
pub(super) const CHANNEL_BINDING: ChannelBinding = ChannelBinding::Prefer;
pub(super) const TARGET_SESSION_ATTRS: TargetSessionAttrs = TargetSessionAttrs::Any;
/// libpq sends none.
pub(super) const APPLICATION_NAME: &str = "runwrap";

/// The compiled-in socket directories: of Debian and Red Hat, and of upstream.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// The directory of the system's service file in Debian's build; every build of libpq has its own.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";

/// The host if none is set: the first socket directory that exists. Whether a socket is in it does not count, because
/// a journal is delivered only to the database that it names, and that name must not change while the server is down.
pub(super) fn socket_directory(env: &Env<'_>) -> &'static str {
    let exists = |directory: &&str| (env.is_dir)(Path::new(directory));
    SOCKET_DIRECTORIES.into_iter().find(exists).unwrap_or(SOCKET_DIRECTORIES[0])
}

/// The name of `host` in a password file, in which a default socket directory is `localhost`.
pub(super) fn passfile_host(host: &str) -> &str {
    if SOCKET_DIRECTORIES.contains(&host) { "localhost" } else { host }
}

/// In the home directory.
pub(super) const PASSFILE: &str = ".pgpass";
/// In the home directory, with the four files below.
pub(super) const TLS_DIRECTORY: &str = ".postgresql";
pub(super) const ROOT_CERTIFICATE: &str = "root.crt";
pub(super) const REVOCATION_LIST: &str = "root.crl";
pub(super) const CLIENT_CERTIFICATE: &str = "postgresql.crt";
pub(super) const CLIENT_KEY: &str = "postgresql.key";

/// The service files, in the order in which they are searched.
pub(super) fn service_files(env: &Env<'_>) -> Vec<PathBuf> {
    let own = env.text("PGSERVICEFILE").map(|file| env.absolute(file)).or_else(|| env.in_home(".pg_service.conf"));
    let system = env.absolute(env.text("PGSYSCONFDIR").as_deref().unwrap_or(SYSTEM_DIRECTORY));
    own.into_iter().chain([system.join("pg_service.conf")]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::env::fake::FakeEnv;
    use super::super::{PostgresTarget, target_from_pairs};
    use super::*;

    fn target(env: &FakeEnv) -> PostgresTarget {
        env.with(|env| target_from_pairs("", env)).unwrap()
    }

    #[test]
    fn unset_parameters_have_their_defaults() {
        let target = target(&FakeEnv::new(&[]));
        assert_eq!((target.hosts[0].host.as_str(), target.hosts[0].port), ("/var/run/postgresql", 5432));
        assert_eq!((target.user.as_str(), target.dbname.as_str()), ("ml", "ml"));
        assert_eq!((target.sslmode, target.channel_binding), (SslMode::Prefer, ChannelBinding::Prefer));
        assert_eq!(target.target_session_attrs, TargetSessionAttrs::Any);
        assert_eq!((target.application_name.as_str(), target.options), ("runwrap", None));
        assert_eq!((target.password, target.connect_timeout_seconds), (None, None));
        assert_eq!(target.passfile, Some("/home/ml/.pgpass".into()));
        assert_eq!(target.tls_directory, Some("/home/ml/.postgresql".into()));
        assert_eq!((target.sslrootcert, target.sslcert, target.sslkey), (None, None, None));
    }

    #[test]
    fn host_is_the_first_socket_directory_that_exists() {
        let mut env = FakeEnv::new(&[]);
        for (existing, host) in [
            (vec![], "/var/run/postgresql"),
            (vec!["/tmp"], "/tmp"),
            (vec!["/tmp", "/var/run/postgresql"], "/var/run/postgresql"),
        ] {
            env.directories = existing;
            assert_eq!(target(&env).hosts[0].host, host);
        }
        assert_eq!(["/tmp", "/var/run/postgresql"].map(passfile_host), ["localhost"; 2]);
        assert_eq!(["/run/other", "db"].map(passfile_host), ["/run/other", "db"]);
    }

    #[test]
    fn user_is_of_the_password_database() {
        let mut env = FakeEnv::new(&[]);
        env.user_name = None;
        let error = env.with(|env| target_from_pairs("", env)).unwrap_err();
        assert!(error.cause.contains("names no user"), "{error:?}");
        env.variables.insert("PGUSER", "me");
        assert_eq!(target(&env).user, "me");
    }

    #[test]
    fn home_is_of_the_variable_then_of_the_password_database() {
        let mut env = FakeEnv::new(&[]);
        for (variable, user_home, expected) in [
            ("/h", Some("/home/ml"), Some("/h")),
            ("", Some("/home/ml"), Some("/home/ml")),
            ("relative", Some("/home/ml"), Some("/home/ml")),
            ("", Some("relative"), None),
            ("", None, None),
        ] {
            env.variables.insert("HOME", variable);
            env.user_home = user_home;
            let home = env.with(|env| env.in_home(".x"));
            assert_eq!(home, expected.map(|home| Path::new(home).join(".x")), "{variable}, {user_home:?}");
            let target = target(&env);
            assert_eq!(target.passfile.is_some(), expected.is_some());
            assert_eq!(target.tls_directory.is_some(), expected.is_some());
        }
    }

    #[test]
    fn service_files_are_the_users_then_the_systems() {
        let system = "/etc/postgresql-common/pg_service.conf";
        for (variables, expected) in [
            (vec![], ["/home/ml/.pg_service.conf", system]),
            (vec![("PGSERVICEFILE", "own.conf")], ["/here/own.conf", system]),
            (vec![("PGSYSCONFDIR", "/etc/pg")], ["/home/ml/.pg_service.conf", "/etc/pg/pg_service.conf"]),
        ] {
            assert_eq!(FakeEnv::new(&variables).with(service_files), expected.map(PathBuf::from));
        }
        let mut homeless = FakeEnv::new(&[]);
        homeless.user_home = None;
        assert_eq!(homeless.with(service_files), [PathBuf::from(system)]);
    }
}
