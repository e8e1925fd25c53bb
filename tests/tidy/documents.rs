//! The documents: the map is short and complete, and every path in a document exists. Must not judge language: `words`
//! does.

use std::collections::BTreeSet;

use crate::source::Source;

/// Lines of ARCHITECTURE.md, so that a newcomer reads it at one sitting.
const MAP_LINES_MAX: usize = 170;

/// A path into one of these is checked. It starts at the root; a path into `src` may also start there.
const FOLDERS: [&str; 7] = ["src/", "tests/", "docs/", "scripts/", "sql/", ".ci/", ".github/"];

/// Findings about `map`, the text of ARCHITECTURE.md, which names all `parts` of the crate.
pub(crate) fn map_is_short_and_whole(map: &str, parts: &BTreeSet<&str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = map.lines().count();
    if lines > MAP_LINES_MAX {
        wrong.push(format!("ARCHITECTURE.md has {lines} lines, more than {MAP_LINES_MAX}: move proofs to docs/"));
    }
    let quoted: Vec<&str> = quoted(map).collect();
    let is_named =
        |part: &&str| quoted.contains(&format!("{part}/").as_str()) || quoted.contains(&format!("{part}.rs").as_str());
    let missing = parts.iter().filter(|part| !is_named(part));
    wrong.extend(missing.map(|part| format!("ARCHITECTURE.md: its map does not name `{part}`")));
    wrong
}

/// Findings about the paths in a document. `files` are all files of the tree.
pub(crate) fn dead_paths(document: &Source, files: &BTreeSet<String>) -> Vec<String> {
    let is_there = |path: String| files.contains(&path) || files.iter().any(|file| is_below(file, &path));
    let dead = quoted(&document.text).filter(|path| is_checked(path));
    let dead = dead.filter(|path| !is_there((*path).to_owned()) && !is_there(format!("src/{path}")));
    dead.map(|path| format!("names `{path}`, which does not exist")).collect()
}

/// Findings about the links of a document to other files of the tree, and to headings of these files and of its own.
pub(crate) fn dead_links(document: &Source, documents: &[Source], files: &BTreeSet<String>) -> Vec<String> {
    let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let targets = document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_dead = |target: &&str| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = match (path, folder) {
            ("", _) => document.path.clone(),
            (path, "") => path.to_owned(),
            (path, folder) => path.strip_prefix("../").map_or_else(|| format!("{folder}/{path}"), str::to_owned),
        };
        let named = documents.iter().find(|other| other.path == path);
        let has_heading =
            named.is_none_or(|named| anchor.is_empty() || anchors(&named.text).any(|known| known == anchor));
        !files.contains(&path) || !has_heading
    };
    let dead = targets.filter(|target| !target.contains("://")).filter(is_dead);
    dead.map(|target| format!("links to `{target}`, which does not exist")).collect()
}

/// The names under which the headings of a document can be linked.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches(['#', ' ']));
    headings.map(|heading| {
        let lower = heading.to_lowercase().replace(' ', "-");
        lower.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
    })
}

fn is_below(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}

/// The texts between single backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Whether `path` is a path of the tree, and not the pattern of one.
fn is_checked(path: &str) -> bool {
    let is_path = path.chars().all(|character| character.is_ascii_alphanumeric() || "_-./".contains(character));
    let is_file = [".rs", ".md"].iter().any(|ending| path.len() > ending.len() && path.ends_with(ending));
    let is_ours = is_file || FOLDERS.iter().any(|folder| path.starts_with(folder));
    is_path && is_ours && !path.ends_with("/VERB.rs")
}

#[test]
fn a_document_that_is_long_or_names_what_is_not_there_is_found() {
    let parts = BTreeSet::from(["cli", "link"]);
    let good = "| `main.rs`, `cli/` | words |\n| `link.rs` | messages |\n";
    assert_eq!(map_is_short_and_whole(good, &parts), Vec::<String>::new());
    assert!(map_is_short_and_whole(&format!("{good}{}", "\n".repeat(MAP_LINES_MAX)), &parts)[0].contains("lines"));
    assert!(map_is_short_and_whole("`cli/` and link", &parts)[0].contains("`link`"));

    let files = ["README.md", "src/cli/mod.rs", "sql/a.sql", "docs/signals.md"].map(str::to_owned).into();
    let check = |text: &str, count| assert_eq!(dead_paths(&Source::new("x.md", text), &files).len(), count, "{text}");
    check(
        "`src/cli/mod.rs`, `cli/mod.rs`, `src/cli/`, `sql/`, `docs/signals.md`, `README.md`, `src/commands/VERB.rs`",
        0,
    );
    check("`out/model.pt`, `~/.config/x.md`, `quarantine/`, `-v`, `tests/it`", 1);
    check("`src/cl/`, `gone.md`, `cli/gone.rs`, `sql/b.sql`", 4);

    let page = |path: &str, text: &str| Source::new(path, text);
    let documents = [page("README.md", "# A\n"), page("docs/signals.md", "# On Finish\n## Let `go`, 2\n")];
    let check = |path: &str, text: &str, count| {
        assert_eq!(dead_links(&page(path, text), &documents, &files).len(), count, "{text}");
    };
    check("README.md", "[a](docs/signals.md#on-finish) [b](#a) [c](https://x.example/y) [d](sql/a.sql)", 0);
    check("docs/x.md", "[a](signals.md#let-go-2) [b](../README.md)", 0);
    check("docs/x.md", "[a](docs/signals.md) [b](signals.md#let) [c](README.md)", 3);
}
