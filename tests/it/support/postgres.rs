//! Owns the real PostgreSQL of the tests, in a temporary directory: one for the whole test process, or one for a single
//! test that stops or freezes it. A watchdog ends the server and removes its directory when the test process is gone, however
//! it went. `scripts/postgres` starts and stops it; certificates and access rules, which only the tests need, are made here.
//! Must not depend on the content of a database.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls};
use runwrap::config::{ChannelBinding, DatabaseTarget, PostgresHost, PostgresTarget, SslMode, TargetSessionAttrs};
use runwrap::libpq::TlsVersion;

use crate::support::wait::wait_until;

/// The superuser of every server, as `scripts/postgres` names it.
const ADMIN: &str = "admin";

/// A running server.
pub(crate) struct Postgres {
    directory: PathBuf,
    port: u16,
    /// Waits for the end of this process, or of this value, which closes its stdin.
    watchdog: Option<Child>,
    databases: AtomicU32,
    reloads: AtomicU32,
}

impl Postgres {
    /// The server that all tests share. Never stop it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::private)
    }

    /// A server for one test, to be stopped, frozen and restarted at will.
    pub(crate) fn private() -> Self {
        let server = Self::place();
        server.initialize();
        server.start();
        server
    }

    /// A hot standby that follows this server.
    pub(crate) fn standby(&self) -> Self {
        let standby = Self::place();
        let settings = ["listen_addresses = '127.0.0.1'", &format!("port = {}", standby.port)];
        succeed(script("follow").arg(&standby.directory).arg(&self.directory).args(settings));
        standby.start();
        standby
    }

    /// Promotes a standby to the primary.
    pub(crate) fn promote(&self) {
        succeed(script("promote").arg(&self.directory));
    }

    /// A directory, a port and a watchdog for a server.
    fn place() -> Self {
        let directory = tempfile::Builder::new().prefix("runwrap-postgres-").tempdir().unwrap().keep();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let watchdog = Some(watchdog(&directory));
        if is_root() {
            succeed(Command::new("chown").arg(server_user()).arg(&directory));
        }
        Self { directory, port, watchdog, databases: AtomicU32::new(0), reloads: AtomicU32::new(0) }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn initialize(&self) {
        let mut init = script("init");
        init.arg(&self.directory).args(["listen_addresses = '127.0.0.1'", &format!("port = {}", self.port)]);
        init.args(["max_connections = 250", "shared_buffers = 32MB", "fsync = off", "ssl = on"]);
        for (setting, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
            init.arg(format!("{setting} = '{}'", self.directory.join(file).display()));
        }
        succeed(&mut init);
        // The user `walled` needs a password, `veiled` needs TLS.
        let access = "local all all trust\nlocal replication all trust\nhost all walled 127.0.0.1/32 scram-sha-256\n\
                      hostssl all veiled 127.0.0.1/32 trust\nhost all veiled 127.0.0.1/32 reject\n\
                      host all all 127.0.0.1/32 trust\n";
        fs::write(self.data().join("pg_hba.conf"), access).unwrap();
        self.make_certificates();
    }

    /// An authority, and its certificate for the name `localhost` alone.
    fn make_certificates(&self) {
        let script = "set -e; cd \"$1\"\n\
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority \
                -keyout authority.key -out authority.crt\n\
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
                -keyout server.key -out server.csr\n\
            printf 'subjectAltName=DNS:localhost' > names\n\
            openssl x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 \
                -extfile names -out server.crt\n\
            chmod 600 server.key; chmod 644 authority.crt";
        succeed(as_server(Path::new("sh")).args(["-c", script, "sh"]).arg(&self.directory));
    }

    /// Starts it again after `stop`, on the same port. Returns once the server answers.
    pub(crate) fn start(&self) {
        succeed(script("start").arg(&self.directory));
    }

    /// Ends it as a crash does, without notice to its clients.
    pub(crate) fn stop(&self) {
        succeed(script("stop").arg(&self.directory));
    }

    /// Stops every process of it with SIGSTOP: connections are accepted and get no answer.
    pub(crate) fn freeze(&self) {
        succeed(script("freeze").arg(&self.directory));
    }

    pub(crate) fn thaw(&self) {
        succeed(script("thaw").arg(&self.directory));
    }

    /// A new, empty database.
    pub(crate) fn database(&self) -> DatabaseTarget {
        DatabaseTarget::Postgres(Box::new(self.target(&self.new_database())))
    }

    pub(crate) fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let target = self.target("postgres");
        connect(&target).batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    /// The target of a database over the Unix socket, as the superuser.
    pub(crate) fn target(&self, dbname: &str) -> PostgresTarget {
        PostgresTarget {
            hosts: vec![PostgresHost {
                host: self.directory.to_str().unwrap().to_owned(),
                hostaddr: None,
                port: self.port,
            }],
            user: ADMIN.to_owned(),
            password: None,
            passfile: None,
            dbname: dbname.to_owned(),
            sslmode: SslMode::Prefer,
            tls_directory: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            sslpassword: None,
            sslcrl: None,
            sslcrldir: None,
            sslsni: true,
            ssl_min_protocol_version: TlsVersion::V1_2,
            ssl_max_protocol_version: None,
            channel_binding: ChannelBinding::Prefer,
            target_session_attrs: TargetSessionAttrs::Any,
            application_name: "runwrap".to_owned(),
            options: None,
            connect_timeout_seconds: None,
        }
    }

    /// The same over TCP, under one of its names (`localhost`, `127.0.0.1`).
    pub(crate) fn tcp_target(&self, dbname: &str, host: &str) -> PostgresTarget {
        let hosts = vec![PostgresHost { host: host.to_owned(), hostaddr: None, port: self.port }];
        PostgresTarget { hosts, ..self.target(dbname) }
    }

    /// Reloads it with the certificate that `script` makes with openssl: `server.crt` and `server.key`, in its directory.
    pub(crate) fn present(&self, script: &str) {
        let script = format!("set -e; cd \"$1\"\n{script}\nchmod 600 *.key; chmod 644 *.crt");
        succeed(as_server(Path::new("sh")).args(["-c", &script, "sh"]).arg(&self.directory));
        self.set("");
    }

    /// Adds lines to its configuration, and reloads it with its certificates and access rules.
    pub(crate) fn set(&self, lines: &str) {
        let config = self.data().join("postgresql.conf");
        let before = fs::read_to_string(&config).unwrap();
        let reload = self.reloads.fetch_add(1, Ordering::Relaxed);
        fs::write(&config, format!("{before}\n{lines}\ntest.reload = {reload}\n")).unwrap();
        let admin = self.target("postgres");
        connect(&admin).batch_execute("SELECT pg_reload_conf()").unwrap();
        // The server reads all of it before it accepts the next connection.
        let query = "SELECT current_setting('test.reload', true)";
        let reloaded = || connect(&admin).query_one(query, &[]).unwrap().get::<_, Option<String>>(0);
        wait_until("the reload", || reloaded() == Some(reload.to_string()));
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.join("authority.crt")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its socket.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            let _status = watchdog.wait().unwrap();
        }
    }
}

