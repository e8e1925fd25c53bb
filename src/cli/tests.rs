//! The command lines that are accepted, and their meaning.

use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::*;
use crate::config::options;
use crate::record::read_instant;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[track_caller]
fn parsed(line: &str) -> Invocation {
    parse(words(line)).unwrap()
}

#[track_caller]
fn given(line: &str, row: &options::OptionRow) -> Vec<String> {
    parsed(line).flags.all(row).iter().map(|raw| raw.text.to_string_lossy().into_owned()).collect()
}

#[track_caller]
fn runs(line: &str, command: &str) {
    assert_eq!(parsed(line).action, Action::Run(words(command)), "{line}");
}

#[test]
fn words_after_the_separator_are_the_command() {
    runs("runwrap -- ls -la", "ls -la");
    runs("runwrap -v --timeout 5m -- python train.py --timeout 3 -- x", "python train.py --timeout 3 -- x");
    runs("runwrap -- list --json", "list --json");
    runs("runwrap -- --help", "--help");
    runs("runwrap -n list -- true", "true");
}

#[test]
fn a_command_may_be_any_bytes() {
    let bytes = OsString::from_vec(vec![0xff, b'=', 0xfe]);
    let invocation = parse([words("runwrap --"), vec![bytes.clone(), bytes.clone()]].concat()).unwrap();
    assert_eq!(invocation.action, Action::Run(vec![bytes.clone(), bytes.clone()]));
    let invocation = parse([words("runwrap --state-dir"), vec![bytes.clone()], words("-- true")].concat()).unwrap();
    assert_eq!(invocation.flags.all(&options::STATE_DIR)[0].text, bytes);
}

#[test]
fn values_of_options_are_not_interpreted() {
    assert_eq!(given("runwrap --heartbeat=soon -- true", &options::HEARTBEAT), ["soon"]);
    assert_eq!(given("runwrap --set a=1 --set b==2 -- true", &options::SET), ["a=1", "b==2"]);
    assert_eq!(given("runwrap -n a --name b -- true", &options::NAME), ["a", "b"]);
    assert_eq!(given("runwrap -vqvv -- true", &options::VERBOSE), ["true"]);
    assert!(given("runwrap -- true", &options::NO_MIGRATE).is_empty());
}

#[test]
fn database_options_work_before_and_after_a_verb() {
    for line in
        ["runwrap --table t list", "runwrap list --table t", "runwrap --table t show 5", "runwrap migrate --table t"]
    {
        assert_eq!(given(line, &options::TABLE), ["t"], "{line}");
    }
    assert_eq!(given("runwrap -v list -v", &options::VERBOSE), ["true"]);
}

#[test]
fn each_verb_takes_its_own_arguments() {
    let listed = Action::List(ListArgs {
        filter: Filter {
            statuses: vec![Status::Failed],
            name: Some("churn".to_owned()),
            limit: 3,
            ..Filter::default()
        },
        format: Format::Json,
        ..ListArgs::default()
    });
    assert_eq!(parsed("runwrap list --status failed --name churn --limit 3 --json").action, listed);
    let all = Action::List(ListArgs { filter: Filter { limit: 50, ..Filter::default() }, ..ListArgs::default() });
    assert_eq!(parsed("runwrap list").action, all);
    assert_eq!(parsed("runwrap show 30").action, Action::Show(ShowArgs { id: "30".to_owned(), ..ShowArgs::default() }));
    assert_eq!(parsed("runwrap doctor --json").action, Action::Doctor { json: true });
    // It examines a run with these options.
    assert_eq!(given("runwrap --set a=1 doctor --heartbeat 5s", &options::HEARTBEAT), ["5s"]);
    assert_eq!(parsed("runwrap migrate --print").action, Action::Migrate { print: true });
    let reported = ReportArgs {
        metrics: vec![("loss".to_owned(), "-0.5".to_owned()), ("a".to_owned(), "b=c".to_owned())],
        step: None,
        model_path: Some("out.pt".to_owned()),
        error: None,
    };
    let line = "runwrap report --metric loss=-0.5 --metric a=b=c --model-path out.pt";
    assert_eq!(parsed(line).action, Action::Report(reported));
    assert_eq!(parsed("runwrap keeper --fd 3 -x").action, Action::Keeper(words("--fd 3 -x")));
}

#[test]
fn help_hides_the_keeper_and_names_every_verb() {
    let Err(EarlyExit::Output(help)) = parse(words("runwrap --help")) else { panic!("no help") };
    assert!(!help.contains("keeper"));
    for verb in ["list", "show", "check", "doctor", "recover", "finalize", "report", "migrate", "completions"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}");
        let help = parse(words(&format!("runwrap {verb} --help"))).unwrap_err();
        assert!(matches!(help, EarlyExit::Output(_)), "{verb}");
        assert_eq!(parse(words(&format!("runwrap help {verb}"))).unwrap_err(), help);
    }
}

#[test]
fn finalize_parses_and_checks_its_arguments() {
    let args = FinalizeArgs {
        id: "30".to_owned(),
        completed: true,
        ended_at: read_instant("2025-11-27T01:20:52Z"),
        explanation: Some("why".to_owned()),
        metrics: None,
        model_path: None,
        force: false,
    };
    let line = "runwrap finalize 30 --status completed --ended-at 2025-11-27T01:20:52Z --reason why";
    assert_eq!(parsed(line).action, Action::Finalize(args));
    for (line, message) in [
        (
            "runwrap finalize 30 --status failed --ended-at soon",
            "invalid value 'soon' for '--ended-at <TIME>': it is not a time",
        ),
        ("runwrap finalize 30 --status failed --metrics 1", "invalid value '1' for '--metrics <JSON>': "),
        ("runwrap finalize 30", "the following required arguments were not provided: --status <STATUS>"),
        ("runwrap finalize --status failed", "the following required arguments were not provided: <ID>"),
    ] {
        let Err(EarlyExit::Usage { message: given, .. }) = parse(words(line)) else { panic!("{line}") };
        assert!(given.starts_with(message), "{given}");
    }
}

#[test]
fn recover_parses_and_checks_its_arguments() {
    let day = Some(Duration::from_hours(24));
    let args = RecoverArgs {
        json: true,
        dry_run: true,
        stuck_after: day,
        assume_now: true,
        from: None,
        every: None,
        textfile: None,
    };
    assert_eq!(
        parsed("runwrap recover --json --dry-run --stuck-after 24h --assume-end now").action,
        Action::Recover(args)
    );
    let args = RecoverArgs {
        json: false,
        dry_run: false,
        stuck_after: None,
        assume_now: false,
        from: None,
        every: None,
        textfile: None,
    };
    assert_eq!(parsed("runwrap recover").action, Action::Recover(args));
    for line in [
        "--stuck-after 24",
        "--stuck-after -1h",
        "--assume-end now",
        "--stuck-after 1h --assume-end then",
        "--every 1ms",
        "--every 1m --dry-run",
    ] {
        assert!(matches!(parse(words(&format!("runwrap recover {line}"))), Err(EarlyExit::Usage { .. })), "{line}");
    }
}

#[test]
fn check_has_a_day_as_its_default() {
    let day = Duration::from_hours(24);
    let args = CheckArgs { json: false, fix: false, live: false, stuck_after: day };
    assert_eq!(parsed("runwrap check").action, Action::Check(args));
    let args = CheckArgs { json: true, fix: true, live: true, stuck_after: day * 2 };
    assert_eq!(parsed("runwrap check --fix --live --json --stuck-after 2d").action, Action::Check(args));
}
