//! The TLS settings of a connection: the order of encrypted and plain channels, the protocol versions, the files, and the
//! verification of the server's certificate and name. Pure.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::defaults;
use super::error::InvalidValue;
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

/// The trusted root certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    System,
    File(PathBuf),
}

/// How the server's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    pub roots: Roots,
    /// With one of these, every certificate of the chain needs a revocation list of its authority.
    pub crl_file: Option<PathBuf>,
    pub crl_directory: Option<PathBuf>,
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

/// The settings of a TLS channel to a host of `target`. Stricter than libpq in one point: a root file that is set and does
/// not exist is refused under `sslmode=require` too, because the demanded verification would be dropped.
///
/// # Errors
/// `sslmode` demands a verification, and no root file `exists`.
pub fn tls_settings(target: &PostgresTarget, exists: &dyn Fn(&Path) -> bool) -> Result<TlsSettings, InvalidValue> {
    let default = |name: &str| target.tls_directory.as_ref().map(|directory| directory.join(name));
    let existing = |name: &str| default(name).filter(|path| exists(path));
    let certificate = target.sslcert.clone().or_else(|| default(defaults::CLIENT_CERTIFICATE));
    Ok(TlsSettings {
        verification: roots(target, exists)?.map(|roots| Verification {
            crl_file: target.sslcrl.clone().or_else(|| {
                let by_default = target.sslcrldir.is_none() && roots != Roots::System;
                existing(defaults::REVOCATION_LIST).filter(|_| by_default)
            }),
            crl_directory: target.sslcrldir.clone(),
            checks_name: target.sslmode == SslMode::VerifyFull,
            roots,
        }),
        client: certificate.filter(|path| exists(path)).map(|certificate| ClientCertificate {
            certificate,
            key: target.sslkey.clone().or_else(|| default(defaults::CLIENT_KEY)),
        }),
    })
}

/// `None`: no verification. As in libpq, every mode verifies if there is a root file.
fn roots(target: &PostgresTarget, exists: &dyn Fn(&Path) -> bool) -> Result<Option<Roots>, InvalidValue> {
    let set = target.sslrootcert.as_ref();
    if set.is_some_and(|path| path.as_os_str() == SYSTEM_ROOTS) {
        return Ok(Some(Roots::System));
    }
    let default = || target.tls_directory.as_ref().map(|directory| directory.join(defaults::ROOT_CERTIFICATE));
    let root_file = set.cloned().or_else(default);
    if let Some(path) = root_file.clone().filter(|path| exists(path)) {
        return Ok(Some(Roots::File(path)));
    }
    let is_demanded = match target.sslmode {
        SslMode::VerifyCa | SslMode::VerifyFull => true,
        SslMode::Require => set.is_some(),
        SslMode::Prefer | SslMode::Allow | SslMode::Disable => false,
    };
    if !is_demanded {
        return Ok(None);
    }
    let cause = match root_file {
        Some(path) => format!("the root certificate file {} does not exist", path.display()),
        None => "there is no home directory with a root certificate file".to_owned(),
    };
    let hint = "name the authority of the server's certificate with sslrootcert=FILE, or set sslrootcert=system with \
                sslmode=verify-full";
    Err(InvalidValue::new(cause, hint))
}

/// Whether other users may read or change a private key with this mode. A group may read a key of root's.
pub const fn is_key_exposed(mode: u32, owner: u32) -> bool {
    mode & if owner == 0 { 0o037 } else { 0o077 } != 0
}

