//! Certificates made with openssl: which are accepted under which `sslmode`, and that psql agrees.

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use runwrap::config::{PostgresTarget, SslMode};
use runwrap::store::{OpenOptions, Store, StoreError, open};

use crate::store::place::{Place, permanent};
use crate::support::postgres::{Postgres, connect, program, succeed};

const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
/// The address of every host name.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const VERIFYING: [SslMode; 2] = [SslMode::VerifyCa, SslMode::VerifyFull];

/// A server and its certificates.
struct Certified {
    server: Postgres,
}

impl Certified {
    fn new() -> Self {
        Self { server: Postgres::private() }
    }

    /// A certificate for `db.example.net`, signed by `authority` with `options`; without options it is of version 1.
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

    /// Whether an encrypted connection succeeds.
    fn admits(&self, host: &str, sslmode: SslMode, roots: Option<&str>) -> bool {
        opened(self.target(host, sslmode, roots)).is_ok_and(|store| {
            let query =
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'runwrap'";
            let rows = connect(&self.server.tcp_target("postgres", "127.0.0.1")).query(query, &[]).unwrap();
            drop(store);
            rows.iter().any(|row| row.get(0))
        })
    }

    /// runwrap and psql both admit `host` under these modes, or both refuse it.
    #[track_caller]
    fn check(&self, host: &str, modes: &[SslMode], roots: Option<&str>, admitted: bool) {
        for mode in modes {
            assert_eq!(psql_admits(self.target(host, *mode, roots)), admitted, "psql, {host}, {mode:?}");
            assert_eq!(self.admits(host, *mode, roots), admitted, "runwrap, {host}, {mode:?}");
        }
    }
}

/// Whether psql connects with the same settings.
fn psql_admits(target: PostgresTarget) -> bool {
    let word = match target.sslmode {
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
        SslMode::Disable | SslMode::Allow => panic!("not a mode that starts with TLS"),
    };
    let files = [("sslrootcert", target.sslrootcert), ("sslcert", target.sslcert), ("sslkey", target.sslkey)];
    let given = files.into_iter().filter_map(|(name, path)| Some(format!("{name}={}", path?.display())));
    let host = &target.hosts[0];
    let pairs = format!(
        "host={} hostaddr={LOOPBACK} port={} user={} dbname=postgres sslmode={word} {}",
        host.host,
        host.port,
        target.user,
        given.collect::<Vec<_>>().join(" ")
    );
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let output = Command::new(program("psql")).args(["-XAtc", query, &pairs]).stdin(Stdio::null()).output().unwrap();
    output.status.success() && output.stdout == b"t\n"
}

