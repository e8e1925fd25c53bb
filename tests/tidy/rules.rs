//! The rules that look at one file, each proven on a sample that breaks it.

use crate::source::{Source, imports, is_rust, names, tests};
use crate::words::prose_names_its_subject;

/// Who may lean on whom: a module imports only from lines below its own. Modules of one line do not know each other.
const LAYERS: [&[&str]; 9] = [
    &["main"],
    &["cli"],
    &["commands"],
    &["web", "supervisor", "keeper"],
    &["delivery"],
    &["journal", "store", "link"],
    &["logging"],
    &["config"],
    &["record", "output", "libpq", "sys"],
];

/// The parts that may print. All others use `log`.
const MAY_USE_OUTPUT: [&str; 5] = ["main", "cli", "commands", "web", "logging"];

const LINES_MAX: usize = 600;
/// A file beyond this is named in `LONG_FILES`, so that its growth is a decision.
const LINES_SOFT_MAX: usize = 400;
const LONG_FILES: [&str; 0] = [];

/// Characters of a test's name: what holds. A longer story is its doc comment.
const TEST_NAME_LEN_MAX: usize = 70;

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns the findings about a file.
pub(crate) type Rule = fn(&Source) -> Vec<String>;

pub(crate) const RULES: [Rule; 14] = [
    imports_run_downwards,
    supervisor_has_no_database,
    kernel_only_under_sys,
    record_is_pure,
    nothing_prints,
    first_line_says_what_the_file_owns,
    files_are_short,
    names_say_what_is_inside,
    nothing_is_left_for_later,
    sql_lives_in_files,
    messages_are_sentences,
    tests_do_not_sleep,
    test_names_are_short,
    prose_names_its_subject,
];

fn imports_run_downwards(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else { return Vec::new() };
    let Some(own) = layer(module) else {
        return vec![format!("module `{module}` stands in no line of LAYERS")];
    };
    let mut wrong = Vec::new();
    if climbs_out(source) {
        wrong.push("reaches out of its module by `super::`: write `crate::`".to_owned());
    }
    for imported in imports(&source.code) {
        let Some(other) = layer(&imported) else { continue };
        if imported != module && other <= own {
            wrong.push(format!("`{module}` must not import `{imported}`, which does not stand below it"));
        }
        if imported == "output" && imported != module && !MAY_USE_OUTPUT.contains(&module) {
            wrong.push(format!("`{module}` must not print: use `log`"));
        }
    }
    wrong
}

/// Whether a chain of `super::` in the file leads to the root of the crate, past the check of `crate::` paths.
fn climbs_out(source: &Source) -> bool {
    let depth = source.path.trim_end_matches("/mod.rs").matches('/').count();
    let tests_at = source.code.find("#[cfg(test)]").unwrap_or(source.code.len());
    let chain = |times: usize| "super::".repeat(times);
    // `mod tests` is one module deeper.
    source.code[..tests_at].contains(&chain(depth)) || source.code[tests_at..].contains(&chain(depth + 1))
}

fn supervisor_has_no_database(source: &Source) -> Vec<String> {
    let banned = ["store", "postgres", "rusqlite"];
    let named = banned.iter().filter(|word| source.module() == Some("supervisor") && names(&source.code, word));
    named.map(|word| format!("the supervisor names `{word}`: it has one thread and no database")).collect()
}

fn kernel_only_under_sys(source: &Source) -> Vec<String> {
    let banned = ["unsafe", "nix", "libc"];
    let named = banned
        .iter()
        .filter(|word| source.is_in("src/") && source.module() != Some("sys") && names(&source.code, word));
    named.map(|word| format!("`{word}` belongs under src/sys")).collect()
}

fn record_is_pure(source: &Source) -> Vec<String> {
    let banned = [
        "std::fs",
        "std::net",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant",
        "Utc::now",
        "log",
    ];
    let named = banned.iter().filter(|word| source.module() == Some("record") && names(&source.code, word));
    named.map(|word| format!("`record` is pure and has no use for `{word}`")).collect()
}

