//! Certificates made with openssl: psql and runwrap, asked with the same connection string, give the same answer.
//! runwrap is stricter only where a table gives the reason.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use runwrap::config::PostgresTarget;
use runwrap::libpq::{Env, UserAccount, target_from_pairs};
use runwrap::store::{OpenOptions, StoreError, open};

use crate::store::place::Place;
use crate::support::postgres::{Postgres, connect, program};

/// `certify NAME ISSUER DAYS EXTENSIONS [SUBJECT]`: makes NAME.crt, of version 1 without extensions.
/// `chain NAME...`: presents the certificates after the server's. `revoke NAME ISSUER`: makes ISSUER.crl.
const SCRIPT: &str = r#"
key() {
    [ -f "$1.key" ] || openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}
certify() {
    key "$1"
    printf "$4" >"$1.ext"
    if [ "$1" = "$2" ]; then set -- "$1" "-signkey $1.key" "$3" "$4" "${5-/CN=$1}"
    else set -- "$1" "-CA $2.crt -CAkey $2.key -CAcreateserial" "$3" "$4" "${5-/CN=$1}"; fi
    openssl req -new -key "$1.key" -subj "$5" -out "$1.csr"
    openssl x509 -req -in "$1.csr" $2 -days "$3" ${4:+-extfile "$1.ext"} -out "$1.crt"
}
server() { certify server "$1" "${2-2}" "${3-$leaf}" "${4-/CN=db.example.net}"; }
chain() { for name; do cat "$name.crt" >>server.crt; done; }
list() {
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s.index\ndefault_md=sha256\ndefault_crl_days=2\n' "$1" >ca.cnf
    touch "$1.index"
    openssl ca -config ca.cnf -keyfile "$1.key" -cert "$1.crt" -gencrl -out "$1.crl"
}
revoke() {
    list "$2"
    openssl ca -config ca.cnf -keyfile "$2.key" -cert "$2.crt" -revoke "$1.crt"
    list "$2"
}
ca='basicConstraints=critical,CA:TRUE'
leaf='basicConstraints=CA:FALSE'
"#;

/// Whether the connection is encrypted; `None` if it is refused.
pub(super) type Answer = Option<bool>;

const VERIFYING: [&str; 2] = ["verify-ca", "verify-full"];

/// A server and its certificates.
pub(super) struct Certified {
    pub(super) server: Postgres,
    asked: AtomicU32,
}

impl Certified {
    pub(super) fn new() -> Self {
        Self { server: Postgres::private(), asked: AtomicU32::new(0) }
    }

    /// Presents the certificate that `make` makes, and removes what earlier ones left.
    pub(super) fn present(&self, make: &str) {
        self.server.present(&format!("rm -rf *.crl *.index *.index.* home root.* between.*\n{SCRIPT}\n{make}"));
    }

    /// The home directory of both clients.
    fn home(&self) -> PathBuf {
        self.server.directory().join("home")
    }

    /// `pairs` completed, with the directory of the certificates for `{d}`.
    fn complete(&self, pairs: &str) -> String {
        let mut completed = format!("hostaddr=127.0.0.1 port={} dbname=postgres {pairs}", self.server.port());
        for (keyword, value) in [("host=", "db.example.net"), ("user=", "admin"), ("sslrootcert=", "{d}/root.crt")] {
            if !pairs.split(' ').any(|pair| pair.starts_with(keyword)) {
                completed = format!("{completed} {keyword}{value}");
            }
        }
        completed.replace("{d}", self.server.directory().to_str().unwrap())
    }