fn opened(target: PostgresTarget) -> Result<Store, StoreError> {
    let place = Place::at_postgres(target);
    open(&place.target, &OpenOptions { attempt: 0, ..place.options() })
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

/// The certificate of PostgreSQL's manual.
#[test]
fn version_1_certificate_encrypts_without_verification() {
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
fn version_1_certificate_is_trusted_for_the_root_that_signed_it() {
    let certified = Certified::new();
    let roots = Some("authority.crt");
    certified.present_signed("authority", "");
    certified.check("db.example.net", &VERIFYING, roots, true);
    certified.check("127.0.0.1", &[SslMode::VerifyCa], roots, true);
    certified.check("127.0.0.1", &[SslMode::VerifyFull], roots, false);

    // The same name with another key.
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
fn only_an_authority_may_sign_a_version_1_certificate() {
    let certified = Certified::new();
    let root = |options: &str| {
        format!("openssl req -x509 {P256} -days 2 -subj /CN=root -keyout root.key -out root.crt {options}\n")
    };
    let request = format!("openssl req {P256} -subj /CN=db.example.net -keyout server.key -out server.csr\n");
    for (options, admitted) in [
        ("", true),
        ("-addext basicConstraints=CA:FALSE", false),
        ("-addext keyUsage=digitalSignature", false),
        ("-addext extendedKeyUsage=clientAuth", false),
        ("-addext 'nameConstraints=permitted;DNS:example.org'", false),
    ] {
        for version in ["", &extensions("subjectAltName=DNS:db.example.net")] {
            certified.server.present(&format!("{}{request}{}", root(options), sign("server", "root", version)));
            certified.check("db.example.net", &[SslMode::VerifyFull], Some("root.crt"), admitted);
        }
    }
}

#[test]
fn self_signed_root_is_trusted_for_its_name_and_validity() {
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
    for unfit in ["extendedKeyUsage=clientAuth", "keyUsage=keyCertSign", "1.2.3.4=critical,ASN1:NULL"] {
        certified.present_own(&format!("-subj /CN=db.example.net -days 2 -addext {unfit}"));
        certified.check("db.example.net", &VERIFYING, roots, false);
        certified.check("db.example.net", &[SslMode::Require], None, true);
    }

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
fn certificate_with_the_name_of_the_root_is_not_the_root() {
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
fn common_name_counts_if_there_is_no_alternative_name() {
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
    // libpq accepts one of two common names; runwrap neither.
    certified.present_own("-subj /CN=db.example.net/CN=other -days 2");
    assert!(!certified.admits("db.example.net", SslMode::VerifyFull, Some("server.crt")));
}

#[test]
fn intermediate_certificate_is_held_to_its_limits() {
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
    // libpq accepts an intermediate of version 1; runwrap only as a root of sslrootcert.
    certified.server.present(&format!("{}\ncat between.crt authority.crt > both.crt", chain(&extensions(signs), "")));
    assert!(!certified.admits("db.example.net", SslMode::VerifyFull, Some("authority.crt")));
    certified.check("db.example.net", &VERIFYING, Some("both.crt"), true);
}

/// A server that demands a certificate of `certified`; the script `make` signs `client.csr`.
fn demanding(make: &str) -> Certified {
    let certified = Certified::new();
    let access = certified.file("data/pg_hba.conf");
    let before = fs::read_to_string(&access).unwrap();
    fs::write(
        &access,
        format!("hostssl all certified all trust clientcert=verify-full\nhost all certified all reject\n{before}"),
    )
    .unwrap();
    certified.server.set(&format!("ssl_ca_file = '{}'", certified.file("authority.crt").display()));
    certified.server.present(&format!(
        "openssl req {P256} -subj /CN=certified -keyout client.key -out client.csr\n{make}\n\
         openssl ecparam -name prime256v1 -genkey -noout -out other.key"
    ));
    let admin = certified.server.tcp_target("postgres", "127.0.0.1");
    connect(&admin).batch_execute("CREATE ROLE certified LOGIN SUPERUSER").unwrap();
    certified
}

#[test]
fn client_sends_its_certificate_of_either_version() {
    for options in [String::new(), extensions("subjectAltName=DNS:certified")] {
        let certified = demanding(&sign("client", "authority", &options));
        let as_certified = |key: &str, sslmode| PostgresTarget {
            user: "certified".into(),
            sslcert: Some(certified.file("client.crt")),
            sslkey: Some(certified.file(key)),
            ..certified.target("localhost", sslmode, Some("authority.crt"))
        };
        for sslmode in [SslMode::Prefer, SslMode::Require, SslMode::VerifyFull] {
            assert!(psql_admits(as_certified("client.key", sslmode)), "{sslmode:?}");
            assert!(opened(as_certified("client.key", sslmode)).is_ok(), "{sslmode:?}");
        }
        assert!(!psql_admits(as_certified("other.key", SslMode::Require)));
        let message = permanent(opened(as_certified("other.key", SslMode::Require)).map(|_| ()));
        assert!(message.contains("not the key of"), "{message}");

        fs::set_permissions(certified.file("client.key"), Permissions::from_mode(0o644)).unwrap();
        assert!(!psql_admits(as_certified("client.key", SslMode::Require)));
        for sslmode in [SslMode::Prefer, SslMode::Require] {
            let message = permanent(opened(as_certified("client.key", sslmode)).map(|_| ()));
            assert!(message.contains("sslkey") && message.contains("chmod 600"), "{message}");
        }
        // With sslmode=prefer the client connects without TLS if the server permits it.
        let admin = PostgresTarget { user: "admin".into(), ..as_certified("client.key", SslMode::Prefer) };
        assert!(opened(admin).is_ok());
    }
}

#[test]
fn client_certificate_has_the_default_files_of_libpq() {
    let certified = demanding(&sign("client", "authority", ""));
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".postgresql");
    let migrate = || {
        let url = format!("postgres://certified@127.0.0.1:{}/postgres?sslmode=require", certified.server.port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_runwrap"));
        command.arg("migrate").env_clear().env("HOME", home.path()).env("RUNWRAP_DATABASE_URL", url);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let refuses = |part: &str| {
        let output = migrate();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(part), "{message}");
    };
    refuses("client certificate");
    fs::create_dir(&directory).unwrap();
    fs::copy(certified.file("client.crt"), directory.join("postgresql.crt")).unwrap();
    refuses("postgresql.key");
    succeed(Command::new("mkfifo").arg(directory.join("postgresql.key")));
    refuses("not a regular file");
    fs::remove_file(directory.join("postgresql.key")).unwrap();
    fs::write(directory.join("postgresql.key"), vec![b'x'; 2 * 1024 * 1024]).unwrap();
    refuses("larger than");
    fs::copy(certified.file("client.key"), directory.join("postgresql.key")).unwrap();
    fs::set_permissions(directory.join("postgresql.key"), Permissions::from_mode(0o644)).unwrap();
    refuses("chmod 600");
    fs::set_permissions(directory.join("postgresql.key"), Permissions::from_mode(0o600)).unwrap();
    let output = migrate();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
