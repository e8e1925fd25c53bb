//! Faults at the system calls of the release binary: SIGKILL at its Nth call of a kind, or an error from its Nth write, for
//! the first to the last N. The release binary has no failpoints. Needs strace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::support::procfs;
use crate::support::release::release_binary;
use crate::support::site::{Site, kill, output, start};
use crate::support::wait::wait_until;

/// System calls with an effect outside of the calling process.
const EFFECTS: [&str; 14] = [
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "renameat",
    "unlink",
    "unlinkat",
    "mkdirat",
    "ftruncate",
    "sendto",
    "clone",
    "clone3",
    "memfd_create",
    "exit_group",
];
/// System calls that fail on a failing disk.
const WRITES: [&str; 4] = ["write", "pwrite64", "fsync", "fdatasync"];
/// The tried places of one call, always with the first and the last.
const PLACES_MAX: usize = 10;
/// Creates the file `ran` and exits with 3. It makes none of the calls above, so the fault hits runwrap's own processes only.
const SCRIPT: &str = ": > ran; exit 3";

/// The processes that the fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    Supervisor,
    /// strace counts per thread: a keeper that replaces a killed one is killed again.
    AllProcesses,
}

impl Hit {
    const fn strace_options(self) -> &'static [&'static str] {
        match self {
            Self::Supervisor => &[],
            Self::AllProcesses => &["-f"],
        }
    }
}

/// `runwrap -- sh -c SCRIPT`, the release binary, under strace, which writes the file `trace`.
fn traced(site: &Site, hit: Hit, call: &str, injection: Option<&str>, script: &str) -> Command {
    let plain = site.shell(&["--name", "hit", "--start-timeout", "200ms", "--finish-timeout", "200ms"], script);
    let mut strace = Command::new("strace");
    strace.args(hit.strace_options()).arg("-o").arg(trace_path(site)).arg(format!("--trace={call}"));
    strace.args(injection.map(|injection| format!("--inject={call}:{injection}")));
    strace.arg("--").arg(release_binary()).args(plain.get_args()).current_dir(site.path()).stdin(Stdio::null());
    strace.env_clear().envs(plain.get_envs().filter_map(|(key, value)| value.map(|value| (key, value))));
    strace
}

fn trace_path(site: &Site) -> PathBuf {
    site.path().join("trace")
}

fn trace(site: &Site) -> String {
    fs::read_to_string(trace_path(site)).unwrap_or_default()
}

/// The most calls of `call` by one thread of an undisturbed run.
fn calls_max(hit: Hit, call: &str) -> usize {
    let site = Site::sqlite();
    assert_eq!(output(&mut traced(&site, hit, call, None, SCRIPT)).status.code(), Some(3));
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for line in trace(&site).lines().filter(|line| line.contains(&format!("{call}("))) {
        let thread = if hit == Hit::AllProcesses { line.split(' ').next().unwrap_or_default() } else { "" };
        *calls.entry(thread.to_owned()).or_default() += 1;
    }
    calls.into_values().max().unwrap_or(0)
}

/// From 1 to `last`, at most `PLACES_MAX` of them, evenly.
fn places(last: usize) -> Vec<usize> {
    let count = last.min(PLACES_MAX);
    (0..count).map(|index| 1 + index * (last - 1) / (count - 1).max(1)).collect()
}

#[test]
fn places_are_spread_from_first_to_last() {
    assert_eq!(places(0), Vec::<usize>::new());
    assert_eq!(places(1), [1]);
    assert_eq!(places(3), [1, 2, 3]);
    let some = places(47);
    assert_eq!((some.len(), some[0], some[PLACES_MAX - 1]), (PLACES_MAX, 1, 47));
}

/// Every place of every call, each call in a thread of its own.
fn sweep(hit: Hit, calls: &[&'static str], check: impl Fn(&'static str, usize) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        for call in calls {
            let cell = thread::Builder::new().name(format!("{hit:?} {call}"));
            let sweeping = move || places(calls_max(hit, call)).into_iter().for_each(|place| check(call, place));
            let _joined_by_the_scope = cell.spawn_scoped(scope, sweeping).unwrap();
        }
    });
}

