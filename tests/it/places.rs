//! The blocks of docs/recipes.md about places are valid in their language, or run as written, and the Chinese page has the
//! same blocks as the English one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::readme::path_with_runwrap_and_python;
use crate::support::page::{Block, RECIPES, block, blocks};
use crate::support::site::{Site, output};
use crate::support::skipped;

#[test]
fn chinese_page_has_the_same_blocks() {
    let (english, chinese) = (blocks(RECIPES), blocks("docs/recipes.zh-CN.md"));
    for (one, other) in english.iter().zip(&chinese) {
        assert_eq!(one, other);
    }
    assert_eq!(english.len(), chinese.len());
}

/// The lines of a file of scripts/deploy, without its comments and the empty lines beside them.
fn without_comments(text: &str) -> String {
    let is_comment = |line: &&str| line.trim() == "#" || line.trim_start().starts_with("# ");
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_comment(line)).collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    lines.join("\n").trim_start().to_owned() + "\n"
}

/// The block of each file has its lines. The comments of the file are the text beside the block.
#[test]
fn blocks_are_the_files_of_scripts_deploy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/deploy");
    let page = fs::read_to_string(folder.join("../../").join(RECIPES)).unwrap();
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "json") {
            continue; // Of Grafana: see `dashboard`.
        }
        assert_eq!(block(name), without_comments(&fs::read_to_string(&path).unwrap()), "{name}");
        assert!(page.contains(&format!("](../scripts/deploy/{name})")), "{RECIPES} has no link to {name}");
        compared += 1;
    }
    assert_eq!(compared, 9);
}

/// Runs `program` on the text of a block as its stdin.
#[track_caller]
fn accepts(program: &[&str], text: &str) {
    let mut command = Command::new(program[0]);
    let mut child = command.args(&program[1..]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn other_blocks_are_valid_in_their_language() {
    let has_yaml =
        Command::new("python3").args(["-c", "import yaml"]).stderr(Stdio::null()).status().unwrap().success();
    if !has_yaml {
        skipped("the YAML of docs/recipes.md is not examined: python3 has no yaml");
    }
    for Block { language, name, text } in blocks(RECIPES) {
        match (&*language, &*name) {
            ("sh", _) => accepts(&["sh", "-n"], &text),
            ("python", _) => {
                accepts(&["python3", "-c", "import sys; compile(sys.stdin.read(), 'recipe', 'exec')"], &text);
            }
            ("cron", _) => accepts(&["sh", "-n"], &commands_of_crontab(&text)),
            ("ini", "supervisord.conf") => accepts(
                &["python3", "-c", "import configparser, sys; configparser.RawConfigParser().read_file(sys.stdin)"],
                &text,
            ),
            ("yaml", _) if has_yaml => {
                accepts(
                    &[
                        "python3",
                        "-c",
                        "import sys, yaml; assert all(one['kind'] for one in yaml.safe_load_all(sys.stdin))",
                    ],
                    &text,
                );
            }
            ("ini", unit) if unit.starts_with("runwrap-") => {} // Verified below.
            // The configuration file is used by `notifying`. There is no checker of a Dockerfile.
            ("toml" | "dockerfile" | "yaml", _) => {}
            _ => panic!("no check for a block of {language} {name}"),
        }
    }
}

/// The commands behind the five fields of each line.
fn commands_of_crontab(text: &str) -> String {
    let is_assignment = |line: &&str| line.split_once('=').is_some_and(|(name, _)| !name.contains(' '));
    let lines = text.lines().filter(|line| !is_assignment(line));
    let commands = lines.map(|line| line.splitn(6, ' ').collect::<Vec<_>>());
    commands.map(|fields| fields.get(5).copied().unwrap().to_owned() + "\n").collect()
}

/// Without cron and Slurm: their commands, in the environment that they would make.
#[test]
fn commands_of_crontab_and_batch_script_run_as_written() {
    let site = Site::sqlite();
    let path = path_with_runwrap_and_python(&site);
    let bin = site.path().join("bin");
    for directory in [".local", "project/.venv"] {
        fs::create_dir_all(site.path().join(directory)).unwrap();
        symlink(&bin, site.path().join(directory).join("bin")).unwrap();
    }
    for directory in ["", "project"] {
        fs::write(site.path().join(directory).join("train.py"), "import sys; sys.exit('out of luck')").unwrap();
    }
    let crontab = blocks(RECIPES).into_iter().find(|block| block.language == "cron").unwrap().text;
    let mut commands = site.program("sh");
    let done = output(commands.args(["-c", &commands_of_crontab(&crontab)]));
    assert!(done.status.success() && done.stdout.is_empty() && done.stderr.is_empty(), "{done:?}");
    let mut script = site.program("bash");
    script.args(["-c", &block("train.sbatch")]).env("PATH", path).env("SLURM_JOB_ID", "4711");
    assert_eq!(output(&mut script).status.code(), Some(1));

    let records = site.records();
    let found = records.iter().map(|record| (record["name"].as_str().unwrap(), record["job"].as_str()));
    assert_eq!(found.collect::<Vec<_>>(), [("train", Some("4711")), ("nightly", None)]);
    // stderr of the second is a regular file.
    assert_eq!(records[1]["error_message"], "exited with code 1\nout of luck");
}

#[test]
fn units_pass_the_verification_of_systemd() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        skipped("the units of docs/recipes.md are not verified: there is no systemd-analyze");
        return;
    }
    let site = Site::sqlite();
    let of_recipes = blocks(RECIPES).into_iter().filter(|block| block.name.starts_with("runwrap-"));
    let of_readme = blocks("README.md").into_iter().filter(|block| block.language == "ini");
    let units = of_recipes.map(|unit| (unit.name, unit.text));
    let units =
        units.chain(of_readme.map(|unit| ("runwrap-readme.service".to_owned(), unit.text))).map(|(name, text)| {
            let path = site.path().join(name);
            let places = ["/usr/local/bin/runwrap", "%h/.local/bin/runwrap"];
            let text = places.iter().fold(text, |text, place| text.replace(place, env!("CARGO_BIN_EXE_runwrap")));
            fs::write(&path, text).unwrap();
            path
        });
    let units: Vec<PathBuf> = units.collect();
    assert_eq!(units.len(), 4);
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(units).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // Other units of the host may have findings of their own.
    assert!(output.status.success() && !stderr.contains("runwrap-"), "{stderr}");
}

#[test]
fn runs_use_an_existing_table_as_written() {
    let site = Site::postgres();
    let path = path_with_runwrap_and_python(&site);
    fs::write(site.path().join("train.py"), "print('trained')").unwrap();
    site.sql(
        "CREATE TABLE trainings (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, dataset text NOT NULL, owner_id int,
             version text, status text NOT NULL, train_start_time timestamptz, train_end_time timestamptz)",
    );
    for name in ["existing-doctor", "existing-insert", "existing-adopt"] {
        let output = output(site.program("sh").args(["-euc", &block(name)]).env("PATH", &path));
        let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{name}: {texts:?}");
    }
    let rows = "SELECT id, dataset, owner_id, version, status, train_end_time IS NOT NULL FROM trainings ORDER BY id";
    let found = site.sql(rows);
    let rows: Vec<&str> = found.lines().map(|row| row.split_once('|').unwrap().1).collect();
    assert_eq!(rows, ["cats|7|v1|completed|t", "cats|||completed|t"]);
}
