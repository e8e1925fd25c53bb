//! The TLS settings of a connection: the order of encrypted and plain channels, the files, and the verification. Pure.

use std::path::{Path, PathBuf};

use super::defaults;
use super::target::{PostgresHost, PostgresTarget, SslMode};

/// The `sslrootcert` that stands for the system's root certificates.
pub(super) const SYSTEM_ROOTS: &str = "system";

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Plain,
    /// TLS; plain if the server offers none.
    TlsIfOffered,
    Tls,
}

/// The files and the verification of a TLS channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `None`: the channel is encrypted, and any server certificate is accepted.
    pub verification: Option<Verification>,
    pub client: Option<ClientCertificate>,
}

/// How the server's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// `None`: the system's root certificates.
    pub root_file: Option<PathBuf>,
    /// The certificate must name the host.
    pub checks_name: bool,
}

/// The certificate that the client sends if the server asks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    /// `None`: neither set, nor is there a home directory with the default file.
    pub key: Option<PathBuf>,
}

/// The channels that `sslmode` allows to `host`, in libpq's order.
pub fn channels(sslmode: SslMode, host: &PostgresHost) -> &'static [Channel] {
    match sslmode {
        _ if host.is_socket() => &[Channel::Plain],
        SslMode::Disable => &[Channel::Plain],
        SslMode::Allow => &[Channel::Plain, Channel::Tls],
        SslMode::Prefer => &[Channel::TlsIfOffered, Channel::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Channel::Tls],
    }
}

/// The settings of a TLS channel to a host of `target`. A default file counts if it `exists` at this moment.
pub fn tls_settings(target: &PostgresTarget, exists: &dyn Fn(&Path) -> bool) -> TlsSettings {
    let default = |name: &str| target.tls_directory.as_ref().map(|directory| directory.join(name));
    let existing = |name: &str| default(name).filter(|path| exists(path));
    let root_file = match &target.sslrootcert {
        Some(path) if path.as_os_str() == SYSTEM_ROOTS => None,
        Some(path) => Some(path.clone()),
        None => existing(defaults::ROOT_CERTIFICATE),
    };
    let checks_name = match target.sslmode {
        SslMode::VerifyFull => Some(true),
        SslMode::VerifyCa => Some(false),
        // libpq's rule for users who set a root certificate and relied on it.
        SslMode::Require if root_file.is_some() => Some(false),
        SslMode::Require | SslMode::Prefer | SslMode::Allow | SslMode::Disable => None,
    };
    let certificate = target.sslcert.clone().or_else(|| existing(defaults::CLIENT_CERTIFICATE));
    TlsSettings {
        verification: checks_name.map(|checks_name| Verification { root_file, checks_name }),
        client: certificate.map(|certificate| ClientCertificate {
            certificate,
            key: target.sslkey.clone().or_else(|| default(defaults::CLIENT_KEY)),
        }),
    }
}

/// Whether other users may read or change a private key with this mode. A group may read a key of root's.
pub const fn is_key_exposed(mode: u32, owner: u32) -> bool {
    mode & if owner == 0 { 0o037 } else { 0o077 } != 0
}

#[cfg(test)]
mod tests {
    use super::super::env::fake::FakeEnv;
    use super::super::target_from_pairs;
    use super::*;

    #[test]
    fn channels_follow_libpq() {
        let host = |host: &str| PostgresHost { host: host.to_owned(), hostaddr: None, port: 5432 };
        for (sslmode, expected) in [
            (SslMode::Disable, &[Channel::Plain][..]),
            (SslMode::Allow, &[Channel::Plain, Channel::Tls]),
            (SslMode::Prefer, &[Channel::TlsIfOffered, Channel::Plain]),
            (SslMode::Require, &[Channel::Tls]),
            (SslMode::VerifyCa, &[Channel::Tls]),
            (SslMode::VerifyFull, &[Channel::Tls]),
        ] {
            assert_eq!(channels(sslmode, &host("db")), expected, "{sslmode:?}");
            assert_eq!(channels(sslmode, &host("/tmp")), [Channel::Plain], "{sslmode:?}");
        }
    }

