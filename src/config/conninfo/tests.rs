//! What each form of a database's name means, and that no malformed one shows a piece of its password.

use proptest::prelude::*;

use super::{Malformed, parse_database};
use crate::config::env::fake::FakeEnv as World;
use crate::config::{ChannelBinding, DatabaseTarget, PostgresTarget, Secret, SslMode, TargetSessionAttrs};

const PASSWORD: &str = "hunter2";

fn parse(text: &str, world: &World) -> Result<DatabaseTarget, Malformed> {
    world.with(|around| parse_database(text, around))
}

#[track_caller]
fn postgres(text: &str, world: &World) -> PostgresTarget {
    match parse(text, world).unwrap() {
        DatabaseTarget::Postgres(target) => *target,
        DatabaseTarget::Sqlite(path) => panic!("{text} is {}", path.display()),
    }
}

/// `text` means these hosts, user, password and database.
#[track_caller]
fn means(text: &str, world: &World, hosts: &str, user: &str, password: Option<&str>, dbname: &str) {
    let target = postgres(text, world);
    let got: Vec<String> = target.hosts.iter().map(|host| format!("{}:{}", host.host, host.port)).collect();
    assert_eq!(got.join(","), hosts, "{text}");
    assert_eq!((target.user.as_str(), target.dbname.as_str()), (user, dbname), "{text}");
    assert_eq!(target.password.as_ref().map(Secret::reveal), password, "{text}");
}

#[track_caller]
fn refused(text: &str, world: &World, part: &str) {
    let malformed = parse(text, world).unwrap_err();
    let said = format!("{}; {}", malformed.cause, malformed.hint);
    assert!(said.contains(part), "{text}: no \"{part}\" in: {said}");
    assert!(!said.contains(PASSWORD) && !malformed.hint.is_empty(), "{text}: {said}");
}

#[test]
fn urls_are_read_as_libpq_does() {
    let world = World::new(&[]);
    let socket = "/var/run/postgresql:5432";
    means("postgres://u:p@h:6432/db", &world, "h:6432", "u", Some("p"), "db");
    means("postgresql://h/db", &world, "h:5432", "ml", None, "db");
    means("postgresql+psycopg2://u:p@h/db", &world, "h:5432", "u", Some("p"), "db");
    means("POSTGRESQL+asyncpg://u@h/db?statement_cache_size=0", &world, "h:5432", "u", None, "db");
    means("postgres://", &world, socket, "ml", None, "ml");
    means("postgres:///db", &world, socket, "ml", None, "db");
    means("postgres://u@/db", &world, socket, "u", None, "db");
    means("postgres://u:@h", &world, "h:5432", "u", None, "u");
    means("postgres://u%40x:p%2F%3A%40%20@h/d%62", &world, "h:5432", "u@x", Some("p/:@ "), "db");
    means("postgres://a,b:6000,[::1]:7000/db", &world, "a:5432,b:6000,::1:7000", "ml", None, "db");
    means("postgres://[2001:db8::1]/db", &world, "2001:db8::1:5432", "ml", None, "db");
    means("postgres://%2Fvar%2Frun%2Fpostgresql/db", &world, socket, "ml", None, "db");
    means("postgres:///db?host=/tmp&port=6000", &world, "/tmp:6000", "ml", None, "db");
    means("postgres://a/x?dbname=y&user=v&password=q", &world, "a:5432", "v", Some("q"), "y");
}

#[test]
fn pairs_are_read_as_libpq_does() {
    let world = World::new(&[]);
    means("host=h port=6432 user=u password=p dbname=db", &world, "h:6432", "u", Some("p"), "db");
    means("host=a,b port=1,2", &world, "a:1,b:2", "ml", None, "ml");
    means("host=a,b port=7", &world, "a:7,b:7", "ml", None, "ml");
    means("  host = h  user = 'a b' password='i t'", &world, "h:5432", "a b", Some("i t"), "a b");
    means(r"host=h password='it\'s \\ ' user=u\ v", &world, "h:5432", "u v", Some(r"it's \ "), "u v");
    let both = postgres("host=a,b hostaddr=10.0.0.1,", &world);
    assert_eq!((both.hosts[0].host.as_str(), both.hosts[0].hostaddr), ("a", Some([10, 0, 0, 1].into())));
    assert_eq!((both.hosts[1].host.as_str(), both.hosts[1].hostaddr), ("b", None));
    refused("hostaddr=hunter2", &world, "not an IP address");
    means("hostaddr=10.0.0.1 user=''", &world, "10.0.0.1:5432", "ml", None, "ml");
    means("host=h keepalives=1 gssencmode=disable tcp_user_timeout=5", &world, "h:5432", "ml", None, "ml");
}

