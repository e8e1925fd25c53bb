//! A terminal and an interactive shell: the same scene, bare and under runwrap, must look the same.

use std::fmt::Debug;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::probe::{Conversation, Counts, LAST, count, program};
use crate::support::procfs;
use crate::support::site::{Site, kill, start};
use crate::support::terminal::{INTERRUPT, PROMPT, QUIT, SUSPEND, Terminal};
use crate::support::wait::wait_until;

/// Plays `scene` bare and under runwrap, which must give the same: that is returned.
#[track_caller]
fn play<T: Debug + PartialEq>(scene: impl Fn(&mut Terminal) -> T) -> T {
    let site = Site::sqlite();
    let bare = scene(&mut Terminal::bash(&site, None));
    let wrapped = scene(&mut Terminal::bash(&site, Some("")));
    assert_eq!(wrapped, bare, "under runwrap and bare");
    bare
}

/// The status of what the shell ran last.
#[track_caller]
fn status(terminal: &mut Terminal) -> String {
    terminal.answer("echo $?").trim().to_owned()
}

/// Waits until the only job of the shell is stopped: the process that the shell itself waits for.
#[track_caller]
fn stopped_job(terminal: &Terminal) {
    wait_until("the job is stopped", || {
        procfs::children(terminal.leader()).first().is_some_and(|job| procfs::state(*job) == Some('T'))
    });
}

#[test]
fn what_is_typed_and_a_new_window_size_reach_the_trainer_once() {
    let heard = play(|terminal| {
        terminal.enter(&format!("$W {}", program()));
        terminal.sees("ready ");
        let numbers = terminal.sees("\n");
        let probe = numbers.split(' ').next().unwrap().to_owned();
        let mut heard = String::new();
        for (number, cause) in [(2, INTERRUPT), (3, QUIT), (20, SUSPEND), (28, ""), (2, INTERRUPT), (28, "")] {
            match cause {
                "" => terminal.resize(if heard.contains("28 -") { 100 } else { 90 }),
                keys => terminal.press(keys),
            }
            heard += &(terminal.sees(&format!("{number} -\n")) + &number.to_string() + " -\n");
        }
        Conversation::sender().ask(&format!("kill {probe} {LAST}"));
        heard + &terminal.prompt()
    });
    assert_eq!(heard, "2 -\n3 -\n20 -\n28 -\n2 -\n28 -\n64 -\n");
}

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

#[test]
fn ctrl_z_stops_the_job_and_fg_and_bg_let_it_go_on() {
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
        // In the background it goes on as well, until it is told to stop.
        terminal.enter("$W sh -c 'echo on; exec sleep 60'");
        terminal.sees("on\n");
        terminal.press(SUSPEND);
        terminal.prompt();
        seen.extend(["bg", "jobs", "kill %1; wait %1; echo $?"].map(|line| terminal.answer(line)));
        seen
    });
    assert_eq!([&seen[1], &seen[3], &seen[5], &seen[7]], ["148", "148", "148", "130"]);
}

