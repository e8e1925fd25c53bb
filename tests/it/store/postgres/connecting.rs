//! Connecting to PostgreSQL: TLS, passwords, several hosts, a pooler.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use runwrap::config::{PostgresHost, PostgresTarget, Secret, SslMode, TargetSessionAttrs};
use runwrap::record::{Applied, Change};
use runwrap::store::{OpenOptions, StoreError, open};

use crate::store::place::{Place, begin, permanent, progress, run, success, transient};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Postgres, connect};

fn tcp(host: &str) -> PostgresTarget {
    let server = Postgres::shared();
    server.tcp_target(&server.new_database(), host)
}

fn answer(target: PostgresTarget, attempt: usize) -> Result<usize, StoreError> {
    let place = Place::at_postgres(target);
    let options = OpenOptions { attempt, ..place.options() };
    open(&place.target, &options).and_then(|mut store| store.migrate())
}

/// Whether the server reports the session over TCP as encrypted.
fn is_encrypted(target: &PostgresTarget) -> bool {
    let place = Place::at_postgres(target.clone());
    let store = place.open();
    let query = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'runwrap' AND datname = $1";
    let row = connect(target).query_one(query, &[&target.dbname]).unwrap();
    drop(store);
    row.get(0)
}

#[test]
fn each_sslmode_uses_the_channel_of_libpq() {
    let authority = Some(Postgres::shared().authority());
    let encrypted = |sslmode| is_encrypted(&PostgresTarget { sslmode, ..tcp("localhost") });
    assert_eq!([SslMode::Disable, SslMode::Allow].map(encrypted), [false, false]);
    assert_eq!([SslMode::Prefer, SslMode::Require].map(encrypted), [true, true]);
    for sslmode in [SslMode::VerifyCa, SslMode::VerifyFull, SslMode::Require] {
        assert!(is_encrypted(&PostgresTarget { sslmode, sslrootcert: authority.clone(), ..tcp("localhost") }));
    }
}

#[test]
fn allow_and_prefer_use_the_channel_that_the_server_demands() {
    let admin = tcp("localhost");
    connect(&admin).batch_execute("CREATE ROLE veiled LOGIN SUPERUSER").unwrap();
    let veiled = |sslmode| PostgresTarget { user: "veiled".into(), sslmode, ..admin.clone() };
    assert!(answer(veiled(SslMode::Allow), 0).is_ok());
    assert!(answer(veiled(SslMode::Prefer), 0).is_ok());
    assert!(permanent(answer(veiled(SslMode::Disable), 0)).contains("pg_hba"));
}

#[test]
fn certificate_for_another_name_passes_only_verify_ca() {
    let authority = Some(Postgres::shared().authority());
    let by_number = |sslmode| PostgresTarget { sslmode, sslrootcert: authority.clone(), ..tcp("127.0.0.1") };
    assert!(answer(by_number(SslMode::VerifyCa), 0).is_ok());
    let message = permanent(answer(by_number(SslMode::VerifyFull), 0));
    assert!(message.contains("does not name the host 127.0.0.1 | set the host"), "{message}");
}

#[test]
fn certificate_of_an_unknown_authority_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let stranger = Postgres::private();
    for sslmode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        let sslrootcert = Some(stranger.authority());
        permanent(answer(PostgresTarget { sslmode, sslrootcert, ..tcp("localhost") }, 0));
    }
    let missing = Some(directory.path().join("missing.crt"));
    let message =
        permanent(answer(PostgresTarget { sslmode: SslMode::VerifyFull, sslrootcert: missing, ..tcp("localhost") }, 0));
    assert!(message.contains("missing.crt"), "{message}");

    let empty = Some(directory.path().join("empty.crt"));
    fs::write(empty.as_ref().unwrap(), "no certificate").unwrap();
    let message =
        permanent(answer(PostgresTarget { sslmode: SslMode::VerifyFull, sslrootcert: empty, ..tcp("localhost") }, 0));
    assert!(message.contains("cannot use sslrootcert") && message.contains("empty.crt"), "{message}");
}