/// Waits for the supervisor's end, then kills the processes that still deliver, and waits for their locks.
fn run_hit(command: &mut Command, site: &Site) -> (Option<i32>, String) {
    let mut strace = start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut supervisor = None;
    wait_until("the supervisor has ended", || {
        // strace starts other children first, to probe the kernel.
        let is_ours = |pid: &i32| procfs::name(*pid).is_some_and(|name| name == "runwrap");
        supervisor = supervisor.or_else(|| procfs::children(strace.pid()).into_iter().find(is_ours));
        matches!(procfs::state(strace.pid()), None | Some('Z'))
            || supervisor.is_some_and(|pid| matches!(procfs::state(pid), None | Some('Z')))
    });
    wait_until("every other process has ended", || {
        let others: Vec<i32> =
            site.processes().iter().map(|process| process.pid).filter(|pid| *pid != strace.pid()).collect();
        for pid in &others {
            kill(*pid, "KILL");
        }
        // strace ends after its last tracee, whose environment is unreadable during an exec.
        others.is_empty() && matches!(procfs::state(strace.pid()), None | Some('Z'))
    });
    let status = strace.end();
    site.quiet();
    (status.code(), strace.line())
}

/// Ages the hidden directories, of runs that never began: a run removes only old ones.
fn make_remains_old(site: &Site) {
    let script = "for path in \"$1\"/.*-*; do ! [ -e \"$path\" ] || touch -d '1 hour ago' \"$path\"; done";
    let mut aging = Command::new("sh");
    aging.args(["-c", script, "sh"]).arg(site.state_dir().join("runs"));
    assert!(aging.status().unwrap().success());
}

/// Lets a later run deliver the backlog. Then the hit run has at most one record, and no directory is left.
fn reason_after_a_later_run(site: &Site) -> Option<String> {
    make_remains_old(site);
    assert!(site.run(&["--name", "later"], "true").status.success());
    wait_until("the later run has removed all directories", || site.run_directories().is_empty());
    site.quiet();
    let records = site.records();
    let hit: Vec<_> = records.iter().filter(|record| record["name"] == "hit").collect();
    assert!(hit.len() <= 1 && records.len() == hit.len() + 1, "{records:?}");
    hit.first().map(|record| {
        assert_eq!(record["status"], "failed", "{record:?}");
        assert_eq!(record["reason"] == "exit", record["exit_code"] == 3, "{record:?}");
        record["reason"].as_str().unwrap().to_owned()
    })
}

fn check_killed(hit: Hit, call: &'static str, place: usize) {
    let site = Site::sqlite();
    let (code, _) = run_hit(&mut traced(&site, hit, call, Some(&format!("signal=KILL:when={place}")), SCRIPT), &site);
    assert!(place > 1 || trace(&site).contains("killed by SIGKILL"), "no process was hit: {}", trace(&site));
    let ran = site.path().join("ran").exists();
    let published = |path: &PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with('.');
    let begun = ran || site.run_directories().iter().any(published);
    let reason = reason_after_a_later_run(&site);
    let context = format!("{call} {place}: exit code {code:?}, ran: {ran}");
    match reason.as_deref() {
        None => assert!(!begun, "{context}: lost"),
        Some("exit") => assert!(ran, "{context}"),
        // The trainer's own exit was hit.
        Some("signal") => assert_eq!((hit, call), (Hit::AllProcesses, "exit_group"), "{context}"),
        Some(reason) => assert!(["supervisor_killed", "lost"].contains(&reason), "{context}: {reason}"),
    }
    assert!(code != Some(3) || reason.as_deref() == Some("exit"), "{context}: {reason:?}");
}

// Holds: failures/kill-syscall
#[test]
fn sigkill_at_any_supervisor_call_leaves_one_true_record() {
    sweep(Hit::Supervisor, &EFFECTS, |call, place| check_killed(Hit::Supervisor, call, place));
}

// Holds: failures/kill-syscall
#[test]
fn sigkill_at_any_call_of_any_process_leaves_one_true_record() {
    sweep(Hit::AllProcesses, &EFFECTS, |call, place| check_killed(Hit::AllProcesses, call, place));
}

