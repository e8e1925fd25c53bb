//! Certificates as people make them with openssl: what is accepted under which `sslmode`, and that psql agrees.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use runwrap::config::{PostgresTarget, SslMode};
use runwrap::store::{OpenOptions, open};

use crate::store::place::Place;
use crate::support::postgres::{Postgres, program};

const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
/// Where every name is.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const VERIFYING: [SslMode; 2] = [SslMode::VerifyCa, SslMode::VerifyFull];

/// A server, and the certificates that are made for it.
struct Certified {
    server: Postgres,
}

impl Certified {
    fn new() -> Self {
        Self { server: Postgres::private() }
    }

    /// A key and a request for `db.example.net`, signed by `authority` with `options`; without any it is of version 1.
    fn present_signed(&self, authority: &str, options: &str) {
        self.server.present(&format!(
            "openssl req {P256} -subj /CN=db.example.net -keyout server.key -out server.csr\n{}",
            sign("server", authority, options)
        ));
    }

    fn present_own(&self, options: &str) {
        self.server.present(&format!("openssl req -x509 {P256} -keyout server.key -out server.crt {options}"));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.server.directory().join(name)
    }

    fn target(&self, host: &str, sslmode: SslMode, roots: Option<&str>) -> PostgresTarget {
        let sslrootcert = roots.map(|name| self.file(name));
        let mut target = PostgresTarget { sslmode, sslrootcert, ..self.server.tcp_target("postgres", host) };
        target.hosts[0].hostaddr = Some(LOOPBACK);
        target
    }

    /// Whether a connection comes about, and an encrypted one at that.
    fn admits(&self, host: &str, sslmode: SslMode, roots: Option<&str>) -> bool {
        let target = self.target(host, sslmode, roots);
        let place = Place::at_postgres(target.clone());
        let opened = open(&place.target, &OpenOptions { attempt: 0, ..place.options() });
        if let Err(error) = &opened {
            eprintln!("{host} {sslmode:?}: {error}");
        }
        opened.is_ok_and(|store| {
            let query =
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'runwrap'";
            let rows = crate::support::postgres::connect(&self.server.tcp_target("postgres", "127.0.0.1"))
                .query(query, &[])
                .unwrap();
            drop(store);
            rows.iter().any(|row| row.get(0))
        })
    }

    /// What psql says of the same.
    fn psql_admits(&self, host: &str, sslmode: SslMode, roots: Option<&str>) -> bool {
        let target = self.target(host, sslmode, roots);
        let word = match sslmode {
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
            SslMode::Disable | SslMode::Allow => panic!("no TLS, or not at first"),
        };
        let roots = target.sslrootcert.map(|path| format!("sslrootcert={}", path.display())).unwrap_or_default();
        let port = self.server.port();
        let pairs = format!(
            "host={host} hostaddr={LOOPBACK} port={port} user={} dbname=postgres sslmode={word} {roots}",
            target.user
        );
        let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let output =
            Command::new(program("psql")).args(["-XAtc", query, &pairs]).stdin(Stdio::null()).output().unwrap();
        output.status.success() && output.stdout == b"t\n"
    }

    /// `host` is admitted under these modes, or refused, by runwrap as by psql.
    #[track_caller]
    fn check(&self, host: &str, modes: &[SslMode], roots: Option<&str>, admitted: bool) {
        for mode in modes {
            assert_eq!(self.psql_admits(host, *mode, roots), admitted, "psql, {host}, {mode:?}");
            assert_eq!(self.admits(host, *mode, roots), admitted, "runwrap, {host}, {mode:?}");
        }
    }
}

fn sign(name: &str, authority: &str, options: &str) -> String {
    format!(
        "openssl x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days 2 \
         -out {name}.crt {options}"
    )
}

/// The extensions of a certificate, through a file.
fn extensions(text: &str) -> String {
    format!("-extfile /dev/stdin <<'END'\n{text}\nEND")
}

/// As PostgreSQL's manual makes it.
#[test]
fn a_certificate_of_version_1_encrypts_where_nothing_of_it_is_checked() {
    let certified = Certified::new();
    for (protocol, key) in [("TLSv1.3", P256), ("TLSv1.2", P256), ("TLSv1.2", "-newkey rsa:2048 -nodes")] {
        certified.server.set(&format!("ssl_max_protocol_version = '{protocol}'"));
        certified.server.present(&format!(
            "openssl req {key} -subj /CN=db.example.net -keyout server.key -out server.csr\n{}\n\
             openssl x509 -in server.crt -noout -text | grep -q 'Version: 1 '",
            sign("server", "authority", "")
        ));
        certified.check("db.example.net", &[SslMode::Prefer, SslMode::Require], None, true);
    }
}

#[test]
fn a_certificate_of_version_1_is_trusted_for_the_root_that_signed_it() {
    let certified = Certified::new();
    let roots = Some("authority.crt");
    certified.present_signed("authority", "");
    certified.check("db.example.net", &VERIFYING, roots, true);
    certified.check("127.0.0.1", &[SslMode::VerifyCa], roots, true);
    certified.check("127.0.0.1", &[SslMode::VerifyFull], roots, false);

    // Of the same name, and with another key.
    certified.server.present(&format!(
        "openssl req -x509 {P256} -days 2 -subj /CN=authority -keyout stranger.key -out stranger.crt\n\
         openssl req {P256} -subj /CN=db.example.net -keyout server.key -out server.csr\n{}",
        sign("server", "stranger", "")
    ));
    certified.check("db.example.net", &VERIFYING, roots, false);
    certified.check("db.example.net", &VERIFYING, Some("stranger.crt"), true);

    certified.present_signed("authority", "-days -1");
    certified.check("db.example.net", &VERIFYING, roots, false);
}