#[test]
fn a_job_that_reads_in_the_background_is_stopped_until_it_has_the_terminal() {
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

#[test]
fn a_job_that_writes_in_the_background_is_stopped_where_the_terminal_wants_it() {
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

#[test]
fn a_trainer_that_stops_itself_gives_the_terminal_back() {
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

#[test]
fn a_shell_under_runwrap_can_be_suspended_and_gets_the_terminal_back() {
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

#[test]
fn ctrl_c_ends_a_loop_as_it_does_without_runwrap() {
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

#[test]
fn a_terminal_that_closes_tells_the_trainer_once() {
    let site = Site::sqlite();
    // The leader outlives the terminal only where it is the trainer, or runwrap.
    for (script, sent) in [("$W {} >out", [(1, 1), (18, 1)]), ("exec $W {} >out", [(1, 1), (18, 1)])] {
        for runwrap in ["", concat!(env!("CARGO_BIN_EXE_runwrap"), " --")] {
            let mut command = site.program("bash");
            command.args(["-c", &format!("{}; :", script.replace("{}", program()))]).env("W", runwrap);
            let out = site.path().join("out");
            std::fs::write(&out, "").unwrap();
            let heard = || std::fs::read_to_string(&out).unwrap();
            let mut terminal = Terminal::start(&mut command);
            wait_until("the trainer is ready", || heard().contains('\n'));
            let probe: i32 = heard().split(' ').nth(1).unwrap().parse().unwrap();
            terminal.close();
            wait_until("SIGHUP and SIGCONT", || heard().contains("\n1 -") && heard().contains("\n18 -"));
            Conversation::sender().ask(&format!("kill {probe} {LAST}"));
            wait_until("the trainer ends", || heard().contains("\n64 -"));
            let lines: Vec<String> = heard().lines().skip(1).map(str::to_owned).collect();
            let mut expected = Counts::from(sent);
            expected.insert(LAST, 1);
            assert_eq!(count(&lines), expected, "{script} {runwrap:?}");
            terminal.end();
        }
    }
    site.quiet();
}

#[test]
fn a_deadline_stands_still_while_ctrl_z_has_stopped_the_job() {
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

#[test]
fn ctrl_z_stops_a_job_that_waits_for_the_database_at_once() {
    // It answers nobody.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::with_url(&format!("postgres://somebody@{}/runs", server.local_addr().unwrap()));
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

/// Somebody with a script, not the shell: the shell knows of neither.
#[test]
fn a_trainer_that_is_stopped_and_continued_alone_takes_nobody_with_it() {
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

/// Somebody with a script, while the shell has the terminal back: it hears of it as it would from the trainer itself.
#[test]
fn a_stopped_job_goes_on_or_ends_with_its_trainer() {
    for (name, end) in [("CONT", "143"), ("KILL", "137")] {
        let seen = play(|terminal| {
            terminal.enter("$W sleep 60");
            let mut trainer = None;
            wait_until("the trainer runs", || {
                trainer = trainer_of(terminal.leader());
                trainer.is_some()
            });
            kill(trainer.unwrap(), "TSTP");
            let mut seen = vec![terminal.prompt(), status(terminal)];
            let job = procfs::children(terminal.leader())[0];
            kill(trainer.unwrap(), name);
            wait_until("the job is not stopped any more", || procfs::state(job) != Some('T'));
            if name == "CONT" {
                // The shell has reaped nothing and is told by a signal: what it runs next comes after that.
                seen.extend(["true", "jobs"].map(|line| terminal.answer(line)));
                terminal.answer("kill %1");
            }
            terminal.enter("wait %1; echo status $?");
            terminal.sees("status ");
            seen.push(terminal.sees("\n"));
            seen
        });
        assert_eq!(seen.last().unwrap(), end, "{seen:?}");
    }
}

/// The child of the shell, or its child, that sleeps.
fn trainer_of(shell: i32) -> Option<i32> {
    let job = *procfs::children(shell).first()?;
    let family = [vec![job], procfs::children(job)].concat();
    family.into_iter().find(|pid| procfs::name(*pid).is_some_and(|name| name == "sleep"))
}

/// The shell may let the job go on before runwrap has stopped with its trainer: it must not stop after that.
#[test]
fn a_job_that_is_continued_while_it_stops_goes_on() {
    let site = Site::sqlite();
    for name in ["TSTP", "TTIN", "TTOU"] {
        let mut command = site.shell(&[], "echo ready; read -r line; exit 7");
        command.process_group(0).env("RUNWRAP_FAILPOINTS", "before-stop=stop");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        kill(-running.pid(), name);
        // It has seen its trainer stop, and is about to.
        wait_until("the supervisor is at the point", || procfs::state(running.pid()) == Some('T'));
        kill(-running.pid(), "CONT");
        running.close_stdin();
        assert_eq!(running.end().code(), Some(7), "{name}");
    }
}
