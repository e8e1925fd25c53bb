//! Stops of the trainer, by itself, the terminal or a script: runwrap stops and resumes with it.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::terminal::{play, status};
use crate::support::procfs;
use crate::support::site::{Site, kill, start};
use crate::support::terminal::{SUSPEND, Terminal};
use crate::support::wait::wait_until;

/// A trainer that stopped itself kept the terminal, and bash saw every stop as SIGSTOP.
// Holds: signals/suspend-trainer, signals/stop-signal
#[test]
fn trainer_that_stops_itself_returns_the_terminal() {
    for (name, expected) in [("STOP", "147"), ("TSTP", "148"), ("TTIN", "149"), ("TTOU", "150")] {
        let seen = play(|terminal| {
            terminal.enter(&format!("$W sh -c 'kill -{name} $$; echo went on; read -r line; exit 3'"));
            let stopped = (terminal.prompt(), status(terminal));
            terminal.enter("fg");
            let before = terminal.sees("went on\n");
            terminal.enter("");
            (stopped, before, terminal.prompt(), status(terminal))
        });
        assert_eq!((&*seen.0.1, &*seen.3), (expected, "3"), "{name}");
    }
}

/// A suspended shell never got the terminal back.
// Holds: signals/suspend-trainer
#[test]
fn suspended_shell_under_runwrap_regains_the_terminal() {
    let seen = play(|terminal| {
        terminal.answer("$W bash --norc --noprofile --noediting -i");
        let mut seen = Vec::new();
        for _ in 0..2 {
            terminal.answer("echo nested $SHLVL");
            seen.extend([terminal.answer("suspend"), status(terminal), terminal.answer("echo outer $SHLVL")]);
            terminal.enter("fg");
            terminal.prompt();
        }
        seen.extend([terminal.answer("echo nested $SHLVL"), terminal.answer("exit 4"), status(terminal)]);
        seen
    });
    assert_eq!(seen.last().unwrap(), "4");
}

// Holds: signals/stop-while-stopped
#[test]
fn killed_job_ends_although_it_is_stopped() {
    play(|terminal| {
        terminal.enter("$W cat");
        terminal.enter("on");
        terminal.sees("on\n");
        terminal.press(SUSPEND);
        terminal.prompt();
        // `kill` in bash also continues the job. The shell reports the end when it has polled.
        let mut said = terminal.answer("kill %1");
        wait_until("the shell knows of the end", || {
            said += &look(terminal);
            said.contains("Terminated              $W cat")
        });
    });
}

// Holds: signals/deadlines-stand-still, failures/trainer-stopped
#[test]
fn deadline_pauses_while_ctrl_z_has_stopped_the_job() {
    let site = Site::sqlite();
    let mut terminal = Terminal::bash(&site, Some("--timeout 2s"));
    let began = Instant::now();
    terminal.enter("$W sh -c 'echo on; read -r line; exit 7'");
    terminal.sees("on\n");
    terminal.press(SUSPEND);
    terminal.prompt();
    wait_until("the deadline passes", || began.elapsed() > Duration::from_millis(2500));
    terminal.enter("fg");
    terminal.sees("exit 7'\n");
    terminal.enter("");
    terminal.prompt();
    assert_eq!(status(&mut terminal), "7");
    assert_eq!(site.record()["reason"], json!("exit"));
}

/// A script signals the trainer itself; the shell sees neither the stop nor the continuation.
// Holds: signals/suspend-trainer-no-shell
#[test]
fn stop_and_continuation_of_the_trainer_alone_stay_its_own() {
    let site = Site::sqlite();
    for name in ["TSTP", "STOP", "TTIN"] {
        let mut command = site.shell(&[], "echo ready; read -r line; exit 7");
        let mut running = start(command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        let trainer = procfs::children(running.pid()).into_iter().find(|child| procfs::name(*child).unwrap() == "sh");
        let trainer = trainer.unwrap();
        kill(trainer, name);
        wait_until("the trainer is stopped", || procfs::state(trainer) == Some('T'));
        wait_until("the supervisor knows", || site.log().contains(&format!("change=SIG{name}")));
        kill(trainer, "CONT");
        running.close_stdin();
        assert_eq!(running.end().code(), Some(7), "{name}");
    }
}

/// If a script continued or killed only the trainer, the kernel notified just its stopped parent, and runwrap stayed stopped
/// for ever.
// Holds: signals/resume-trainer, failures/trainer-stopped
#[test]
fn stopped_job_resumes_or_ends_with_its_trainer() {
    for (name, end) in [("CONT", "Terminated "), ("KILL", "Killed ")] {
        let seen = play(|terminal| {
            terminal.enter("$W sleep 60");
            let mut trainer = None;
            wait_until("the trainer runs", || {
                trainer = procfs::descendant(terminal.leader(), "sleep");
                trainer.is_some()
            });
            kill(trainer.unwrap(), "TSTP");
            let seen = [terminal.prompt(), status(terminal)];
            let job = procfs::children(terminal.leader())[0];
            kill(trainer.unwrap(), name);
            let mut said = String::new();
            if name == "CONT" {
                wait_until("the shell knows that it runs", || look(terminal).contains("Running"));
                said += &terminal.answer("kill %1");
            }
            wait_until("the job ends", || procfs::state(job).is_none_or(|state| state == 'Z'));
            wait_until("the shell knows of the end", || {
                said += &look(terminal);
                said.contains(end)
            });
            seen
        });
        assert_eq!(seen[1], "148");
    }
}

/// The output of `jobs`. The shell may have missed a SIGCHLD; waiting for another command makes it poll again.
#[track_caller]
fn look(terminal: &mut Terminal) -> String {
    terminal.answer("env true; jobs")
}

/// The shell may continue the job before runwrap has stopped with its trainer; runwrap must not stop after that.
// Holds: signals/resume-race
#[test]
fn job_continued_while_it_stops_goes_on() {
    let site = Site::sqlite();
    for name in ["TSTP", "TTIN", "TTOU"] {
        let mut command = site.shell(&[], "echo ready; read -r line; exit 7");
        command.process_group(0).env("RUNWRAP_FAILPOINTS", "before-stop=stop");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        kill(-running.pid(), name);
        // The supervisor has seen its trainer stop, and is about to stop itself.
        wait_until("the supervisor is at the point", || procfs::state(running.pid()) == Some('T'));
        kill(-running.pid(), "CONT");
        running.close_stdin();
        assert_eq!(running.end().code(), Some(7), "{name}");
    }
}
