//! Nodes that share a state directory and no locks, as on NFS with nolock. Each has namespaces with its own host name and boot id; a
//! preloaded library keeps the locks of the second from those of the first.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::support::building::compile;
use crate::support::postgres::{Postgres, is_root};
use crate::support::procfs;
use crate::support::site::{Running, Site, kill, output, start};
use crate::support::wait::wait_until;

const SHORT_LEASE: [&str; 4] = ["--heartbeat", "200ms", "--lease", "1s"];

/// The library, and the directory that holds it.
fn library() -> (tempfile::TempDir, String) {
    compile("run/node_locks.c", &["-shared", "-fPIC", "-ldl"])
}

/// `command` on the node `name`, which booted under that name.
fn on_node(site: &Site, name: &str, command: &Command) -> Command {
    on_boot(site, name, name, command)
}

/// `command` on the host `name` during one of its boots.
fn on_boot(site: &Site, name: &str, boot: &str, command: &Command) -> Command {
    let boot_id = site.path().join(format!("boot of {boot}"));
    fs::write(&boot_id, format!("{boot}\n")).unwrap();
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(ToOwned::to_owned).collect();
    let mut node = Command::new("unshare");
    // An ordinary user is root only inside.
    node.arg(if is_root() { "-um" } else { "-umr" });
    let script = "hostname \"$0\" && mount --bind \"$1\" /proc/sys/kernel/random/boot_id && shift && exec \"$@\"";
    node.args(["sh", "-c", script, name]).arg(boot_id).args(words);
    node.env_clear().current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    for (variable, value) in command.get_envs() {
        node.env(variable, value.unwrap());
    }
    node
}

/// `runwrap ARGUMENTS` on the second node.
fn second(site: &Site, library: &str, arguments: &[&str]) -> Command {
    let mut command = on_node(site, "second", &site.runwrap(arguments));
    command.env("LD_PRELOAD", library).env("NODE_LOCKS", site.state_dir().join("runs")).env("NODE_SHIFT", "1000");
    command
}

