//! docs/reference.md agrees with the program: options, verbs, variables, keys, exit statuses, reasons, checks and findings.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use runwrap::config::options::{OPTIONS, OptionRow};
use runwrap::record::Reason;
use serde_json::{Value, json};

use crate::readme::path_with_runwrap_and_python;
use crate::support::page::blocks;
use crate::support::site::{Site, output, start};
use crate::support::web::Web;

pub(crate) const REFERENCE: &str = "docs/reference.md";

/// Variables that are no part of the interface: of the build, of the tests, and a mark in the environment of `--on-finish`.
const INTERNAL: [&str; 4] = ["RUNWRAP_BUILD_", "RUNWRAP_TEST_", "RUNWRAP_FAILPOINTS", "RUNWRAP_IN_ON_FINISH"];

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE)).unwrap()
}

/// The section with this heading, up to the next heading of any level.
#[track_caller]
fn section(heading: &str) -> String {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The cells of the rows of the table below `header`.
#[track_caller]
fn rows(header: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n{header}\n")).unwrap_or_else(|| panic!("no table {header}"));
    let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names in the first column of the table below `header`.
fn names(header: &str) -> BTreeSet<String> {
    rows(header).iter().flat_map(|row| quoted(&row[0]).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let printed = output(&mut Site::sqlite().runwrap(arguments));
    assert!(printed.status.success(), "{arguments:?}: {printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}

#[test]
fn table_of_options_matches_the_program() {
    let rows = rows("| option | environment | default | meaning |");
    let options: Vec<&OptionRow> = OPTIONS.into_iter().filter(|row| row.flag.is_some()).collect();
    assert_eq!(rows.len(), options.len());
    for row in options {
        let flag = row.flag.unwrap();
        let named = |cells: &&Vec<String>| cells[0].split(['`', ' ']).any(|word| word == flag);
        let cells = rows.iter().find(named).unwrap_or_else(|| panic!("{flag} is not in the table"));
        assert_eq!(cells[1], row.variable.map_or("–".to_owned(), |variable| format!("`{variable}`")), "{flag}");
        assert!(cells[0].contains(row.value_name), "{flag}: {}", cells[0]);
        assert_eq!(row.short.is_some(), cells[0].starts_with(&format!("`-{}`", row.short.unwrap_or('-'))), "{flag}");
        if let Some(default) = row.default {
            assert_eq!(cells[2].trim_matches('`'), default, "{flag}");
        }
    }
}

/// The long flags in a help or in a row.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

#[test]
fn table_of_verbs_has_the_own_options_of_each_verb() {
    let help = printed(&["help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    let mut verb = String::new();
    let mut described: Vec<(String, BTreeSet<String>)> = Vec::new();
    for cells in rows("| verb | option | meaning |") {
        if let Some(named) = quoted(&cells[0]).next() {
            named.split(' ').next().unwrap().clone_into(&mut verb);
            described.push((verb.clone(), BTreeSet::new()));
        }
        described.last_mut().unwrap().1.extend(flags(&cells[1]));
    }
    let flagged: BTreeSet<String> = OPTIONS.into_iter().filter_map(|row| row.flag).map(str::to_owned).collect();
    for name in names {
        let help = printed(&["help", name]);
        // The verb's own options are above the first heading; an explanation may name other options.
        let own = help.lines().skip_while(|line| *line != "Options:").skip(1).take_while(|line| !line.is_empty());
        let own = own.map(str::trim_start).filter(|line| line.starts_with('-'));
        let mut own = flags(&own.filter_map(|line| line.split("  ").next()).collect::<Vec<_>>().join("\n"));
        own.remove("--help");
        let found = described.iter().find(|(verb, _)| verb == name);
        assert_eq!(found.unwrap_or_else(|| panic!("{name} is not in the table")).1, own, "{name}");
    }
    // `doctor` takes all options of a run, and the others those that the text names.
    let shared: BTreeSet<String> =
        OPTIONS.into_iter().filter(|row| row.in_verbs).filter_map(|row| row.flag).map(str::to_owned).collect();
    assert_eq!(
        &(&flags(section("Verbs").split("| verb |").next().unwrap())
            - &["--help".to_owned(), "--on-finish".to_owned()].into()),
        &shared
    );
    assert!(shared.is_subset(&flagged));
}

#[test]
fn reasons_findings_and_statuses_are_those_of_the_program() {
    let reasons: BTreeSet<String> = Reason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(names("| reason | cause |"), reasons);
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let line = readme.split_once("`reason` has the details: ").unwrap().1.split_once(". `version`").unwrap().0;
    assert_eq!(quoted(line).map(str::to_owned).collect::<BTreeSet<_>>(), reasons);
    let chinese = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.zh-CN.md")).unwrap();
    let lines = chinese.split_once("| reason |").unwrap().1.lines().skip(2).take_while(|line| line.starts_with('|'));
    let named: BTreeSet<String> =
        lines.flat_map(|row| quoted(row.split(" | ").next().unwrap()).map(str::to_owned)).collect();
    assert_eq!(named, reasons);

    let source = include_str!("../../src/record/consistency.rs");
    let variants = source.split_once("pub enum FindingKind {").unwrap().1.split_once('}').unwrap().0;
    let variants =
        variants.lines().filter_map(|line| line.trim().strip_suffix(',')).filter(|line| !line.starts_with('/'));
    let kebab = |name: &str| {
        let parts = name.char_indices().map(|(at, character)| {
            let dash = if at > 0 && character.is_ascii_uppercase() { "-" } else { "" };
            format!("{dash}{}", character.to_ascii_lowercase())
        });
        parts.collect::<String>()
    };
    assert_eq!(names("| finding | meaning |"), variants.map(kebab).collect());

    let help = printed(&["--help"]);
    let statuses =
        help.lines().skip_while(|line| !line.starts_with("Exit status:")).skip(1).take_while(|line| !line.is_empty());
    let statuses: Vec<&str> =
        statuses.filter_map(|line| line.split_whitespace().next()).filter(|word| word.parse::<u8>().is_ok()).collect();
    let described: Vec<String> = rows("| status | meaning |").iter().map(|row| row[0].clone()).collect();
    assert_eq!(described, statuses);
}

#[test]
fn checks_of_doctor_are_those_that_it_prints() {
    let mut printed = BTreeSet::new();
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.run(&[], "true").status.success());
        let report: Value = serde_json::from_slice(&output(&mut site.runwrap(&["doctor", "--json"])).stdout).unwrap();
        printed.extend(report.as_array().unwrap().iter().map(|line| line["check"].as_str().unwrap().to_owned()));
    }
    assert_eq!(names("| check | subject |"), printed);
}

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The variables of runwrap that `text` names.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.len() > 8 && word.starts_with("RUNWRAP_")).map(str::to_owned).collect()
}

#[test]
fn every_variable_of_the_program_is_described() {
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    // The tests of a file stand at its end.
    let code: Vec<&str> = texts.iter().map(|text| text.split("#[cfg(test)]").next().unwrap()).collect();
    let is_internal = |name: &String| INTERNAL.iter().any(|start| name.starts_with(start));
    let read: BTreeSet<String> =
        code.iter().flat_map(|code| variables(code)).filter(|name| !is_internal(name)).collect();
    let named = OPTIONS.into_iter().filter_map(|row| row.variable);
    assert!(named.clone().all(|name| read.contains(name)));
    assert_eq!(variables(&page()), read);
    let context = include_str!("../../src/commands/context.rs")
        .split_once("const VARIABLES")
        .unwrap()
        .1
        .split_once("];")
        .unwrap()
        .0;
    let ranks =
        include_str!("../../src/commands/run.rs").split_once("const RANKS").unwrap().1.split_once(';').unwrap().0;
    let literals = |code: &str| code.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let upper = |name: &String| name.chars().all(|character| !character.is_ascii_lowercase());
    let of_others: Vec<String> = literals(context).into_iter().chain(literals(ranks)).filter(upper).collect();
    assert!(of_others.len() > 10, "{of_others:?}");
    let described = names("| variable | meaning |");
    let missing: Vec<&String> = of_others.iter().filter(|name| !described.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn configuration_file_has_the_keys_of_the_options() {
    let text = section("The configuration file");
    let excluded: BTreeSet<String> =
        OPTIONS.into_iter().filter(|row| !row.in_file).filter_map(|row| row.flag).map(str::to_owned).collect();
    assert_eq!(&flags(&text), &excluded);

    let site = Site::sqlite();
    let [config] = &blocks(REFERENCE).into_iter().filter(|block| block.language == "toml").collect::<Vec<_>>()[..]
    else {
        panic!("one configuration file")
    };
    let secret = site.path().join("secret");
    fs::write(&secret, format!("{}\n", site.url())).unwrap();
    let config = config.text.replace("/run/secrets/training-db", secret.to_str().unwrap());
    fs::create_dir_all(site.path().join(".config/runwrap")).unwrap();
    fs::write(site.path().join(".config/runwrap/config.toml"), config).unwrap();
    let output = output(site.shell(&[], "exit 3").env_remove("RUNWRAP_DATABASE_URL"));
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(site.record()["exit_code"], 3);
}

#[test]
fn statements_of_the_page_are_valid() {
    let site = Site::postgres();
    assert!(site.run(&[], r#"echo '{"metrics": {"loss": 0.5}, "step": 3}' >> $RUNWRAP_REPORT"#).status.success());
    let run_id = site.record()["run_id"].as_str().unwrap().to_owned();
    let statements: Vec<_> = blocks(REFERENCE).into_iter().filter(|block| block.language == "sql").collect();
    assert_eq!(statements.len(), 2);
    for block in statements {
        let printed = site.sql(&block.text.replace("01a1f0c2-7b5e-7000-8000-000000000000", &run_id));
        if block.name == "points" {
            assert!(printed.starts_with("3|") && printed.trim_end().ends_with("|0.5|0.5|0.5"), "{printed}");
        }
    }
    assert_eq!(site.sql("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'records\\_by\\_%'"), "3\n");
}

#[test]
fn example_of_on_finish_sends_the_record() {
    let (site, web) = (Site::sqlite(), Web::start());
    fs::write(site.path().join("train.py"), "").unwrap();
    let path = path_with_runwrap_and_python(&site);
    let example =
        blocks(REFERENCE).into_iter().find(|block| block.text.starts_with("export RUNWRAP_ON_FINISH=")).unwrap();
    let example = example.text.replace("https://hooks.example.org", &format!("http://{}", web.address()));
    let mut running = start(site.program("sh").args(["-euc", &example]).env("PATH", &path));
    let mut request = web.request();
    request.reply("{}");
    assert!(running.end().success());
    let record: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!((&*request.method, &*request.path, &record["status"]), ("POST", "/runs", &json!("completed")));
}

/// The tables of a run are those of the page.
#[test]
fn tables_and_columns_are_those_of_the_program() {
    let site = Site::sqlite();
    assert!(site.run(&[], "true").status.success());
    let text = page();
    let made = site.sql("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'");
    for name in made.lines() {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
    assert_eq!(made.lines().count(), 6, "{made}");
    let columns = site.sql("SELECT group_concat(name, ' ') FROM pragma_table_info('training_records')");
    let described = text.split_once("for another name) is yours: ").unwrap().1.split_once(".\n").unwrap().0;
    let described: Vec<&str> = quoted(described).collect();
    assert_eq!(json!(described.join(" ")), json!(columns.trim()));
}
