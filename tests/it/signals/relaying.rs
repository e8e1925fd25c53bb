//! Relaying of signals: the journal entry before it, the continuation of a stopped trainer, signals before the trainer and
//! between its fork and its exec, deadlines, and the fatal signal that ends runwrap.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::probe::{Conversation, Counts, Subject, count, program};
use super::witness::witness_of;
use crate::support::building::compile;
use crate::support::procfs;
use crate::support::site::{Site, kill, output, shell_status, start};
use crate::support::wait::wait_until;

/// Waits until a child of `pid` is stopped, and returns it.
#[track_caller]
fn stopped_child(pid: i32) -> i32 {
    let mut found = None;
    wait_until("a stopped child", || {
        found = procfs::children(pid).into_iter().find(|child| procfs::state(*child) == Some('T'));
        found.is_some()
    });
    found.unwrap()
}

/// While the password database did not answer, SIGINT and SIGTERM stayed pending.
// Holds: signals/before-description
#[test]
fn signal_ends_the_wait_for_the_password_database() {
    let (_kept, library) = compile("signals/account", &["-shared", "-fPIC"]);
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        let site = Site::sqlite();
        let mut command = site.runwrap(&["--", "touch", "proof"]);
        let mut talk = Conversation::start(command.env("LD_PRELOAD", &library));
        assert_eq!(talk.recv(), "asked");
        kill(talk.pid(), signal);
        assert_eq!(talk.end().signal(), Some(number));
        site.quiet();
        assert!(!site.path().join("proof").exists());
        assert!(site.records().is_empty());
    }
}

/// The wall clock was read before this wait and the boot clock after it, so every time of the record was too early.
#[test]
fn slow_password_database_does_not_backdate_the_record() {
    let (_kept, library) = compile("signals/account", &["-shared", "-fPIC"]);
    let site = Site::sqlite();
    let mut command = site.runwrap(&["--", "env", "-u", "LD_PRELOAD", "true"]);
    let mut talk = Conversation::start(command.env("LD_PRELOAD", &library));
    assert_eq!(talk.recv(), "asked");
    let asked_at = Utc::now();
    wait_until("a time that is longer than all else takes", || Utc::now() > asked_at + TimeDelta::milliseconds(500));
    let answered_at = Utc::now();
    talk.send("");
    assert!(talk.end().success());
    let started_at = site.record()["train_start_time"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert!(started_at >= answered_at, "{started_at} {answered_at}");
}

/// Sent to runwrap alone or to its group.
// Holds: signals/before-fork-other
#[test]
fn signal_before_the_trainer_starts_arrives_once() {
    let site = Site::sqlite();
    for target in ["", "-"] {
        // Blocked, so that the probe also receives a signal that comes before it is ready.
        let mut command = site.program("env");
        command.args(["--block-signal=USR1", env!("CARGO_BIN_EXE_runwrap"), "--", program()]).process_group(0);
        let talk = Conversation::start(command.env("RUNWRAP_FAILPOINTS", "before-spawn=stop"));
        let pid = talk.pid();
        wait_until("the supervisor stops", || procfs::state(pid) == Some('T'));
        Conversation::sender().ask(&format!("kill {target}{pid} 10"));
        kill(pid, "CONT");
        let mut subject = Subject::of(talk, true);
        let mut received = count(&subject.rest());
        // The SIGCONT that continued the supervisor may arrive as well.
        received.remove(&18);
        assert_eq!(received, Counts::from([(10, 1)]), "target {target:?}");
    }
}

/// A signal to the group arrived twice if the supervisor had not yet noticed the fork: it counted as older than the trainer.
// Holds: signals/after-fork
#[test]
fn group_signal_right_after_the_fork_arrives_once() {
    let site = Site::sqlite();
    let mut command = site.program("env");
    command.args([env!("CARGO_BIN_EXE_runwrap"), "--", program()]).process_group(0);
    let mut subject = Subject::of(Conversation::start(command.env("RUNWRAP_FAILPOINTS", "forked=stop")), true);
    wait_until("the supervisor stops", || procfs::state(subject.pid) == Some('T'));
    Conversation::sender().ask(&format!("kill -{} 10", subject.group));
    subject.receives(10);
    kill(subject.pid, "CONT");
    let mut received = count(&subject.rest());
    // The SIGCONT was sent to the supervisor alone.
    received.remove(&18);
    assert_eq!(received, Counts::new());
}

// Holds: signals/before-exec
#[test]
fn signal_between_fork_and_exec_acts_as_on_a_bare_command() {
    for (target, name) in [("", "TERM"), ("-", "TERM"), ("", "KILL"), ("-", "INT")] {
        let site = Site::sqlite();
        let mut command = site.shell(&[], "exit 0");
        let mut running = start(command.process_group(0).env("RUNWRAP_FAILPOINTS", "before-exec=stop"));
        let trainer = stopped_child(running.pid());
        let number = json!(format!("SIG{name}"));
        if name == "KILL" {
            kill(trainer, name);
        } else {
            Conversation::sender().ask(&format!(
                "kill {target}{} {}",
                running.pid(),
                if name == "INT" { 2 } else { 15 }
            ));
        }
        assert_eq!(running.end().code(), None, "{target}{name}");
        let record = site.record();
        let reason = if name == "KILL" { "signal" } else { "cancelled" };
        assert_eq!((&record["reason"], &record["signal"]), (&json!(reason), &number), "{target}{name}");
        site.quiet();
    }
}

// Holds: signals/stop-stopped-trainer, signals/stop-signal
#[test]
fn stopped_trainer_is_continued_to_receive_a_stop_request() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    kill(subject.probe, "STOP");
    wait_until("the supervisor knows", || site.log().contains("change=SIGSTOP"));
    Conversation::sender().ask(&format!("kill {} 15", subject.pid));
    assert_eq!(count(&subject.rest()), Counts::from([(15, 1), (18, 1)]));
}

