//! One cell of the kill matrix: a run stops at a point, one victim is killed, the other processes go on, a later run or
//! `recover` delivers, and the record is compared with the proof that the trainer left. Must not know the list of cells.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Map, Value, json};

use crate::support::procfs;
use crate::support::site::{Running, Site, output, start};
use crate::support::wait::wait_until;

/// The processes that are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Supervisor,
    Keeper,
    /// Supervisor and keeper.
    Both,
    /// The supervisor's process group: supervisor and trainer.
    Group,
    Trainer,
    All,
}

/// How far the run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Keeper and supervisor; no trainer yet.
    Opening,
    /// The trainer has not ended.
    Running,
    /// The trainer has ended, and its end is not in the journal yet.
    Ended,
    /// The end is in the journal.
    Journaled,
}

/// The processes that stop at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stops {
    Supervisor,
    Keeper,
    SupervisorAndKeeper,
    Trainer,
    /// None: the trainer makes a file when it runs.
    Nobody,
}

/// How the leftovers are delivered in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TidyUp {
    /// Another run with the same state directory.
    LaterRun,
    /// `runwrap recover`.
    Recover,
}

/// A point of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) phase: Phase,
    pub(super) failpoints: &'static str,
    pub(super) stops: Stops,
    /// How long the supervisor waits for the record before it starts the trainer without.
    pub(super) start_timeout: &'static str,
}

impl Phase {
    /// The victims that exist in this phase.
    pub(super) const fn victims(self) -> &'static [Victim] {
        match self {
            Self::Opening => &[Victim::Supervisor, Victim::Keeper, Victim::Both, Victim::Group],
            Self::Running | Self::Ended | Self::Journaled => {
                &[Victim::Supervisor, Victim::Keeper, Victim::Both, Victim::Group, Victim::Trainer, Victim::All]
            }
        }
    }

    /// The reasons that can be true. `trainer` stands for the trainer's own end.
    const fn reasons(self, victim: Victim) -> &'static [&'static str] {
        match (self, victim) {
            (Self::Journaled, _) | (_, Victim::Keeper) | (Self::Opening | Self::Ended, Victim::Trainer) => &["trainer"],
            (_, Victim::Both | Victim::All) => &["lost"],
            (Self::Opening | Self::Running, Victim::Supervisor | Victim::Group) => &["supervisor_killed"],
            (Self::Running, Victim::Trainer) => &["signal"],
            // A newer kernel reports the exit status of a reaped process through its pidfd.
            (Self::Ended, Victim::Supervisor | Victim::Group) => &["trainer", "supervisor_killed"],
        }
    }
}

/// The processes of a run.
struct Run<'a> {
    site: &'a Site,
    supervisor: i32,
}

impl Run<'_> {
    fn keeper(&self) -> Option<i32> {
        self.site.keepers().first().copied()
    }

    fn trainer(&self) -> Option<i32> {
        let keeper = self.keeper();
        let is_witness = |pid: i32| procfs::name(pid).is_some_and(|name| name == "rw-witness");
        procfs::children(self.supervisor).into_iter().find(|pid| Some(*pid) != keeper && !is_witness(*pid))
    }

    fn wait_for_stop(&self, stops: Stops) {
        let stopped = |pid: Option<i32>| pid.is_some_and(|pid| procfs::state(pid) == Some('T'));
        wait_until(&format!("stopped: {stops:?}"), || match stops {
            Stops::Supervisor => stopped(Some(self.supervisor)),
            Stops::Keeper => stopped(self.keeper()),
            Stops::SupervisorAndKeeper => stopped(Some(self.supervisor)) && stopped(self.keeper()),
            Stops::Trainer => stopped(self.trainer()),
            Stops::Nobody => self.site.path().join("ready").exists(),
        });
    }

    /// Kills all victims as if at once: each is stopped first, so none reacts to another's death.
    fn kill(&self, victim: Victim) {
        let (supervisor, keeper, trainer) = (Some(self.supervisor), self.keeper(), self.trainer());
        let pids: Vec<i32> = match victim {
            Victim::Supervisor => vec![supervisor],
            Victim::Keeper => vec![keeper],
            Victim::Both => vec![supervisor, keeper],
            Victim::Group => vec![Some(-self.supervisor)],
            Victim::Trainer => vec![trainer],
            Victim::All => vec![supervisor, keeper, trainer],
        }
        .into_iter()
        .flatten()
        .collect();
        if pids.len() > 1 {
            signal(&pids, "STOP");
            let halted = |pid: &i32| matches!(procfs::state(*pid), None | Some('T' | 'Z'));
            wait_until("all victims are stopped", || pids.iter().all(halted));
        }
        signal(&pids, "KILL");
    }
}

