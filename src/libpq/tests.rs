//! The target of each form of a connection string, as libpq documents it. No error repeats a part of a password.

use proptest::prelude::*;

use super::env::fake::FakeEnv;
use super::{
    ChannelBinding, InvalidValue, PostgresTarget, Secret, SslMode, TargetSessionAttrs, TlsVersion, target_from_pairs,
    target_from_url,
};

const PASSWORD: &str = "hunter2";

/// A URL if it begins with `postgres://`, or with `driver://` for one of a Python driver; else pairs.
fn parse(text: &str, env: &FakeEnv) -> Result<PostgresTarget, InvalidValue> {
    env.with(|env| {
        if let Some(text) = text.strip_prefix("postgres://") {
            target_from_url(text, false, env)
        } else if let Some(text) = text.strip_prefix("driver://") {
            target_from_url(text, true, env)
        } else {
            target_from_pairs(text, env)
        }
    })
}

#[track_caller]
fn target(text: &str, env: &FakeEnv) -> PostgresTarget {
    parse(text, env).unwrap()
}

/// `text` means these hosts, user, password and database.
#[track_caller]
fn means(text: &str, env: &FakeEnv, hosts: &str, user: &str, password: Option<&str>, dbname: &str) {
    let target = target(text, env);
    let got: Vec<String> = target.hosts.iter().map(|host| format!("{}:{}", host.host, host.port)).collect();
    assert_eq!(got.join(","), hosts, "{text}");
    assert_eq!((target.user.as_str(), target.dbname.as_str()), (user, dbname), "{text}");
    assert_eq!(target.password.as_ref().map(Secret::reveal), password, "{text}");
}

#[track_caller]
fn refused(text: &str, env: &FakeEnv, part: &str) {
    let error = parse(text, env).unwrap_err();
    let message = format!("{}; {}", error.cause, error.hint);
    assert!(message.contains(part), "{text}: no \"{part}\" in: {message}");
    assert!(!message.contains(PASSWORD) && !error.hint.is_empty(), "{text}: {message}");
}

#[test]
fn urls_match_libpq() {
    let env = FakeEnv::new(&[]);
    let socket = "/var/run/postgresql:5432";
    means("postgres://u:p@h:6432/db", &env, "h:6432", "u", Some("p"), "db");
    means("postgres://h/db", &env, "h:5432", "ml", None, "db");
    means("driver://u@h/db?statement_cache_size=0", &env, "h:5432", "u", None, "db");
    means("postgres://", &env, socket, "ml", None, "ml");
    means("postgres:///db", &env, socket, "ml", None, "db");
    means("postgres://u@/db", &env, socket, "u", None, "db");
    means("postgres://u:@h", &env, "h:5432", "u", None, "u");
    means("postgres://u%40x:p%2F%3A%40%20@h/d%62", &env, "h:5432", "u@x", Some("p/:@ "), "db");
    means("postgres://a,b:6000,[::1]:7000/db", &env, "a:5432,b:6000,::1:7000", "ml", None, "db");
    means("postgres://[2001:db8::1]/db", &env, "2001:db8::1:5432", "ml", None, "db");
    means("postgres://%2Fvar%2Frun%2Fpostgresql/db", &env, socket, "ml", None, "db");
    means("postgres:///db?host=/tmp&port=6000", &env, "/tmp:6000", "ml", None, "db");
    means("postgres://a/x?dbname=y&user=v&password=q", &env, "a:5432", "v", Some("q"), "y");
}

/// The examples of section 34.1.1 of PostgreSQL's manual.
#[test]
fn examples_of_the_manual_are_read() {
    let env = FakeEnv::new(&[]);
    let socket = "/var/run/postgresql:5432";
    for (text, hosts, user, password, dbname) in [
        ("host=localhost port=5432 dbname=mydb connect_timeout=10", "localhost:5432", "ml", None, "mydb"),
        ("postgres://", socket, "ml", None, "ml"),
        ("postgres://localhost", "localhost:5432", "ml", None, "ml"),
        ("postgres://localhost:5433", "localhost:5433", "ml", None, "ml"),
        ("postgres://localhost/mydb", "localhost:5432", "ml", None, "mydb"),
        ("postgres://user@localhost", "localhost:5432", "user", None, "user"),
        ("postgres://user:secret@localhost", "localhost:5432", "user", Some("secret"), "user"),
        (
            "postgres://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
            "localhost:5432",
            "other",
            None,
            "otherdb",
        ),
        (
            "postgres://host1:123,host2:456/somedb?target_session_attrs=any&application_name=myapp",
            "host1:123,host2:456",
            "ml",
            None,
            "somedb",
        ),
        (
            "postgres://user@localhost:5433/mydb?options=-c%20synchronous_commit%3Doff",
            "localhost:5433",
            "user",
            None,
            "mydb",
        ),
        ("postgres:///mydb?host=localhost&port=5433", "localhost:5433", "ml", None, "mydb"),
        ("postgres://[2001:db8::1234]/database", "2001:db8::1234:5432", "ml", None, "database"),
        ("postgres:///dbname?host=/var/lib/postgresql", "/var/lib/postgresql:5432", "ml", None, "dbname"),
        ("postgres://%2Fvar%2Flib%2Fpostgresql/dbname", "/var/lib/postgresql:5432", "ml", None, "dbname"),
    ] {
        means(text, &env, hosts, user, password, dbname);
    }
    // SQLAlchemy's several hosts.
    means("postgres://u@/db?host=a:1&host=b:2", &env, "a:1,b:2", "u", None, "db");
    means("postgres://u@/db?host=a&host=b&port=6000", &env, "a:6000,b:6000", "u", None, "db");
    means("postgres://u@/db?host=a:1&host=b", &env, "a:1,b:5432", "u", None, "db");
    means("postgres://u@/db?host=::1", &env, "::1:5432", "u", None, "db");
    let options = target("postgres://u@h:5433/mydb?options=-c%20synchronous_commit%3Doff", &env).options;
    assert_eq!(options.as_deref(), Some("-c synchronous_commit=off"));
}