fn nothing_prints(source: &Source) -> Vec<String> {
    let banned = ["println", "print", "eprintln", "eprint", "dbg"];
    let named = banned.iter().filter(|word| source.is_in("src/") && names(&source.code, &format!("{word}!")));
    named.map(|word| format!("`{word}!` panics on a closed pipe: use `output`")).collect()
}

fn first_line_says_what_the_file_owns(source: &Source) -> Vec<String> {
    let is_owed = is_rust(&source.path) && !source.text.starts_with("//! ");
    is_owed.then(|| "begins without `//!`: state what it owns and what it must not do".to_owned()).into_iter().collect()
}

fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if !is_rust(&source.path) {
        return Vec::new();
    }
    let is_listed = LONG_FILES.contains(&source.path.as_str());
    if lines > LINES_MAX {
        vec![format!("has {lines} lines, more than {LINES_MAX}: split it")]
    } else if (lines > LINES_SOFT_MAX) != is_listed {
        vec![format!("has {lines} lines: split it past {LINES_SOFT_MAX}, or keep LONG_FILES true")]
    } else {
        Vec::new()
    }
}

fn names_say_what_is_inside(source: &Source) -> Vec<String> {
    let banned = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];
    let parts: Vec<&str> = source.path.split(['/', '.']).collect();
    let named = banned.iter().filter(|word| parts.contains(word) || source.code.contains(&format!("mod {word} {{")));
    named.map(|word| format!("`{word}` names nothing: say what is inside")).collect()
}

fn nothing_is_left_for_later(source: &Source) -> Vec<String> {
    let banned = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let named = banned.iter().filter(|word| names(&source.text, word));
    named.map(|word| format!("`{word}`: do it now or open an issue")).collect()
}

fn sql_lives_in_files(source: &Source) -> Vec<String> {
    let banned = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "ALTER ", "DROP "];
    let literals = source.strings.iter().filter(|_| source.is_in("src/"));
    literals
        .filter(|literal| banned.iter().any(|word| literal.trim_start().starts_with(word)))
        .map(|literal| {
            format!("SQL in a literal, `{}…`: it lives in sql/", literal.chars().take(30).collect::<String>())
        })
        .collect()
}

/// A warning or an error is a sentence beside its fields: without one it would be in the log alone, as all records of a keeper are.
fn messages_are_sentences(source: &Source) -> Vec<String> {
    let shown = source.is_in("src/") && !source.is_in("src/keeper/");
    let calls = source.code.split("log::").skip(1).filter(|_| shown);
    let empty = calls.filter(|call| {
        let is_shown = ["warn!(", "error!(", "log!("].iter().any(|level| call.starts_with(level));
        is_shown && call.split_once(';').is_some_and(|(_, message)| message.trim_start().starts_with("\"\")"))
    });
    empty.map(|call| format!("`log::{}…` has no sentence", call.chars().take(30).collect::<String>())).collect()
}

fn tests_do_not_sleep(source: &Source) -> Vec<String> {
    let sleeps = source.is_in("tests/") && names(&source.code, "sleep");
    sleeps.then(|| "sleeps: wait for a condition with a deadline".to_owned()).into_iter().collect()
}

fn test_names_are_short(source: &Source) -> Vec<String> {
    let long = tests(source).into_iter().filter(|name| name.len() > TEST_NAME_LEN_MAX);
    long.map(|name| format!("test `{name}` has {} characters, more than {TEST_NAME_LEN_MAX}", name.len())).collect()
}

