//! Kernels without a system call that runwrap makes, seccomp profiles that refuse it, and a system without /proc: a run, a
//! takeover and the verbs are the same.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::building::compile;
use crate::support::postgres::is_root;
use crate::support::site::{Site, output, start};
use crate::support::skipped;
use crate::support::wait::wait_until;

/// The system calls of a run, a takeover or a verb that are younger than Linux 4.18, or that profiles are known to refuse.
const CALLS: [(&str, i64); 9] = [
    ("close_range", libc::SYS_close_range),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("clone3", libc::SYS_clone3),
    ("faccessat2", libc::SYS_faccessat2),
    ("statx", libc::SYS_statx),
    ("rseq", libc::SYS_rseq),
    ("getrandom", libc::SYS_getrandom),
    ("memfd_create", libc::SYS_memfd_create),
];

/// The C library asks for a thread by clone3, and takes clone only after ENOSYS. With EPERM no program has threads.
const NO_THREADS: (&str, i32) = ("clone3", libc::EPERM);
/// Without it no keeper gets its configuration, which must not reach a disk: the supervisor delivers at the end.
const NO_KEEPER: &str = "memfd_create";

/// One refused call, in a site of its own.
struct Refusal {
    site: Site,
    refuse: String,
    call: i64,
    errno: i32,
}

impl Refusal {
    /// `runwrap ARGUMENTS`, with descriptors that the user has opened.
    fn runwrap(&self, arguments: &[&str]) -> Command {
        let mut command = self.site.program("bash");
        let script = "exec 7>held 9<held 60<held; exec \"$@\"";
        command.args(["-c", script, "bash", &self.refuse, &self.call.to_string(), &self.errno.to_string()]);
        command.arg(env!("CARGO_BIN_EXE_runwrap")).args(arguments);
        command
    }

    /// The keeper has none of the descriptors that the user has opened.
    fn check_keeper(&self, context: &str) {
        let keeper = self.site.keeper_after(None);
        for entry in std::fs::read_dir(format!("/proc/{keeper}/fd")).unwrap() {
            let target = std::fs::read_link(entry.unwrap().path()).unwrap_or_default();
            assert!(!target.ends_with("held"), "{context}: {}", target.display());
        }
    }

    fn check_run(&self, context: &str) {
        let words = ["--start-timeout", "2s", "--", "sh", "-c", "echo out; exit 3"];
        let ran = output(&mut self.runwrap(&words));
        let messages = String::from_utf8(ran.stderr).unwrap();
        assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(3), &b"out\n"[..]), "{context}: {messages}");
        self.site.quiet();
        let record = self.site.record();
        assert_eq!((&record["reason"], &record["exit_code"]), (&json!("exit"), &json!(3)), "{context}");
        let log = self.site.log();
        assert!(!log.contains("event=no_witness"), "{context}: {log}");
        let silent = messages.is_empty() || context.starts_with(NO_KEEPER);
        assert!(silent, "{context}: {messages}");
    }

    fn check_takeover(&self, context: &str) {
        let script = "setsid sleep 61 > /dev/null 2>&1 & echo ready; sleep 62";
        let mut running = start(self.runwrap(&["--", "sh", "-c", script]).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        self.check_keeper(context);
        running.signal("KILL");
        wait_until("the end of the second run", || self.site.records()[0]["status"] == "failed");
        assert_eq!(self.site.records()[0]["reason"], "supervisor_killed", "{context}");
        self.site.quiet();
    }

    fn check_verbs(&self, context: &str) {
        for verb in [&["list", "--json"][..], &["recover"], &["check"], &["show", "1"], &["migrate"]] {
            let shown = output(&mut self.runwrap(verb));
            assert!(shown.status.success(), "{context} {verb:?}: {shown:?}");
        }
    }
}