#[test]
fn the_text_counts_before_the_service_before_the_environment() {
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
    ];
    let world = World::new(&variables).with_file(
        "/home/ml/.pg_service.conf",
        "# comment\n[other]\nhost=x\n[ml]\nhost=s\nport=2\nsslmode=verify-full\n\n[ml]\nport=3\n",
    );
    means("postgres://", &world, "e:1", "eu", Some("ep"), "ed");
    means("postgres://t:3/td", &world, "t:3", "eu", Some("ep"), "td");
    means("service=ml", &world, "s:2", "eu", Some("ep"), "ed");
    means("postgres://t/?service=ml", &world, "t:2", "eu", Some("ep"), "ed");
    let target = postgres("service=ml", &world);
    assert_eq!((target.sslmode, target.target_session_attrs), (SslMode::VerifyFull, TargetSessionAttrs::ReadWrite));
    assert_eq!((target.application_name.as_str(), target.options.as_deref()), ("app", Some("-c x=1")));
    assert_eq!((target.connect_timeout_seconds, target.passfile), (Some(7), Some("/here/pass".into())));
    assert_eq!(target.sslrootcert, Some("/root.crt".into()));
    refused("service=none", &world, "there is no service \"none\"; define [none] in one of /home/ml/.pg_service.conf");
}

#[test]
fn a_service_is_found_in_the_named_file_and_in_the_systems() {
    let files = |world: World| {
        world
            .with_file("/here/own.conf", "[a]\nhost=own\n")
            .with_file("/etc/pg/pg_service.conf", "[a]\nhost=system\n[b]\nhost=b\npassword=hunter2 x\n")
            .with_file(
                "/etc/postgresql-common/pg_service.conf",
                "[c]\nhost=c\n[d]\nhunter2\n[e]\nservice=c\n[f]\nhunter2=x\n",
            )
    };
    let world = files(World::new(&[("PGSERVICEFILE", "own.conf"), ("PGSYSCONFDIR", "/etc/pg"), ("PGSERVICE", "b")]));
    means("service=a", &world, "own:5432", "ml", None, "ml");
    means("postgres://", &world, "b:5432", "ml", Some("hunter2 x"), "ml");
    let world = files(World::new(&[]));
    means("service=c", &world, "c:5432", "ml", None, "ml");
    refused("service=d", &world, "line 4 has no =");
    refused("service=e", &world, "line 6 names another service");
    refused("service=f", &world, "parameter 8");
}

#[test]
fn what_nobody_says_is_as_in_libpq() {
    let mut world = World::new(&[]);
    let target = postgres("host=h", &world);
    assert_eq!((target.sslmode, target.target_session_attrs), (SslMode::Prefer, TargetSessionAttrs::Any));
    assert_eq!((target.application_name.as_str(), target.passfile), ("runwrap", Some("/home/ml/.pgpass".into())));
    assert_eq!((target.options, target.connect_timeout_seconds, target.sslrootcert), (None, None, None));
    world.directories = vec!["/tmp"];
    means("postgres:///db", &world, "/tmp:5432", "ml", None, "db");
    world.directories = vec!["/tmp", "/var/run/postgresql"];
    means("postgres:///db", &world, "/var/run/postgresql:5432", "ml", None, "db");
    world.account.name = None;
    refused("postgres://h/db", &world, "names no user");
}

