//! A terminal and an interactive shell: the same scene must look the same bare and under runwrap.

use std::fmt::Debug;
use std::net::TcpListener;

use serde_json::json;

use super::probe::{Conversation, Counts, LAST, count, program};
use crate::support::procfs;
use crate::support::site::Site;
use crate::support::terminal::{INTERRUPT, PROMPT, QUIT, SUSPEND, Terminal};
use crate::support::wait::wait_until;

/// Plays `scene` bare and under runwrap, asserts that both results are equal, and returns it.
#[track_caller]
pub(super) fn play<T: Debug + PartialEq>(scene: impl Fn(&mut Terminal) -> T) -> T {
    let site = Site::sqlite();
    let bare = scene(&mut Terminal::bash(&site, None));
    let wrapped = scene(&mut Terminal::bash(&site, Some("")));
    assert_eq!(wrapped, bare, "under runwrap and bare");
    bare
}

/// The status of the last command of the shell.
#[track_caller]
pub(super) fn status(terminal: &mut Terminal) -> String {
    terminal.answer("echo $?").trim().to_owned()
}

/// Waits until the only job of the shell is stopped: the process that the shell waits for.
#[track_caller]
fn stopped_job(terminal: &Terminal) {
    wait_until("the job is stopped", || {
        procfs::children(terminal.leader()).first().is_some_and(|job| procfs::state(*job) == Some('T'))
    });
}

// Holds: signals/stop-typed, signals/winch
#[test]
fn typed_signals_and_sigwinch_reach_the_trainer_once() {
    let received = play(|terminal| {
        terminal.enter(&format!("$W {}", program()));
        terminal.sees("ready ");
        let numbers = terminal.sees("\n");
        let probe = numbers.split(' ').next().unwrap().to_owned();
        let mut received = String::new();
        for (number, cause) in [(2, INTERRUPT), (3, QUIT), (20, SUSPEND), (28, ""), (2, INTERRUPT), (28, "")] {
            match cause {
                "" => terminal.resize(if received.contains("28 -") { 100 } else { 90 }),
                keys => terminal.press(keys),
            }
            received += &(terminal.sees(&format!("{number} -\n")) + &number.to_string() + " -\n");
        }
        Conversation::sender().ask(&format!("kill {probe} {LAST}"));
        received + &terminal.prompt()
    });
    assert_eq!(received, "2 -\n3 -\n20 -\n28 -\n2 -\n28 -\n64 -\n");
}

// Holds: signals/stop-typed
#[test]
fn ctrl_c_and_ctrl_backslash_end_the_job_by_their_signals() {
    let statuses = play(|terminal| {
        terminal.answer("ulimit -c 0");
        [INTERRUPT, QUIT].map(|keys| {
            terminal.enter("$W sh -c 'echo on; exec sleep 60'");
            terminal.sees("on\n");
            terminal.press(keys);
            (terminal.prompt(), status(terminal))
        })
    });
    assert_eq!(statuses.map(|(_, status)| status), ["130", "131"]);
}

// Holds: signals/suspend-typed
#[test]
fn ctrl_z_stops_the_job_and_fg_and_bg_resume_it() {
    let seen = play(|terminal| {
        let mut seen = Vec::new();
        terminal.enter("$W cat");
        for word in ["first", "second", "third"] {
            terminal.enter(word);
            terminal.sees(&format!("{word}\n"));
            terminal.press(SUSPEND);
            seen.extend([terminal.prompt(), status(terminal)]);
            terminal.enter("fg");
            terminal.sees("$W cat\n");
        }
        terminal.enter("still there");
        terminal.sees("still there\n");
        terminal.press(INTERRUPT);
        seen.extend([terminal.prompt(), status(terminal)]);
        // In the background the job also goes on, until it is killed.
        terminal.enter("$W sh -c 'echo on; exec sleep 60'");
        terminal.sees("on\n");
        terminal.press(SUSPEND);
        terminal.prompt();
        seen.extend(["bg", "jobs", "kill %1; wait %1; echo $?"].map(|line| terminal.answer(line)));
        seen
    });
    assert_eq!([&seen[1], &seen[3], &seen[5], &seen[7]], ["148", "148", "148", "130"]);
}

