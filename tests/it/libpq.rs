//! The binary connects by libpq's conventions: with a password from each source, which is then stored nowhere else, and with a
//! client certificate.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::postgres::{Postgres, as_server, connect, succeed};
use crate::support::site::{Site, output, start};
use crate::support::wait::wait_until;

/// Its special characters are escaped differently in each form, so the tests search for its first word only.
const PASSWORD: &str = r"hunter2 '\:@/%";
const ENCODED: &str = "hunter2%20%27%5C%3A%40%2F%25";
const QUOTED: &str = r"'hunter2 \'\\:@/%'";
const IN_PASSFILE: &str = r"hunter2 '\\\:@/%";

/// A source of a password.
struct PasswordSource {
    options: Vec<String>,
    variables: Vec<(&'static str, String)>,
    /// Its path below the home directory, and its content.
    file: Option<(&'static str, String)>,
}

/// Every source of a password, for a database at `place` (`127.0.0.1:5432/name`).
fn sources(place: &str) -> Vec<PasswordSource> {
    let (address, dbname) = place.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let url = format!("postgres://walled:{ENCODED}@{place}");
    let bare = format!("postgres://walled@{place}");
    let pairs = format!("host={host} port={port} user=walled dbname={dbname}");
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let with = |options: &[&str], variables: &[(&'static str, &str)], file: Option<(&'static str, String)>| {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        PasswordSource { options: owned(options), variables, file }
    };
    let passfile = format!("{host}:{port}:*:walled:{IN_PASSFILE}\n");
    vec![
        with(&["--database-url", &url], &[], None),
        with(&[&format!("--database-url={pairs} password={QUOTED}")], &[], None),
        with(&[], &[("RUNWRAP_DATABASE_URL", &format!("{bare}?password={ENCODED}&connect_timeout=5"))], None),
        with(&[], &[("RUNWRAP_DATABASE_URL", &bare), ("PGPASSWORD", PASSWORD)], None),
        with(&[], &[("RUNWRAP_DATABASE_URL_FILE", "url")], Some(("url", format!("{url}\n")))),
        with(&[], &[], Some((".config/runwrap/config.toml", format!("database_url = \"{url}\"\n")))),
        with(&["--database-url", &bare], &[], Some((".pgpass", passfile.clone()))),
        with(&["--database-url", &pairs], &[("PGPASSFILE", "other")], Some(("other", passfile))),
        with(
            &["--database-url", "service=training"],
            &[],
            Some((
                ".pg_service.conf",
                format!("[training]\nhost={host}\nport={port}\nuser=walled\ndbname={dbname}\npassword={PASSWORD}\n"),
            )),
        ),
    ]
}

/// A private server with a role `walled` that needs a password.
fn walled() -> Postgres {
    let server = Postgres::private();
    let quoted = PASSWORD.replace('\'', "''");
    let role = format!("CREATE ROLE walled LOGIN SUPERUSER PASSWORD '{quoted}'");
    connect(&server.target("postgres")).batch_execute(&role).unwrap();
    server
}

impl PasswordSource {
    fn prepare(&self, site: &Site) {
        if let Some((name, content)) = &self.file {
            let path = site.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn call(&self, site: &Site, arguments: &[&str]) -> Command {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let mut command = site.runwrap(&[&options[..], arguments].concat());
        command.env_remove("RUNWRAP_DATABASE_URL").envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// No command line of runwrap and no file of the site but the user's holds a part of the password.
#[track_caller]
fn assert_nowhere_stored(site: &Site, source: &PasswordSource) {
    for process in site.processes().iter().filter(|process| !process.command.starts_with("sh ")) {
        assert!(!process.command.contains("hunter2"), "{}", process.command);
    }
    let own = source.file.as_ref().map(|(name, _)| site.path().join(name));
    for path in files_below(site.path()).into_iter().filter(|path| own.as_ref() != Some(path)) {
        let content = fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{}", path.display());
    }
}

#[track_caller]
fn assert_not_printed(output: &std::process::Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn password_of_each_source_connects_and_is_nowhere_else() {
    let server = walled();
    for number in 0..9 {
        let name = server.new_database();
        let source = sources(&format!("127.0.0.1:{}/{name}", server.port())).swap_remove(number);
        let site = Site::with_url(&format!(
            "host={} port={} user=admin dbname={name}",
            server.directory().display(),
            server.port()
        ));
        source.prepare(&site);
        let script = "echo ready; read -r line; exit 3";
        let mut command = source.call(&site, &["-v", "--heartbeat", "100ms", "--", "sh", "-c", script]);
        let stderr = fs::File::create(site.path().join("stderr")).unwrap();
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr));
        assert_eq!(running.line(), "ready");
        wait_until("a heartbeat", || site.record()["pid"].is_i64());
        assert_nowhere_stored(&site, &source);
        running.say("");
        assert_eq!(running.end().code(), Some(3), "source {number}");
        for verb in [&["list"][..], &["show", "1"], &["check"], &["recover"], &["migrate", "--print"]] {
            assert_not_printed(&output(&mut source.call(&site, verb)));
        }
        site.quiet();
        assert_nowhere_stored(&site, &source);
        assert_eq!(site.record()["exit_code"], 3);
        let rows = site.sql("SELECT t::text FROM training_records t UNION SELECT r::text FROM runwrap_runs r");
        assert!(rows.contains("failed") && !rows.contains("hunter2"), "{rows}");
    }
}

/// A run with a refused password leaves a journal and many messages.
#[test]
fn wrong_password_is_in_no_message_journal_or_log() {
    let server = walled();
    connect(&server.target("postgres")).batch_execute("ALTER ROLE walled PASSWORD 'another'").unwrap();
    for source in sources(&format!("127.0.0.1:{}/postgres", server.port())) {
        let site = Site::sqlite();
        source.prepare(&site);
        let limits = ["-v", "--finish-timeout", "100ms", "--linger", "0s", "--", "sh", "-c", "exit 3"];
        let output_of_run = output(&mut source.call(&site, &limits));
        assert_not_printed(&output_of_run);
        let stderr = String::from_utf8(output_of_run.stderr).unwrap();
        assert!(stderr.contains("28P01") && stderr.contains("hint: "), "{stderr}");
        assert_eq!(output_of_run.status.code(), Some(3));
        site.quiet();
        assert_eq!(site.run_directories().len(), 1);
        for verb in [&["list"][..], &["show", "1"], &["check"], &["recover"], &["migrate"]] {
            assert_not_printed(&output(&mut source.call(&site, verb)));
        }
        assert_nowhere_stored(&site, &source);
    }
}

/// The trainer's own command line may show a secret; neither journal nor log nor record may.
#[test]
fn secrets_in_the_command_are_not_recorded() {
    let site = Site::sqlite();
    let words = [
        ("--db=postgres://ml:hunter2@h/db", "--db=postgres://ml:***@h/db"),
        ("https://hunter2@h/?a=b@c", "https://***@h/?a=b@c"),
        ("postgres://u:hunter2/x@h", "postgres://u:***@h"),
        ("--dsn=postgresql://h/db?user=u&password=hunter2", "--dsn=postgresql://h/db?user=u&password=***"),
        ("host=h password=hunter2", "host=h password=***"),
        ("--db-password", "--db-password"),
        ("hunter2", "***"),
        ("--api-key=hunter2", "--api-key=***"),
        ("--max-tokens=5", "--max-tokens=5"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("ml:x@h", "ml:x@h"),
    ];
    let given: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let command = [&["-v", "--", "sh", "-c", "grep -r hunter[2] .local; echo $?", "sh"][..], &given].concat();
    let output = output(&mut site.runwrap(&command));
    assert_eq!(output.stdout, b"1\n", "{output:?}");
    let record = site.record();
    let recorded = &record["command"].as_array().unwrap()[4..];
    assert_eq!(json!(recorded), json!(words.map(|(_, shown)| shown)));
    for file in ["runs.db", ".local/state/runwrap/runwrap.log"] {
        let content = fs::read(site.path().join(file)).unwrap();
        assert!(!content.windows(7).any(|window| window == b"hunter2"), "{file}");
    }
}

/// A crash of the keeper wrote the password of the database to a file, or sent it to another program.
#[test]
fn keeper_dumps_no_core() {
    for limit in ["unlimited", "0"] {
        let site = Site::sqlite();
        let script = format!("ulimit -S -c {limit} 2>/dev/null; exec \"$@\"");
        let mut command = site.program("sh");
        let runwrap = [env!("CARGO_BIN_EXE_runwrap"), "--", "sh", "-c", "ulimit -S -c; read -r line"];
        command.args(["-c", &script, "sh"]).args(runwrap).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = start(&mut command);
        let inherited = running.line();
        assert!(inherited == limit || limit == "unlimited");
        let keeper = site.keeper_after(None);
        let limits = || fs::read_to_string(format!("/proc/{keeper}/limits")).unwrap_or_default();
        let is_set = || {
            let limits = limits();
            let core = limits.lines().find(|line| line.starts_with("Max core file size"));
            let set: Vec<&str> = core.unwrap_or_default().split_whitespace().skip(4).take(2).collect();
            // An ordinary user whose limit is 0 for good cannot set 1.
            set == ["1", "1"] || set == ["0", "0"]
        };
        wait_until("the limit of the keeper", is_set);
        running.say("");
        assert!(running.end().success());
    }
}

#[test]
fn client_certificate_satisfies_cert_authentication() {
    let server = Postgres::private();
    let directory = server.directory();
    let script = "set -e; cd \"$1\"\n\
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=certified -keyout client.key -out client.csr\n\
        printf 'basicConstraints=CA:FALSE' > client.ext
        openssl x509 -req -in client.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 -extfile client.ext -out client.crt";
    succeed(as_server(Path::new("sh")).args(["-c", script, "sh"]).arg(directory));
    let access = directory.join("data/pg_hba.conf");
    let rules = fs::read_to_string(&access).unwrap();
    fs::write(&access, format!("hostssl all certified 127.0.0.1/32 cert\n{rules}")).unwrap();
    let mut admin = connect(&server.target("postgres"));
    admin.batch_execute("CREATE ROLE certified LOGIN SUPERUSER").unwrap();
    admin.batch_execute(&format!("ALTER SYSTEM SET ssl_ca_file = '{}'", server.authority().display())).unwrap();
    server.stop();
    server.start();

    let name = server.new_database();
    let place = format!("host=localhost hostaddr=127.0.0.1 port={} dbname={name} user=certified", server.port());
    let trust = format!("sslmode=verify-full sslrootcert={}", server.authority().display());
    let own = format!("sslcert={0}/client.crt sslkey={0}/client.key", directory.display());
    let site = Site::with_url(&format!("{place} {trust} {own}"));
    assert_eq!(site.run(&["--require-database"], "exit 3").status.code(), Some(3));
    assert_eq!(site.record()["exit_code"], 3);

    let without = Site::with_url(&format!("{place} {trust}"));
    let refused = without.run(&["--require-database"], "echo ran");
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(125), &b""[..]), "{stderr}");
    assert!(stderr.contains("certificate") && stderr.contains("hint: "), "{stderr}");
}
