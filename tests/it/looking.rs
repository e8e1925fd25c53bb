//! `list` and `show` as a person sees them: on a terminal and without one.

use serde_json::{Value, json};

use crate::support::site::{Site, output};
use crate::support::terminal::{INTERRUPT, Terminal};

/// A report of falling losses and rising accuracies, 40 of each.
const REPORT: &str = r#"for n in 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29; do
    printf '{"metrics": {"loss": 0.%s, "acc": 0.%s, "late/x": %s}, "step": %s00}\n' $((99 - n)) $n $n $n; done >> $RUNWRAP_REPORT"#;

fn said(site: &Site, arguments: &[&str]) -> String {
    let output = output(&mut site.runwrap(arguments));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What runwrap shows on a terminal of 80 columns.
fn seen(site: &Site, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut shell = site.program("sh");
    shell.args(["-c", "stty cols 80 rows 24; \"$@\"; echo the end", "sh", env!("CARGO_BIN_EXE_runwrap")]);
    shell.args(arguments).env("TERM", "xterm").envs(environment.iter().copied());
    Terminal::start(&mut shell).sees("the end")
}

fn is_braille(text: &str) -> bool {
    text.chars().any(|character| ('\u{2801}'..='\u{28ff}').contains(&character))
}

fn width(line: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(anstream::adapter::strip_str(line).to_string().as_str())
}

#[test]
fn show_draws_curves_on_a_terminal_of_80_columns() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.run(&["--curves", "2", "-n", "训练"], REPORT).status.success());
        for locale in ["C.UTF-8", "zh_CN.UTF-8"] {
            let shown = seen(&site, &["show", "1"], &[("LC_ALL", locale)]);
            assert!(is_braille(&shown), "{shown}");
            assert!(shown.contains("loss: last 0.7, lowest 0.7, highest 0.89, 20 values"), "{shown}");
            assert!(shown.contains("only the last value is kept of: late/x"), "{shown}");
            let curves = shown.split_once("Curves").unwrap().1.split_once("Process").unwrap().0;
            assert!(curves.lines().all(|line| width(line) <= 80), "{shown}");
            assert!(curves.find("loss:") < curves.find("acc:"), "{shown}");
            assert!(
                curves.lines().any(|line| line.trim_start().starts_with("1000 ") && line.ends_with(" 2900")),
                "{shown}"
            );
        }
        let one = seen(&site, &["show", "1", "--curve", "acc"], &[]);
        assert!(one.contains("acc: last") && one.contains("further curves (--curve NAME): loss"), "{one}");
        let plain = said(&site, &["show", "1"]);
        assert!(plain.contains("loss: last 0.7, lowest 0.7, highest 0.89, 20 values\n"), "{plain}");
        assert!(!is_braille(&plain) && !plain.contains('\u{1b}'), "{plain}");
    }
}

#[test]
fn points_of_a_curve_are_printed_alone() {
    let site = Site::sqlite();
    let script = r#"echo '{"metrics": {"a": 1, "none": "NaN"}, "step": 5}' >> $RUNWRAP_REPORT; echo '{"metrics": {"a": 2.5}, "step": 7}' >> $RUNWRAP_REPORT"#;
    assert!(site.run(&[], script).status.success());
    let csv = said(&site, &["show", "1", "--points", "a", "--format", "csv"]);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["x", "seconds", "value", "low", "high"]);
    let values: Vec<[&str; 4]> = rows[1..].iter().map(|row| [row[0], row[2], row[3], row[4]]).collect();
    assert_eq!(values, [["5.0", "1.0", "1.0", "1.0"], ["7.0", "2.5", "2.5", "2.5"]]);
    let read: Value = serde_json::from_str(&said(&site, &["show", "1", "--points", "a", "--format", "json"])).unwrap();
    assert_eq!((&read[1]["x"], &read[1]["value"]), (&json!(7.0), &json!(2.5)));
    assert_eq!(said(&site, &["show", "1", "--points", "none", "--format", "csv"]), "x,seconds,value,low,high\n");
    for arguments in [["show", "1", "--points", "b"], ["show", "1", "--curve", "b"]] {
        let output = output(&mut site.runwrap(&arguments));
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error, "runwrap: record 1 has no curve b\nrunwrap: hint: it has a, none\n");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn list_fits_a_terminal_of_80_columns_with_sparklines() {
    let site = Site::sqlite();
    for name in
        ["a-very-long-name-of-a-network-that-is-hard-to-type-twice", "一个非常深的神经网络的名字和它的版本以及数据集"]
    {
        assert!(site.run(&["-n", name], REPORT).status.success());
    }
    let shown = seen(&site, &["list"], &[]);
    assert!(shown.lines().all(|line| width(line) <= 80), "{shown}");
    assert!(shown.contains("ID  NAME") && shown.contains("…") && shown.contains("\u{1b}[32mcompleted"), "{shown}");
    assert!(shown.contains("`runwrap show ID`"), "{shown}");
    let shown = seen(&site, &["list", "--metric", "loss"], &[("NO_COLOR", "1")]);
    assert!(shown.lines().all(|line| width(line) <= 80) && is_braille(&shown) && !shown.contains('\u{1b}'), "{shown}");
    let plain = said(&site, &["list", "--metric", "loss"]);
    assert!(!is_braille(&plain) && !plain.contains('\u{1b}') && !plain.contains("runwrap show"), "{plain}");
    assert!(plain.lines().nth(1).unwrap().contains("  0.7  "), "{plain}");
}