    fn settings(pairs: &str, home: Option<&'static str>, existing: &[&str]) -> TlsSettings {
        let mut env = FakeEnv::new(&[]);
        env.user_home = home;
        let target = env.with(|env| target_from_pairs(pairs, env)).unwrap();
        tls_settings(&target, &|path| existing.iter().any(|existing| Path::new(existing) == path))
    }

    /// The verification as `(root file, checks name)`.
    #[track_caller]
    fn check_verification(pairs: &str, existing: &[&str], expected: Option<(Option<&str>, bool)>) {
        let verification = settings(pairs, Some("/home/ml"), existing).verification;
        let got = verification.map(|verification| (verification.root_file, verification.checks_name));
        assert_eq!(got, expected.map(|(file, checks_name)| (file.map(PathBuf::from), checks_name)), "{pairs}");
    }

    #[test]
    fn verification_follows_sslmode_and_root_file() {
        const DEFAULT: &str = "/home/ml/.postgresql/root.crt";
        for weak in ["disable", "allow", "prefer"] {
            check_verification(&format!("sslmode={weak} sslrootcert=/x"), &[DEFAULT], None);
        }
        check_verification("sslmode=require", &[], None);
        check_verification("sslmode=require", &[DEFAULT], Some((Some(DEFAULT), false)));
        check_verification("sslmode=require sslrootcert=/x", &[DEFAULT], Some((Some("/x"), false)));
        check_verification("sslmode=verify-ca", &[DEFAULT], Some((Some(DEFAULT), false)));
        check_verification("sslmode=verify-ca", &[], Some((None, false)));
        check_verification("sslmode=verify-full", &[DEFAULT], Some((Some(DEFAULT), true)));
        check_verification("sslmode=verify-full sslrootcert=/missing", &[], Some((Some("/missing"), true)));
        check_verification("sslrootcert=system", &[DEFAULT], Some((None, true)));
    }

    /// The client's files as `(certificate, key)`.
    #[track_caller]
    fn check_client(pairs: &str, home: Option<&'static str>, expected: Option<(&str, Option<&str>)>) {
        let existing = ["/home/ml/.postgresql/postgresql.crt"];
        let client = settings(pairs, home, &existing).client;
        let got = client.map(|client| (client.certificate, client.key));
        assert_eq!(got, expected.map(|(file, key)| (PathBuf::from(file), key.map(PathBuf::from))), "{pairs}");
    }

    #[test]
    fn client_certificate_is_set_or_the_default_file() {
        const CERTIFICATE: &str = "/home/ml/.postgresql/postgresql.crt";
        const KEY: &str = "/home/ml/.postgresql/postgresql.key";
        let home = Some("/home/ml");
        check_client("", home, Some((CERTIFICATE, Some(KEY))));
        check_client("sslkey=/k", home, Some((CERTIFICATE, Some("/k"))));
        check_client("sslcert=/c", home, Some(("/c", Some(KEY))));
        check_client("sslcert=c sslkey=k", home, Some(("/here/c", Some("/here/k"))));
        check_client("sslkey=/k", Some("/home/other"), None);
        check_client("", None, None);
        check_client("sslcert=/c", None, Some(("/c", None)));
    }

    #[test]
    fn key_is_readable_by_its_owner_and_a_group_of_root() {
        for (mode, owner) in [(0o600, 1000), (0o400, 1000), (0o640, 0), (0o600, 0)] {
            assert!(!is_key_exposed(mode, owner), "{mode:o} of {owner}");
        }
        for (mode, owner) in [(0o640, 1000), (0o604, 1000), (0o620, 0), (0o644, 0), (0o601, 0)] {
            assert!(is_key_exposed(mode, owner), "{mode:o} of {owner}");
        }
    }
}
