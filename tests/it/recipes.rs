//! The Python of README.md, docs/python.md and the demo runs as written, and its curves reach the database. Needs nothing
//! but Python 3: scripts/recipes runs the recipes of the frameworks.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::site::{Site, output};

const CURVES: &str = "SELECT name, x, value FROM runwrap_points ORDER BY name, x";

fn text_of(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The blocks of Python in the text, each with the name behind the word `python`.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("\n```python").skip(1).map(|block| block.split("\n```").next().unwrap());
    blocks.map(|block| block.split_once('\n').unwrap()).map(|(name, code)| (name.trim(), code)).collect()
}

fn block<'a>(text: &'a str, name: &str) -> &'a str {
    blocks(text).into_iter().find(|(other, _)| *other == name).unwrap().1
}

/// Runs the code under runwrap in the site.
#[track_caller]
fn train(site: &Site, code: &str) {
    fs::write(site.path().join("train.py"), code).unwrap();
    let output = output(&mut site.runwrap(&["--", "python3", "train.py"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn plain_recipe_has_its_exact_curve() {
    let page = text_of("docs/python.md");
    let code = format!("{}\n{}", block(&page, "report"), block(&page, "plain"));
    for site in [Site::sqlite(), Site::postgres()] {
        train(&site, &code);
        let loss = "loss|1|9\nloss|2|2.25\nloss|3|0.5625\nloss|4|0.140625\nloss|5|0.03515625\nloss|6|0.0087890625\n";
        let weight =
            "weight|1|1.5\nweight|2|2.25\nweight|3|2.625\nweight|4|2.8125\nweight|5|2.90625\nweight|6|2.953125\n";
        assert_eq!(site.sql(CURVES), format!("{loss}{weight}"));
    }
}

/// The clock of this trainer is ahead and fast. runwrap reads all lines at once, before 100 s have passed.
#[test]
fn seconds_of_a_point_are_by_the_clock_of_the_trainer() {
    let page = text_of("docs/python.md");
    let clock = "import itertools\ntime.time = itertools.count(time.time() + 100, 10).__next__";
    let site = Site::sqlite();
    train(&site, &format!("{}\n{clock}\n{}", block(&page, "report"), block(&page, "plain")));
    let times =
        "SELECT count(DISTINCT seconds) FROM runwrap_points WHERE name = 'loss' AND seconds BETWEEN 100 AND 160";
    assert_eq!(site.sql(times), "6\n");
}

#[test]
fn readme_example_in_python_has_its_curve() {
    for site in [Site::sqlite(), Site::postgres()] {
        train(&site, block(&text_of("README.md"), ""));
        assert_eq!(site.sql(CURVES), "epoch|120|3\nloss|120|0.12\n");
    }
}

#[test]
fn demo_has_a_point_per_epoch() {
    let site = Site::sqlite();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/train_demo.py");
    let arguments = ["--", "python3", demo.to_str().unwrap(), "--epochs", "4", "--points", "200"];
    let output = output(&mut site.runwrap(&arguments));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // It prints the same values, as in `epoch  1/4  loss 0.6931  accuracy 0.500`.
    let printed = String::from_utf8(output.stdout).unwrap();
    let points = "SELECT l.x, l.value, a.value FROM runwrap_points l JOIN runwrap_points a ON a.x = l.x \
                  WHERE l.name = 'loss' AND a.name = 'accuracy' ORDER BY l.x";
    let shown = |line: &str| {
        let values: Vec<f64> = line.split('|').map(|value| value.parse().unwrap()).collect();
        format!("epoch {:2}/4  loss {:.4}  accuracy {:.3}", values[0], values[1], values[2])
    };
    let points = site.sql(points);
    let epochs: Vec<&str> = printed.lines().filter(|line| line.starts_with("epoch ")).collect();
    assert_eq!(epochs.len(), 4, "{printed}");
    assert_eq!(points.lines().map(shown).collect::<Vec<_>>(), epochs);
}

#[test]
fn report_function_is_the_same_in_readme_page_and_demo() {
    let (page, readme) = (text_of("docs/python.md"), text_of("README.md"));
    let function = block(&page, "report");
    assert!(block(&readme, "").starts_with(&format!("{function}\n\n")));
    let definition = &function[function.find("def report").unwrap()..];
    assert!(text_of("scripts/train_demo.py").contains(&format!("\n\n{definition}\n\n")));
}

/// A full disk, a run without runwrap, and a number of NumPy, for which a fraction stands: neither is JSON.
#[test]
fn report_function_never_ends_a_training() {
    let page = text_of("docs/python.md");
    let call =
        "from fractions import Fraction\nreport({'a': Fraction(1, 8)}, step=Fraction(2))\nreport(model_path='m')";
    let code = format!("{}\n{call}", block(&page, "report"));
    let run = |report: Option<&str>| {
        let mut command = Command::new("python3");
        command.args(["-c", &code]).env_remove("RUNWRAP_REPORT").stdin(Stdio::null());
        let output = command.envs(report.map(|path| ("RUNWRAP_REPORT", path))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(None);
    run(Some("/dev/full"));
    run(Some("/proc/no such directory/report"));
    let site = Site::sqlite();
    train(&site, &code);
    assert_eq!(site.sql(CURVES), "a|2|0.125\n");
}

/// The frameworks are not installed here, Python's grammar is.
#[test]
fn every_block_of_the_page_is_python_and_a_recipe() {
    let page = text_of("docs/python.md");
    for (name, code) in blocks(&page) {
        let mut python = Command::new("python3");
        python.args(["-c", "import ast, sys; ast.parse(sys.stdin.read())"]).stdin(Stdio::piped());
        let mut parser = python.spawn().unwrap();
        parser.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
        assert!(parser.wait().unwrap().success(), "{name}");
    }
    let mut listing = Command::new("python3");
    listing.args(["scripts/recipes", "--list"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let listed = String::from_utf8(listing.output().unwrap().stdout).unwrap();
    let names = blocks(&page).into_iter().map(|(name, _)| name).filter(|name| *name != "report");
    // Of docs/recipes.md.
    let names: Vec<&str> = names.chain(["apscheduler"]).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    assert!(names.len() >= 5, "{names:?}");
}

/// Each peer has its row of costs, and each one that was tried its row of records.
#[test]
fn comparison_has_a_row_for_each_peer() {
    let mut listing = Command::new("python3");
    listing.args(["scripts/bench-peers", "--list"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let listed = String::from_utf8(listing.output().unwrap().stdout).unwrap();
    let titles: Vec<&str> = listed.lines().map(|line| line.split_once('\t').unwrap().1).collect();
    assert!(titles.len() >= 10, "{listed}");
    let page = text_of("docs/comparison.md");
    let (_, rest) = page.split_once("<!-- bench-peers -->\n").unwrap();
    let (written, _) = rest.split_once("<!-- end of bench-peers -->").unwrap();
    let tables = written.split("\n\n").map(|part| part.lines().skip(2).collect::<Vec<_>>());
    let [_, costs, records] = &tables.collect::<Vec<_>>()[..] else { panic!("a head and two tables: {written}") };
    let first = |row: &&str| row.trim_start_matches("| ").split(" | ").next().unwrap().to_owned();
    assert_eq!(costs.iter().map(first).collect::<Vec<_>>(), titles);
    let tried: Vec<String> = costs.iter().filter(|row| !row.contains("not tried")).map(first).collect();
    assert_eq!(records.iter().map(first).collect::<Vec<_>>(), tried);
}
