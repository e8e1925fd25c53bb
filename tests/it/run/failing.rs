//! The error message of a failed run: the error that the trainer reported, and the tail of its stderr if that is a regular
//! file. runwrap only reads that file back, so a stderr of any other kind costs no more than the tail.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::site::{Site, output, start};

/// The redirections that open a log: `<>` writes over the old content.
const WAYS: [&str; 3] = [">", ">>", "<>"];

fn log_of(site: &Site) -> PathBuf {
    site.path().join("train.log")
}

/// The message of the newest record without its first line, the kind of the end.
#[track_caller]
fn tail(site: &Site) -> Option<String> {
    let message = site.records()[0]["error_message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("exited with code 3"), "{message}");
    message.split_once('\n').map(|(_, tail)| tail.to_owned())
}

/// The tail of a run of `script`, which must exit with 3, with a new file as stderr.
#[track_caller]
fn tail_of(site: &Site, options: &[&str], script: &str) -> Option<String> {
    let mut command = site.shell(options, script);
    assert_eq!(start(command.stderr(File::create(log_of(site)).unwrap())).end().code(), Some(3));
    tail(site)
}

/// A shell in the site, with `$RUNWRAP` as the program.
fn shell(site: &Site, script: &str) -> Command {
    let mut command = site.program("sh");
    command.args(["-c", script]).env("RUNWRAP", env!("CARGO_BIN_EXE_runwrap"));
    command
}

// Holds: failures/tail-file
#[test]
fn failed_run_keeps_the_tail_of_a_stderr_file() {
    let site = Site::sqlite();
    let script = "echo 'epoch 1' >&2; printf '10%%\\r99%%\\n\\033[31mboom\\033[0m\\a\\n' >&2; exit 3";
    assert_eq!(tail_of(&site, &[], script).unwrap(), "epoch 1\n99%\nboom");
    let log = fs::read(log_of(&site)).unwrap();
    assert_eq!(log, b"epoch 1\n10%\r99%\n\x1b[31mboom\x1b[0m\x07\n", "the log itself is as it was written");
    assert_eq!(tail_of(&site, &[], "exit 3"), None, "nothing was said");
    assert_eq!(tail_of(&site, &[], "printf '\\n\\033[2K\\r\\n' >&2; exit 3"), None, "nothing readable was said");
    assert_eq!(tail_of(&site, &["--stderr-tail", "0"], "echo boom >&2; exit 3"), None, "nothing is to be kept");
}

/// What runwrap wrote to stderr before the trainer started was kept as the trainer's.
// Holds: failures/tail-own-messages
#[test]
fn tail_excludes_runwrap_s_own_messages() {
    let site = Site::sqlite();
    let mut command = site.shell(&[], "echo boom >&2; exit 3");
    command.env("RUNWRAP_FAILPOINTS", "journal-sync=error").stderr(File::create(log_of(&site)).unwrap());
    assert_eq!(start(&mut command).end().code(), Some(3));
    assert!(fs::read_to_string(log_of(&site)).unwrap().contains("cannot keep the journal"));
    assert_eq!(tail(&site).unwrap(), "boom");
}

/// With `-v` the run's messages are among the trainer's lines.
// Holds: failures/tail-own-messages
#[test]
fn tail_excludes_messages_of_the_run_itself() {
    let site = Site::sqlite();
    let script = "trap : USR1; printf 'epoch 1\\n 50%%' >&2; kill -USR1 $PPID; while ! grep -q 'signal SIGUSR1' train.log; do :; done
                  echo boom >&2; exit 3";
    for (limit, expected) in [("4096", "epoch 1\n 50%boom"), ("14", "…ch 1\n 50%boom")] {
        assert_eq!(tail_of(&site, &["-v", "--stderr-tail", limit], script).unwrap(), expected);
    }
    let log = fs::read_to_string(log_of(&site)).unwrap();
    assert!(log.contains("50%runwrap: signal SIGUSR1 arrived") && log.ends_with(": exit 3\n"), "{log}");
}

/// The first line of a tail that may hold lines of other processes.
const SHARED: &str = "(other processes write to the same stderr: some of these lines may be theirs)";

/// The lines of other runs were taken for the trainer's.
// Holds: failures/tail-shared
#[test]
fn runs_that_share_a_log_are_named_in_their_tails() {
    let site = Site::sqlite();
    let append = || OpenOptions::new().append(true).create(true).open(log_of(&site)).unwrap();
    let slow = |word: &str| {
        let script = format!("echo {word} 1 >&2; echo ready; read -r line; echo {word} 2 >&2; exit 3");
        let mut command = site.shell(&["--name", word], &script);
        let mut run = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(append()));
        assert_eq!(run.line(), "ready");
        run
    };
    let mut first = slow("first");
    // Neither at the beginning of the first run nor at its end does the second live.
    let mut second = slow("second");
    for run in [&mut second, &mut first] {
        run.say("");
        assert_eq!(run.end().code(), Some(3));
    }
    let messages: Vec<_> = site.records().iter().map(|record| record["error_message"].clone()).collect();
    let expected = ["second 1\nsecond 2", "first 1\nsecond 1\nsecond 2\nfirst 2"];
    assert_eq!(messages, expected.map(|lines| format!("exited with code 3\n{SHARED}\n{lines}")));
    assert_eq!(tail_of(&site, &[], "echo alone >&2; exit 3").unwrap(), "alone");
}