/// An I/O error at odd places, a full disk at even ones.
fn check_error(hit: Hit, call: &'static str, place: usize, script: &str, printed: &str) {
    let error = if place % 2 == 1 { "EIO" } else { "ENOSPC" };
    let site = Site::sqlite();
    let injection = format!("error={error}:when={place}");
    let (code, line) = run_hit(&mut traced(&site, hit, call, Some(&injection), script), &site);
    assert!(place > 1 || trace(&site).contains("(INJECTED)"), "no process was hit: {}", trace(&site));
    assert_eq!((code, line.as_str()), (Some(3), printed), "{call} {place} {error}");
    // Each new thread is hit again at its own Nth call: the keeper may never succeed, and `run_hit` kills it at the end. A journal
    // in memory is lost with it.
    let in_memory = hit == Hit::AllProcesses && site.log().contains("event=no_journal");
    let reason = reason_after_a_later_run(&site);
    assert!(reason.as_deref() == Some("exit") || (in_memory && reason.is_none()), "{call} {place} {error}: {reason:?}");
}

// Holds: failures/error-syscall
#[test]
fn error_at_any_supervisor_write_spares_trainer_and_record() {
    let script = "echo out; : > ran; exit 3";
    sweep(Hit::Supervisor, &WRITES, |call, place| check_error(Hit::Supervisor, call, place, script, "out"));
}

// Holds: failures/error-syscall
#[test]
fn error_at_any_write_of_any_process_spares_trainer_and_record() {
    sweep(Hit::AllProcesses, &WRITES, |call, place| check_error(Hit::AllProcesses, call, place, SCRIPT, ""));
}

/// The first call writes the keeper's configuration, the second `begin` to the journal. The move to a second file was once
/// reported as a lost journal.
// Holds: failures/journal-disk-error
#[test]
fn journal_moves_to_a_second_file_without_a_warning() {
    let site = Site::sqlite();
    let script = "ls \"${RUNWRAP_REPORT%/*}\" >&2; : > ran; exit 3";
    let mut command = traced(&site, Hit::Supervisor, "pwrite64", Some("error=EIO:when=2"), script);
    let output = output(&mut command);
    assert!(trace(&site).contains("(INJECTED)"), "{}", trace(&site));
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("journal-1.jsonl\njournal-2.jsonl\nlock\nreport.jsonl\n"), "{stderr}");
    // A warning about the database is possible: strace slows a busy machine down.
    assert!(!stderr.contains("cannot keep the journal"), "{stderr}");
    assert_eq!(reason_after_a_later_run(&site).as_deref(), Some("exit"));
}

/// CIFS, vboxsf and some FUSE file systems refuse to sync a directory: the journal went into memory, with a warning.
// Holds: failures/directory-sync-refused
#[test]
fn directory_that_cannot_be_synced_is_used_without() {
    // SQLite would sync directories of its own.
    let site = Site::postgres();
    let script = "ls \"${RUNWRAP_REPORT%/*}\" >&2; : > ran; exit 3";
    let output = output(&mut traced(&site, Hit::AllProcesses, "fsync", Some("error=EINVAL"), script));
    assert!(trace(&site).contains("(INJECTED)"), "{}", trace(&site));
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("journal-1.jsonl\nlock\nreport.jsonl\n"), "{stderr}");
    assert!(!stderr.contains("cannot keep"), "{stderr}");
    assert_eq!(reason_after_a_later_run(&site).as_deref(), Some("exit"));
}

#[test]
fn release_binary_has_no_failpoints() {
    let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let (release, own) = (text(release_binary()), text(Path::new(env!("CARGO_BIN_EXE_runwrap"))));
    assert!(own.contains("RUNWRAP_FAILPOINTS"), "the search does not work");
    for name in ["RUNWRAP_FAILPOINTS", "failpoint", "journal-begun", "before-spawn", "before-exec", "journal-sync"] {
        assert!(!release.contains(name), "{name}");
    }
}

/// Supervisor and keeper each load a library, which takes half as long as an fsync. One function of libm was once loaded so.
#[test]
fn release_binary_links_only_the_c_library() {
    let output = Command::new("ldd").arg(release_binary()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(|name| name.rsplit('/').next().unwrap());
    let others =
        names.filter(|name| !["linux-vdso.so", "libc.so", "ld-linux"].iter().any(|known| name.starts_with(known)));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{text}");
}
