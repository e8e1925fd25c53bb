//! What the trainer inherits: one program prints all of it, bare and under runwrap, in usual and unusual settings.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::OnceLock;

use crate::support::building::compile;
use crate::support::site::{Site, output, start};
use crate::support::terminal::Terminal;

/// The program that prints it.
fn program() -> &'static str {
    static BUILT: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    &BUILT.get_or_init(|| compile("signals/inherited.c", &[])).1
}

/// The output of the program, which `script` starts as `"$@" $PROGRAM`, without the variables of runwrap and of the shell, and
/// with one placeholder for each number that differs between processes.
#[track_caller]
fn said(site: &Site, script: &str, wrapped: bool) -> String {
    let mut command = site.program("bash");
    command.args(["-c", script, "bash"]).process_group(0).env("PROGRAM", program());
    if wrapped {
        command.args([env!("CARGO_BIN_EXE_runwrap"), "--"]);
    }
    let out = site.path().join("said");
    // The stderr of the tests may be a file that other tests write to, and whose offset the program would print.
    let mut running = start(command.stdout(std::fs::File::create(&out).unwrap()).stderr(Stdio::null()));
    let launched = format!(" {}\n", running.pid());
    assert!(running.end().success(), "{script}");
    plain(&std::fs::read_to_string(out).unwrap()).replace(&launched, " launched\n")
}

fn plain(said: &str) -> String {
    let added = ["RUNWRAP_", "_=", "W="].map(|name| format!("environment {name}"));
    let lines = said.lines().filter(|line| !added.iter().any(|start| line.starts_with(start)));
    // The number of a pipe or a namespace follows.
    lines.map(|line| line.split(":[").next().unwrap()).fold(String::new(), |plain, line| plain + line + "\n")
}

/// Compares both outputs, and returns the bare one.
#[track_caller]
fn same(script: &str) -> String {
    let site = Site::sqlite();
    std::fs::write(site.path().join("file"), "some bytes").unwrap();
    let [bare, wrapped] = [false, true].map(|wrapped| said(&site, script, wrapped));
    // A shell passes its variables in an order that changes.
    let sorted = |said: &str| said.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let (of_bare, of_wrapped) = (sorted(&bare), sorted(&wrapped));
    let differing: Vec<&String> = of_bare.symmetric_difference(&of_wrapped).collect();
    assert!(differing.is_empty(), "{script}: {differing:#?}");
    site.record_that_is("completed");
    assert!(!site.log().contains("keeper_not_started"), "{script}");
    bare
}

// Holds: signals/inheritance
#[test]
fn trainer_inherits_the_same_as_without_runwrap() {
    let said = same("exec \"$@\" $PROGRAM 'a word'");
    assert!(said.contains("word a word\n") && said.contains("group launched\n"), "{said}");
}

#[test]
fn descriptors_pass_through_and_none_is_added() {
    let said = same(
        "exec 3<file 4>>file 5<>file 6</dev/null 9> >(cat) 17<file 200<file; read -rn 3 -u 3; exec \"$@\" $PROGRAM",
    );
    for number in [3, 4, 5, 6, 9, 17, 200] {
        assert!(said.contains(&format!("fd/{number} flags 0 ")), "{number}: {said}");
    }
    assert!(said.lines().any(|line| line.starts_with("fd/3 flags") && line.ends_with("at 3")), "{said}");
    let said = same("exec \"$@\" $PROGRAM <&- 2>&-");
    assert!(!said.contains("fd/0 ") && !said.contains("fd/2 ") && said.contains("fd/1 "), "{said}");
}

// Holds: signals/mask-kept
#[test]
fn blocked_and_ignored_signals_are_inherited() {
    for (options, name, numbers) in [
        ("env --ignore-signal=PIPE", "SigIgn", &[13][..]),
        ("env --default-signal=PIPE", "SigIgn", &[]),
        ("env --ignore-signal=CHLD", "SigIgn", &[17]),
        (
            "env --ignore-signal=INT,QUIT,TERM,TSTP,TTIN,TTOU,USR1,CONT,URG",
            "SigIgn",
            &[2, 3, 10, 15, 18, 20, 21, 22, 23],
        ),
        ("env --block-signal=TERM", "SigBlk", &[15]),
        ("env --block-signal=CHLD,INT,TSTP,RTMIN+3", "SigBlk", &[2, 17, 20, 37]),
        ("nohup", "SigIgn", &[1]),
    ] {
        let said = same(&format!("exec {options} \"$@\" $PROGRAM"));
        let set = said.lines().find_map(|line| line.strip_prefix(&format!("status {name}:\t"))).unwrap();
        let set = u64::from_str_radix(set, 16).unwrap();
        // The C library reserves 32 and 33.
        let found: Vec<i32> =
            (1..=64).filter(|number| ![32, 33].contains(number) && set & (1 << (number - 1)) != 0).collect();
        assert_eq!(found, numbers, "{options}");
    }
}

