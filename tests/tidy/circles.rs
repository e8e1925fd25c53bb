//! No file of `src` imports another in a circle. Imports from a module above do not count: a parent declares its children
//! and holds their common types. Must not judge the order of parts: `rules` does.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// The imports of each file, both as module paths.
type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The path of a file's module in the crate; `None` for a file of tests and outside `src`.
fn module_of(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let is_tests = path == "tests" || path.ends_with("/tests");
    (!is_tests && !["lib", "main"].contains(&path)).then(|| path.split('/').map(str::to_owned).collect())
}

/// The code of a file before its tests.
fn production(source: &Source) -> &str {
    source.code.split("#[cfg(test)]").next().unwrap_or_default()
}

fn graph(sources: &[Source]) -> Graph {
    let modules: BTreeMap<Vec<String>, &Source> =
        sources.iter().filter_map(|source| Some((module_of(&source.path)?, source))).collect();
    let imports = |module: &Vec<String>, source: &Source| {
        let named = paths(production(source)).into_iter().filter_map(|path| absolute(module, &path, &modules));
        let files = named.filter_map(|path| {
            (1..=path.len()).rev().map(|end| path[..end].to_vec()).find(|file| modules.contains_key(file))
        });
        files.filter(|file| !module.starts_with(file)).collect()
    };
    modules.iter().map(|(module, source)| (module.clone(), imports(module, source))).collect()
}

/// `path` from the root of the crate; `None` if it belongs to another crate.
fn absolute(module: &[String], path: &[String], modules: &BTreeMap<Vec<String>, &Source>) -> Option<Vec<String>> {
    let climbs = path.iter().take_while(|segment| *segment == "super").count();
    let base = module.get(..module.len().checked_sub(climbs)?)?;
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([base, &path[climbs..]].concat()),
        _ => {
            let child = [module, &path[..1]].concat();
            modules.contains_key(&child).then(|| [module, path].concat())
        }
    }
}

/// Every path with a `::` in `code`, one for each branch of a tree.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_part) {
        rest = &rest[start..];
        rest = tree(rest, &[], &mut found);
    }
    found.retain(|path| path.len() > 1);
    found
}

fn is_part(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Reads the tree of paths at the start of `rest`, below `prefix`; returns the text after it.
fn tree<'a>(rest: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
    let (segment, mut rest) = rest.split_at(end);
    let path = [prefix, &[segment.to_owned()]].concat();
    let Some(after) = rest.strip_prefix("::") else {
        found.push(path);
        return rest;
    };
    let Some(mut inside) = after.strip_prefix('{') else {
        if after.starts_with(is_part) {
            return tree(after, &path, found);
        }
        found.push(path);
        return after;
    };
    loop {
        inside = inside.trim_start_matches([',', ' ', '\n']);
        rest = inside;
        if !inside.starts_with(is_part) {
            break;
        }
        inside = tree(inside, &path, found);
        inside = inside.find([',', '}', ';']).map_or("", |at| &inside[at..]);
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

/// The files that `from` imports, directly or through others.
fn reached(graph: &Graph, from: &Vec<String>) -> BTreeSet<Vec<String>> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        open.extend(graph[file].iter().filter(|next| reached.insert((*next).clone())));
    }
    reached
}

/// The circles, each as its files in order.
fn circles(graph: &Graph) -> BTreeSet<String> {
    let reached: BTreeMap<_, _> = graph.keys().map(|file| (file, reached(graph, file))).collect();
    let circle_of = |file: &Vec<String>| {
        let others = reached[file].iter().filter(|other| reached[other].contains(file));
        others.map(|other| other.join("::")).collect::<Vec<_>>().join(", ")
    };
    graph.keys().map(circle_of).filter(|circle| !circle.is_empty()).collect()
}

/// Findings about the imports of `sources`, which hold the whole of `src`.
pub(crate) fn imports_in_circles(sources: &[Source]) -> Vec<String> {
    let found = circles(&graph(sources));
    found.iter().map(|circle| format!("these files import each other in a circle: {circle}")).collect()
}

#[test]
fn a_circle_is_found_and_a_parent_is_none() {
    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        assert_eq!(circles(&graph(&sources)).into_iter().collect::<Vec<_>>(), expected);
    }
    check(&[("src/a/b.rs", "use super::c::X;"), ("src/a/c.rs", "use crate::a::{b::{self, Y}, d};")], &["a::b, a::c"]);
    check(&[("src/a/b.rs", "fn f() { super::c::g() }"), ("src/a/c.rs", "use super::b;")], &["a::b, a::c"]);
    let three = [
        ("src/a/mod.rs", "mod b; use b::X; use self::d::Z;"),
        ("src/a/b.rs", "use super::c::X;"),
        ("src/a/c.rs", "use super::{d, e};"),
        ("src/a/d.rs", "use crate::a::b::X;"),
    ];
    check(&three, &["a::b, a::c, a::d"]);
    // A parent and its child, the tests of a file, a file of tests, comments and other crates make none.
    check(&[("src/a/mod.rs", "mod b; pub use b::X;"), ("src/a/b.rs", "use super::Y; use crate::a::Z;")], &[]);
    check(&[("src/b.rs", "use crate::c;"), ("src/c.rs", "#[cfg(test)]\nmod tests { use crate::b; }")], &[]);
    check(&[("src/b/c.rs", "use super::tests;"), ("src/b/tests.rs", "use super::c::X;")], &[]);
    check(&[("src/b.rs", "use crate::c;"), ("src/c.rs", "// crate::b\nuse std::b::X; let b = d::b;")], &[]);

    let two = [("src/a.rs", "use crate::b;"), ("src/b.rs", "use crate::a;")];
    let two = two.map(|(path, text)| Source::new(path, text));
    assert!(imports_in_circles(&two)[0].contains("in a circle: a, b"));
}