/// A process that is no run, such as another trainer or a script.
// Holds: failures/tail-shared
#[test]
fn lines_of_other_processes_after_the_trainer_s_last_are_left_out() {
    let site = Site::sqlite();
    let other = "sh -c 'echo other >>train.log'";
    for (script, redirection, kept) in [
        (format!("echo boom >&2; {other}"), "2>>train.log", Some(format!("{SHARED}\nboom"))),
        (format!("{other}; echo boom >&2"), "2>>train.log", Some("other\nboom".to_owned())),
        (other.to_owned(), "2>>train.log", None),
        // Each has an offset of its own.
        ("echo boom >&2; echo out".to_owned(), ">>train.log 2>>train.log", Some("boom\nout".to_owned())),
        ("echo out; echo boom >&2".to_owned(), ">>train.log 2>>train.log", Some("out\nboom".to_owned())),
        // The lines of an inner run are the outer trainer's.
        ("$RUNWRAP -- sh -c 'echo boom >&2; exit 4'".to_owned(), "2>>train.log", Some("boom".to_owned())),
    ] {
        let outer = format!("echo before >>train.log; exec $RUNWRAP -- sh -c \"$INNER\" {redirection}");
        let run = output(shell(&site, &outer).env("INNER", format!("{script}; exit 3")));
        assert_eq!(run.status.code(), Some(3));
        let records = site.records();
        let outer = records.iter().find(|record| record["exit_code"] == 3).unwrap();
        let message = outer["error_message"].as_str().unwrap();
        assert_eq!(
            message.strip_prefix("exited with code 3").unwrap().strip_prefix('\n'),
            kept.as_deref(),
            "{message}"
        );
        for record in &records {
            assert!(record["exit_code"] == 3 || record["error_message"] == "exited with code 4\nboom", "{record:?}");
        }
    }
}

#[test]
fn completed_run_keeps_no_tail() {
    let site = Site::sqlite();
    let mut command = site.shell(&[], "echo 'a warning' >&2");
    assert!(start(command.stderr(File::create(log_of(&site)).unwrap())).end().success());
    assert!(site.record()["error_message"].is_null());
}

#[test]
fn reported_error_stands_before_the_tail() {
    let site = Site::sqlite();
    let script = "echo '{\"error\": \"loss is NaN\"}' >> $RUNWRAP_REPORT; echo Traceback >&2; exit 3";
    assert_eq!(tail_of(&site, &[], script).unwrap(), "loss is NaN\nTraceback");
}