#[track_caller]
fn recover(site: &Site, library: &str) -> Vec<Value> {
    let output = output(&mut second(site, library, &["recover", "--json"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A run on the first node that reports a metric and ends once it gets a line.
fn living(site: &Site, options: &[&str]) -> Running {
    let script =
        format!("set -e; echo ready; read -r line; {} report --metric loss=0.5", env!("CARGO_BIN_EXE_runwrap"));
    let mut command = on_node(site, "first", &site.shell(options, &script));
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running
}

/// Asserts that the run of [`living`] ends undisturbed.
#[track_caller]
fn ends_well(site: &Site, mut running: Running) {
    running.say("");
    assert_eq!(running.end().code(), Some(0));
    site.quiet();
    let record = site.records().into_iter().find(|record| record["host"] == "first").unwrap();
    assert_eq!((&record["status"], &record["train_metrics"]), (&json!("completed"), &json!({"loss": 0.5})));
}

/// Every process of a run on the first node is killed before one can write its end. Returns its directory.
fn vanish(site: &Site, options: &[&str]) -> PathBuf {
    let running = living(site, options);
    wait_until("the first heartbeat", || site.log().matches("event=attempt_done").count() >= 2);
    for process in site.processes() {
        kill(process.pid, "STOP");
    }
    for process in site.processes() {
        kill(process.pid, "KILL");
    }
    drop(running);
    site.quiet();
    site.run_directories().pop().unwrap()
}

/// A free lock was taken for a proof of death on every host: the directory of a living run was removed, and its reports failed.
// Holds: failures/nodes-living
#[test]
fn recover_on_another_node_leaves_a_living_run() {
    let (_kept, library) = library();
    for site in [Site::sqlite(), Site::postgres()] {
        let running = living(&site, &[]);
        assert_eq!(recover(&site, &library), Vec::<Value>::new());
        let mut blind = second(&site, &library, &["recover", "--json"]);
        assert_eq!(output(blind.env_remove("NODE_SHIFT")).stdout, b"[]\n", "with locks that cover nothing");
        assert_eq!(site.record()["status"], "training");
        ends_well(&site, running);
    }
}

// Holds: failures/nodes-living
#[test]
fn next_run_on_another_node_leaves_a_living_run() {
    let (_kept, library) = library();
    for site in [Site::sqlite(), Site::postgres()] {
        let running = living(&site, &[]);
        assert!(output(&mut second(&site, &library, &["--", "true"])).status.success());
        wait_until("the second run is over", || site.run_directories().len() == 1);
        let mut blind = second(&site, &library, &["--", "true"]);
        assert!(output(blind.env_remove("NODE_SHIFT")).status.success());
        wait_until("the third run is over", || site.run_directories().len() == 1);
        let completed = |record: &&Map<String, Value>| record["status"] == "completed";
        assert_eq!(site.records().iter().filter(completed).count(), 2);
        ends_well(&site, running);
    }
}

/// Its heartbeats are signs of life, however short the lease.
// Holds: failures/nodes-living
#[test]
fn living_run_is_left_beyond_its_lease() {
    let (_kept, library) = library();
    let site = Site::sqlite();
    let running = living(&site, &SHORT_LEASE);
    let heartbeats = || site.log().matches("event=attempt_done").count();
    let before = heartbeats();
    wait_until("two leases", || {
        assert_eq!(recover(&site, &library), Vec::<Value>::new());
        heartbeats() >= before + 10
    });
    ends_well(&site, running);
}

/// The row of the run is in no database yet: only its directory shows that it lives.
// Holds: failures/nodes-living
#[test]
fn living_run_without_a_database_is_left() {
    let (_kept, library) = library();
    let server = Postgres::private();
    let site = Site::on(&server);
    server.stop();
    let running = living(&site, &["--start-timeout", "50ms"]);
    server.start();
    assert_eq!(recover(&site, &library), Vec::<Value>::new());
    ends_well(&site, running);
}

/// Its maker may hold a lock that this node does not see.
// Holds: failures/nodes-living
#[test]
fn directory_in_the_making_on_another_node_is_left() {
    let (_kept, library) = library();
    let site = Site::sqlite();
    let mut command = on_node(&site, "first", &site.runwrap(&["--", "true"]));
    let mut running = start(command.env("RUNWRAP_FAILPOINTS", "unsettled=stop"));
    wait_until("the supervisor has stopped", || procfs::state(running.pid()) == Some('T'));
    let unborn = site.run_directories().pop().unwrap();
    assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(&unborn).status().unwrap().success());
    assert_eq!(recover(&site, &library), Vec::<Value>::new());
    assert!(unborn.exists());
    running.signal("CONT");
    assert_eq!(running.end().code(), Some(0));
    site.quiet();
    assert_eq!(site.record()["status"], "completed");
}

// Holds: failures/nodes-dead
#[test]
fn dead_run_of_another_node_is_delivered_after_its_lease() {
    let (_kept, library) = library();
    for site in [Site::sqlite(), Site::postgres()] {
        vanish(&site, &SHORT_LEASE);
        let mut recovered = Vec::new();
        wait_until("the lease has run out", || {
            recovered = recover(&site, &library);
            !recovered.is_empty()
        });
        let record = site.record();
        assert_eq!((&record["reason"], &record["presumed"]), (&json!("lost"), &json!(true)));
        assert_eq!(recovered[0]["after"], Value::Object(record));
        assert!(site.run_directories().is_empty());
    }
}

/// A pod has a new host name after each restart.
// Holds: failures/nodes-dead
#[test]
fn next_run_on_another_node_delivers_a_dead_run_after_its_lease() {
    let (_kept, library) = library();
    let site = Site::sqlite();
    let dead = vanish(&site, &SHORT_LEASE);
    wait_until("the lease has run out", || {
        assert!(output(&mut second(&site, &library, &["--", "true"])).status.success());
        site.quiet();
        !dead.exists()
    });
    assert_eq!(site.records().iter().filter(|record| record["reason"] == "lost").count(), 1);
}

/// An end is truth, on every node.
// Holds: failures/nodes-dead
#[test]
fn ended_run_of_another_node_is_delivered_at_once() {
    let (_kept, library) = library();
    let server = Postgres::private();
    let site = Site::on(&server);
    server.stop();
    let options = ["--start-timeout", "50ms", "--finish-timeout", "50ms", "--linger", "0s"];
    assert_eq!(output(&mut on_node(&site, "first", &site.shell(&options, "exit 3"))).status.code(), Some(3));
    site.quiet();
    server.start();
    assert_eq!(recover(&site, &library).len(), 1);
    assert_eq!(site.record()["exit_code"], 3);
    assert!(site.run_directories().is_empty());
}

/// A file system that no other host can have mounted: after a power loss every run on it is dead.
// Holds: failures/host-reboot
#[test]
fn run_of_an_earlier_boot_is_delivered_at_once() {
    let site = Site::sqlite();
    vanish(&site, &[]);
    let recovered = output(&mut on_boot(&site, "first", "later", &site.runwrap(&["recover", "--json"])));
    assert!(recovered.status.success(), "{recovered:?}");
    assert_eq!(site.record()["reason"], "lost");
    assert!(site.run_directories().is_empty());
}