/// Under load the supervisor took the stop request before the SIGCHLD of the stopped trainer, and sent no SIGCONT. Here the
/// supervisor is stopped as well and finds both pending.
#[test]
fn stop_request_beside_sigchld_continues_stopped_trainer() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    for pid in [subject.pid, subject.probe] {
        kill(pid, "STOP");
        wait_until("it is stopped", || procfs::state(pid) == Some('T'));
    }
    let mut sender = Conversation::sender();
    sender.ask(&format!("kill {} 15", subject.pid));
    // SIGCONT to the witness as well, as if sent to the group: one to the supervisor alone would be relayed.
    for pid in [witness_of(subject.pid), subject.pid] {
        sender.ask(&format!("kill {pid} 18"));
    }
    assert_eq!(count(&subject.rest()), Counts::from([(15, 1), (18, 1)]));
}

// Holds: signals/stop-to-runwrap
#[test]
fn stop_request_is_journaled_before_it_is_relayed() {
    let site = Site::sqlite();
    let mut launcher = site.program("env");
    launcher.process_group(0).env("RUNWRAP_FAILPOINTS", "written=stop");
    let subject = Subject::start(launcher, true);
    let mut sender = Conversation::sender();
    sender.ask(&format!("kill {} 15", subject.pid));
    wait_until("the supervisor stops after it has written", || procfs::state(subject.pid) == Some('T'));
    let [run] = &site.run_directories()[..] else { panic!("one run") };
    let journal = std::fs::read_to_string(run.join("journal-1.jsonl")).unwrap();
    assert!(journal.lines().last().unwrap().contains("stop_requested"), "{journal}");
    // If the stop request had been relayed already, it would arrive first.
    sender.ask(&format!("kill {} 10", subject.probe));
    subject.receives(10);
    kill(subject.pid, "CONT");
    subject.receives(15);
}