/// The message is at the end of a line, however long the line.
// Holds: failures/tail-file
#[test]
fn tail_keeps_the_end_of_an_overlong_line() {
    let site = Site::sqlite();
    let options = ["--stderr-tail", "30"];
    let long = |rest: &str| format!("printf '%05000d bad shape{rest}' 0 >&2; exit 3");
    assert_eq!(tail_of(&site, &options, &long("")).unwrap(), format!("…{} bad shape", "0".repeat(20)));
    assert_eq!(tail_of(&site, &options, &long("\\n")).unwrap(), format!("…{} bad shape", "0".repeat(19)));
    assert_eq!(
        tail_of(&site, &options, &long("\\n\\033[0m\\n")).unwrap(),
        format!("…{} bad shape", "0".repeat(14)),
        "what follows is nothing to read"
    );
    assert_eq!(tail_of(&site, &options, &long("\\nbye\\n")).unwrap(), format!("…{} bad shape\nbye", "0".repeat(15)));
    let bar = "printf '%05000d|\\r 50%%\\r100%%\\nboom\\n' 0 >&2; exit 3";
    assert_eq!(tail_of(&site, &options, bar).unwrap(), "100%\nboom", "a bar is whole where it was drawn last");
}

#[test]
fn tail_leaves_out_a_character_cut_in_two() {
    let site = Site::sqlite();
    for limit in 5..13 {
        // Each character takes three bytes; a newline follows.
        let message = tail_of(&site, &["--stderr-tail", &limit.to_string()], "echo '€€€€€€' >&2; exit 3").unwrap();
        assert_eq!(message, format!("…{}", "€".repeat((limit - 1) / 3)), "{limit} bytes");
    }
    let broken = tail_of(&site, &[], "printf 'boom \\342\\202' >&2; exit 3").unwrap();
    assert_eq!(broken, "boom \u{FFFD}", "the trainer ended within a character");
}

/// Whichever way the log was opened: by each of the [`WAYS`].
#[test]
fn tail_excludes_text_from_before_the_run() {
    let site = Site::sqlite();
    for way in WAYS {
        fs::write(log_of(&site), "of an earlier run\n".repeat(3)).unwrap();
        let script = format!("exec 2{way}train.log; echo before >&2; $RUNWRAP -- sh -c 'echo boom >&2; exit 3'");
        assert_eq!(output(&mut shell(&site, &script)).status.code(), Some(3), "{way}");
        let kept = tail(&site);
        // Written over the old content, the file does not grow, and its new part is unknown.
        assert_eq!(kept.as_deref(), Some("boom").filter(|_| way != "<>"), "{way}");
    }
}

#[test]
fn sequential_runs_in_one_log_keep_their_own_tails() {
    let site = Site::sqlite();
    let run = |word: &str| format!("$RUNWRAP -- sh -c 'echo {word} >&2; exit 3'");
    let script = format!("exec 2>train.log; {}; {}", run("first"), run("second"));
    assert_eq!(output(&mut shell(&site, &script)).status.code(), Some(3));
    let messages: Vec<_> = site.records().iter().map(|record| record["error_message"].clone()).collect();
    assert_eq!(messages, ["exited with code 3\nsecond", "exited with code 3\nfirst"]);
}

#[test]
fn concurrent_runs_in_one_log_lose_no_output() {
    let site = Site::sqlite();
    let run = |word: &str| format!("$RUNWRAP --name {word} -- sh -c 'echo {word} >&2; exit 3' &");
    let script = format!("exec 2>train.log; {} {} wait", run("first"), run("second"));
    assert!(output(&mut shell(&site, &script)).status.success());
    assert_eq!(fs::read_to_string(log_of(&site)).unwrap().len(), "first\nsecond\n".len());
    for record in site.records() {
        assert!(record["error_message"].as_str().unwrap().contains(record["name"].as_str().unwrap()), "{record:?}");
    }
}

