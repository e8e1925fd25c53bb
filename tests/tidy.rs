//! The rules of the house, checked from the sources: who may import whom, what may stand where, how long a file may
//! be, and that the documents name what exists. A change of a rule, above all of `LAYERS`, is a commit of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot read the tree has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tables.rs"]
mod tables;

use rules::RULES;
use source::Source;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "scripts", "sql", ".ci"] {
        let folder = root().join(folder);
        if folder.is_dir() {
            walk(&folder, &mut files);
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        fs::read_to_string(path).ok().map(|text| Source::new(&name, &text))
    };
    files.iter().filter_map(read).collect()
}

fn document(name: &str) -> Option<String> {
    fs::read_to_string(root().join(name)).ok()
}

#[test]
fn the_house_is_tidy() {
    let sources = sources();
    assert!(sources.len() > 10, "the sources were not found");
    let mut wrong = Vec::new();
    for source in &sources {
        wrong.extend(RULES.iter().flat_map(|rule| rule(source)).map(|what| format!("{}: {what}", source.path)));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_row_of_the_tables_has_its_test() {
    let tables = ["signals", "failures"].map(|name| (name, document(&format!("docs/{name}.md")).unwrap()));
    let wrong = tables::unheld(&tables.each_ref().map(|(name, text)| (*name, text.as_str())), &sources());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The long flags in `text`.
fn flags(text: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let words =
        text.split(|character: char| !is_part(character)).filter(|word| word.starts_with("--") && word.len() > 2);
    words.map(str::to_owned).collect()
}

#[test]
fn the_readme_and_the_help_name_the_same_options() {
    let Some(readme) = document("README.md") else { return };
    let help = Command::new(env!("CARGO_BIN_EXE_runwrap")).arg("--help").output().unwrap();
    assert!(help.status.success());
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `-")).collect();
    let help = String::from_utf8(help.stdout).unwrap();
    // An option's own line begins with a dash; its explanation may name others.
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names: Vec<&str> = lines.filter_map(|line| line.split("  ").next()).collect();
    let mut offered = flags(&names.join("\n"));
    offered.remove("--help");
    offered.remove("--version");
    assert_eq!(flags(&rows.join("\n")), offered);
}
