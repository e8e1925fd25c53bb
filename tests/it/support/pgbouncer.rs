//! Owns a real PgBouncer in front of a server of the tests. Must end with its value, or with the test
//! process.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};

use runwrap::config::{PostgresHost, PostgresTarget};

use super::postgres::{Postgres, as_server, is_root, server_user, succeed};
use super::wait::wait_until;

pub(crate) struct PgBouncer {
    port: u16,
    process: Child,
    _directory: tempfile::TempDir,
}

impl PgBouncer {
    /// A pooler of transactions for all databases of `server`, each with at most `connections`.
    pub(crate) fn before(server: &Postgres, connections: u32) -> Self {
        Self::in_mode("transaction", server, connections)
    }

    pub(crate) fn in_mode(mode: &str, server: &Postgres, connections: u32) -> Self {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("pgbouncer is missing: run scripts/test, which installs it");
        let directory = tempfile::Builder::new().prefix("runwrap-pgbouncer-").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={} user=admin\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {connections}\n\
             max_client_conn = 500\n",
            server.directory().display(),
            server.port(),
        );
        fs::write(&config, text).unwrap();
        if is_root() {
            succeed(std::process::Command::new("chown").args(["-R", server_user()]).arg(directory.path()));
        }
        // The shell waits for the end of its stdin, which only this process holds.
        let script = "\"$1\" -q \"$2\" </dev/null & pid=$!; read -r _; kill -9 $pid";
        let process = as_server(Path::new("sh"))
            .args(["-c", script, "sh", program])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("pgbouncer accepts connections", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, process, _directory: directory }
    }

    pub(crate) fn target(&self, through: &PostgresTarget) -> PostgresTarget {
        let hosts = vec![PostgresHost { host: "127.0.0.1".to_owned(), hostaddr: None, port: self.port }];
        PostgresTarget { hosts, ..through.clone() }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _status = self.process.wait().unwrap();
    }
}