#[test]
fn pairs_match_libpq() {
    let env = FakeEnv::new(&[]);
    means("host=h port=6432 user=u password=p dbname=db", &env, "h:6432", "u", Some("p"), "db");
    means("host=a,b port=1,2", &env, "a:1,b:2", "ml", None, "ml");
    means("host=a,b port=7", &env, "a:7,b:7", "ml", None, "ml");
    means("host=a,b port=,2", &env, "a:5432,b:2", "ml", None, "ml");
    means("host=a,,b", &env, "a:5432,/var/run/postgresql:5432,b:5432", "ml", None, "ml");
    means("host=a host=b", &env, "b:5432", "ml", None, "ml");
    means("  host = h  user = 'a b' password='i t'", &env, "h:5432", "a b", Some("i t"), "a b");
    means(r"host=h password='it\'s \\ ' user=u\ v", &env, "h:5432", "u v", Some(r"it's \ "), "u v");
    let both = target("host=a,b hostaddr=10.0.0.1,", &env);
    assert_eq!((both.hosts[0].host.as_str(), both.hosts[0].hostaddr), ("a", Some([10, 0, 0, 1].into())));
    assert_eq!((both.hosts[1].host.as_str(), both.hosts[1].hostaddr), ("b", None));
    refused("hostaddr=hunter2", &env, "not an IP address");
    means("hostaddr=10.0.0.1 user=''", &env, "10.0.0.1:5432", "ml", None, "ml");
    means("host=h keepalives=1 gssencmode=disable tcp_user_timeout=5", &env, "h:5432", "ml", None, "ml");
}