    fn psql(&self, pairs: &str) -> (Answer, String) {
        let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        // Without a terminal it cannot prompt for the password of a key.
        let mut psql = Command::new("setsid");
        psql.arg("--wait").arg(program("psql")).args(["-XAtc", query, pairs]).stdin(Stdio::null());
        let output = psql.env_clear().env("HOME", self.home()).output().unwrap();
        let answer = output.status.success().then(|| output.stdout == b"t\n");
        (answer, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn target(&self, pairs: &str) -> Result<PostgresTarget, String> {
        let home = self.home();
        let env = Env {
            variable: &|name| (name == "HOME").then(|| home.clone().into_os_string()),
            read: &|path| fs::read_to_string(path),
            is_dir: &|path| path.is_dir(),
            cwd: &home,
            account: &|| UserAccount { uid: 0, name: None, home: None },
        };
        target_from_pairs(pairs, &env).map_err(|error| format!("{} | {}", error.cause, error.hint))
    }

    fn runwrap(&self, pairs: &str) -> (Answer, String) {
        let name = format!("asked {}", self.asked.fetch_add(1, Ordering::Relaxed));
        let target = match self.target(pairs) {
            Ok(target) => PostgresTarget { application_name: name.clone(), ..target },
            Err(message) => return (None, message),
        };
        let place = Place::at_postgres(target);
        match open(&place.target, &OpenOptions { attempt: 0, ..place.options() }) {
            Ok(store) => {
                let query = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1";
                let row = connect(&self.server.target("postgres")).query_one(query, &[&name]).unwrap();
                drop(store);
                (Some(row.get(0)), String::new())
            }
            Err(StoreError::Permanent { message, hint }) => (None, format!("{message} | {hint}")),
            Err(other) => (None, format!("not permanent: {other:?}")),
        }
    }

    /// Both give this answer to `pairs`; runwrap's refusal contains `part`.
    fn findings(&self, pairs: &str, expected: Answer, part: &str) -> Vec<String> {
        let pairs = &self.complete(pairs);
        let ((of_psql, by_psql), (of_runwrap, by_runwrap)) = (self.psql(pairs), self.runwrap(pairs));
        let mut findings = Vec::new();
        if of_psql != expected {
            findings.push(format!("{pairs}\n    psql: {of_psql:?} {by_psql}"));
        }
        if of_runwrap != expected {
            findings.push(format!("{pairs}\n    runwrap: {of_runwrap:?} {by_runwrap}; psql: {by_psql}"));
        }
        let is_named = by_runwrap.contains(part) && !by_runwrap.contains("not permanent");
        if of_runwrap.is_none() && !is_named {
            findings.push(format!("{pairs}\n    no \"{part}\" in: {by_runwrap}"));
        }
        findings
    }

    #[track_caller]
    pub(super) fn check(&self, pairs: &str, expected: Answer, part: &str) {
        assert_eq!(self.findings(pairs, expected, part), [""; 0]);
    }

    /// psql accepts `pairs`, and runwrap refuses it, for a reason that the caller gives.
    #[track_caller]
    fn check_stricter(&self, pairs: &str, part: &str) {
        let pairs = &self.complete(pairs);
        assert_eq!(self.psql(pairs), (Some(true), String::new()));
        let (answer, message) = self.runwrap(pairs);
        assert!(answer.is_none() && message.contains(part), "{answer:?} {message}");
    }
}

/// A certificate, and who accepts it under `verify-ca` and `verify-full`.
struct Case {
    make: &'static str,
    pairs: &'static str,
    admitted: [bool; 2],
    /// In runwrap's message if it refuses.
    part: &'static str,
}

const fn case(make: &'static str, pairs: &'static str, admitted: [bool; 2], part: &'static str) -> Case {
    Case { make, pairs, admitted, part }
}

const BOTH: [bool; 2] = [true, true];
const NEITHER: [bool; 2] = [false, false];
const ONLY_CA: [bool; 2] = [true, false];

#[track_caller]
fn check_cases(certified: &Certified, before: &str, cases: &[Case]) {
    let mut findings = Vec::new();
    for Case { make, pairs, admitted, part } in cases {
        certified.present(&format!("{before}{make}"));
        for (mode, admitted) in VERIFYING.into_iter().zip(admitted) {
            let found = certified.findings(&format!("sslmode={mode} {pairs}"), admitted.then_some(true), part);
            findings.extend(found.into_iter().map(|finding| format!("{make}\n  {finding}")));
        }
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

const UNFIT: &str = "a certificate that OpenSSL accepts";
const UNKNOWN: &str = "sslrootcert=FILE";
const EXPIRED: &str = "renew";
const OTHER_NAME: &str = "a name in the certificate";
const REVOKED: &str = "sslcrl (or ~/.postgresql/root.crl) does not revoke";
const NO_LIST: &str = "a current revocation list of each authority";

#[rustfmt::skip]
const CHAINS: &[Case] = &[
    case(r#"certify root root 2 "$ca"; server root"#, "", BOTH, ""),
    case(r#"certify root root 2 ""; server root"#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root 2 """#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root -1"#, "", NEITHER, EXPIRED),
    case(r#"certify root root 2 "$ca"; server root -1 """#, "", NEITHER, EXPIRED),
    // An expired root of either version, alone and above an intermediate.
    case(r#"certify root root -1 "$ca"; server root"#, "", NEITHER, EXPIRED),
    case(r#"certify root root -1 ""; server root"#, "", NEITHER, EXPIRED),
    case(r#"certify root root -1 "$ca"; certify between root 2 "$ca"; server between; chain between"#, "", NEITHER, EXPIRED),
    case(r#"certify root root -1 ""; certify between root 2 "$ca"; server between; chain between"#, "", NEITHER, EXPIRED),
    // An authority of the same name with another key.
    case(r#"certify root root 2 "$ca"; server root; rm root.key; certify root root 2 "$ca""#, "", NEITHER, "certificate"),
    case(r#"certify root root 2 "$ca"; server root"#, "sslrootcert={d}/authority.crt", NEITHER, UNKNOWN),
    // The limits of a root.
    case(r#"certify root root 2 "basicConstraints=CA:FALSE"; server root"#, "", NEITHER, "certificate"),
    case(r#"certify root root 2 "$ca\nkeyUsage=digitalSignature"; server root"#, "", NEITHER, "certificate"),
    case(r#"certify root root 2 "$ca\nextendedKeyUsage=clientAuth"; server root"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca\n1.2.3.4=critical,ASN1:NULL"; server root"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca\nnameConstraints=permitted;DNS:example.org"; server root"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca\nnameConstraints=permitted;DNS:example.org"; server root 2 """#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca,pathlen:0"; server root"#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca,pathlen:0"; certify between root 2 "$ca"; server between; chain between"#, "", NEITHER, UNFIT),
    // The limits of an intermediate.
    case(r#"certify root root 2 "$ca"; certify between root 2 "$ca"; server between; chain between"#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca"; certify between root 2 "$ca"; server between"#, "", NEITHER, UNKNOWN),
    case(r#"certify root root 2 "$ca"; certify between root 2 "$leaf"; server between; chain between"#, "", NEITHER, "certificate"),
    case(r#"certify root root 2 "$ca"; certify between root 2 "$ca\nkeyUsage=digitalSignature"; server between; chain between"#, "", NEITHER, "certificate"),
    case(r#"certify root root 2 "$ca"; certify between root 2 ""; server between; chain between"#, "", NEITHER, "certificate"),
    case(r#"certify root root 2 "$ca"; certify between root 2 ""; server between 2 ""; chain between"#, "", NEITHER, "certificate"),
    case(r#"certify root root 2 "$ca"; certify between root -1 "$ca"; server between; chain between"#, "", NEITHER, EXPIRED),
    case(r#"certify root root 2 "$ca"; certify between root 2 "$ca\nnameConstraints=permitted;DNS:example.org"; server between; chain between"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca"; certify between root 2 "$ca"; server between 2 ""; chain between; cat between.crt >>root.crt"#, "", BOTH, ""),
    // The purposes of a server's certificate.
    case(r#"certify root root 2 "$ca"; server root 2 keyUsage=digitalSignature"#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root 2 keyUsage=keyEncipherment"#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root 2 keyUsage=keyCertSign"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca"; server root 2 keyUsage=cRLSign"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca"; server root 2 keyUsage=nonRepudiation"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca"; server root 2 keyUsage=dataEncipherment"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca"; server root 2 nsCertType=server"#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root 2 nsCertType=client"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca"; server root 2 extendedKeyUsage=serverAuth"#, "", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root 2 extendedKeyUsage=clientAuth"#, "", NEITHER, UNFIT),
    case(r#"certify root root 2 "$ca"; server root 2 1.2.3.4=critical,ASN1:NULL"#, "", NEITHER, UNFIT),
    // The server's certificate is itself the root.
    case("server server", "sslrootcert={d}/server.crt", BOTH, ""),
    case("server server 2 ''", "sslrootcert={d}/server.crt", BOTH, ""),
    case("server server -1", "sslrootcert={d}/server.crt", NEITHER, EXPIRED),
    case("server server -1 ''", "sslrootcert={d}/server.crt", NEITHER, EXPIRED),
    case("server server 2 extendedKeyUsage=clientAuth", "sslrootcert={d}/server.crt", NEITHER, UNFIT),
    case("server server 2 keyUsage=keyCertSign", "sslrootcert={d}/server.crt", NEITHER, UNFIT),
    case("server server 2 1.2.3.4=critical,ASN1:NULL", "sslrootcert={d}/server.crt", NEITHER, UNFIT),
    case("server server; cp server.crt root.crt; rm server.key; server server", "", NEITHER, "certificate"),
    // OpenSSL looks at the first root of this name alone.
    case("server server; cp server.crt root.crt; rm server.key; server server; cat server.crt >>root.crt", "", NEITHER, "certificate"),
    case("server server; mv server.crt old; rm server.key; server server; cat server.crt old >root.crt; rm old", "", BOTH, ""),
    // Revocation lists.
    case(r#"certify root root 2 "$ca"; server root; list root"#, "sslcrl={d}/root.crl", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root; revoke server root"#, "sslcrl={d}/root.crl", NEITHER, REVOKED),
    case(r#"certify root root 2 "$ca"; server root; revoke server root; mkdir -p home/.postgresql; cp root.crl home/.postgresql"#, "", NEITHER, REVOKED),
    case(r#"certify root root 2 "$ca"; server root; revoke server root; mkdir home; cp root.crl home; openssl rehash home"#, "sslcrldir={d}/home", NEITHER, REVOKED),
    case(r#"certify root root 2 "$ca"; server root; list root; mkdir home; cp root.crl home; openssl rehash home"#, "sslcrldir={d}/home", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root"#, "sslcrldir={d}/missing", NEITHER, NO_LIST),
    case(r#"certify root root 2 "$ca"; certify between root 2 "$ca"; server between; chain between; list root"#, "sslcrl={d}/root.crl", NEITHER, NO_LIST),
    case(r#"certify root root 2 "$ca"; certify between root 2 "$ca"; server between; chain between; revoke between root; list between; cat between.crl >>root.crl"#, "sslcrl={d}/root.crl", NEITHER, REVOKED),
    // The root file.
    case(r#"certify root root 2 "$ca"; server root"#, "sslrootcert={d}/missing", NEITHER, "missing does not exist"),
    case(r#"certify root root 2 "$ca"; server root"#, "sslrootcert={d}/PG_VERSION", NEITHER, UNKNOWN),
    case(r#"certify root root 2 "$ca"; server root"#, "sslrootcert={d}/root.key", NEITHER, "cannot use sslrootcert"),
    case(r#"certify root root 2 "$ca"; server root"#, "sslrootcert=''", NEITHER, ".postgresql/root.crt does not exist"),
    case(r#"certify root root 2 "$ca"; server root; mkdir -p home/.postgresql; cp root.crt home/.postgresql"#, "sslrootcert=''", BOTH, ""),
    // Protocols.
    case(r#"certify root root 2 "$ca"; server root"#, "ssl_max_protocol_version=TLSv1.2", BOTH, ""),
    case(r#"certify root root 2 "$ca"; server root"#, "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", NEITHER, "ssl_min_protocol_version"),
    case(r#"certify root root 2 "$ca"; server root"#, "gssencmode=require", NEITHER, "gssencmode"),
    case(r#"certify root root 2 "$ca"; server root"#, "gssencmode=disable sslsni=0 sslcompression=1", BOTH, ""),
];

/// Each for a root of the same names.
#[rustfmt::skip]
const NAMES: &[Case] = &[
    case("server root 2 subjectAltName=DNS:db.example.net /CN=other", "", BOTH, ""),
    case("server root 2 subjectAltName=DNS:other,DNS:DB.Example.NET /CN=other", "", BOTH, ""),
    case("server root 2 subjectAltName=DNS:*.example.net /CN=other", "", BOTH, ""),
    case("server root 2 subjectAltName=DNS:*.net /CN=other", "", ONLY_CA, OTHER_NAME),
    case("server root 2 subjectAltName=DNS:* /CN=other", "", ONLY_CA, OTHER_NAME),
    case("server root 2 subjectAltName=DNS:d*.example.net /CN=other", "", ONLY_CA, OTHER_NAME),
    case("server root 2 subjectAltName=DNS:*.db.example.net /CN=other", "", ONLY_CA, OTHER_NAME),
    case("server root 2 subjectAltName=DNS:*.net", "host=example.net", BOTH, ""),
    case("server root 2 subjectAltName=DNS:*.example.net", "host=a.db.example.net", ONLY_CA, OTHER_NAME),
    // The common name.
    case("server root 2 subjectAltName=email:db@example.org", "", BOTH, ""),
    case("server root 2 subjectAltName=URI:https://example.org", "", BOTH, ""),
    case("server root 2 subjectAltName=IP:192.0.2.1", "", BOTH, ""),
    case("server root 2 subjectAltName=DNS:other", "", ONLY_CA, OTHER_NAME),
    case("server root 2 subjectAltName=DNS:other,email:db@example.org", "", ONLY_CA, OTHER_NAME),
    case("server root 2 $leaf /CN=*.example.net", "", BOTH, ""),
    case("server root 2 $leaf /CN=*.net", "", ONLY_CA, OTHER_NAME),
    case("server root 2 $leaf /CN=db.example.net/CN=other", "", BOTH, ""),
    case("server root 2 $leaf /CN=other/CN=db.example.net", "", ONLY_CA, OTHER_NAME),
    case("server root 2 $leaf /O=db.example.net", "", ONLY_CA, OTHER_NAME),
    case("server root 2 '' /CN=other", "", ONLY_CA, OTHER_NAME),
    // Addresses.
    case("server root 2 subjectAltName=IP:127.0.0.1", "host=127.0.0.1", BOTH, ""),
    case("server root 2 subjectAltName=IP:127.0.0.1", "host=localhost", ONLY_CA, OTHER_NAME),
    case("server root 2 subjectAltName=IP:::1", "host=::1", BOTH, ""),
    case("server root 2 subjectAltName=DNS:127.0.0.1", "host=127.0.0.1", BOTH, ""),
    case("server root 2 $leaf /CN=127.0.0.1", "host=127.0.0.1", BOTH, ""),
    case("server root 2 subjectAltName=DNS:other /CN=127.0.0.1", "host=127.0.0.1", BOTH, ""),
    case("server root 2 subjectAltName=IP:192.0.2.1 /CN=127.0.0.1", "host=127.0.0.1", ONLY_CA, OTHER_NAME),
];

#[test]
fn psql_and_runwrap_agree_on_each_chain() {
    check_cases(&Certified::new(), "", CHAINS);
}

#[test]
fn psql_and_runwrap_agree_on_each_name() {
    let certified = Certified::new();
    check_cases(&certified, "certify root root 2 \"$ca\"; ", NAMES);
    // Stricter, because a name of an unknown kind may be a DNS name that OpenSSL cannot decode.
    certified.present("certify root root 2 \"$ca\"; server root 2 'subjectAltName=otherName:1.2.3.4;UTF8:other'");
    certified.check_stricter("sslmode=verify-full", OTHER_NAME);
}

#[test]
fn psql_and_runwrap_agree_on_each_mode() {
    let certified = Certified::new();
    let roles = "CREATE ROLE veiled LOGIN SUPERUSER; CREATE ROLE walled LOGIN SUPERUSER PASSWORD 'hunter2'";
    connect(&certified.server.target("postgres")).batch_execute(roles).unwrap();
    certified.present("certify root root 2 \"$ca\"; server root 2 '' /CN=other");
    let (trusted, unknown, none) = ("", "sslrootcert={d}/authority.crt", "sslrootcert={d}/missing");
    for (mode, roots, expected) in [
        ("disable", trusted, Some(false)),
        ("allow", trusted, Some(false)),
        ("allow", unknown, Some(false)),
        ("prefer", trusted, Some(true)),
        ("prefer", unknown, Some(false)),
        ("prefer", none, Some(true)),
        ("prefer", "sslrootcert=''", Some(true)),
        ("require", trusted, Some(true)),
        ("require", "sslrootcert=''", Some(true)),
        ("require", unknown, None),
        ("allow", "user=veiled", Some(true)),
        ("allow", "user=veiled sslrootcert={d}/authority.crt", None),
        ("allow", "user=veiled sslrootcert={d}/missing", Some(true)),
        ("prefer", "user=veiled", Some(true)),
        ("prefer", "user=veiled sslrootcert={d}/authority.crt", None),
    ] {
        certified.check(&format!("sslmode={mode} {roots}"), expected, UNKNOWN);
    }
    certified.check("sslmode=disable user=veiled", None, "set sslmode=require");
    let walled = "sslmode=require user=walled password=hunter2";
    certified.check(&format!("{walled} channel_binding=require"), Some(true), "");
    certified.check(&format!("{walled} channel_binding=disable"), Some(true), "");
    certified.check("sslmode=require channel_binding=require", None, "channel_binding=prefer");
    certified.check(
        "sslmode=disable user=walled password=hunter2 channel_binding=require",
        None,
        "channel_binding=prefer",
    );
    // Stricter, because a verification that was demanded would be dropped.
    certified.check_stricter("sslmode=require sslrootcert={d}/missing", "missing does not exist");
    certified.check_stricter("sslmode=require sslcrl={d}/missing", "cannot use sslcrl");
}

#[test]
fn protocol_outside_the_bounds_is_refused() {
    let certified = Certified::new();
    let rsa =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=db.example.net -keyout server.key -out server.crt";
    for (make, maximum) in [("server server", "TLSv1.3"), ("server server 2 ''", "TLSv1.2"), (rsa, "TLSv1.2")] {
        certified.server.set(&format!("ssl_max_protocol_version = '{maximum}'"));
        certified.present(make);
        for mode in ["prefer", "require", "verify-full"] {
            certified.check(&format!("sslmode={mode} sslrootcert={{d}}/server.crt"), Some(true), "");
        }
    }
    let too_new = "ssl_min_protocol_version=TLSv1.3 sslrootcert={d}/server.crt";
    for mode in ["require", "verify-ca", "verify-full"] {
        certified.check(&format!("sslmode={mode} {too_new}"), None, "ssl_min_protocol_version");
    }
    certified.check(&format!("sslmode=prefer {too_new}"), Some(false), "");
}
