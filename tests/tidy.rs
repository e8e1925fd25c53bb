//! The house rules, checked from the sources: imports, places, lengths and words; and the documents: rows, paths and
//! options. A change of a rule, above all of `LAYERS`, is a commit of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/messages.rs"]
mod messages;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tables.rs"]
mod tables;
#[path = "tidy/words.rs"]
mod words;

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
    let read = |path: &PathBuf| fs::read_to_string(path).ok().map(|text| Source::new(&name_of(path), &text));
    files.iter().filter_map(read).collect()
}

/// The documents of the root and of `docs`.
fn documents() -> Vec<Source> {
    let mut files: Vec<PathBuf> = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    files.iter().map(|path| Source::new(&name_of(path), &fs::read_to_string(path).unwrap())).collect()
}

/// The path of a file from the root.
fn name_of(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn document(name: &str) -> Option<String> {
    fs::read_to_string(root().join(name)).ok()
}

#[test]
fn the_house_is_tidy() {
    let sources = sources();
    assert!(sources.len() > 10, "the sources were not found");
    let mut wrong = circles::imports_in_circles(&sources);
    for source in sources.iter().chain(&documents()) {
        wrong.extend(RULES.iter().flat_map(|rule| rule(source)).map(|finding| format!("{}: {finding}", source.path)));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_documents_are_short_and_true() {
    let (sources, documents) = (sources(), documents());
    let parts = sources.iter().filter_map(Source::module).collect();
    let mut wrong = documents::map_is_short_and_whole(&document("ARCHITECTURE.md").unwrap(), &parts);
    let mut pictures = Vec::new();
    walk(&root().join("docs"), &mut pictures);
    let pictures = pictures.iter().map(|path| name_of(path));
    let files = sources.iter().chain(&documents).map(|source| source.path.clone()).chain(pictures).collect();
    for source in &documents {
        let mut dead = documents::dead_paths(source, &files);
        dead.extend(documents::dead_links(source, &documents, &files));
        wrong.extend(dead.iter().map(|finding| format!("{}: {finding}", source.path)));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_packages_accept_the_licences_of_the_gate() {
    let list = |name: &str, key: &str| {
        let text = document(name).unwrap();
        text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned)
    };
    let gate = list("deny.toml", "allow = ");
    assert!(gate.is_some());
    assert_eq!(list("scripts/notices.toml", "accepted = "), gate);
}

#[test]
fn every_row_of_the_tables_has_its_test() {
    let tables = ["signals", "failures"].map(|name| (name, document(&format!("docs/{name}.md")).unwrap()));
    let wrong = tables::unheld(&tables.each_ref().map(|(name, text)| (*name, text.as_str())), &sources());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_messages_of_the_program_are_explained() {
    let wrong = messages::untrue(&document("docs/troubleshooting.md").unwrap(), &sources());
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
fn the_reference_and_the_help_name_the_same_options() {
    let reference = document("docs/reference.md").unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_runwrap")).arg("--help").output().unwrap();
    assert!(help.status.success());
    let rows: Vec<&str> = reference.lines().filter(|line| line.starts_with("| `-")).collect();
    let help = String::from_utf8(help.stdout).unwrap();
    // The line of an option begins with a dash; its explanation may name other options.
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names: Vec<&str> = lines.filter_map(|line| line.split("  ").next()).collect();
    let mut offered = flags(&names.join("\n"));
    offered.remove("--help");
    offered.remove("--version");
    assert_eq!(flags(&rows.join("\n")), offered);
}
