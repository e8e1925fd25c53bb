//! A real PostgreSQL in a temporary directory: one for the whole test process, or one for a single test that wants to
//! stop or freeze it. A watchdog ends it and removes its directory when the test process is gone, however it went.
//! Must not know what is in a database. Called by the tests that need a server.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls};
use runwrap::config::{ChannelBinding, DatabaseTarget, PostgresHost, PostgresTarget, SslMode, TargetSessionAttrs};

/// The superuser of every server here.
const ADMIN: &str = "admin";

/// A running server.
pub(crate) struct Postgres {
    directory: PathBuf,
    port: u16,
    /// Waits for the end of this process, or of this value, which closes its stdin.
    watchdog: Option<Child>,
    databases: AtomicU32,
}

impl Postgres {
    /// The server that all tests share. Never stop it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::private)
    }

    /// A server of one's own, to be stopped, frozen and restarted at will.
    pub(crate) fn private() -> Self {
        let server = Self::place();
        let data = server.data();
        succeed(as_server(&program("initdb")).arg("-D").arg(&data).args([
            "--no-sync",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--username",
            ADMIN,
        ]));
        server.configure(&data);
        server.start();
        server
    }

    /// A hot standby of this server, following it.
    pub(crate) fn standby(&self) -> Self {
        let standby = Self::place();
        let mut backup = as_server(&program("pg_basebackup"));
        backup.arg("-D").arg(standby.data()).arg("-h").arg(&self.directory).args(["-p", &self.port.to_string()]);
        succeed(backup.args(["-U", ADMIN, "-R", "-c", "fast", "--no-sync"]));
        let config = standby.data().join("postgresql.conf");
        let ours = format!("unix_socket_directories = '{}'\nport = {}\n", standby.directory.display(), standby.port);
        let theirs = fs::read_to_string(&config).unwrap();
        fs::write(&config, theirs + &ours).unwrap();
        standby.start();
        standby
    }

    /// Makes a standby the server that is written to.
    pub(crate) fn promote(&self) {
        succeed(self.control("promote").arg("-w"));
    }

    /// A directory and a port for a server, and who clears up after it.
    fn place() -> Self {
        let directory = tempfile::Builder::new().prefix("runwrap-postgres-").tempdir().unwrap().keep();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let watchdog = Some(watchdog(&directory));
        if is_root() {
            succeed(Command::new("chown").arg(server_user()).arg(&directory));
        }
        Self { directory, port, watchdog, databases: AtomicU32::new(0) }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn configure(&self, data: &Path) {
        let settings = format!(
            "unix_socket_directories = '{}'\nlisten_addresses = '127.0.0.1'\nport = {}\nmax_connections = 250\n\
             shared_buffers = 32MB\nfsync = off\nssl = on\nssl_cert_file = '{2}/server.crt'\nssl_key_file = '{2}/server.key'\n",
            self.directory.display(),
            self.port,
            self.directory.display(),
        );
        // `walled` comes in by password alone, `veiled` by TLS alone.
        let access = "local all all trust\nlocal replication all trust\nhost all walled 127.0.0.1/32 scram-sha-256\n\
                      hostssl all veiled 127.0.0.1/32 trust\nhost all veiled 127.0.0.1/32 reject\n\
                      host all all 127.0.0.1/32 trust\n";
        let config = data.join("postgresql.conf");
        let default = fs::read_to_string(&config).unwrap();
        fs::write(&config, default + &settings).unwrap();
        fs::write(data.join("pg_hba.conf"), access).unwrap();
        self.make_certificates();
    }

    /// An authority, and a certificate of it for the name `localhost` and no other.
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

    /// Starts it again after `stop`, on the same port.
    pub(crate) fn start(&self) {
        let log = self.directory.join("log");
        // `pg_ctl -w` returns once the server answers.
        succeed(self.control("start").arg("-w").arg("-l").arg(log));
    }

    /// Ends it as a crash does, without a word to its clients.
    pub(crate) fn stop(&self) {
        succeed(self.control("stop").args(["-w", "-m", "immediate"]));
    }

    fn control(&self, verb: &str) -> Command {
        let mut command = as_server(&program("pg_ctl"));
        command.arg(verb).arg("-D").arg(self.data());
        command
    }

    /// Stops every process of it with SIGSTOP: connections are accepted and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid_file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let postmaster = pid_file.lines().next().unwrap().to_owned();
        succeed(Command::new("kill").arg(signal).arg(&postmaster));
        for child in children(&postmaster) {
            // It may have ended meanwhile.
            let _ended = Command::new("kill").arg(signal).arg(child).stderr(Stdio::null()).status().unwrap();
        }
    }

    /// A database of one's own, empty.
    pub(crate) fn database(&self) -> DatabaseTarget {
        DatabaseTarget::Postgres(Box::new(self.target(&self.new_database())))
    }

    pub(crate) fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let target = self.target("postgres");
        connect(&target).batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    /// How to reach a database over the Unix socket, as the superuser.
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
            channel_binding: ChannelBinding::Prefer,
            target_session_attrs: TargetSessionAttrs::Any,
            application_name: "runwrap".to_owned(),
            options: None,
            connect_timeout_seconds: None,
        }
    }

    /// How to reach it over TCP, under one of its names (`localhost`, `127.0.0.1`).
    pub(crate) fn tcp_target(&self, dbname: &str, host: &str) -> PostgresTarget {
        let hosts = vec![PostgresHost { host: host.to_owned(), hostaddr: None, port: self.port }];
        PostgresTarget { hosts, ..self.target(dbname) }
    }

    /// Starts it again with the certificate that `script` makes with openssl: `server.crt` and `server.key`, in its directory.
    pub(crate) fn present(&self, script: &str) {
        let script = format!("set -e; cd \"$1\"\n{script}\nchmod 600 *.key; chmod 644 *.crt");
        succeed(as_server(Path::new("sh")).args(["-c", &script, "sh"]).arg(&self.directory));
        self.stop();
        self.start();
    }

    /// Adds lines to its configuration, for its next start.
    pub(crate) fn set(&self, lines: &str) {
        let config = self.data().join("postgresql.conf");
        let before = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{before}\n{lines}\n")).unwrap();
    }

    /// The certificate that its own is signed by.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.join("authority.crt")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where its socket is.
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

