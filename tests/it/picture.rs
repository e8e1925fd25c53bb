//! The pictures of `list` and `show` in the READMEs are what the program prints on a terminal of 80 columns for such runs, and the
//! READMEs of both languages have the same blocks.

use std::fs;

use crate::readme::path_with_runwrap_and_python;
use crate::support::page::blocks;
use crate::support::site::{Site, output, start};
use crate::support::terminal::Terminal;
use crate::support::wait::wait_until;

const TRAINER: &str = r#"import json, os, sys
for step in range(1, 41):
    metrics = {"loss": round(2.3 * 0.93**step, 4), "accuracy": round(1 - 0.9 * 0.95**step, 4)}
    with open(os.environ["RUNWRAP_REPORT"], "a") as report:
        report.write(json.dumps({"metrics": metrics, "step": 100 * step}) + "\n")
    if step == 21 and "10" in sys.argv:
        sys.exit("RuntimeError: loss is NaN at step 2100")
"#;

/// Runs of hours, seen in the evening of the last one.
const TIMES: &str = "
    UPDATE training_records SET train_duration = 31464, train_start_time = datetime('now', '-22 hours') WHERE id = 1;
    UPDATE training_records SET train_duration = 1878, train_start_time = datetime('now', '-7 hours', '-40 minutes'),
        train_end_time = datetime('now', '-7 hours', '-9 minutes') WHERE id = 2;
    UPDATE training_records SET train_duration = 16598, train_start_time = datetime('now', '-6 hours') WHERE id = 3;
    UPDATE training_records SET train_start_time = datetime('now', '-8005 seconds') WHERE id = 4";

/// The text with its numbers reduced to `0` and its gaps to one space. A drawn curve stays as it is.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for character in text.trim_end().chars() {
        let character = if character.is_ascii_digit() { '0' } else { character };
        let is_repeated = plain.ends_with(character) && (character == '0' || character == ' ');
        if !is_repeated {
            plain.push(character);
        }
    }
    plain
}

/// What the arguments print on a terminal of 80 columns.
fn seen(site: &Site, arguments: &[&str]) -> String {
    let mut shell = site.program("sh");
    shell.args(["-c", "stty cols 80 rows 24; \"$@\"; echo the end", "sh", env!("CARGO_BIN_EXE_runwrap")]);
    shell.args(arguments).env("TERM", "xterm").env("NO_COLOR", "1");
    Terminal::start(&mut shell).sees("the end")
}

#[test]
fn pictures_are_the_output_of_the_program() {
    let site = Site::sqlite();
    fs::write(site.path().join("train.py"), TRAINER).unwrap();
    let path = path_with_runwrap_and_python(&site);
    let run = |script: &str| output(site.program("sh").args(["-c", script]).env("PATH", &path)).status.success();
    assert!(run("runwrap -n resnet50 -- python train.py --lr 0.1"));
    assert!(!run("runwrap -n resnet50 -- python train.py --lr 10 2> train.err"));
    assert!(!run("runwrap -n resnet50 -- sh -c 'kill -KILL $PPID; exec cat' < /dev/zero > /dev/null"));
    let is =
        |id: usize, status: &str| site.records().iter().any(|record| record["id"] == id && record["status"] == status);
    wait_until("the end of the killed run", || is(3, "failed"));
    let mut endless = site.runwrap(&["-n", "resnet50", "--", "sh", "-c", "exec tail -f /dev/null"]);
    let _running = start(&mut endless);
    wait_until("the running run", || is(4, "training"));
    site.sql(TIMES);

    for (name, arguments) in [("list", &["list"][..]), ("show", &["show", "2"])] {
        let picture =
            blocks("README.md").into_iter().find(|block| block.language == "text" && block.name == name).unwrap();
        let (picture, printed) = (without_numbers(&picture.text), without_numbers(&seen(&site, arguments)));
        // The page shows the beginning of `show`.
        assert!(printed.starts_with(&picture), "the page has\n{picture}\n\nrunwrap printed\n{printed}");
        assert!(name == "show" || printed == picture, "runwrap printed\n{printed}");
    }
}

#[test]
fn chinese_readme_has_the_same_blocks() {
    let (english, chinese) = (blocks("README.md"), blocks("README.zh-CN.md"));
    for (one, other) in english.iter().zip(&chinese) {
        assert_eq!(one, other);
    }
    assert_eq!(english.len(), chinese.len());
    for (page, other) in [("README.md", "README.zh-CN.md"), ("README.zh-CN.md", "README.md")] {
        let text = fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(
            text.lines().take(5).any(|line| line.contains(&format!("]({other})"))),
            "{page} has no link to {other}"
        );
    }
}