#[test]
fn each_rule_finds_what_breaks_it() {
    #[track_caller]
    fn check(rule: Rule, path: &str, good: &str, bad: &str) {
        assert_eq!(rule(&Source::new(path, good)), Vec::<String>::new());
        assert_eq!(rule(&Source::new(path, bad)).len(), 1, "{bad}");
    }
    let check_imports = |path, good, bad| check(imports_run_downwards, path, good, bad);
    check_imports("src/store/sqlite.rs", "use crate::record::Run;", "use crate::journal::Journal;");
    check_imports(
        "src/keeper/mod.rs",
        "use crate::{record, sys::fs::Directory};",
        "use crate::{sys::{self}, supervisor};",
    );
    check_imports("src/record/run.rs", "use super::status::Status;", "use super::super::x;");
    check_imports("src/store/sqlite/begin.rs", "use super::super::Store;", "use super::super::super::x;");
    check_imports("src/delivery.rs", "use crate::store;\n#[cfg(test)]\nuse super::x;", "use super::store;");
    check_imports("src/main.rs", "use runwrap::cli;", "use super::cli;");
    check_imports("src/commands/list.rs", "use crate::output;", "use crate::cli::ListArgs;");
    check_imports("src/journal/mod.rs", "// crate::keeper", "use crate::keeper;");
    check_imports("src/delivery.rs", "use crate::journal;", "use crate::output::print;");
    check_imports("src/sys/mod.rs", "", "use crate::config;");
    check_imports("src/libpq/mod.rs", "", "use crate::config;");
    check_imports("src/config/mod.rs", "use crate::libpq;", "use crate::logging;");
    check_imports("src/record/mod.rs", "", "use crate::logging;");
    assert_eq!(imports_run_downwards(&Source::new("src/extra/mod.rs", "")).len(), 1);

    check(supervisor_has_no_database, "src/supervisor/mod.rs", "// the store\nrestore();", "let store = 1;");
    check(kernel_only_under_sys, "src/keeper/mod.rs", "unsafe_code(\"libc\")", "libc::kill(1, 9);");
    check(kernel_only_under_sys, "src/keeper/mod.rs", "nixie::sort()", "unsafe { }");
    check(record_is_pure, "src/record/run.rs", "use std::fmt; // Instant", "use std::time::Instant;");
    check(record_is_pure, "src/record/run.rs", "let catalog = 1;", "log::info!(\"\");");
    check(nothing_prints, "src/cli.rs", "writeln!(out)", "eprintln!(\"x\")");
    check(first_line_says_what_the_file_owns, "src/cli.rs", "//! Owns.", "use x;");
    check(files_are_short, "src/cli.rs", &"\n".repeat(LINES_SOFT_MAX), &"\n".repeat(LINES_SOFT_MAX + 1));
    check(files_are_short, "src/cli.rs", "", &"\n".repeat(LINES_MAX + 1));
    check(names_say_what_is_inside, "src/cli.rs", "mod commons {", "mod misc {");
    assert_eq!(names_say_what_is_inside(&Source::new("src/store/util.rs", "")).len(), 1);
    check(nothing_is_left_for_later, "scripts/x", "TODOS", concat!("# TO", "DO: later"));
    check(sql_lives_in_files, "src/store/x.rs", "f(\"SELECTED\"); // SELECT 1", "f(\"SELECT 1\");");
    check(
        sql_lives_in_files,
        "src/store/x.rs",
        "#[cfg(test)] const X: &str = \"SELECT 1\";",
        "f(r#\"\n  DELETE FROM x\"#);",
    );
    check(
        messages_are_sentences,
        "src/store/x.rs",
        "log::debug!(event = \"x\"; \"\"); log::info!(event = \"x\"; \"it began\");",
        "log::warn!(event = \"x\"; \"\");",
    );
    let test = |length| format!("#[test]\n#[ignore]\nfn {}() {{}}", "x".repeat(length));
    check(test_names_are_short, "src/x.rs", &test(TEST_NAME_LEN_MAX), &test(TEST_NAME_LEN_MAX + 1));
    let case = |length| format!("conformance!(\n    {},\n);", "x".repeat(length));
    check(test_names_are_short, "tests/it/x.rs", &case(TEST_NAME_LEN_MAX), &case(TEST_NAME_LEN_MAX + 1));
    check(tests_do_not_sleep, "tests/it/x.rs", "Command::new(\"sleep\")", "thread::sleep(SECOND);");
}
