//! A library that starts a thread in every process, as agents for monitoring do: signals, masks and exit status are as without
//! runwrap.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::OnceLock;

use super::probe::{Conversation, Subject, count};
use crate::support::building::compile;
use crate::support::procfs;
use crate::support::site::{Site, shell_status, start};
use crate::support::terminal::{INTERRUPT, SUSPEND, Terminal};

/// The library.
pub(super) fn library() -> &'static str {
    static BUILT: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    &BUILT.get_or_init(|| compile("signals/thread.c", &["-shared", "-fPIC", "-pthread"])).1
}

/// The thread received the signal: runwrap ended by it, and the trainer was killed without a SIGTERM.
// Holds: signals/preloaded-thread
#[test]
fn every_signal_reaches_the_trainer_once_beside_a_preloaded_thread() {
    let counts = [false, true].map(|wrapped| {
        let site = Site::sqlite();
        let mut launcher = site.program("env");
        launcher.env("LD_PRELOAD", library()).process_group(0);
        let mut subject = Subject::start(launcher, wrapped);
        let mut sender = Conversation::sender();
        // KILL and STOP have no handler; SIGRTMAX ends the probe, and the C library reserves 32 and 33.
        let numbers = (1..64).filter(|number| ![9, 19, 32, 33].contains(number));
        for number in numbers {
            sender.ask(&format!("kill {} {number}", subject.pid));
            subject.receives(number);
        }
        for number in [2, 15, 10, 40] {
            sender.ask(&format!("kill -{} {number}", subject.group));
            subject.receives(number);
        }
        let rest = count(&subject.rest());
        assert_eq!(subject.talk.end().code(), Some(0));
        if wrapped {
            assert_eq!(site.record()["reason"], "success");
            site.quiet();
        }
        rest
    });
    assert_eq!(counts[0], counts[1]);
}

// Holds: signals/preloaded-thread
#[test]
fn stop_signal_ends_the_run_as_the_bare_command_beside_a_preloaded_thread() {
    for (script, signal) in [
        ("echo ready; exec sleep 60", "TERM"),
        ("trap 'echo saved; exit 7' TERM; echo ready; while :; do sleep 0.01; done", "TERM"),
        ("trap '' INT; echo ready; exec sleep 60", "TERM"),
        ("echo ready; exec sleep 60", "USR1"),
        ("echo ready; kill -SEGV $$", "CONT"),
    ] {
        let statuses = [false, true].map(|wrapped| {
            let site = Site::sqlite();
            let mut command = if wrapped { site.runwrap(&["--", "env"]) } else { site.program("env") };
            // A shell with the thread waits for ever if the thread receives its SIGCHLD.
            command.args(["--unset=LD_PRELOAD", "sh", "-c", script]);
            let mut running = start(command.env("LD_PRELOAD", library()).stdout(Stdio::piped()));
            assert_eq!(running.line(), "ready");
            if wrapped {
                // `pkill runwrap` finds it.
                assert_eq!(procfs::name(running.pid()).unwrap(), "runwrap");
            }
            running.signal(signal);
            shell_status(running.end())
        });
        assert_eq!(statuses[0], statuses[1], "{script} {signal}");
    }
}

// Holds: signals/preloaded-thread
#[test]
fn keys_act_as_on_the_bare_command_beside_a_preloaded_thread() {
    let seen = [None, Some("")].map(|options| {
        let site = Site::sqlite();
        let mut terminal = Terminal::bash(&site, options);
        terminal.answer(&format!("export LD_PRELOAD={}", library()));
        terminal.enter("$W cat");
        terminal.enter("word");
        terminal.sees("word\n");
        terminal.press(SUSPEND);
        let mut seen = vec![terminal.prompt(), terminal.answer("echo $?")];
        terminal.enter("fg");
        terminal.sees("$W cat\n");
        terminal.enter("again");
        terminal.sees("again\n");
        terminal.press(INTERRUPT);
        seen.extend([terminal.prompt(), terminal.answer("echo $?")]);
        seen
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!([seen[1][1].trim_end(), seen[1][3].trim_end()], ["148", "130"]);
}