/// Waits for the end of its stdin, which only this process holds, then ends the server and removes its directory.
fn watchdog(directory: &Path) -> Child {
    let script = "read -r _; pid=$(head -n 1 \"$1/data/postmaster.pid\" 2>/dev/null) && \
                  { kill -CONT \"$pid\"; kill -QUIT \"$pid\"; while kill -0 \"$pid\"; do sleep 0.05; done; }; rm -rf \"$1\"";
    Command::new("setsid")
        .args(["sh", "-c", script, "sh"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `program` as the user that may run a server, which root may not.
pub(crate) fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let user = server_user();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", &group_of(user), "--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

pub(crate) fn is_root() -> bool {
    let output = succeed(Command::new("id").arg("-u"));
    output.stdout.starts_with(b"0\n")
}

/// Who runs the servers when the tests are root.
pub(crate) fn server_user() -> &'static str {
    let known = Command::new("id").args(["-u", "postgres"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if known.unwrap().success() { "postgres" } else { "nobody" }
}

fn group_of(user: &str) -> String {
    let output = succeed(Command::new("id").args(["-g", user]));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A program of PostgreSQL's, on the PATH or where Debian keeps it, in the newest version.
pub(crate) fn program(name: &str) -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    places.extend(versions.into_iter().rev().map(|version| version.join("bin")));
    places.into_iter().map(|place| place.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is missing: these tests need PostgreSQL. Run scripts/test, which installs it")
    })
}

fn children(parent: &str) -> Vec<String> {
    let tasks = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    tasks.split_whitespace().map(str::to_owned).collect()
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
