//! The dashboard of Grafana in scripts/deploy: its queries run on a real PostgreSQL and find the runs, and it has every metric of
//! `/metrics`. Grafana itself is not started: `expanded` does what it does to the text of a query.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::serving::metrics::documented;
use crate::support::site::{Site, start};

/// Trains in two steps.
const TRAIN: &str =
    r#"for n in 1 2; do printf '{"metrics": {"loss": 0.%s}, "step": %s}\n' $n $n; done >> $RUNWRAP_REPORT"#;

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/deploy/grafana-dashboard.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The items of an array.
#[track_caller]
fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The texts with this key, each with the title of its panel.
fn targets<'a>(dashboard: &'a Value, key: &str) -> Vec<(&'a str, &'a str)> {
    let panels = items(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row");
    let targets = panels.flat_map(|panel| items(&panel["targets"]).iter().map(move |target| (panel, target)));
    targets.filter_map(|(panel, target)| Some((panel["title"].as_str().unwrap(), target[key].as_str()?))).collect()
}

/// The queries on the tables, those of the variables first.
fn queries(dashboard: &Value) -> Vec<(&str, &str)> {
    let variables = items(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query");
    let variables = variables.map(|variable| (variable["name"].as_str().unwrap(), variable["query"].as_str().unwrap()));
    variables.chain(targets(dashboard, "rawSql")).collect()
}

/// The query with the macros and the variables as Grafana replaces them: a variable with several values becomes a quoted list.
fn expanded(query: &str, run: &str) -> String {
    let mut parts = query.split("$__timeFilter(");
    let first = parts.next().unwrap().to_owned();
    let range = "BETWEEN '2020-01-01T00:00:00Z' AND '2999-01-01T00:00:00Z'";
    let filters =
        parts.map(|part| part.split_once(')').unwrap()).map(|(column, rest)| format!("{column} {range}{rest}"));
    let expanded = first + &filters.collect::<String>();
    let values = [
        ("$__interval", "1h"),
        ("$table", "training_records"),
        ("$name", "'cats','dogs'"),
        ("$run", run),
        ("$metric", "loss"),
    ];
    values.iter().fold(expanded, |text, (name, value)| text.replace(name, value))
}

#[test]
fn every_query_of_the_dashboard_finds_the_runs() {
    let site = Site::postgres();
    assert!(site.run(&["-n", "cats"], TRAIN).status.success());
    assert_eq!(site.run(&["-n", "dogs"], "exit 3").status.code(), Some(3));
    let run = site.sql("SELECT run_id FROM runwrap_runs WHERE name = 'cats'");
    let mut running =
        start(site.shell(&["-n", "cats"], "echo ready; read line").stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");

    let dashboard = dashboard();
    let queries = queries(&dashboard);
    assert!(queries.len() >= 10, "{queries:?}");
    for (title, query) in queries {
        let query = expanded(query, run.trim());
        assert!(!query.contains('$'), "{title}: a variable or a macro is unknown: {query}");
        assert_ne!(site.sql(&query), "", "{title}: no row: {query}");
    }
    let of = |title: &str| {
        let (_, query) = targets(&dashboard, "rawSql").into_iter().find(|(other, _)| *other == title).unwrap();
        site.sql(&expanded(query, run.trim()))
    };
    assert_eq!(of("Runs by status"), "completed|1\nfailed|1\ntraining|1\n");
    assert_eq!(of("Curve of the chosen run"), "1|0.1|0.1|0.1\n2|0.2|0.2|0.2\n");
    assert_eq!(of("Running now").lines().count(), 1);
    assert_eq!(of("Ended last").lines().count(), 2);
    running.close_stdin();
    running.end();
}

#[test]
fn dashboard_has_every_metric_and_no_other() {
    let dashboard = dashboard();
    let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
    let expressions = targets(&dashboard, "expr");
    let words = expressions.iter().flat_map(|(_, expression)| expression.split(|character| !is_part(character)));
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("runwrap_")).collect();
    assert_eq!(named, documented().iter().map(String::as_str).collect());
}

/// An importer chooses the sources: no panel names one of a certain Grafana.
#[test]
fn panels_have_sources_that_are_variables_and_numbers_of_their_own() {
    let dashboard = dashboard();
    let panels = items(&dashboard["panels"]);
    let numbers: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for target in items(&panel["targets"]) {
            let key = if target["rawSql"].is_string() { "postgres" } else { "prometheus" };
            assert_eq!(target["datasource"]["uid"], format!("${{{key}}}"), "{}", panel["title"]);
            assert_eq!(target["datasource"], panel["datasource"], "{}", panel["title"]);
        }
    }
    let sources = items(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "datasource");
    assert_eq!(sources.map(|source| source["name"].as_str().unwrap()).collect::<Vec<_>>(), ["postgres", "prometheus"]);
}