/// The answers of `PQconninfoParse` in libpq 15 to unusual text.
#[test]
fn unusual_text_is_read_as_by_libpq_15() {
    let env = FakeEnv::new(&[]);
    let socket = "/var/run/postgresql:5432";
    for (text, hosts, user, password, dbname) in [
        ("postgres://u%3Ax:y:z@h", "h:5432", "u:x", Some("y:z"), "u:x"),
        ("postgres://:pw@h", "h:5432", "ml", Some("pw"), "ml"),
        ("postgres://h/a/b", "h:5432", "ml", None, "a/b"),
        ("postgres://h:/db", "h:5432", "ml", None, "db"),
        ("postgres://h:6000,/db", "h:6000,/var/run/postgresql:5432", "ml", None, "db"),
        ("postgres://?host=x", "x:5432", "ml", None, "ml"),
        ("postgres:///?", socket, "ml", None, "ml"),
        ("postgres://h?dbname=x", "h:5432", "ml", None, "x"),
        ("postgres://u@/?host=a,b&port=1,2", "a:1,b:2", "u", None, "u"),
        ("", socket, "ml", None, "ml"),
        ("host=h port = 1", "h:1", "ml", None, "ml"),
        (r"host=a\", "a:5432", "ml", None, "ml"),
        ("host= user=x", "user=x:5432", "ml", None, "ml"),
        ("host=h=x", "h=x:5432", "ml", None, "ml"),
        ("host=h user=''", "h:5432", "ml", None, "ml"),
    ] {
        means(text, &env, hosts, user, password, dbname);
    }
    for text in ["host='a''b'", "host='a", "host", "=x", "postgres://%zz/", "postgres://h/%00", "postgres://[::1"] {
        assert!(parse(text, &env).is_err(), "{text}");
    }
}

#[test]
fn text_precedes_service_precedes_environment() {
    let variables = [
        ("PGHOST", "e"),
        ("PGPORT", "1"),
        ("PGUSER", "eu"),
        ("PGPASSWORD", "ep"),
        ("PGDATABASE", "ed"),
        ("PGSSLMODE", "require"),
        ("PGTARGETSESSIONATTRS", "read-write"),
        ("PGAPPNAME", "app"),
        ("PGOPTIONS", "-c x=1"),
        ("PGCONNECT_TIMEOUT", "7"),
        ("PGPASSFILE", "pass"),
        ("PGSSLROOTCERT", "/root.crt"),
        ("PGSSLCERT", "own.crt"),
        ("PGSSLKEY", "own.key"),
    ];
    let env = FakeEnv::new(&variables).with_file(
        "/home/ml/.pg_service.conf",
        "# comment\n[other]\nhost=x\n[ml]\nhost=s\nport=2\nport=9\nsslmode=verify-full\n\n[ml]\nport=3\n",
    );
    means("postgres://", &env, "e:1", "eu", Some("ep"), "ed");
    means("postgres://t:3/td", &env, "t:3", "eu", Some("ep"), "td");
    means("service=ml", &env, "s:2", "eu", Some("ep"), "ed");
    means("postgres://t/?service=ml", &env, "t:2", "eu", Some("ep"), "ed");
    let target = target("service=ml", &env);
    assert_eq!((target.sslmode, target.target_session_attrs), (SslMode::VerifyFull, TargetSessionAttrs::ReadWrite));
    assert_eq!((target.application_name.as_str(), target.options.as_deref()), ("app", Some("-c x=1")));
    assert_eq!((target.connect_timeout_seconds, target.passfile), (Some(7), Some("/here/pass".into())));
    assert_eq!(target.sslrootcert, Some("/root.crt".into()));
    assert_eq!((target.sslcert, target.sslkey), (Some("/here/own.crt".into()), Some("/here/own.key".into())));
    refused("service=none", &env, "there is no service \"none\"; define [none] in one of /home/ml/.pg_service.conf");
}

#[test]
fn service_is_found_in_the_own_and_the_system_file() {
    let files = |env: FakeEnv| {
        env.with_file("/here/own.conf", "[a]\nhost=own\n")
            .with_file("/etc/pg/pg_service.conf", "[a]\nhost=system\n[b]\nhost=b\npassword=hunter2 x\n")
            .with_file(
                "/etc/postgresql-common/pg_service.conf",
                "[c]\nhost=c\n[d]\nhunter2\n[e]\nservice=c\n[f]\nhunter2=x\n",
            )
    };
    let env = files(FakeEnv::new(&[("PGSERVICEFILE", "own.conf"), ("PGSYSCONFDIR", "/etc/pg"), ("PGSERVICE", "b")]));
    means("service=a", &env, "own:5432", "ml", None, "ml");
    means("postgres://", &env, "b:5432", "ml", Some("hunter2 x"), "ml");
    let env = files(FakeEnv::new(&[]));
    means("service=c", &env, "c:5432", "ml", None, "ml");
    refused("service=d", &env, "line 4 has no =");
    refused("service=e", &env, "line 6 names another service");
    refused("service=f", &env, "parameter 8");
}

#[test]
fn variable_is_named_in_the_error_of_its_value() {
    refused("", &FakeEnv::new(&[("PGPORT", "hunter2")]), "the value of PGPORT is not a number");
    refused("", &FakeEnv::new(&[("PGSSLMODE", "hunter2")]), "the value of PGSSLMODE is unknown");
    refused("", &FakeEnv::new(&[("PGHOSTADDR", "hunter2")]), "the value of PGHOSTADDR is not an IP");
    refused("host=h", &FakeEnv::new(&[("PGREQUIREPEER", "postgres")]), "PGREQUIREPEER");
}

#[test]
fn sslmode_is_never_weaker_than_demanded() {
    let env = FakeEnv::new(&[]);
    assert_eq!(target("postgres://h/?ssl=true", &env).sslmode, SslMode::Require);
    assert_eq!(target("driver://h/?ssl=verify-full", &env).sslmode, SslMode::VerifyFull);
    let system = target("host=h sslrootcert=system", &env);
    assert_eq!((system.sslmode, system.sslrootcert), (SslMode::VerifyFull, Some("system".into())));
    let bound = target("postgres://h/?sslmode=require&channel_binding=require", &env);
    assert_eq!((bound.sslmode, bound.channel_binding), (SslMode::Require, ChannelBinding::Require));
    refused("postgres://h/?channel_binding=maybe", &env, "one of disable, prefer, require");
    refused("host=h sslrootcert=system sslmode=require", &env, "only with sslmode=verify-full");
    refused("postgres://h/?sslmod=require", &env, "did you mean sslmode?");
    refused("host=h sslmode=on", &env, "verify-full");
    for text in ["host=h gssencmode=require", "postgres:///?host=/tmp&gssencmode=require"] {
        refused(text, &env, "its gssencmode demands an encryption by Kerberos");
    }
    refused("", &FakeEnv::new(&[("PGGSSENCMODE", "require")]), "the value of PGGSSENCMODE");
    refused("gssencmode=hunter2", &env, "disable, prefer, require");
}

#[test]
fn tls_parameters_are_read() {
    let env = FakeEnv::new(&[("PGSSLCRL", "own.crl"), ("PGSSLSNI", "0"), ("PGSSLMAXPROTOCOLVERSION", "TLSv1.3")]);
    let given = target("sslcrldir=/d sslpassword=hunter2 ssl_min_protocol_version=tlsv1.3", &env);
    assert_eq!((given.sslcrl, given.sslcrldir), (Some("/here/own.crl".into()), Some("/d".into())));
    assert_eq!(given.sslpassword.as_ref().map(Secret::reveal), Some(PASSWORD));
    assert_eq!(given.ssl_min_protocol_version, TlsVersion::V1_3);
    assert_eq!((given.sslsni, given.ssl_max_protocol_version), (false, Some(TlsVersion::V1_3)));
    refused("ssl_min_protocol_version=hunter2", &env, "TLSv1.3");
    refused("ssl_max_protocol_version=TLSv1.1", &env, "is lower than ssl_min_protocol_version");
}

#[test]
fn words_of_each_choice_are_libpqs() {
    let env = FakeEnv::new(&[]);
    for word in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
        assert!(parse(&format!("sslmode={word}"), &env).is_ok(), "{word}");
    }
    for word in ["disable", "prefer", "require"] {
        assert!(parse(&format!("channel_binding={word}"), &env).is_ok(), "{word}");
    }
    for word in ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] {
        assert_eq!(target(&format!("target_session_attrs={word}"), &env).target_session_attrs.to_string(), word);
    }
    refused("target_session_attrs=hunter2", &env, "prefer-standby");
}