// Holds: failures/start-limits
#[test]
fn limits_priorities_umask_and_directory_are_inherited() {
    let said = same(
        "umask 077; cd /usr; ulimit -n 20; ulimit -c 0; ulimit -s 4096; ulimit -u 5000; exec nice -n 5 \"$@\" $PROGRAM",
    );
    for expected in ["Umask:\t0077", "cwd /usr\n", "nice 5\n", "Max open files            20"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    same("exec chrt --batch 0 ionice -c 3 taskset -c 0 setpriv --no-new-privs --ambient-caps -all \"$@\" $PROGRAM");
    same("echo 77 >/proc/self/oom_score_adj; echo 0x33 >/proc/self/coredump_filter; exec \"$@\" $PROGRAM");
}

// Holds: signals/preloaded-thread
#[test]
fn preloaded_thread_changes_nothing_that_is_inherited() {
    let library = super::preloaded::library();
    for options in [
        "env",
        "env --block-signal=TERM,CHLD,RTMIN+3 --ignore-signal=INT,PIPE",
        "env --default-signal=PIPE --ignore-signal=CHLD,XFSZ",
    ] {
        for ending in ["", "<&- 2>&-"] {
            let said = same(&format!("export LD_PRELOAD={library}; exec {options} \"$@\" $PROGRAM 'a word' {ending}"));
            assert!(said.contains("environment LD_PRELOAD="), "{said}");
        }
    }
}

/// systemd's variables named runwrap: the trainer never fed the watchdog and took no socket.
// Holds: signals/named-by-pid
#[test]
fn variables_that_name_runwrap_by_pid_name_the_trainer() {
    let site = Site::sqlite();
    let show = "echo $$ ${WATCHDOG_PID-none} ${LISTEN_PID-none} ${SYSTEMD_EXEC_PID-none} ${LISTEN_PIDFDID-none}";
    let runwrap = env!("CARGO_BIN_EXE_runwrap");
    for (set, expected) in [
        // `env` keeps the shell's id, and runwrap has it after the exec.
        ("WATCHDOG_PID=$$ LISTEN_PID=$$ LISTEN_PIDFDID=7", "SELF SELF SELF none none"),
        ("WATCHDOG_PID=1 LISTEN_PID=$PPID LISTEN_PIDFDID=7 SYSTEMD_EXEC_PID=$$", "SELF 1 PPID SELF 7"),
        ("LISTEN_PID=${$}0 WATCHDOG_PID=0$$", "SELF 0PID PID0 none none"),
        ("OTHER=$$", "SELF none none none none"),
    ] {
        for nested in ["", &format!("{runwrap} --")] {
            let script = format!("echo $$ $PPID; exec env {set} {runwrap} -- {nested} sh -c '{show}'");
            let said = output(site.program("sh").args(["-c", &script])).stdout;
            let said = String::from_utf8(said).unwrap();
            let (ids, shown) = said.split_once('\n').unwrap();
            let (pid, parent) = ids.split_once(' ').unwrap();
            let own = shown.split(' ').next().unwrap();
            let expected = expected.replace("SELF", own).replace("PPID", parent).replace("PID", pid);
            assert_ne!(own, pid);
            assert_eq!(shown.trim_end(), expected, "{set}");
        }
    }
}

/// Includes entries that no shell makes: a name twice, no name, no `=`.
#[test]
fn environment_is_inherited_to_the_byte() {
    let exec = r#"import ctypes, sys
words = [word.encode() for word in sys.argv[1:]]
entries = [b"A=1", b"A=2", b"WITHOUT", b"=x=y", b"EMPTY=", b"SPACE= a\tb", *sorted(
    name + b"=" + value for name, value in __import__("os").environb.items())]
array = lambda items: (ctypes.c_char_p * (len(items) + 1))(*items, None)
ctypes.CDLL(None).execve(words[0], array(words), array(entries))"#;
    let site = Site::sqlite();
    let script = format!("exec python3 -c '{exec}' \"$@\" $PROGRAM");
    let [bare, wrapped] = [false, true].map(|wrapped| said(&site, &script, wrapped));
    assert_eq!(wrapped, bare);
    for expected in ["A=1", "A=2", "WITHOUT", "=x=y", "EMPTY=", "SPACE= a\tb"] {
        assert!(bare.contains(&format!("environment {expected}\n")), "{expected}: {bare}");
    }
}

#[test]
fn command_is_found_and_named_as_without_runwrap() {
    for (script, word) in [
        ("cd ${PROGRAM%/*}; exec \"$@\" ./inherited", "./inherited"),
        ("PATH=${PROGRAM%/*}:$PATH; exec \"$@\" inherited", "inherited"),
        // The shell runs a script without an interpreter line.
        ("echo 'exec $PROGRAM \"$0\"' >script; chmod +x script; \"$@\" ./script", "./script"),
    ] {
        let said = same(script);
        assert!(said.contains(&format!("word {word}\n")), "{said}");
    }
}

#[test]
fn trainer_has_the_terminal_as_without_runwrap() {
    let site = Site::sqlite();
    let [bare, wrapped] = [None, Some("")].map(|options| {
        let mut terminal = Terminal::bash(&site, options);
        terminal.answer(&format!("P={}; export -n W PS1", program()));
        let session = format!("session {}\n", terminal.leader());
        ["$W $P", "$W $P | cat", "echo | $W $P", "$W $P & wait"].map(|line| {
            let said =
                plain(&terminal.answer(line)).replace(&terminal.name, "terminal").replace(&session, "session here\n");
            said.lines()
                .filter(|line| !line.starts_with("group ") && !line.starts_with('['))
                .collect::<Vec<_>>()
                .join("\n")
        })
    });
    assert_eq!(wrapped, bare);
    for (said, foreground) in bare.iter().zip(["yes", "yes", "yes", "no"]) {
        assert!(said.contains("session here") && said.contains(&format!("foreground {foreground}")), "{said}");
    }
}