#[test]
fn tls_is_never_weaker_than_what_was_asked_for() {
    let world = World::new(&[]);
    assert_eq!(postgres("postgres://h/?ssl=true", &world).sslmode, SslMode::Require);
    assert_eq!(postgres("postgresql+asyncpg://h/?ssl=verify-full", &world).sslmode, SslMode::VerifyFull);
    let system = postgres("host=h sslrootcert=system", &world);
    assert_eq!((system.sslmode, system.sslrootcert), (SslMode::VerifyFull, Some("system".into())));
    let bound = postgres("postgres://h/?sslmode=require&channel_binding=require", &world);
    assert_eq!((bound.sslmode, bound.channel_binding), (SslMode::Require, ChannelBinding::Require));
    refused("postgres://h/?channel_binding=maybe", &world, "one of disable, prefer and require");
    refused("host=h sslrootcert=system sslmode=require", &world, "only with sslmode=verify-full");
    refused("postgres://h/?sslmod=require", &world, "did you mean sslmode?");
    refused("host=h sslmode=on", &world, "verify-full");
    refused("host=h sslcrl=/crl", &world, "cannot honour sslcrl");
    refused("host=h", &World::new(&[("PGREQUIREPEER", "postgres")]), "PGREQUIREPEER");
}

#[test]
fn sqlite_is_a_path_in_the_forms_that_people_write() {
    let world = World::new(&[("XDG_DATA_HOME", "/data")]);
    for (text, path) in [
        ("sqlite:", "/data/runwrap/runwrap.db"),
        ("sqlite:runs.db", "/here/runs.db"),
        ("sqlite:./a/./runs.db", "/here/a/runs.db"),
        ("sqlite:../runs.db", "/here/../runs.db"),
        ("sqlite:/abs/my runs%20?.db", "/abs/my runs%20?.db"),
        ("sqlite:///runs.db", "/here/runs.db"),
        ("sqlite:////abs/runs.db", "/abs/runs.db"),
        ("sqlite+pysqlite:////abs/runs.db", "/abs/runs.db"),
        ("SQLite:x=y.db", "/here/x=y.db"),
    ] {
        assert_eq!(parse(text, &world).unwrap(), DatabaseTarget::Sqlite(path.into()), "{text}");
    }
    refused("sqlite://", &world, "in memory");
    refused("sqlite::memory:", &world, "in memory");
    refused("sqlite://host/x.db", &world, "two slashes");
    refused("sqlite:///x.db?mode=ro", &world, "no parameters");
    refused("sqlite:dir/", &world, "a directory");
}

#[test]
fn what_is_malformed_is_told_without_a_piece_of_it() {
    let world = World::new(&[]);
    for (text, part) in [
        ("", "empty"),
        ("runs.db", "no scheme"),
        ("/var/runs.db", "no scheme"),
        (PASSWORD, "no scheme"),
        ("hunter2:hunter2", "names no database"),
        ("mysql://u:hunter2@h/db", "mysql:// is not supported"),
        ("postgress://u:hunter2@h/db", "did you mean postgres:?"),
        ("postgres:u:hunter2@h/db", "not followed by //"),
        ("jdbc:postgresql://h/db?password=hunter2", "leave out the jdbc:"),
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
        refused(text, &world, part);
    }
}

#[test]
fn the_identity_has_neither_user_nor_password() {
    let world = World::new(&[]);
    let target = parse("postgres://u:hunter2@a,b:6000/db", &world).unwrap();
    assert_eq!(target.identity(), "postgres://a:5432,b:6000/db");
    assert!(!format!("{target:?}").contains(PASSWORD));
}

proptest! {
    #[test]
    fn no_text_panics_and_no_password_is_shown(
        front in "(postgres://|postgresql\\+x://|host=h password=|)[a-z:@/?#=' \\[\\]%,]{0,12}",
        back in "[a-z0-9:@/?#=' \\[\\]%,]{0,16}",
    ) {
        let world = World::new(&[]);
        if let Err(malformed) = parse(&format!("{front}{PASSWORD}{back}"), &world) {
            let said = format!("{malformed:?}");
            prop_assert!(!said.contains(PASSWORD), "{said}");
        }
    }
}
