//! Owns a site for runs: a home, a database, and the real binary started in it. A dropped site kills its remaining processes.
//! Must not assert anything about runwrap.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use runwrap::sys::lock::is_held;
use rusqlite::types::ValueRef;
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::postgres::Postgres;
use super::wait::wait_until;

/// No run of a test takes this long unless it hangs.
const RUN_LIMIT: Duration = Duration::from_mins(1);

/// The bytes of a lock file that supervisor and keeper lock.
const LOCKED_BYTES: Range<i64> = 0..2;

pub(crate) struct Site {
    home: TempDir,
    url: String,
}

impl Site {
    /// With SQLite, the embedded default.
    pub(crate) fn sqlite() -> Self {
        let home = TempDir::new().unwrap();
        let url = format!("sqlite:{}", home.path().join("runs.db").display());
        Self { home, url }
    }

    /// With a database of its own in the server that all tests share.
    pub(crate) fn postgres() -> Self {
        Self::on(Postgres::shared())
    }

    /// With a database of its own in `server`.
    pub(crate) fn on(server: &Postgres) -> Self {
        let name = server.new_database();
        let target = server.target(&name);
        let directory = server.directory().to_str().unwrap().replace('/', "%2F");
        Self::with_url(&format!("postgres://{}@{directory}:{}/{name}", target.user, server.port()))
    }

    pub(crate) fn with_url(url: &str) -> Self {
        Self { home: TempDir::new().unwrap(), url: url.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path().join(".local/state/runwrap")
    }

    /// Runs statements as an application would, and returns the rows of the last one in the format of `psql -At`.
    #[track_caller]
    pub(crate) fn sql(&self, statements: &str) -> String {
        let Some(path) = self.url.strip_prefix("sqlite:") else {
            let psql =
                Command::new("psql").args(["-XqAt", "-v", "ON_ERROR_STOP=1", &self.url, "-c", statements]).output();
            let output = psql.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return String::from_utf8(output.stdout).unwrap();
        };
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(RUN_LIMIT).unwrap();
        let mut rows = String::new();
        for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
            let mut prepared = connection.prepare(statement).unwrap();
            let width = prepared.column_count();
            let mut found = prepared.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                let cells = (0..width).map(|at| match row.get_ref(at).unwrap() {
                    ValueRef::Null => String::new(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
                });
                rows.push_str(&cells.collect::<Vec<_>>().join("|"));
                rows.push('\n');
            }
        }
        rows
    }

    /// The directories of runs that are not delivered yet.
    pub(crate) fn run_directories(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state_dir().join("runs")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.state_dir().join("runwrap.log")).unwrap_or_default()
    }

    /// `runwrap` with `arguments` in this site, with a clean environment.
    pub(crate) fn runwrap(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_runwrap"));
        command.args(arguments);
        command
    }

    /// `program` in the environment of [`Self::runwrap`], to start runwrap or to be compared with it.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.env("RUNWRAP_DATABASE_URL", &self.url).env("SITE", self.path());
        command
    }

    /// `runwrap OPTIONS -- sh -c SCRIPT`.
    pub(crate) fn shell(&self, options: &[&str], script: &str) -> Command {
        self.runwrap(&[options, &["--", "sh", "-c", script]].concat())
    }

    /// `runwrap -- sh -c SCRIPT`, of root without the right to signal the processes of other users.
    pub(crate) fn powerless_shell(&self, script: &str) -> Command {
        let mut command = self.program("setpriv");
        command.args([
            "--bounding-set=-kill",
            "--inh-caps=-all",
            env!("CARGO_BIN_EXE_runwrap"),
            "--",
            "sh",
            "-c",
            script,
        ]);
        command
    }

    /// Runs `runwrap OPTIONS -- sh -c SCRIPT` to its end.
    #[track_caller]
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Output {
        output(&mut self.shell(options, script))
    }

    /// All records, newest first, as `list --json` has them.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Map<String, Value>> {
        let output = self.runwrap(&["list", "--json", "--limit", "1000"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The only record.
    #[track_caller]
    pub(crate) fn record(&self) -> Map<String, Value> {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records.pop().unwrap()
    }

    /// Waits until the only record has `status`, and returns it.
    #[track_caller]
    pub(crate) fn record_that_is(&self, status: &str) -> Map<String, Value> {
        wait_until(&format!("status {status}"), || {
            self.records().first().is_some_and(|record| record["status"] == status)
        });
        self.record()
    }

    /// Waits until the newest record is in training.
    #[track_caller]
    pub(crate) fn record_that_trains(&self) {
        wait_until("a record in training", || {
            self.records().first().is_some_and(|record| record["status"] == "training")
        });
    }

    /// The processes whose environment names this site: supervisors, keepers, trainers and their descendants.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let marker = format!("SITE={}", self.path().display());
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter_map(Process::read).filter(|process| process.environment.contains(&marker)).collect()
    }

    /// The keepers.
    pub(crate) fn keepers(&self) -> Vec<i32> {
        let keepers = self.processes().into_iter().filter(|process| process.command.starts_with("runwrap keeper"));
        keepers.map(|process| process.pid).collect()
    }

    /// Waits until there is a keeper other than `old`, and returns it.
    #[track_caller]
    pub(crate) fn keeper_after(&self, old: Option<i32>) -> i32 {
        let mut keeper = None;
        wait_until("a keeper", || {
            keeper = self.keepers().into_iter().find(|pid| Some(*pid) != old);
            keeper.is_some()
        });
        keeper.unwrap()
    }

    /// Kills every process of this site at once, as the loss of its host does: none can react to the death of another.
    #[track_caller]
    pub(crate) fn lose(&self) {
        let mut stopped = BTreeSet::new();
        // A process may fork until it is stopped.
        wait_until("every process is stopped", || {
            let pids: Vec<i32> = self.processes().into_iter().map(|process| process.pid).collect();
            let count = stopped.len();
            for pid in pids {
                if stopped.insert(pid) {
                    kill(pid, "STOP");
                }
            }
            stopped.len() == count
        });
        for process in self.processes() {
            kill(process.pid, "KILL");
        }
        self.quiet();
    }

    /// Waits until no process of this site is left and every lock in it is free. The kernel frees the memory of a killed
    /// process first, and with it the environment that [`Self::processes`] reads; its files and locks follow.
    #[track_caller]
    pub(crate) fn quiet(&self) {
        wait_until("every process has ended", || self.processes().is_empty());
        wait_until("every lock is free", || !holds_lock(self.path()));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for process in self.processes() {
            kill(process.pid, "KILL");
        }
        if std::thread::panicking() {
            // The harness prints it with the failure; the log is removed with the site.
            std::io::Write::write_all(&mut std::io::stderr(), self.log().as_bytes()).unwrap();
        }
    }
}