/// Runs each refusal, with ENOSYS and with EPERM.
fn each(calls: &[(&'static str, i64)], errnos: &[i32], check: impl Fn(&Refusal, &str, i32)) {
    let (_kept, refuse) = compile("run/refuse.c", &[]);
    for (name, call) in calls {
        for errno in errnos {
            let refusal = Refusal { site: Site::sqlite(), refuse: refuse.clone(), call: *call, errno: *errno };
            check(&refusal, name, *errno);
        }
    }
}

/// The keeper kept the user's descriptors without close_range, the exit status was 125 without pidfd_send_signal, and no witness
/// ran without either.
// Holds: failures/kernel-refuses
#[test]
fn refused_system_call_changes_no_run_and_no_verb() {
    each(&CALLS, &[libc::ENOSYS, libc::EPERM], |refusal, name, errno| {
        if (name, errno) == NO_THREADS {
            return;
        }
        let context = format!("{name} {errno}");
        refusal.check_run(&context);
        if name != NO_KEEPER {
            refusal.check_takeover(&context);
        }
        refusal.check_verbs(&context);
    });
}

/// The journal waits for a runwrap that may start a thread.
// Holds: failures/kernel-refuses-threads
#[test]
fn run_without_threads_is_recorded_later() {
    let of_threads = [("clone3", libc::SYS_clone3)];
    each(&of_threads, &[libc::EPERM], |refusal, _, _| {
        let words = ["--start-timeout", "100ms", "--finish-timeout", "100ms", "--linger", "1s", "--", "sh", "-c"];
        let ran = output(&mut refusal.runwrap(&[&words[..], &["echo out; exit 3"]].concat()));
        assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(3), &b"out\n"[..]));
        refusal.site.quiet();
        assert!(output(&mut refusal.site.runwrap(&["recover"])).status.success());
        assert_eq!(refusal.site.record()["exit_code"], 3);
    });
}

/// `recover` could not list the journals.
// Holds: failures/no-proc
#[test]
fn system_without_proc_records_and_recovers() {
    if !is_root() {
        return skipped("only root can hide /proc");
    }
    let site = Site::sqlite();
    let hidden_runwrap = |arguments: &[&str]| {
        let mut command = site.program("unshare");
        command.args(["-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]);
        command.arg(env!("CARGO_BIN_EXE_runwrap")).args(arguments);
        command
    };
    let hidden = |arguments: &[&str]| output(&mut hidden_runwrap(arguments));
    let ran = hidden(&["--", "sh", "-c", "echo out; exit 3"]);
    assert_eq!((ran.status.code(), &ran.stdout[..], &ran.stderr[..]), (Some(3), &b"out\n"[..], &b""[..]));
    site.quiet();
    assert_eq!(site.record()["exit_code"], 3);
    assert!(!site.log().contains("event=no_keeper"), "{}", site.log());
    let mut running = start(hidden_runwrap(&["--", "sh", "-c", "echo ready; exec sleep 62"]).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running.signal("KILL");
    wait_until("the end of the second run", || site.records()[0]["status"] == "failed");
    let message = site.records()[0]["error_message"].to_string();
    assert!(message.contains("could not be listed"), "{message}");
    site.quiet();
    // A journal with an end, which no keeper has delivered.
    let late = "--database-url=sqlite:none/runs.db";
    let words = [
        "--start-timeout=100ms",
        "--finish-timeout=100ms",
        "--linger=0s",
        "--",
        "sh",
        "-c",
        "mkdir -p \"${RUNWRAP_REPORT%/*}/deep/er\"; exit 4",
    ];
    std::fs::write(site.path().join("none"), "in the way of the database").unwrap();
    assert_eq!(hidden(&[&[late], &words[..]].concat()).status.code(), Some(4));
    site.quiet();
    std::fs::remove_file(site.path().join("none")).unwrap();
    assert_eq!(site.run_directories().len(), 1);
    std::fs::create_dir(site.path().join("none")).unwrap();
    let recovered = hidden(&[late, "recover", "--json"]);
    assert!(recovered.status.success(), "{recovered:?}");
    let repairs: Value = serde_json::from_slice(&recovered.stdout).unwrap();
    assert_eq!(repairs[0]["after"]["exit_code"], 4, "{repairs}");
    assert!(site.run_directories().is_empty());
}