/// `kill -NAME PID…`; a process that is gone is no error.
fn signal(pids: &[i32], name: &str) {
    let words = pids.iter().map(ToString::to_string);
    let mut command = std::process::Command::new("kill");
    let status = command.arg(format!("-{name}")).arg("--").args(words).stderr(Stdio::null()).status();
    let _gone = !status.unwrap().success();
}

/// Kills `victim` at `point`, and asserts that there is one record, and that it is true. The trainer exits with `code`.
pub(super) fn check(site: &Site, point: &Point, victim: Victim, code: i32, by: TidyUp) {
    // The proof is written right before the end: a run without it has not completed.
    let script = format!("echo > ready; read -r line; echo \"$RUNWRAP_RUN_ID\" >> proof; exit {code}");
    let mut command = site.shell(&["--name", "killed", "--start-timeout", point.start_timeout], &script);
    command.env("RUNWRAP_FAILPOINTS", point.failpoints).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut supervisor = start(&mut command);
    let run = Run { site, supervisor: supervisor.pid() };
    if matches!(point.phase, Phase::Ended | Phase::Journaled) {
        supervisor.close_stdin();
    }
    run.wait_for_stop(point.stops);
    run.kill(victim);
    supervisor.close_stdin();
    go_on(site, &mut supervisor);
    let survived = match victim {
        Victim::Supervisor | Victim::Group | Victim::Keeper | Victim::Trainer => true,
        Victim::Both | Victim::All => false,
    };
    assert!(!survived || site.run_directories().is_empty(), "not delivered by the survivor");
    tidy_up(site, by);
    assert_true(site, point.phase.reasons(victim), code);
}

/// Continues every stopped process, also one that stops at the same point later, until none is left.
fn go_on(site: &Site, supervisor: &mut Running) {
    wait_until("every process has ended", || {
        let processes = site.processes();
        let stopped: Vec<i32> =
            processes.iter().map(|process| process.pid).filter(|pid| procfs::state(*pid) == Some('T')).collect();
        if !stopped.is_empty() {
            signal(&stopped, "CONT");
        }
        processes.is_empty()
    });
    supervisor.end();
    site.quiet();
}

/// Delivers the leftovers.
fn tidy_up(site: &Site, by: TidyUp) {
    match by {
        TidyUp::LaterRun => {
            assert!(site.run(&["--name", "later"], "true").status.success());
            wait_until("the later run has tidied up", || site.run_directories().is_empty());
            site.quiet();
        }
        TidyUp::Recover => {
            let recovered = output(&mut site.runwrap(&["recover"]));
            assert!(recovered.status.success(), "{recovered:?}");
        }
    }
    assert_eq!(site.run_directories(), Vec::<PathBuf>::new());
}

fn assert_true(site: &Site, reasons: &[&str], code: i32) {
    let records = site.records();
    let killed: Vec<&Map<String, Value>> = records.iter().filter(|record| record["name"] == "killed").collect();
    assert_eq!(killed.len(), 1, "{records:?}");
    assert!(records.iter().all(|record| record["status"] != "training"), "{records:?}");
    let record = killed[0];
    let own = if code == 0 { ("completed", "success") } else { ("failed", "exit") };
    let ends: BTreeSet<(&str, &str)> =
        reasons.iter().map(|reason| if *reason == "trainer" { own } else { ("failed", *reason) }).collect();
    let end = (record["status"].as_str().unwrap(), record["reason"].as_str().unwrap());
    assert!(ends.contains(&end), "{end:?} is none of {ends:?}: {record:?}");
    assert_eq!(record["presumed"], json!(end.1 == "lost"), "{record:?}");
    let is_own = end == own;
    assert_eq!(record["exit_code"], if is_own { json!(code) } else { Value::Null }, "{record:?}");
    assert!(!is_own || site.path().join("proof").exists(), "the trainer never came to its end: {record:?}");
    let known = !record["train_end_time"].is_null();
    assert_eq!(known, !record["train_duration"].is_null(), "{record:?}");
    assert!(known || end.1 == "lost", "{record:?}");
    assert!(!site.state_dir().join("quarantine").exists());
}