#[test]
fn only_an_authority_vouches_for_a_certificate_of_version_1() {
    let certified = Certified::new();
    let root = |options: &str| {
        format!("openssl req -x509 {P256} -days 2 -subj /CN=root -keyout root.key -out root.crt {options}\n")
    };
    let request = format!("openssl req {P256} -subj /CN=db.example.net -keyout server.key -out server.csr\n");
    for (options, admitted) in [
        ("", true),
        ("-addext basicConstraints=CA:FALSE", false),
        ("-addext keyUsage=digitalSignature", false),
        ("-addext 'nameConstraints=permitted;DNS:example.org'", false),
    ] {
        for version in ["", &extensions("subjectAltName=DNS:db.example.net")] {
            certified.server.present(&format!("{}{request}{}", root(options), sign("server", "root", version)));
            certified.check("db.example.net", &[SslMode::VerifyFull], Some("root.crt"), admitted);
        }
    }
}

#[test]
fn a_certificate_that_is_its_own_root_is_trusted_for_its_name_and_time() {
    let certified = Certified::new();
    let roots = Some("server.crt");
    for (options, host, admitted) in [
        ("", "db.example.net", true),
        ("-addext basicConstraints=CA:FALSE", "db.example.net", true),
        ("", "127.0.0.1", false),
        ("-addext subjectAltName=DNS:db.example.net", "db.example.net", true),
        ("-addext subjectAltName=IP:127.0.0.1", "127.0.0.1", true),
        ("-addext subjectAltName=DNS:other", "db.example.net", false),
    ] {
        certified.present_own(&format!("-subj /CN=db.example.net -days 2 {options}"));
        certified.check(host, &[SslMode::Require, SslMode::VerifyCa], roots, true);
        certified.check(host, &[SslMode::VerifyFull], roots, admitted);
    }
    certified.present_own("-subj /CN=db.example.net -days 2 -addext extendedKeyUsage=clientAuth");
    certified.check("db.example.net", &VERIFYING, roots, false);

    certified.server.present(&format!(
        "openssl req {P256} -subj /CN=db.example.net -keyout server.key -out server.csr\n\
         openssl x509 -req -in server.csr -signkey server.key -days 2 -out server.crt"
    ));
    certified.check("db.example.net", &VERIFYING, roots, true);
    certified.server.present(&format!(
        "openssl req {P256} -subj /CN=db.example.net -keyout server.key -out server.csr\n\
         openssl x509 -req -in server.csr -signkey server.key -days -1 -out server.crt"
    ));
    certified.check("db.example.net", &VERIFYING, roots, false);
    certified.check("db.example.net", &[SslMode::Prefer], None, true);
}

#[test]
fn another_certificate_of_the_same_name_is_not_the_root() {
    let certified = Certified::new();
    certified.present_own("-subj /CN=db.example.net -days 2 && cp server.crt former.crt && cp server.key former.key");
    certified.present_own("-subj /CN=db.example.net -days 2");
    certified.check("db.example.net", &VERIFYING, Some("former.crt"), false);
    certified.check("db.example.net", &[SslMode::Require], Some("former.crt"), false);
    certified
        .server
        .present("cat former.crt server.crt > both.crt; cp former.crt server.crt; cp former.key server.key");
    certified.check("db.example.net", &VERIFYING, Some("both.crt"), true);
}

#[test]
fn a_common_name_counts_where_no_other_does() {
    let certified = Certified::new();
    let roots = Some("authority.crt");
    for (names, admitted) in [
        ("basicConstraints=CA:FALSE", true),
        ("subjectAltName=email:db@example.org", true),
        ("subjectAltName=IP:192.0.2.1", true),
        ("subjectAltName=DNS:other", false),
        ("subjectAltName=DNS:other,email:db@example.org", false),
    ] {
        certified.present_signed("authority", &extensions(names));
        certified.check("db.example.net", &[SslMode::VerifyFull], roots, admitted);
    }
    for (name, admitted) in [("*.example.net", true), ("*.net", false), ("*", false), ("127.0.0.1", false)] {
        certified.present_own(&format!("-subj '/CN={name}' -days 2"));
        certified.check("db.example.net", &[SslMode::VerifyFull], Some("server.crt"), admitted);
    }
    certified.check("127.0.0.1", &[SslMode::VerifyFull], Some("server.crt"), true);
    // Of two, libpq takes one.
    certified.present_own("-subj /CN=db.example.net/CN=other -days 2");
    assert!(!certified.admits("db.example.net", SslMode::VerifyFull, Some("server.crt")));
}

#[test]
fn what_stands_between_root_and_server_is_held_to_its_limits() {
    let certified = Certified::new();
    let chain = |between: &str, server: &str| {
        format!(
            "openssl req {P256} -subj /CN=between -keyout between.key -out between.csr\n{}\n\
             openssl req {P256} -subj /CN=db.example.net -keyout server.key -out server.csr\n{}\n\
             cat between.crt >> server.crt",
            sign("between", "authority", between),
            sign("server", "between", server)
        )
    };
    let signs = "basicConstraints=critical,CA:TRUE";
    let limited = format!("{signs}\nnameConstraints=permitted;DNS:example.org");
    let leaf = extensions("basicConstraints=CA:FALSE");
    let named = extensions("subjectAltName=DNS:db.example.net");
    for (between, server, admitted) in [
        (&extensions(signs), &leaf, true),
        (&extensions(&limited), &leaf, false),
        (&extensions(&limited), &named, false),
        (&leaf, &named, false),
        (&leaf, &String::new(), false),
        (&String::new(), &named, false),
        (&String::new(), &String::new(), false),
    ] {
        certified.server.present(&chain(between, server));
        certified.check("db.example.net", &[SslMode::VerifyFull], Some("authority.crt"), admitted);
    }
}
