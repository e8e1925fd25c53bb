//! The client's certificate and its key: psql and runwrap, asked with the same connection string, give the same answer.

use std::fs;

use super::certificates::{Answer, Certified};
use crate::support::postgres::connect;

/// Whether the user `certified`, of whom the server demands a certificate, connects.
struct Case {
    make: &'static str,
    pairs: &'static str,
    answer: Answer,
    /// In runwrap's message if it refuses.
    part: &'static str,
}

const fn case(make: &'static str, pairs: &'static str, answer: Answer, part: &'static str) -> Case {
    Case { make, pairs, answer, part }
}

const OWN: &str = "sslcert={d}/client.crt sslkey={d}/client.key";
/// In TLS 1.3 the server refuses the certificate after the handshake.
const OWN_1_2: &str = "sslcert={d}/client.crt sslkey={d}/client.key ssl_max_protocol_version=TLSv1.2";
const DECRYPTED: &str = "sslcert={d}/client.crt sslkey={d}/client.key sslpassword=hunter2";
const ADMITTED: Answer = Some(true);

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("", OWN, ADMITTED, ""),
    case("certify client root 2 ''  /CN=certified", OWN, ADMITTED, ""),
    case("", DECRYPTED, ADMITTED, ""),
    // No certificate, or one that the server does not take.
    case("", "", None, "sslcert=FILE and its key with sslkey=FILE"),
    case("", "sslcert={d}/missing sslkey={d}/client.key", None, "sslcert=FILE and its key with sslkey=FILE"),
    case("", "user=admin sslcert={d}/missing", ADMITTED, ""),
    case("certify client root -1 $leaf /CN=certified", OWN_1_2, None, "renew the client's certificate"),
    case("certify client stranger 2 $leaf /CN=certified", OWN_1_2, None, "an authority in the server's ssl_ca_file"),
    case("certify client root 2 $leaf /CN=other", OWN, None, "certificate of the user certified"),
    // The key.
    case("rm client.key", OWN, None, "client.key"),
    case("rm client.key; key client", OWN, None, "is not the key of"),
    case("rm client.key; openssl genrsa -out client.key 2048", OWN, None, "is not the key of"),
    case("chmod 644 client.key; mv client.key exposed", "sslcert={d}/client.crt sslkey={d}/exposed", None, "chmod 600"),
    case("mv client.key exposed; chmod 644 exposed", "user=admin sslmode=prefer sslcert={d}/client.crt sslkey={d}/exposed", Some(false), ""),
    case("mkfifo -m 600 pipe", "sslcert={d}/client.crt sslkey={d}/pipe", None, "not a regular file"),
    case("head -c 2000000 /dev/zero >client.key", OWN, None, "larger than"),
    case("openssl pkey -in client.key -outform DER -out der; mv der client.key", OWN, ADMITTED, ""),
    // An encrypted key: PKCS #8, the older PEM, and DER, which libpq does not decrypt.
    case("openssl pkcs8 -topk8 -in client.key -passout pass:hunter2 -out new; mv new client.key", DECRYPTED, ADMITTED, ""),
    case("openssl pkcs8 -topk8 -in client.key -passout pass:hunter2 -out new; mv new client.key", OWN, None, "sslpassword"),
    case("openssl pkcs8 -topk8 -in client.key -passout pass:other -out new; mv new client.key", DECRYPTED, None, "sslpassword"),
    case("openssl ec -aes256 -in client.key -passout pass:hunter2 -out new; mv new client.key", DECRYPTED, ADMITTED, ""),
    case("openssl ec -aes256 -in client.key -passout pass:hunter2 -out new; mv new client.key", OWN, None, "sslpassword"),
    case("openssl pkcs8 -topk8 -outform DER -in client.key -passout pass:hunter2 -out new; mv new client.key", DECRYPTED, None, "sslpassword"),
    // The default files.
    case("mkdir -p home/.postgresql; cp client.crt home/.postgresql/postgresql.crt; cp client.key home/.postgresql/postgresql.key", "", ADMITTED, ""),
    case("mkdir -p home/.postgresql; cp client.crt home/.postgresql/postgresql.crt", "", None, "postgresql.key"),
    case("mkdir -p home/.postgresql; cp client.key home/.postgresql/postgresql.key", "sslcert={d}/client.crt", ADMITTED, ""),
];

#[test]
fn psql_and_runwrap_agree_on_each_client_certificate() {
    let certified = Certified::new();
    let access = certified.server.directory().join("data/pg_hba.conf");
    let before = fs::read_to_string(&access).unwrap();
    let demand = "hostssl all certified all cert\nhost all certified all reject\n";
    fs::write(&access, format!("{demand}{before}")).unwrap();
    connect(&certified.server.target("postgres")).batch_execute("CREATE ROLE certified LOGIN SUPERUSER").unwrap();
    let authority = certified.server.directory().join("authority.crt");
    certified.server.set(&format!("ssl_ca_file = '{}'", authority.display()));
    for Case { make, pairs, answer, part } in CASES {
        certified.present(&format!(
            "for file in key crt; do cp authority.$file root.$file; done; certify stranger stranger 2 $ca; rm -f client.key\n\
             server root; certify client root 2 $leaf /CN=certified; {make}"
        ));
        let pairs = ["user=certified", "sslmode=verify-full", pairs].join(" ");
        certified.check(&pairs, *answer, part);
    }
}
