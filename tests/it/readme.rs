//! The README's commands and examples work, on a clean copy of the tree.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::reference::REFERENCE;
use crate::support::building::building;
use crate::support::page::blocks;
use crate::support::site::{Site, output, start};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The shell blocks of the section with this heading.
fn shell_blocks(readme: &str, heading: &str) -> Vec<String> {
    let section = readme.split("\n## ").find(|section| section.lines().next() == Some(heading)).unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().trim().to_owned()).collect()
}

/// The files of the tree as a clone would have them. The path is always the same, so that cargo reuses the last build.
fn clean_copy() -> PathBuf {
    let copy = root().join("target/readme/clone");
    if copy.exists() {
        fs::remove_dir_all(&copy).unwrap();
    }
    fs::create_dir_all(&copy).unwrap();
    let script = "if git rev-parse --git-dir >/dev/null 2>&1; then git ls-files -z --cached --others --exclude-standard; \
                  else find . -path ./target -prune -o -type f -print0; fi | \
                  while IFS= read -r -d '' file; do ! [ -e \"$file\" ] || printf '%s\\0' \"$file\"; done | \
                  tar -c --null -T - | tar -x -C \"$1\"";
    let mut copying = Command::new("bash");
    copying.args(["-euo", "pipefail", "-c", script, "bash"]).arg(&copy).current_dir(root());
    assert!(copying.status().unwrap().success());
    copy
}

/// The target directory of the copy. The built dependencies of these tests are copied into it once, to save minutes; nothing of
/// runwrap itself is.
fn place_to_build() -> PathBuf {
    let place = root().join("target/readme/build");
    if !place.exists() {
        let built = Path::new(env!("CARGO_BIN_EXE_runwrap")).ancestors().nth(2).unwrap();
        let script = "for profile in debug release; do [ -d \"$1/$profile/deps\" ] || continue; mkdir -p \"$2/$profile\"; \
                      tar -c -C \"$1/$profile\" --exclude='*runwrap*' --exclude='it-*' --exclude='model-*' --exclude='tidy-*' \
                          deps build .fingerprint | tar -x -C \"$2/$profile\"; done";
        let mut lending = Command::new("bash");
        lending.args(["-euo", "pipefail", "-c", script, "bash"]).args([built, &place]);
        assert!(lending.status().unwrap().success());
    }
    place
}

