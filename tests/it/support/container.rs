//! Owns containers, made by runc: a root file system with a shell, a few programs and the program under test, and the site as a
//! volume at its own path. Needs root, or the right to make namespaces; must report a skipped test. Must not assert anything
//! about runwrap.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::postgres::is_root;
use super::site::{Running, Site, kill, output, start};
use super::skipped;

const RUNWRAP: &str = "/usr/bin/runwrap";
const PROGRAMS: [&str; 4] = ["/bin/sh", "/bin/sleep", "/bin/cat", "/usr/bin/tail"];

/// Removed with all its processes when dropped.
pub(crate) struct Container<'a> {
    site: &'a Site,
    bundle: TempDir,
    id: String,
}

impl<'a> Container<'a> {
    /// A container with `runwrap -- sh -c SCRIPT` as its first process. `None`, and a line on stderr, if none can be made.
    pub(crate) fn of(site: &'a Site, script: &str) -> Option<Self> {
        Self::with(site, &[], script, &json!({}))
    }

    /// The same with `options` and with `resources` in the form of the OCI specification.
    pub(crate) fn with(site: &'a Site, options: &[&str], script: &str, resources: &Value) -> Option<Self> {
        let container = Self::make(site, &[&[RUNWRAP], options, &["--", "sh", "-c", script]].concat(), resources);
        let Some(why) = container.obstacle(resources) else { return Some(container) };
        skipped(&format!("no container with the resources {resources} can be had here: {why}"));
        None
    }

    /// The reason why runc cannot make such a container, tried without the program under test.
    fn obstacle(&self, resources: &Value) -> Option<String> {
        if !is_root() && *resources != json!({}) {
            return Some("an ordinary user may not make control groups".to_owned());
        }
        let tried = output(&mut Self::make(self.site, &["/bin/sh", "-c", ":"], resources).command());
        (!tried.status.success()).then(|| String::from_utf8_lossy(&tried.stderr).trim_end().to_owned())
    }

    fn make(site: &'a Site, arguments: &[&str], resources: &Value) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let id = format!("runwrap-test-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let bundle = TempDir::new().unwrap();
        fill(&bundle.path().join("root"));
        let config = config(site, &id, arguments, resources);
        fs::write(bundle.path().join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
        Self { site, bundle, id }
    }

    fn runc(&self, verb: &str) -> Command {
        let mut command = self.site.program("runc");
        // Only root may use the default state directory of runc.
        command.arg("--root").arg(self.bundle.path().join("state")).arg(verb);
        command
    }

    fn command(&self) -> Command {
        let mut command = self.runc("run");
        command.arg("--bundle").arg(self.bundle.path()).arg(&self.id);
        command
    }

    /// Starts it.
    #[track_caller]
    pub(crate) fn start(&self) -> Running {
        start(self.command().stdout(Stdio::piped()))
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self) -> Output {
        output(&mut self.command())
    }

    /// Signals its first process, as an engine does.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let sent = output(self.runc("kill").args([&self.id, name]));
        assert!(sent.status.success(), "{sent:?}");
    }

    /// Kills each process in the container, but not runc.
    pub(crate) fn kill_all(&self) {
        let inside = self.site.processes().into_iter().filter(|process| !process.command.starts_with("runc "));
        inside.for_each(|process| kill(process.pid, "KILL"));
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // A container that has ended is gone already.
        let _gone = self.runc("delete").args(["--force", &self.id]).stderr(Stdio::null()).status();
    }
}

/// Copies the programs, the program under test and their shared libraries.
fn fill(root: &Path) {
    for place in ["proc", "dev", "sys/fs/cgroup", "tmp"] {
        fs::create_dir_all(root.join(place)).unwrap();
    }
    let runwrap = Path::new(env!("CARGO_BIN_EXE_runwrap"));
    let mut files: BTreeSet<PathBuf> = libraries(runwrap);
    for program in PROGRAMS.map(Path::new) {
        files.extend(libraries(program));
        files.insert(program.to_owned());
    }
    for file in files {
        copy(&file, &inside(root, &file));
    }
    copy(runwrap, &inside(root, Path::new(RUNWRAP)));
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// The shared libraries of `program`, by `ldd`.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let listed = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn config(site: &Site, id: &str, arguments: &[&str], resources: &Value) -> Value {
    let place = site.path();
    let mount = |kind: &str, at: &str| json!({"type": kind, "source": kind, "destination": at});
    let mut namespaces = vec!["pid", "mount", "uts", "ipc"];
    let mut linux = json!({"resources": resources, "cgroupsPath": format!("/{id}")});
    if !is_root() {
        // An ordinary user is root only inside, and may not make control groups.
        namespaces.push("user");
        linux = json!({});
        for (key, own) in
            [("uidMappings", nix::unistd::getuid().as_raw()), ("gidMappings", nix::unistd::getgid().as_raw())]
        {
            linux[key] = json!([{"containerID": 0, "hostID": own, "size": 1}]);
        }
    }
    linux["namespaces"] = namespaces.into_iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": "1.0.2",
        // As an engine does, each container gets a host name of its own.
        "hostname": id,
        "root": {"path": "root"},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "cwd": place,
            "env": [
                "PATH=/usr/bin:/bin",
                format!("HOME={}", place.display()),
                format!("SITE={}", place.display()),
                format!("RUNWRAP_DATABASE_URL={}", site.url()),
            ],
        },
        "mounts": [
            mount("proc", "/proc"),
            mount("tmpfs", "/dev"),
            mount("cgroup", "/sys/fs/cgroup"),
            {"type": "bind", "source": place, "destination": place, "options": ["rbind", "rw"]},
        ],
        "linux": linux,
    })
}