// Holds: signals/suspend-background
#[test]
fn background_read_stops_the_job_until_it_has_the_terminal() {
    let seen = play(|terminal| {
        terminal.enter("$W cat &");
        terminal.prompt();
        stopped_job(terminal);
        let jobs = [terminal.answer("jobs"), terminal.answer("wait %1; echo $?")];
        terminal.enter("fg");
        terminal.sees("$W cat\n");
        terminal.enter("hello");
        let before = terminal.sees("hello\n");
        terminal.press("\x04");
        (jobs, before, terminal.prompt(), status(terminal))
    });
    assert!(seen.0[1].contains("149"), "{seen:?}");
}

// Holds: signals/suspend-background
#[test]
fn background_write_stops_the_job_under_tostop() {
    let seen = play(|terminal| {
        terminal.answer("stty tostop");
        terminal.enter("$W sh -c 'echo written; exec sleep 60' &");
        terminal.prompt();
        stopped_job(terminal);
        let jobs = [terminal.answer("jobs"), terminal.answer("wait %1; echo $?")];
        terminal.enter("fg");
        let before = terminal.sees("written\n");
        terminal.press(INTERRUPT);
        (jobs, before, terminal.prompt(), status(terminal))
    });
    assert!(seen.0[1].contains("150"), "{seen:?}");
    assert_eq!(seen.3, "130");
}

// Holds: signals/stop-typed
#[test]
fn ctrl_c_ends_a_shell_loop_as_without_runwrap() {
    let seen = play(|terminal| {
        let scripts = [
            "echo on; exec sleep 60",
            "trap \"exit 0\" INT; echo on; sleep 60 & wait",
            "trap \"exit 5\" INT; echo on; sleep 60 & wait",
        ];
        scripts.map(|script| {
            terminal.enter(&format!("for i in 1 2; do $W sh -c '{script}'; done; echo over $?"));
            terminal.sees("on\n");
            terminal.press(INTERRUPT);
            let next = terminal.sees_one_of([PROMPT, "on\n"]);
            if next.1 == 1 {
                terminal.press(INTERRUPT);
                terminal.prompt();
            }
            (next, status(terminal))
        })
    });
    assert_eq!(seen[0].0.1, 0, "{seen:?}");
}

// Holds: signals/suspend-pipeline
#[test]
fn a_pipeline_is_one_job() {
    let seen = play(|terminal| {
        let mut seen = vec![
            terminal.answer("$W seq 3 | tail -n 1; echo ${PIPESTATUS[@]}"),
            terminal.answer("$W yes | head -n 1; echo ${PIPESTATUS[@]}"),
            terminal.answer("echo in | $W cat; echo ${PIPESTATUS[@]}"),
        ];
        terminal.enter("$W cat | cat");
        terminal.enter("through");
        terminal.sees("through\n");
        terminal.press(SUSPEND);
        seen.extend([terminal.prompt(), status(terminal)]);
        terminal.enter("fg");
        terminal.sees("cat\n");
        terminal.enter("again");
        terminal.sees("again\n");
        terminal.press(INTERRUPT);
        seen.extend([terminal.prompt(), terminal.answer("echo ${PIPESTATUS[@]}")]);
        seen
    });
    assert_eq!(seen[..3], ["3\n0 0\n", "y\n141 0\n", "in\n0 0\n"]);
}