/// Whether a process holds the lock of a run or of a lingering keeper anywhere below `directory`.
fn holds_lock(directory: &Path) -> bool {
    // A file or directory that has vanished meanwhile holds none.
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds_lock(&entry.path()),
        Ok(kind) if kind.is_file() && entry.file_name().to_string_lossy().ends_with("lock") => {
            File::open(entry.path()).is_ok_and(|file| is_held(&file, &LOCKED_BYTES).unwrap())
        }
        Ok(_) | Err(_) => false,
    })
}

/// How often a process without environment and command line is read: an exec may be in progress, or both may be empty.
const EXEC_LOOKS_MAX: u32 = 100;

/// A process, as /proc shows it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
    environment: BTreeSet<String>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let words = |name: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
            Some(String::from_utf8_lossy(&bytes).split('\0').map(str::to_owned).collect::<Vec<_>>())
        };
        let both = || Some((words("environ")?, words("cmdline")?));
        let (mut environment, mut command) = both()?;
        // During an exec both are empty for a moment; after the end of the process they stay so.
        for _ in 0..EXEC_LOOKS_MAX {
            let seen = environment != [""] && command != [""];
            if seen || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
                break;
            }
            std::thread::yield_now();
            (environment, command) = both()?;
        }
        Some(Self { pid, command: command.join(" "), environment: environment.into_iter().collect() })
    }
}

/// Starts `command`.
#[track_caller]
pub(crate) fn start(command: &mut Command) -> Running {
    Running { child: command.spawn().unwrap() }
}

/// Runs `command` to its end, with its output.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    let mut running = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut stdout = running.child.stdout.take().unwrap();
    let mut stderr = running.child.stderr.take().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let reader = std::thread::Builder::new().spawn(move || stderr.read_to_end(&mut err).map(|_| err)).unwrap();
    stdout.read_to_end(&mut out).unwrap();
    Output { status: running.end(), stdout: out, stderr: reader.join().unwrap().unwrap() }
}

/// A started process; killed if the test ends first.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits for its end, at most [`RUN_LIMIT`].
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < RUN_LIMIT, "still running after {RUN_LIMIT:?}");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// The next line of its stdout, which must be piped.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        line(self.child.stdout.as_mut().unwrap())
    }

    /// The next line of its stderr, which must be piped.
    #[track_caller]
    pub(crate) fn line_of_errors(&mut self) -> String {
        line(self.child.stderr.as_mut().unwrap())
    }

    /// The rest of its stderr, which must be piped. The process must have ended.
    pub(crate) fn errors(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Writes a line to its stdin, which must be piped.
    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its stdin, which must be piped.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn signal(&self, name: &str) {
        kill(self.pid(), name);
    }
}

/// Reads byte by byte, so that the next line is left for the next call.
#[track_caller]
fn line(from: &mut dyn Read) -> String {
    let bytes = BufReader::with_capacity(1, from).bytes().map(Result::unwrap);
    String::from_utf8(bytes.take_while(|byte| *byte != b'\n').collect()).unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killing a process that has ended fails, which is fine.
        let _already_ended = self.child.kill().and_then(|()| self.child.wait()).is_err();
    }
}

/// `kill -NAME PID`; a process that is gone is no error.
pub(crate) fn kill(pid: i32, name: &str) {
    let status =
        Command::new("kill").args([&format!("-{name}"), "--", &pid.to_string()]).stderr(Stdio::null()).status();
    let _gone = !status.unwrap().success();
}

/// Exit code, or 128 + the number of the signal, as in a shell.
pub(crate) fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}