#[test]
fn password_comes_from_the_target_or_the_passfile() {
    let admin = tcp("127.0.0.1");
    connect(&admin).batch_execute(r"CREATE ROLE walled LOGIN SUPERUSER PASSWORD 'a:b\c'").unwrap();
    let walled = PostgresTarget { user: "walled".into(), ..admin };
    let with = |text: &str| PostgresTarget { password: Some(Secret::new(text.into())), ..walled.clone() };
    assert!(answer(with(r"a:b\c"), 0).is_ok());
    let wrong = permanent(answer(with("hunter2"), 0));
    assert!(wrong.contains("28P01") && wrong.contains("PGPASSWORD") && !wrong.contains("hunter2"), "{wrong}");
    assert!(permanent(answer(walled.clone(), 0)).contains("password"));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pgpass");
    fs::write(&path, "other:*:*:*:x\n127.0.0.1:*:*:walled:a\\:b\\\\c\n").unwrap();
    let by_file = PostgresTarget { passfile: Some(path.clone()), ..walled };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(answer(by_file.clone(), 0).is_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(answer(by_file.clone(), 0).is_ok());
    fs::write(&path, vec![b'x'; 2 * 1024 * 1024]).unwrap();
    assert!(permanent(answer(by_file, 0)).contains("larger than"));
}

#[test]
fn each_attempt_tries_one_host() {
    let up = tcp("127.0.0.1");
    // Nothing listens on port 1.
    let down = PostgresHost { host: "127.0.0.1".into(), hostaddr: None, port: 1 };
    let target = PostgresTarget { hosts: vec![down, up.hosts[0].clone()], ..up };
    assert!(transient(answer(target.clone(), 0)).contains("127.0.0.1:1/"));
    assert!(answer(target.clone(), 1).is_ok());
    assert!(answer(target, 2).is_err());
}

/// The limit was that of the connection alone: a server that accepts and is silent had the whole attempt.
// Holds: failures/database-silent-host
#[test]
fn connect_timeout_bounds_the_whole_connection() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let up = tcp("127.0.0.1");
    let deaf = PostgresHost { host: "127.0.0.1".into(), hostaddr: None, port };
    let target = PostgresTarget { hosts: vec![deaf, up.hosts[0].clone()], connect_timeout_seconds: Some(1), ..up };
    for sslmode in [SslMode::Disable, SslMode::Prefer, SslMode::Require] {
        let began = std::time::Instant::now();
        let message = transient(answer(PostgresTarget { sslmode, ..target.clone() }, 0));
        assert!(message.contains("connect_timeout=1"), "{sslmode:?}: {message}");
        assert!(began.elapsed() < Duration::from_secs(5), "{sslmode:?}");
    }
    assert!(answer(target, 1).is_ok());
}

#[test]
fn server_without_the_target_session_attrs_is_refused() {
    let wants =
        |target_session_attrs, attempt| answer(PostgresTarget { target_session_attrs, ..tcp("127.0.0.1") }, attempt);
    for fits in [TargetSessionAttrs::ReadWrite, TargetSessionAttrs::Primary, TargetSessionAttrs::Any] {
        assert!(wants(fits, 0).is_ok());
    }
    for other in [TargetSessionAttrs::Standby, TargetSessionAttrs::ReadOnly, TargetSessionAttrs::PreferStandby] {
        assert!(transient(wants(other, 0)).contains("target_session_attrs"));
    }
    assert!(wants(TargetSessionAttrs::PreferStandby, 1).is_ok());
}

#[test]
fn missing_database_is_a_permanent_error() {
    let target = PostgresTarget { dbname: "nowhere".into(), ..tcp("127.0.0.1") };
    let message = permanent(answer(target, 0));
    assert!(message.contains("/nowhere") && message.contains("create the database"), "{message}");
}

/// Fails if the store prepares named statements: the pooler may run the next statement on another connection.
#[test]
fn pooler_in_transaction_mode_works() {
    let bouncer = PgBouncer::before(Postgres::shared(), 4);
    let place = Place::at_postgres(bouncer.target(&tcp("127.0.0.1")));
    thread::scope(|scope| {
        for number in 0..60 {
            let place = &place;
            scope.spawn(move || {
                let run = run(&format!("name {}", number % 3));
                begin(place, &run);
                let mut store = place.open();
                let heartbeat = Change::Heartbeat(progress(r#"{"a": 1}"#));
                assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
                assert!(store.renew(run.run_id, progress("{}").seen_at).unwrap());
                let ended = Change::Finalize(progress("{}"), success());
                assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
            });
        }
    });
    assert_eq!(place.count("training_records WHERE status = 'completed'"), 60);
}