// Holds: signals/stop-kill-after
#[test]
fn sigkill_follows_a_relayed_stop_only_with_kill_after() {
    let site = Site::sqlite();
    let script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = start(site.shell(&["--kill-after", "200ms"], script).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running.signal("TERM");
    assert_eq!(running.end().signal(), Some(9));
    assert_eq!(site.records()[0]["reason"], json!("cancelled"));
    // Otherwise the trainer is asked again and again, and is not killed however long it takes.
    let mut running = start(site.shell(&[], script).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        running.signal("TERM");
        assert_eq!(running.line(), "asked");
    }
    running.signal("KILL");
}

// Holds: signals/deadlines-stand-still
#[test]
fn deadlines_pause_while_the_job_is_stopped() {
    let site = Site::sqlite();
    let mut command = site.shell(&["--timeout", "2s"], "echo ready; read -r line; exit 7");
    let mut running = start(command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let began = Instant::now();
    let mut sender = Conversation::sender();
    sender.ask(&format!("kill -{} 20", running.pid()));
    wait_until("the whole job is stopped", || procfs::state(running.pid()) == Some('T'));
    wait_until("the deadline passes", || began.elapsed() > Duration::from_millis(2500));
    sender.ask(&format!("kill -{} 18", running.pid()));
    running.close_stdin();
    assert_eq!(running.end().code(), Some(7));
    assert_eq!(site.record()["reason"], json!("exit"));
}

#[test]
fn every_fatal_signal_is_mirrored_without_a_second_core() {
    let site = Site::sqlite();
    let survived = [17, 18, 19, 20, 21, 22, 23, 28, 32, 33];
    let numbers: Vec<i32> = (1..=64).filter(|number| !survived.contains(number)).collect();
    // Ten runs at a time.
    for some in numbers.chunks(10) {
        let runs = some.iter().map(|number| {
            let script = format!("ulimit -c 0; kill -{number} $$");
            let command = format!("ulimit -c unlimited; exec {} -- sh -c '{script}'", env!("CARGO_BIN_EXE_runwrap"));
            (*number, start(site.program("sh").args(["-c", &command])))
        });
        for (number, mut running) in runs.collect::<Vec<_>>() {
            let status = running.end();
            assert_eq!((status.signal(), status.core_dumped()), (Some(number), false), "{number}");
        }
    }
    assert_eq!(site.records().len(), numbers.len());
    let names = std::fs::read_dir(site.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_str().unwrap().starts_with("core")));
}

/// runwrap hung if its parent left SIGCHLD ignored: the kernel then reaps children itself and reports no end.
// Holds: signals/ignored-child-before, failures/start-signals
#[test]
fn inherited_ignored_sigchld_hides_no_end() {
    let site = Site::sqlite();
    for (script, status) in [("exit 7", 7), ("kill -TERM $$", 143)] {
        let mut command = site.program("env");
        command.args(["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_runwrap"), "--", "sh", "-c", script]);
        assert_eq!(shell_status(start(&mut command).end()), status, "{script}");
    }
    assert_eq!(site.records().len(), 2);
    site.quiet();
}

