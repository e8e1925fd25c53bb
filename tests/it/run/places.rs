//! Journals of several users, schemas and protections in one state directory: each is delivered to its own table alone.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::site::{Site, kill, output};

/// A run leaves its journal at once, without a process, if the database does not answer.
const IMPATIENT: [&str; 6] = ["--start-timeout", "50ms", "--finish-timeout", "50ms", "--linger", "0s"];

/// A server of its own with a database for two users, each with a schema.
struct Shared {
    server: Postgres,
    name: String,
    site: Site,
}

impl Shared {
    fn new() -> Self {
        let server = Postgres::private();
        let name = server.new_database();
        let shared = Self { site: Site::with_url(&url(&server, "admin", &name)), server, name };
        shared.site.sql("CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN");
        shared.site.sql("CREATE SCHEMA AUTHORIZATION ann; CREATE SCHEMA AUTHORIZATION bob");
        shared
    }

    fn of(&self, user: &str, mut command: Command) -> Command {
        command.env("RUNWRAP_DATABASE_URL", url(&self.server, user, &self.name));
        command
    }

    #[track_caller]
    fn run(&self, user: &str, options: &[&str], script: &str) {
        let ended = output(&mut self.of(user, self.site.shell(options, script)));
        assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stderr));
        self.site.quiet();
    }

    /// `recover --json` as `user`.
    fn recover(&self, user: &str) -> (Vec<Value>, String) {
        recovered(&output(&mut self.of(user, self.site.runwrap(&["recover", "--json"]))))
    }

    /// The exit codes in the table of a schema; none without a table.
    fn codes(&self, schema: &str) -> String {
        let there = format!("SELECT to_regclass('{schema}.runwrap_runs') IS NOT NULL");
        if self.site.sql(&there) == "f\n" {
            return String::new();
        }
        self.site.sql(&format!("SELECT exit_code FROM {schema}.runwrap_runs ORDER BY run_id"))
    }
}

fn url(server: &Postgres, user: &str, name: &str) -> String {
    let directory = server.directory().to_str().unwrap().replace('/', "%2F");
    format!("postgres://{user}@{directory}:{}/{name}", server.port())
}

#[track_caller]
fn recovered(output: &Output) -> (Vec<Value>, String) {
    let messages = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.status.success(), "{messages}");
    (serde_json::from_slice(&output.stdout).unwrap(), messages)
}

/// A journal named only its server and database: it was delivered into the schema of the first user that recovered.
// Holds: failures/database-other-schema
#[test]
fn journal_of_one_user_is_not_delivered_into_the_schema_of_another() {
    let shared = Shared::new();
    shared.server.stop();
    shared.run("ann", &IMPATIENT, "exit 3");
    shared.server.start();
    let (of_bob, messages) = shared.recover("bob");
    assert_eq!((of_bob.len(), shared.codes("bob").as_str()), (0, ""), "{messages}");
    shared.run("bob", &[], "exit 3");
    assert_eq!((shared.codes("ann").as_str(), shared.codes("bob").as_str()), ("", "3\n"));
    assert_eq!(shared.recover("ann").0.len(), 1);
    assert_eq!((shared.codes("ann").as_str(), shared.codes("bob").as_str()), ("3\n", "3\n"));
    assert!(shared.site.run_directories().is_empty());
}

