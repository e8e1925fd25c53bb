//! The README's commands do what it says, on a copy of the tree without anything built in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The longest that a first build may take here, in seconds.
const BUILD_SECONDS_MAX: &str = "1800";

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

/// The files of the tree as a clone would have them, at a place that stays the same, so that what was built for the
/// last copy need not be built again.
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

/// Runs `line` in the copy, as a newcomer with an empty home would.
fn newcomer(line: &str, copy: &Path, home: &Path) -> Output {
    let variables = ["XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"];
    let output = Command::new("timeout")
        .args([BUILD_SECONDS_MAX, "bash", "-c", line])
        .current_dir(copy)
        .envs(variables.map(|variable| (variable, home)))
        .env("CARGO_TARGET_DIR", root().join("target/readme/build"))
        .stdin(Stdio::null())
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
fn the_two_commands_of_a_newcomer_work_on_a_clean_copy() {
    let blocks = shell_blocks(&readme(), "Try it");
    assert_eq!(blocks.len(), 2);
    let copy = clean_copy();
    let home = TempDir::new().unwrap();

    let said = String::from_utf8(newcomer(&blocks[0], &copy, home.path()).stdout).unwrap();
    assert!(said.contains("epoch 30/30") && said.contains("saved demo-model.json"), "{said}");
    let shown = |key: &str| {
        let line = said.lines().find(|line| line.starts_with(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("no {key} in {said}")).split_once(':').unwrap().1.trim().to_owned()
    };
    assert_eq!(
        (shown("status"), shown("reason"), shown("version")),
        ("completed".into(), "success".into(), "v1".into())
    );
    assert_eq!(shown("name"), "demo");
    assert_eq!(shown("model_path"), copy.join("demo-model.json").to_str().unwrap());
    assert!(shown("train_metrics").contains("\"epoch\":30"));

    // The second command runs the tests, and so this one: here they are built and named only, and of one small target.
    assert_eq!(blocks[1], "scripts/test");
    let tests = newcomer("scripts/test --test tidy -- --list", &copy, home.path());
    assert!(String::from_utf8(tests.stdout).unwrap().contains("the_house_is_tidy: test"));
}

#[test]
fn every_example_of_a_verb_is_understood() {
    let home = TempDir::new().unwrap();
    let readme = readme();
    let blocks: Vec<&str> = readme.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    let lines = blocks.iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("runwrap "));
    let verbs: Vec<&str> = lines.filter(|line| !line.starts_with("--")).collect();
    assert!(verbs.len() >= 5, "{verbs:?}");
    for line in verbs {
        let output = Command::new("sh")
            .args(["-c", &format!("\"$RUNWRAP\" {line}")])
            .env("RUNWRAP", env!("CARGO_BIN_EXE_runwrap"))
            .envs(
                ["HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"].map(|variable| (variable, home.path())),
            )
            .env_remove("RUNWRAP_DATABASE_URL")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // 1 is "there is no such record"; misuse is 125.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