#[test]
fn color_follows_the_conventions() {
    let site = Site::sqlite();
    assert!(site.run(&[], "true").status.success());
    let colored = |arguments: &[&str], environment: &[(&str, &str)]| {
        seen(&site, &[&["list"], arguments].concat(), environment).contains("\u{1b}[32m")
    };
    assert!(colored(&[], &[]));
    assert!(!colored(&[], &[("NO_COLOR", "1")]));
    assert!(!colored(&[], &[("TERM", "dumb")]));
    assert!(!colored(&[], &[("CLICOLOR", "0")]));
    assert!(colored(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!colored(&["--color", "never"], &[]));
    assert!(said(&site, &["list", "--color", "always"]).contains("\u{1b}[32m"));
    assert!(!said(&site, &["list"]).contains('\u{1b}'));
}

#[test]
fn list_is_sorted_selected_and_formatted() {
    let site = Site::sqlite();
    for (name, loss) in [("cifar-1", "0.5"), ("cifar-2", "0.25"), ("mnist", "NaN"), ("cifar-3", "12")] {
        let script = format!("echo '{{\"metrics\": {{\"loss\": {loss}, \"a\": {{\"b\": 1}}}}}}' >> $RUNWRAP_REPORT");
        assert!(site.run(&["-n", name], &script).status.success());
    }
    let names = |arguments: &[&str]| {
        let lines = said(&site, &[&["list", "--format", "jsonl"], arguments].concat());
        let names = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].clone());
        names.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["cifar-3", "mnist", "cifar-2", "cifar-1"]);
    assert_eq!(names(&["--metric", "loss", "--sort", "loss"]), ["cifar-2", "cifar-1", "cifar-3", "mnist"]);
    assert_eq!(names(&["--metric", "loss", "--sort", "-loss"]), ["mnist", "cifar-3", "cifar-1", "cifar-2"]);
    assert_eq!(names(&["--sort", "start", "--name", "cifar*"]), ["cifar-1", "cifar-2", "cifar-3"]);
    // Any column of the output.
    assert_eq!(names(&["--sort", "-run_id"]), names(&[]));
    assert_eq!(names(&["--sort", "ID"]), ["cifar-1", "cifar-2", "mnist", "cifar-3"]);
    assert_eq!(names(&["--sort", "LAST SEEN"]).len(), 4);
    assert_eq!(names(&["--since", "1h", "--status", "completed", "--status", "failed"]).len(), 4);
    assert_eq!(names(&["--since", "2999-01-01"]).len(), 0);
    let csv = said(&site, &["list", "--name", "mnist", "--metric", "a/b", "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let keys = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let value = |key: &str| &row[keys.iter().position(|known| known == key).unwrap()];
    assert_eq!((value("id"), value("name"), value("train_metrics/a/b")), ("3", "mnist", "1"));
    assert_eq!(value("train_metrics"), r#"{"loss":"NaN","a":{"b":1}}"#);
    for wrong in [
        &["--sort", "nonsense"][..],
        &["--sort", "loss"],
        &["--sort", "run_id"],
        &["--sort", "nonsense", "--json"],
        &["--format", "xml"],
        &["--since", "yesterday"],
        &["--color", "red"],
    ] {
        let output = output(&mut site.runwrap(&[&["list"], wrong].concat()));
        assert_eq!(output.status.code(), Some(125), "{wrong:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(wrong[0]), "{output:?}");
    }
}

#[test]
fn running_record_shows_its_elapsed_time() {
    let site = Site::sqlite();
    site.runwrap(&["migrate"]).status().unwrap();
    site.sql(
        "INSERT INTO training_records (status, train_start_time) VALUES ('training', datetime('now', '-3661 seconds'))",
    );
    assert!(said(&site, &["list"]).contains("  1h 1m "), "{}", said(&site, &["list"]));
    assert!(
        said(&site, &["show", "1"]).starts_with("record 1: training for 1h 1m "),
        "{}",
        said(&site, &["show", "1"])
    );
}

/// A terminal that shows the first row is a terminal that runwrap drew on.
#[test]
fn watch_follows_the_table_and_leaves_the_terminal_as_it_was() {
    let site = Site::sqlite();
    assert!(site.run(&["-n", "first-run"], "true").status.success());
    let mut shell = site.program("sh");
    let script = "trap : INT; stty cols 80 rows 24; \"$0\" list --watch --color never; echo status $?";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_runwrap")]).env("TERM", "xterm");
    let mut terminal = Terminal::start(&mut shell);
    assert!(terminal.sees("first-run").contains("\u{1b}[?1049h"), "the alternate screen is opened first");
    assert!(site.run(&["-n", "second-run"], "true").status.success());
    terminal.sees("second-run");
    terminal.resize(40);
    let narrow = terminal.sees("second-run");
    assert!(!narrow.contains("\u{1b}[?1049"), "no second screen: {narrow}");
    terminal.press(INTERRUPT);
    assert!(terminal.sees("status 0").contains("\u{1b}[?25h\u{1b}[?1049l"));
}

/// A database that does not answer must not delay Ctrl-C.
#[test]
fn watch_ends_at_once_beside_a_silent_database() {
    let site = Site::sqlite();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/d", silent.local_addr().unwrap().port());
    let mut shell = site.program("sh");
    let script = "trap : INT; stty cols 80 rows 24; \"$0\" list --watch --start-timeout 1h --database-url \"$1\"; echo status $?";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_runwrap"), &url]).env("TERM", "xterm");
    let mut terminal = Terminal::start(&mut shell);
    terminal.sees("\u{1b}[?1049h");
    // It waits for the server's first byte.
    let (_connection, _address) = silent.accept().unwrap();
    terminal.press(INTERRUPT);
    terminal.sees("status 0");
}

#[test]
fn watch_needs_a_terminal() {
    let site = Site::sqlite();
    let output = output(&mut site.runwrap(&["list", "--watch"]));
    assert_eq!(output.status.code(), Some(125));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("runwrap: --watch needs a terminal\nrunwrap: hint: "), "{error}");
}