// Holds: failures/tail-rotated
#[test]
fn truncated_rotated_or_deleted_log_costs_only_the_tail() {
    let site = Site::sqlite();
    for (deed, kept) in [
        // Shorter than at the start of the run: its new part is unknown.
        (": > train.log", None),
        // As copytruncate does, which leaves a hole before the next write.
        ("cp train.log train.log.1; : > train.log; echo more >&2", Some("more\nboom")),
        // The trainer goes on writing to the renamed file.
        ("mv train.log train.log.1; : > train.log", Some("begun\nboom")),
        ("rm train.log", Some("begun\nboom")),
        // Another file has the name now, and must not be read.
        ("rm train.log; mkfifo train.log", Some("begun\nboom")),
        ("rm train.log; ln -s /etc/passwd train.log", Some("begun\nboom")),
    ] {
        let _old = fs::remove_file(log_of(&site));
        fs::write(log_of(&site), "of an earlier run\n").unwrap();
        let way = if kept == Some("more\nboom") { ">" } else { ">>" };
        let script = format!("exec 2{way}train.log; $RUNWRAP -- sh -c 'echo begun >&2; {deed}; echo boom >&2; exit 3'");
        assert_eq!(output(&mut shell(&site, &script)).status.code(), Some(3), "{deed}");
        assert_eq!(tail(&site).as_deref(), kept, "{deed}");
    }
}

/// A read would take data from the reader, block, or take what is typed.
// Holds: failures/tail-none
#[test]
fn stderr_that_is_no_regular_file_is_never_read() {
    let site = Site::sqlite();
    let piped = site.run(&[], "echo boom >&2; exit 3");
    assert_eq!((piped.status.code(), &piped.stderr[..]), (Some(3), &b"boom\n"[..]));
    assert_eq!(tail(&site), None, "a pipe");

    let fifo = site.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let end = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let mut command = site.shell(&[], "echo boom >&2; exit 3");
    assert_eq!(start(command.stderr(end.try_clone().unwrap())).end().code(), Some(3));
    let mut left = [0; 16];
    assert_eq!((&end).read(&mut left).unwrap(), 5, "what was written is still there for its reader");
    assert_eq!((&left[..5], tail(&site)), (&b"boom\n"[..], None), "a FIFO");

    // `script` runs its command on a pty.
    let mut terminal = site.program("script");
    let inside = format!("{} -- sh -c 'echo boom >&2; exit 3'", env!("CARGO_BIN_EXE_runwrap"));
    terminal.args(["-qec", &inside, "/dev/null"]);
    let shown = output(&mut terminal);
    assert_eq!((shown.status.code(), &shown.stdout[..]), (Some(3), &b"boom\r\n"[..]));
    assert_eq!(tail(&site), None, "a terminal");

    for script in ["exec 2>&-; $RUNWRAP -- sh -c 'exit 3'", "exec 2</; $RUNWRAP -- sh -c 'exit 3'"] {
        assert_eq!(output(&mut shell(&site, script)).status.code(), Some(3), "{script}");
        assert_eq!(tail(&site), None, "{script}");
    }
}

/// The bytes that were read from the file at `path`, by the `trace` of strace.
fn bytes_read(trace: &str, path: &Path) -> u64 {
    let named = format!("<{}>", path.display());
    let calls = trace.lines().filter(|line| line.contains(&named));
    calls.filter_map(|line| line.rsplit_once(" = ")?.1.parse::<u64>().ok()).sum()
}

// Holds: failures/tail-huge
#[test]
fn tail_of_a_10_gib_log_costs_one_small_read() {
    let site = Site::sqlite();
    let log = OpenOptions::new().read(true).append(true).create(true).open(log_of(&site)).unwrap();
    let plain = site.shell(&[], "truncate --size 10G train.log; printf '\\nboom\\n' >&2; exit 3");
    let mut command = site.program("strace");
    command.args(["-f", "-y", "--trace=read,pread64,readv,preadv,preadv2,mmap", "-o", "trace", "--"]);
    command.arg(plain.get_program()).args(plain.get_args());
    assert_eq!(start(command.stdout(Stdio::null()).stderr(log.try_clone().unwrap())).end().code(), Some(3));
    assert_eq!(tail(&site).as_deref(), Some("boom"));
    let mut end = [0; 6];
    log.read_exact_at(&mut end, 10 << 30).unwrap();
    assert_eq!(&end, b"\nboom\n");
    let trace = fs::read_to_string(site.path().join("trace")).unwrap();
    let read = bytes_read(&trace, &log_of(&site));
    assert!((6..=4096).contains(&read), "{read} bytes were read of the log");
}