// Holds: signals/hangup
#[test]
fn closing_terminal_sends_the_trainer_one_sighup() {
    let site = Site::sqlite();
    // The leader outlives the terminal only if it is the trainer or runwrap.
    for (script, sent) in [("$W {} >out", [(1, 1), (18, 1)]), ("exec $W {} >out", [(1, 1), (18, 1)])] {
        for runwrap in ["", concat!(env!("CARGO_BIN_EXE_runwrap"), " --")] {
            let mut command = site.program("bash");
            command.args(["-c", &format!("{}; :", script.replace("{}", program()))]).env("W", runwrap);
            let out = site.path().join("out");
            std::fs::write(&out, "").unwrap();
            let received = || std::fs::read_to_string(&out).unwrap();
            let mut terminal = Terminal::start(&mut command);
            wait_until("the trainer is ready", || received().contains('\n'));
            let probe: i32 = received().split(' ').nth(1).unwrap().parse().unwrap();
            terminal.close();
            wait_until("SIGHUP and SIGCONT", || received().contains("\n1 -") && received().contains("\n18 -"));
            Conversation::sender().ask(&format!("kill {probe} {LAST}"));
            wait_until("the trainer ends", || received().contains("\n64 -"));
            let lines: Vec<String> = received().lines().skip(1).map(str::to_owned).collect();
            let mut expected = Counts::from(sent);
            expected.insert(LAST, 1);
            assert_eq!(count(&lines), expected, "{script} {runwrap:?}");
            terminal.end();
        }
    }
    site.quiet();
}

/// A person closes the window with a job at work, or with a stopped one.
// Holds: signals/hangup-stopped-job
#[test]
fn closing_terminal_ends_running_and_stopped_jobs() {
    for keys in ["", SUSPEND] {
        let site = Site::sqlite();
        let mut terminal = Terminal::bash(&site, Some(""));
        terminal.enter("$W sh -c 'echo on; exec sleep 60'");
        terminal.sees("on\n");
        if keys == SUSPEND {
            terminal.press(keys);
            terminal.prompt();
        }
        terminal.close();
        terminal.end();
        let record = site.record_that_is("failed");
        assert_eq!(record["reason"], json!("cancelled"), "{keys:?}");
        // An exiting shell also sends SIGTERM to a stopped job.
        let signals: &[&str] = if keys == SUSPEND { &["SIGHUP", "SIGTERM"] } else { &["SIGHUP"] };
        assert!(signals.contains(&record["signal"].as_str().unwrap()), "{record:?}");
        site.quiet();
    }
}

// Holds: signals/suspend-pipeline
#[test]
fn script_around_runwrap_is_one_job_with_it() {
    let seen = play(|terminal| {
        let mut seen = Vec::new();
        for keys in [INTERRUPT, "\x04"] {
            terminal.enter("bash -c '$W cat; echo after $?'");
            for word in ["first", "second"] {
                terminal.enter(word);
                terminal.sees(&format!("{word}\n"));
                terminal.press(SUSPEND);
                seen.push(terminal.prompt());
                // The shell waits for the script alone: its command may not have stopped yet.
                let cat = procfs::descendant(terminal.leader(), "cat").unwrap();
                wait_until("the command is stopped", || procfs::state(cat) == Some('T'));
                seen.push(status(terminal));
                terminal.enter("fg");
                terminal.sees("after $?'\n");
            }
            terminal.enter("third");
            terminal.sees("third\n");
            terminal.press(keys);
            seen.extend([terminal.prompt(), status(terminal)]);
        }
        seen
    });
    assert_eq!(seen[4..6], ["\n", "130"], "{seen:?}");
    assert_eq!(seen[10..], ["after 0\n", "0"], "{seen:?}");
}

/// Ctrl-Z took effect only when the wait for the database was over.
// Holds: signals/before-fork-suspend
#[test]
fn ctrl_z_stops_a_job_waiting_for_the_database_at_once() {
    // A server that accepts and never answers.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::with_url(&format!("postgres://ann@{}/runs", server.local_addr().unwrap()));
    let mut terminal = Terminal::bash(&site, Some("--start-timeout 60s --finish-timeout 1s --linger 0s"));
    terminal.enter("$W sh -c 'echo on'");
    let _attempt = server.accept().unwrap();
    terminal.press(SUSPEND);
    terminal.prompt();
    assert_eq!(status(&mut terminal), "148");
    terminal.enter("fg");
    let job = procfs::children(terminal.leader())[0];
    wait_until("the job goes on", || procfs::state(job) != Some('T'));
    terminal.press(INTERRUPT);
    let shown = terminal.prompt();
    assert!(!shown.contains("on\n"), "{shown}");
    assert_eq!(status(&mut terminal), "130");
}