#[test]
fn connect_timeout_below_one_is_unlimited() {
    let env = FakeEnv::new(&[]);
    for (text, seconds) in [("10", Some(10)), ("' 10 '", Some(10)), ("0", None), ("-1", None)] {
        assert_eq!(target(&format!("connect_timeout={text}"), &env).connect_timeout_seconds, seconds, "{text}");
    }
    refused("connect_timeout=hunter2", &env, "not a number of seconds");
}

#[test]
fn malformed_text_is_refused_without_a_part_of_it() {
    let env = FakeEnv::new(&[]);
    for (text, part) in [
        ("postgres://u:hunter2", "port"),
        ("postgres://u:hunter2/db", "port"),
        ("postgres://u:hunter2?x@h/db", "no ="),
        ("postgres://u:x?hunter2=y@h/db", "parameter 1"),
        ("postgres://u:x#hunter2@h/db", "%23"),
        ("postgres://u:hunter2/x@h/db", "%2F"),
        ("postgres://u:hunter2@x@h/db", "%40"),
        ("postgres://u:x@hunter2@h/db", "%40"),
        ("postgres://u:hunter2%@h/db", "%25"),
        ("postgres://u:hunter2%4@h/db", "%25"),
        ("postgres://u:hunter2%ff@h/db", "not UTF-8"),
        ("postgres://u:hunter2%00@h/db", "not UTF-8"),
        ("postgres://[::1/db?password=hunter2", "brackets"),
        ("postgres://u:hunter2@h:0/db", "port"),
        ("postgres://u:hunter2@h:65536/db", "port"),
        ("postgres://u:hunter2@a,b:1/db?port=1,2,3", "different lengths"),
        ("postgres://u@h/db?connect_timeout=hunter2", "number of seconds"),
        ("postgres://u@h/postgres://u:hunter2@h/db", "@ behind"),
        ("host=h password=my hunter2", "has no ="),
        ("host=h password=my hunter2 port=5", "has no ="),
        ("host=h password=my hunter2=x", "parameter 3"),
        ("host=h password='hunter2", "not closed"),
        ("host=h hostaddr=1.1.1.1,2.2.2.2 password=hunter2", "different lengths"),
        ("dbname='postgres://u:hunter2@h/db'", "connection string"),
        ("host=@/abstract password=hunter2", "abstract"),
    ] {
        refused(text, &env, part);
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_shows_its_password(
        front in "(postgres://|driver://|host=h password=|)[a-z:@/?#=' \\[\\]%,]{0,12}",
        back in "[a-z0-9:@/?#=' \\[\\]%,]{0,16}",
    ) {
        let env = FakeEnv::new(&[]);
        if let Err(error) = parse(&format!("{front}{PASSWORD}{back}"), &env) {
            let shown = format!("{error:?}");
            prop_assert!(!shown.contains(PASSWORD), "{shown}");
        }
    }
}
