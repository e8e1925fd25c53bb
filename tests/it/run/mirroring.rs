//! The exit status: runwrap ends as its command, for each code and each fatal signal, and dumps no core of its own.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::json;

use crate::support::site::{Site, output};
use crate::support::skipped;

/// Signals that stop or are ignored by default, or that the C library reserves; the others end a process.
const NOT_FATAL: [i32; 10] = [17, 18, 19, 20, 21, 22, 23, 28, 32, 33];
/// Signals for which the kernel dumps core.
const DUMPING: [i32; 10] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];

/// Calls `check` with each of `numbers`, two at a time.
fn two_at_a_time(numbers: &[i32], check: impl Fn(i32) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for half in numbers.chunks(numbers.len().div_ceil(2)) {
            let running = move || half.iter().copied().for_each(check);
            let _joined_by_the_scope = std::thread::Builder::new().spawn_scoped(scope, running).unwrap();
        }
    });
}

fn fatal_signals() -> Vec<i32> {
    (1..=64).filter(|number| !NOT_FATAL.contains(number)).collect()
}

// Holds: failures/trainer-exit
#[test]
fn every_exit_code_is_mirrored_and_recorded() {
    let site = Site::sqlite();
    let codes: Vec<i32> = (0..=255).collect();
    two_at_a_time(&codes, |code| {
        let output = site.run(&["--name", &code.to_string()], &format!("exit {code}"));
        assert_eq!(output.status.code(), Some(code));
        assert!(output.stderr.is_empty(), "{output:?}");
    });
    let mut recorded: Vec<i64> = Vec::new();
    for record in site.records() {
        let code = record["exit_code"].as_i64().unwrap();
        assert_eq!(record["name"], code.to_string());
        let (status, reason, message) = match code {
            0 => ("completed", "success", json!(null)),
            _ => ("failed", "exit", json!(format!("exited with code {code}"))),
        };
        assert_eq!((&record["status"], &record["reason"]), (&json!(status), &json!(reason)), "{code}");
        assert_eq!((&record["error_message"], &record["signal"]), (&message, &json!(null)), "{code}");
        recorded.push(code);
    }
    recorded.sort_unstable();
    assert_eq!(recorded, (0..=255).collect::<Vec<i64>>());
}

// Holds: failures/trainer-signal
#[test]
fn death_by_a_signal_is_mirrored_and_recorded() {
    let site = Site::sqlite();
    let script = |number: i32| format!("ulimit -c 0; kill -{number} $$");
    two_at_a_time(&fatal_signals(), |number| {
        let bare = output(site.program("sh").args(["-c", &script(number)])).status;
        let wrapped = site.run(&["--name", &number.to_string()], &script(number));
        assert_eq!((wrapped.status, bare.signal()), (bare, Some(number)), "as it ends without runwrap");
        assert!(wrapped.stderr.is_empty(), "{wrapped:?}");
    });
    let records = site.records();
    assert_eq!(records.len(), fatal_signals().len());
    for record in records {
        let number: i32 = record["name"].as_str().unwrap().parse().unwrap();
        assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("signal")), "{number}");
        assert_eq!(record["signal"], name(number), "{number}");
        assert_eq!(record["exit_code"], json!(null));
    }
}

fn name(number: i32) -> String {
    match number {
        34 => "SIGRTMIN".to_owned(),
        35.. => format!("SIGRTMIN+{}", number - 34),
        _ => nix::sys::signal::Signal::try_from(number).unwrap().to_string(),
    }
}

// Holds: failures/trainer-signal
#[test]
fn core_of_the_trainer_is_the_only_core() {
    let site = Site::sqlite();
    let ended = |wrapped: bool, number: i32| -> ExitStatus {
        let words = if wrapped { format!("exec {} -- ", env!("CARGO_BIN_EXE_runwrap")) } else { "exec ".to_owned() };
        let script = format!("ulimit -c unlimited && {words}sh -c 'kill -{number} $$'");
        output(site.program("sh").args(["-c", &script])).status
    };
    if !ended(false, 6).core_dumped() {
        skipped("no process may dump core here (a hard limit, or kernel.core_pattern)");
        return;
    }
    for number in DUMPING {
        remove_cores(&site);
        assert_eq!(ended(false, number).into_raw(), number | 0x80, "bare");
        // None here, if the pattern sends them elsewhere.
        let cores = remove_cores(&site);
        assert_eq!((ended(true, number).into_raw(), remove_cores(&site)), (number, cores), "under runwrap");
    }
}

/// Removes the core files in the directory of the trainer, where a pattern without a path puts them, and counts them.
fn remove_cores(site: &Site) -> usize {
    let entries = fs::read_dir(site.path()).unwrap().map(|entry| entry.unwrap());
    let cores: Vec<_> = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"core")).collect();
    for core in &cores {
        fs::remove_file(core.path()).unwrap();
    }
    cores.len()
}

// Holds: failures/trainer-spawn
#[test]
fn unexecutable_command_is_126_or_127_and_recorded() {
    let site = Site::sqlite();
    fs::create_dir(site.path().join("directory")).unwrap();
    fs::write(site.path().join("no-interpreter"), "#!/no/such/interpreter\n").unwrap();
    fs::write(site.path().join("from-windows"), "#!/bin/sh\r\nexit 3\r\n").unwrap();
    let scripts = ["no-interpreter", "from-windows"];
    assert!(site.program("chmod").arg("+x").args(scripts).status().unwrap().success());
    for (command, code, message) in [
        ("no-such-command", 127, "cannot run no-such-command: No such file or directory"),
        ("./no-such-file", 127, "cannot run ./no-such-file: No such file or directory"),
        ("./no-interpreter", 127, "cannot run ./no-interpreter: its interpreter /no/such/interpreter does not exist"),
        (
            "./from-windows",
            127,
            "cannot run ./from-windows: its line #!/bin/sh ends with a carriage return; save it with Unix line ends",
        ),
        ("/etc/passwd", 126, "cannot run /etc/passwd: Permission denied"),
        ("./directory", 126, "cannot run ./directory: Permission denied"),
        ("/etc/passwd/below", 126, "cannot run /etc/passwd/below: Not a directory"),
    ] {
        let output = output(&mut site.runwrap(&["--", command]));
        assert_eq!(output.status.code(), Some(code), "{command}");
        // As under `env`.
        assert_eq!(Some(code), self::output(site.program("env").arg(command)).status.code(), "{command}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("runwrap: {message}\n"));
        let newest = &site.records()[0];
        assert_eq!((&newest["status"], &newest["reason"]), (&json!("failed"), &json!("spawn")));
        assert_eq!((&newest["error_message"], &newest["pid"]), (&json!(message), &json!(null)));
    }
}

#[test]
fn script_without_an_interpreter_line_runs_as_under_env() {
    let site = Site::sqlite();
    fs::write(site.path().join("script"), "exit 5\n").unwrap();
    assert!(site.program("chmod").args(["+x", "script"]).status().unwrap().success());
    assert_eq!(site.program("env").arg("./script").status().unwrap().code(), Some(5));
    assert_eq!(site.runwrap(&["--", "./script"]).status().unwrap().code(), Some(5));
    let record = site.record();
    assert_eq!((&record["reason"], &record["command"]), (&json!("exit"), &json!(["./script"])));
}