/// Runs `line` in the copy, with an empty home.
fn newcomer(line: &str, copy: &Path, home: &Path) -> Output {
    let variables = ["XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"];
    let output = building(&["bash", "-c", line])
        .current_dir(copy)
        .envs(variables.map(|variable| (variable, home)))
        .env("CARGO_TARGET_DIR", place_to_build())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn try_it_commands_work_on_a_clean_copy() {
    let blocks = shell_blocks(&readme(), "Try it");
    assert_eq!(blocks.len(), 2);
    let copy = clean_copy();
    let home = TempDir::new().unwrap();

    let printed = String::from_utf8(newcomer(&blocks[0], &copy, home.path()).stdout).unwrap();
    assert!(printed.contains("epoch 30/30") && printed.contains("saved demo-model.json"), "{printed}");
    let shown = |key: &str| {
        let line = printed.lines().find(|line| line.starts_with(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("no {key} in {printed}")).split_once(':').unwrap().1.trim().to_owned()
    };
    assert!(printed.contains("record 1, demo v1: completed (success) after "), "{printed}");
    assert_eq!(shown("model"), copy.join("demo-model.json").to_str().unwrap());
    assert_eq!(shown("epoch"), "30");

    // The second command runs the tests, this one included: here it builds and lists the tests of one small target only.
    assert_eq!(blocks[1], "scripts/test");
    let tests = newcomer("scripts/test --test tidy -- --list", &copy, home.path());
    assert!(String::from_utf8(tests.stdout).unwrap().contains("the_house_is_tidy: test"));
}

/// The blocks of `language` in the text.
fn blocks_of<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// A `PATH` with the commands `runwrap` and `python`.
pub(crate) fn path_with_runwrap_and_python(site: &Site) -> String {
    let bin = site.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_runwrap"), bin.join("runwrap")).unwrap();
    let found = Command::new("sh").args(["-c", "command -v python3"]).output().unwrap();
    symlink(String::from_utf8(found.stdout).unwrap().trim(), bin.join("python")).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn use_it_commands_work_as_written() {
    let readme = readme();
    let examples = shell_blocks(&readme, "Use it");
    assert!(examples[0].starts_with("runwrap -- python train.py"), "{examples:?}");
    assert!(examples[1].starts_with("export RUNWRAP_DATABASE_URL="), "{examples:?}");
    assert!(examples[0].starts_with(blocks_of(&readme, "sh")[0].trim()), "{examples:?}");
    let site = Site::sqlite();
    fs::write(site.path().join("train.py"), "import sys; print(sys.argv[1:])").unwrap();
    let path = path_with_runwrap_and_python(&site);
    let shell = |block: &str, finish_timeout: &str| {
        let mut command = site.program("sh");
        command.args(["-euc", block]).env("PATH", &path).env_remove("RUNWRAP_DATABASE_URL");
        command.envs([
            ("RUNWRAP_FINISH_TIMEOUT", finish_timeout),
            ("RUNWRAP_START_TIMEOUT", "2s"),
            ("RUNWRAP_LINGER", "0s"),
        ]);
        let output = output(&mut command);
        assert!(output.status.success(), "{block}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = shell(&examples[0], "30s");
    assert!(
        printed.starts_with("['--epochs', '3']\n") && printed.contains("train  v1") && printed.contains("exit code:"),
        "{printed}"
    );
    // Without a database the example waits for the whole `--finish-timeout`.
    assert_eq!(shell(&examples[1], "0s"), "[]\n");
    // The example of the log, with the id of the run above.
    let grep = blocks(REFERENCE).into_iter().find(|block| block.text.starts_with("grep run_id=")).unwrap().text;
    let run_id = printed.lines().find_map(|line| line.strip_prefix("run:")).unwrap().trim();
    let found = shell(&grep.replace("0198f3c1", &run_id[..8]), "30s");
    assert!(found.contains("event=attempt ") && found.contains("change=\"exit 0\""), "{found}");
}

#[test]
fn report_examples_reach_the_record() {
    let readme = readme();
    let site = Site::sqlite();
    let path = path_with_runwrap_and_python(&site);
    let [python] = blocks_of(&readme, "python")[..] else { panic!("one example of Python") };
    fs::write(site.path().join("train.py"), python).unwrap();
    let line = readme.split('`').find(|code| code.starts_with("runwrap report --metric")).unwrap();
    for (script, expected) in [("python train.py", json!({"epoch": 3, "loss": 0.12})), (line, json!({"loss": 0.12}))] {
        let output = output(site.shell(&[], script).env("PATH", &path));
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        let newest = site.records().swap_remove(0);
        assert_eq!(newest["train_metrics"], expected);
        assert_eq!(newest["model_path"], site.path().join("out/model.pt").to_str().unwrap());
    }
}

#[test]
fn every_verb_example_is_accepted() {
    let home = TempDir::new().unwrap();
    let shell = |page| blocks(page).into_iter().filter(|block| block.language == "sh").map(|block| block.text);
    let text: String = shell("README.md").chain(shell(REFERENCE)).collect();
    let lines = text.lines().filter_map(|line| line.strip_prefix("runwrap "));
    let verbs: Vec<&str> = lines.filter(|line| !line.starts_with("--")).collect();
    assert!(verbs.len() >= 12, "{verbs:?}");
    for line in verbs {
        let is_service = line.starts_with("serve");
        let more = if is_service { " --listen 127.0.0.1:0" } else { "" };
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec \"$RUNWRAP\" {line}{more}")])
            .env("RUNWRAP", env!("CARGO_BIN_EXE_runwrap"))
            .envs(
                ["HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"].map(|variable| (variable, home.path())),
            )
            .env_remove("RUNWRAP_DATABASE_URL")
            .stdin(Stdio::null());
        if is_service {
            let mut service = start(command.stdout(Stdio::piped()));
            assert!(service.line().starts_with("http://127.0.0.1:"), "{line}");
            service.signal("TERM");
            assert_eq!(service.end().code(), Some(0), "{line}");
            continue;
        }
        let output = output(&mut command);
        // 1 is "there is no such record"; misuse is 125.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