/// A SIGHUP that nohup ignores counted as a request to stop.
// Holds: signals/ignored-before, failures/start-signals
#[test]
fn inherited_ignored_stop_is_relayed_and_requests_no_stop() {
    let site = Site::sqlite();
    // A trainer that leaves the signal ignored is not killed, however often the signal comes.
    for name in ["HUP", "TERM"] {
        let mut command = site.program("env");
        command.args([&format!("--ignore-signal={name}"), env!("CARGO_BIN_EXE_runwrap"), "--kill-after", "1ms", "--"]);
        command.args(["sh", "-c", "echo ready; read -r line; exit 5"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = start(&mut command);
        assert_eq!(running.line(), "ready");
        // The second signal comes long after a kill would have followed the first.
        for times in 1..=2 {
            running.signal(name);
            let received = || site.log().matches(&format!("name=SIG{name}")).count();
            wait_until("the supervisor has received it", || received() == times);
        }
        running.close_stdin();
        assert_eq!(running.end().code(), Some(5), "{name}");
        let record = &site.records()[0];
        assert_eq!((&record["reason"], &record["stop_signal"]), (&json!("exit"), &json!(null)), "{name}");
    }
    // A trainer that installs a handler receives the signal.
    let mut command = site.program("env");
    command.args(["--ignore-signal=HUP", env!("CARGO_BIN_EXE_runwrap"), "--", program()]).process_group(0);
    let mut subject = Subject::of(Conversation::start(&mut command), true);
    let mut sender = Conversation::sender();
    for target in ["", "-"] {
        sender.ask(&format!("kill {target}{} 1", subject.pid));
        subject.receives(1);
    }
    assert_eq!(subject.rest(), Vec::<String>::new());
}

/// A trainer that unblocks the signal later receives what was sent meanwhile, also before the trainer started.
// Holds: signals/blocked-before, failures/start-signals
#[test]
fn inherited_blocked_stop_stays_pending_for_the_trainer() {
    // The probe unblocks the signal and receives all that was pending.
    for (failpoint, wrapped) in [("before-spawn=stop", true), ("before-exec=stop", true), ("", false)] {
        let site = Site::sqlite();
        let mut command = site.program("env");
        command.args(["--block-signal=TERM"]).process_group(0).env("RUNWRAP_FAILPOINTS", failpoint);
        // Bare or wrapped, the signal comes before the probe has started.
        let script = if wrapped { "exec \"$@\"" } else { "kill -STOP $$; exec \"$@\"" };
        command.args(["sh", "-c", script, "sh"]);
        if wrapped {
            command.args([env!("CARGO_BIN_EXE_runwrap"), "--"]);
        }
        let talk = Conversation::start(command.arg(program()));
        let pid = talk.pid();
        let stopped = if failpoint == "before-exec=stop" { stopped_child(pid) } else { pid };
        wait_until("it stops", || procfs::state(stopped) == Some('T'));
        Conversation::sender().ask(&format!("kill {pid} 15"));
        if stopped != pid {
            wait_until("the supervisor has received it", || site.log().contains("name=SIGTERM"));
        }
        kill(stopped, "CONT");
        let mut subject = Subject::of(talk, wrapped);
        let mut received = count(&subject.rest());
        // The SIGCONT that continued it.
        received.remove(&18);
        assert_eq!(received, Counts::from([(15, 1)]), "{failpoint}");
        assert_eq!(subject.talk.end().code(), Some(0), "{failpoint}");
        if wrapped {
            assert_eq!(site.record()["stop_signal"], json!("SIGTERM"), "{failpoint}");
        }
    }
}

/// The kernel raises SIGPIPE and SIGXFSZ for the supervisor's own writes.
// Holds: signals/pipe-own
#[test]
fn sigpipe_of_runwrap_s_own_messages_is_not_relayed() {
    let site = Site::sqlite();
    // runwrap warns of the bad state directory on the closed pipe; the trainer writes nothing there.
    std::fs::write(site.path().join("file"), "").unwrap();
    let script = format!(
        "{} -v --state-dir file/below -- sh -c 'exec 2>&-; sleep 0.3; exit 5'; echo $? >&3",
        env!("CARGO_BIN_EXE_runwrap")
    );
    let pipeline = format!("exec 3>&1; {{ {script}; }} 2>&1 >/dev/null | :");
    let output = output(site.program("sh").args(["-c", &pipeline]));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "5\n");
}

/// The kernel does not send the signal to such a trainer, so runwrap relays it.
// Holds: signals/left-group
#[test]
fn group_signal_reaches_a_trainer_that_left_the_group() {
    let site = Site::sqlite();
    let mut command = site.runwrap(&["--", "setsid", program()]);
    let talk = Conversation::start(command.process_group(0));
    let mut subject = Subject::of(talk, true);
    assert_ne!(subject.group, subject.pid);
    let mut sender = Conversation::sender();
    for number in [2, 10, 40] {
        sender.ask(&format!("kill -{} {number}", subject.pid));
        subject.receives(number);
    }
    assert_eq!(subject.rest(), Vec::<String>::new());
}

/// `alarm` and then an exec: the classic timeout of a Perl one-liner.
// Holds: signals/alarm
#[test]
fn inherited_alarm_reaches_the_trainer() {
    let site = Site::sqlite();
    let script =
        "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 0.5); os.execv(sys.argv[1], sys.argv[1:])";
    for command in [&[env!("CARGO_BIN_EXE_runwrap"), "--", "sleep", "60"][..], &["/bin/sleep", "60"]] {
        let mut python = Command::new("python3");
        python.args(["-c", script]).args(command).env("HOME", site.path()).env("RUNWRAP_DATABASE_URL", site.url());
        assert_eq!(start(&mut python).end().signal(), Some(14), "{command:?}");
    }
    assert_eq!(site.record()["signal"], json!("SIGALRM"));
}