/// The same user, with another schema in the options of the session.
// Holds: failures/database-other-schema
#[test]
fn journal_of_one_search_path_is_not_delivered_into_another() {
    for [one, other] in [
        ["-c search_path=ann", "-c search_path=bob -c geqo=off"],
        // The role's own schema comes first.
        ["-c role=ann", "-c role=bob"],
    ] {
        let shared = Shared::new();
        let with = |options: &str, mut command: Command| {
            command.env("PGOPTIONS", options);
            shared.of("admin", command)
        };
        shared.server.stop();
        let ended = output(&mut with(one, shared.site.shell(&IMPATIENT, "exit 3")));
        assert_eq!(ended.status.code(), Some(3));
        shared.site.quiet();
        shared.server.start();
        let recover =
            |options: &str| recovered(&output(&mut with(options, shared.site.runwrap(&["recover", "--json"]))));
        assert_eq!(recover(other).0.len(), 0, "{other}");
        assert_eq!((shared.codes("ann").as_str(), shared.codes("bob").as_str()), ("", ""));
        // A setting that chooses no schema changes nothing.
        assert_eq!(recover(&format!("{one} -c geqo=off")).0.len(), 1, "{one}");
        assert_eq!((shared.codes("ann").as_str(), shared.codes("bob").as_str()), ("3\n", ""));
    }
}

/// The table is where the run began, also after the user's search path has changed.
// Holds: failures/database-other-schema
#[test]
fn begun_run_is_delivered_into_the_schema_of_its_beginning() {
    let shared = Shared::new();
    let mut command = shared.of("ann", shared.site.shell(&["--finish-timeout", "50ms"], "exit 3"));
    assert_eq!(output(command.env("RUNWRAP_FAILPOINTS", "finalizing=stop")).status.code(), Some(3));
    kill(shared.site.keeper_after(None), "KILL");
    shared.site.quiet();
    shared.site.sql("ALTER ROLE ann SET search_path = bob; GRANT ALL ON SCHEMA bob TO ann");
    assert_eq!(shared.recover("ann").0.len(), 1);
    assert_eq!((shared.codes("ann").as_str(), shared.codes("bob").as_str()), ("3\n", ""));
}

/// The run demanded TLS; its record, with the command and the metrics, must not travel in the clear.
// Holds: failures/database-less-protected
#[test]
fn journal_is_not_delivered_over_a_weaker_connection() {
    let server = Postgres::private();
    let name = server.new_database();
    let site = Site::with_url(&format!("postgres://admin@127.0.0.1:{}/{name}", server.port()));
    let with = |sslmode: &str, mut command: Command| {
        command.env("PGSSLMODE", sslmode);
        command
    };
    server.stop();
    assert_eq!(output(&mut with("require", site.shell(&IMPATIENT, "exit 3"))).status.code(), Some(3));
    site.quiet();
    server.start();
    for weaker in ["prefer", "allow"] {
        let (delivered, messages) = recovered(&output(&mut with(weaker, site.runwrap(&["recover", "--json"]))));
        assert_eq!((delivered.len(), site.run_directories().len()), (0, 1), "{weaker}");
        assert!(messages.contains("sslmode=require"), "{messages}");
        let checked = output(&mut with(weaker, site.runwrap(&["check", "--json"])));
        assert!(String::from_utf8(checked.stdout).unwrap().contains("with sslmode=require"));
    }
    assert_eq!(recovered(&output(&mut with("require", site.runwrap(&["recover", "--json"])))).0.len(), 1);
}

/// An earlier runwrap wrote neither user nor protection.
#[test]
fn journal_without_a_place_is_delivered_by_its_address() {
    let shared = Shared::new();
    shared.server.stop();
    shared.run("ann", &IMPATIENT, "exit 3");
    shared.server.start();
    let journal = shared.site.run_directories()[0].join("journal-1.jsonl");
    let lines = fs::read_to_string(&journal).unwrap();
    let (first, rest) = lines.split_once('\n').unwrap();
    let mut begin: Value = serde_json::from_str(first).unwrap();
    for field in ["crc", "place", "sslmode"] {
        assert!(begin.as_object_mut().unwrap().remove(field).is_some(), "{field}");
    }
    let body = begin.to_string();
    let body = body.strip_suffix('}').unwrap();
    fs::write(&journal, format!("{body},\"crc\":\"{:08x}\"}}\n{rest}", crc32fast::hash(body.as_bytes()))).unwrap();
    let (delivered, _) = shared.recover("bob");
    assert_eq!((delivered.len(), &delivered[0]["after"]["exit_code"]), (1, &json!(3)));
}