/// An alternative name of a certificate.
#[derive(Clone, Copy, Debug)]
pub enum AlternativeName<'a> {
    Dns(&'a [u8]),
    Ip(&'a [u8]),
    Other,
}

/// Whether a certificate with these names is for `host`. The common name counts if there is no alternative name of the
/// kind of `host`.
pub fn names_host(host: &str, names: &[AlternativeName<'_>], common_name: Option<&[u8]>) -> bool {
    let address = host.parse::<IpAddr>().ok();
    let octets = match address {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => Vec::new(),
    };
    let mut common_name_counts = true;
    for name in names {
        let (is_same_kind, is_host) = match name {
            // libpq refuses the certificate: a name with NUL in it is an attack.
            AlternativeName::Dns(name) if name.contains(&0) => return false,
            AlternativeName::Dns(name) => (address.is_none(), fits(name, host)),
            AlternativeName::Ip(name) => (address.is_some(), address.is_some() && *name == octets),
            AlternativeName::Other => (false, false),
        };
        if is_host {
            return true;
        }
        common_name_counts &= !is_same_kind;
    }
    common_name_counts && common_name.is_some_and(|name| fits(name, host))
}

/// Whether `name` is `host`, or a wildcard for its first label.
fn fits(name: &[u8], host: &str) -> bool {
    let by_wildcard = || {
        let domain = name.strip_prefix(b"*").filter(|domain| domain.len() > 1)?;
        let (label, parent) = host.split_at(host.find('.')?);
        Some(!label.is_empty() && domain.eq_ignore_ascii_case(parent.as_bytes()))
    };
    name.eq_ignore_ascii_case(host.as_bytes()) || by_wildcard().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::super::env::fake::FakeEnv;
    use super::super::target_from_pairs;
    use super::*;

    const ROOT: &str = "/home/ml/.postgresql/root.crt";
    const CRL: &str = "/home/ml/.postgresql/root.crl";
    const CERTIFICATE: &str = "/home/ml/.postgresql/postgresql.crt";
    const KEY: &str = "/home/ml/.postgresql/postgresql.key";

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

    /// The settings of a user with this home directory, if only the files of `existing` exist.
    fn settings(pairs: &str, home: Option<&'static str>, existing: &[&str]) -> Result<TlsSettings, InvalidValue> {
        let mut env = FakeEnv::new(&[]);
        env.user_home = home;
        let target = env.with(|env| target_from_pairs(pairs, env)).unwrap();
        tls_settings(&target, &|path| existing.iter().any(|existing| Path::new(existing) == path))
    }

    /// The verification as `(root file or the system, checks name)`.
    #[track_caller]
    fn check_verification(pairs: &str, existing: &[&str], expected: Option<(Option<&str>, bool)>) {
        let verification = settings(pairs, Some("/home/ml"), existing).unwrap().verification;
        let got = verification.map(|verification| (verification.roots, verification.checks_name));
        let roots = |file: Option<&str>| file.map_or(Roots::System, |file| Roots::File(file.into()));
        assert_eq!(got, expected.map(|(file, checks_name)| (roots(file), checks_name)), "{pairs}");
    }

    #[test]
    fn verification_follows_sslmode_and_root_file() {
        for mode in ["allow", "prefer", "require"] {
            check_verification(&format!("sslmode={mode}"), &[], None);
            check_verification(&format!("sslmode={mode}"), &[ROOT], Some((Some(ROOT), false)));
            check_verification(&format!("sslmode={mode} sslrootcert=/x"), &["/x", ROOT], Some((Some("/x"), false)));
        }
        for weak in ["allow", "prefer"] {
            check_verification(&format!("sslmode={weak} sslrootcert=/missing"), &[ROOT], None);
        }
        check_verification("sslmode=verify-ca", &[ROOT], Some((Some(ROOT), false)));
        check_verification("sslmode=verify-full", &[ROOT], Some((Some(ROOT), true)));
        check_verification("sslrootcert=system", &[ROOT], Some((None, true)));
    }

    #[test]
    fn demanded_verification_without_root_file_is_refused() {
        for mode in ["verify-ca", "verify-full"] {
            for (pairs, home, existing, cause) in [
                ("", Some("/home/ml"), &[][..], ROOT),
                ("", None, &[], "no home directory"),
                ("sslrootcert=/missing", Some("/home/ml"), &[ROOT], "/missing"),
            ] {
                let error = settings(&format!("sslmode={mode} {pairs}"), home, existing).unwrap_err();
                assert!(error.cause.contains(cause) && error.hint.contains("sslrootcert=FILE"), "{error:?}");
            }
        }
        let error = settings("sslmode=require sslrootcert=/missing", None, &[]).unwrap_err();
        assert!(error.cause.contains("/missing"), "{error:?}");
    }

    #[test]
    fn revocation_list_is_set_or_the_default_file() {
        for (pairs, existing, file, directory) in [
            ("", &[ROOT][..], None, None),
            ("", &[ROOT, CRL], Some(CRL), None),
            ("sslcrl=/c", &[ROOT, CRL], Some("/c"), None),
            ("sslcrldir=/d", &[ROOT, CRL], None, Some("/d")),
            ("sslcrl=/c sslcrldir=/d", &[ROOT], Some("/c"), Some("/d")),
            ("sslrootcert=system", &[ROOT, CRL], None, None),
            ("sslrootcert=system sslcrl=/c", &[], Some("/c"), None),
        ] {
            let verification = settings(pairs, Some("/home/ml"), existing).unwrap().verification.unwrap();
            let expected = (file.map(PathBuf::from), directory.map(PathBuf::from));
            assert_eq!((verification.crl_file, verification.crl_directory), expected, "{pairs}");
        }
    }

    /// The client's files as `(certificate, key)`, if the default certificate and `/here/c` exist.
    #[track_caller]
    fn check_client(pairs: &str, home: Option<&'static str>, expected: Option<(&str, Option<&str>)>) {
        let client = settings(pairs, home, &[CERTIFICATE, "/here/c"]).unwrap().client;
        let got = client.map(|client| (client.certificate, client.key));
        assert_eq!(got, expected.map(|(file, key)| (PathBuf::from(file), key.map(PathBuf::from))), "{pairs}");
    }

    #[test]
    fn client_certificate_is_set_or_the_default_file() {
        let home = Some("/home/ml");
        check_client("", home, Some((CERTIFICATE, Some(KEY))));
        check_client("sslkey=/k", home, Some((CERTIFICATE, Some("/k"))));
        check_client("sslcert=c", home, Some(("/here/c", Some(KEY))));
        check_client("sslcert=c sslkey=k", home, Some(("/here/c", Some("/here/k"))));
        check_client("sslcert=missing", home, None);
        check_client("sslkey=/k", Some("/home/other"), None);
        check_client("", None, None);
        check_client("sslcert=c", None, Some(("/here/c", None)));
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

    #[test]
    fn wildcard_matches_the_first_label() {
        for name in ["db.example.org", "DB.Example.org", "*.example.org"] {
            assert!(fits(name.as_bytes(), "db.example.org"), "{name}");
        }
        for name in [
            "",
            "*",
            "*.",
            "*.org",
            "*.*.org",
            "*.db.example.org",
            "d*.example.org",
            "b.example.org",
            "db.example.org\0",
        ] {
            assert!(!fits(name.as_bytes(), "db.example.org"), "{name}");
        }
        assert!(!fits(b"*.example.org", "a.db.example.org") && !fits(b"*.example.org", ".example.org"));
        assert!(fits(b"*.org", "example.org") && !fits(b"*.", "db.") && !fits(b"*", "db"));
    }

    #[test]
    fn common_name_counts_without_alternative_name_of_the_same_kind() {
        use AlternativeName::{Dns, Ip, Other};

        let loopback = Ip(&[127, 0, 0, 1]);
        for (host, names, common_name, fits) in [
            ("db", &[][..], "db", true),
            ("db", &[Other, loopback], "db", true),
            ("db", &[Dns(b"other")], "db", false),
            ("db", &[Dns(b"other"), Dns(b"db")], "", true),
            ("db", &[Dns(b"db\0.evil"), Dns(b"db")], "db", false),
            ("127.0.0.1", &[loopback], "", true),
            ("127.0.0.1", &[Dns(b"127.0.0.1")], "", true),
            ("127.0.0.1", &[Dns(b"other")], "127.0.0.1", true),
            ("127.0.0.1", &[Ip(&[127, 0, 0, 2])], "127.0.0.1", false),
            ("::1", &[Ip(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])], "", true),
            ("::1", &[loopback], "", false),
        ] {
            assert_eq!(names_host(host, names, Some(common_name.as_bytes())), fits, "{host} {names:?} {common_name}");
        }
        assert!(!names_host("db", &[], None) && !names_host("db", &[Ip(&[])], None));
    }
}