/// A plain client, to look at a database from outside.
pub(crate) fn connect(target: &PostgresTarget) -> Client {
    let host = &target.hosts[0];
    let mut config = postgres::Config::new();
    config.host(&host.host).port(host.port).user(&target.user).dbname(&target.dbname);
    config.connect(NoTls).unwrap()
}

/// `scripts/postgres VERB`.
fn script(verb: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres"));
    command.arg(verb);
    command
}

/// Waits for the end of its stdin, which only this process holds, then ends the server and removes its directory. In a session
/// of its own, so that a Ctrl-C to the tests does not end it first.
fn watchdog(directory: &Path) -> Child {
    let attend = script("attend");
    Command::new("setsid")
        .arg(attend.get_program())
        .args(attend.get_args())
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `program` as the user that may run a server, which root may not.
pub(crate) fn as_server(program: &Path) -> Command {
    let mut command = script("as-server");
    command.arg(program);
    command
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The user that runs the servers when the tests are root.
pub(crate) fn server_user() -> &'static str {
    let known = Command::new("id").args(["-u", "postgres"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if known.unwrap().success() { "postgres" } else { "nobody" }
}

/// A program of PostgreSQL's, of the version that the servers have.
pub(crate) fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = || PathBuf::from(String::from_utf8(succeed(&mut script("bin")).stdout).unwrap().trim_end());
    DIRECTORY.get_or_init(directory).join(name)
}

pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!(
            "cannot run {}: {error}. Run scripts/test, which installs it",
            OsStr::to_string_lossy(command.get_program())
        )
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
