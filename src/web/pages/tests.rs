//! The pages of made-up data: complete, small, in both languages, and without markup of a record.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::*;
use crate::record::{Buckets, Difference, Series, read_instant};
use crate::store::RecordView;
use crate::web::look::*;

const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}\u{0}\u{1b}[31m\u{2028}{{ l }}&lt;";

fn now() -> DateTime<Utc> {
    read_instant("2026-08-01T10:00:00Z").unwrap()
}

fn frame(path: &str, query: &str) -> Frame {
    Frame::new(path, query, "en", now())
}

#[expect(clippy::unnecessary_wraps, reason = "the pages take a look that may have failed")]
fn seen<T>(value: T) -> Looked<T> {
    Ok(Seen { value: Arc::new(value), at: now(), away: None })
}

fn away() -> Away {
    Away {
        since: now() - TimeDelta::minutes(3),
        error: format!("no route {HOSTILE}"),
        hint: Some("check that it runs".to_owned()),
    }
}

fn record(value: Value) -> RecordView {
    let Value::Object(object) = value else { panic!("no object") };
    RecordView(object)
}

fn series(name: &str, count: u32) -> Series {
    let x: Vec<f64> = (0..count).map(|x| f64::from(x) * 40.0).collect();
    let wave = |x: f64, shift: f64| 2.0 / (1.0 + x / 900.0) + 0.06 * (x / 130.0).sin() + shift;
    let column = |shift: f64| x.iter().map(|x| Some(wave(*x, shift)).filter(|_| (*x - 4000.0).abs() > 41.0)).collect();
    let buckets = Buckets {
        seconds: x.iter().map(|x| x * 0.7).collect(),
        value: column(0.0),
        low: column(-0.05),
        high: column(0.09),
        others: x.iter().map(|x| u64::from((*x - 4000.0).abs() <= 41.0)).collect(),
        segment: vec![0; x.len()],
        x,
    };
    Series::stored(name.to_owned(), 1, u64::from(count), (3, 0, 0), buckets).unwrap()
}

fn running(id: u32) -> RecordView {
    record(json!({
        "id": id, "run_id": format!("0198f0aa-0000-7000-8000-{id:012}"), "name": "resnet50-imagenet", "version": "v12",
        "status": "training", "train_start_time": "2026-08-01T08:12:00Z", "elapsed_seconds": 6480, "heartbeat_at": "2026-08-01T09:59:51Z",
        "last_seen_seconds_ago": 9, "lease_seconds": 300, "tags": {"team": "vision"}, "host": "gpu-07",
    }))
}

fn completed(id: u32) -> RecordView {
    record(json!({
        "id": id, "name": "resnet50-imagenet", "version": "v11", "status": "completed", "reason": "success", "tags": {"team": "vision"},
        "train_start_time": "2026-08-01T08:12:00Z", "train_end_time": "2026-08-01T09:12:00Z", "train_duration": 3600,
    }))
}

fn list(count: u32) -> RunsPage {
    let curve = |id: u32| Sparkline { name: "val/loss".to_owned(), values: series("", 256 - id).buckets.value };
    let run = |id: u32| ListedRun {
        record: if id < 10 { running(100 - id) } else { completed(100 - id) },
        curve: Some(curve(id)),
    };
    RunsPage { runs: (0..count).map(run).collect(), next: Some("51".to_owned()) }
}

fn hostile_run() -> RunPage {
    let mut series = series("loss", 20);
    series.name = HOSTILE.to_owned();
    let mut object = json!({"status": HOSTILE, "reason": HOSTILE, "train_start_time": HOSTILE, "own column": HOSTILE, "lease_seconds": HOSTILE});
    for key in [
        "id",
        "name",
        "version",
        "error_message",
        "model_path",
        "cwd",
        "host",
        "username",
        "job",
        "parent_run_id",
        "run_id",
        "recovered_at",
        "recovered_by",
        "heartbeat_at",
        "train_duration",
        "signal",
        HOSTILE,
    ] {
        object[key] = json!(HOSTILE);
    }
    object["train_metrics"] = json!({HOSTILE: HOSTILE});
    object["command"] = json!([HOSTILE]);
    object["tags"] = json!({HOSTILE: HOSTILE});
    object["attempts"] = json!([{"id": HOSTILE, "name": HOSTILE, "status": HOSTILE, "attempt": HOSTILE}]);
    let made = json!({"at": HOSTILE, "by": HOSTILE, "text": HOSTILE, "explanation": HOSTILE, "before": {HOSTILE: HOSTILE}, "after": {HOSTILE: HOSTILE}});
    object["context"] = json!({"notes": [made], "finalized": [made], HOSTILE: {HOSTILE: HOSTILE}});
    RunPage { record: record(object), series: vec![series] }
}

fn healthy() -> Health {
    Health {
        database: "postgres://db.example:5432/runs".to_owned(),
        table: "training_records".to_owned(),
        pulse: seen(Pulse { live: 12, overdue: 1, oldest_heartbeat_seconds: Some(412.0) }),
        stuck: seen(0),
        stuck_after_seconds: 86_400,
        journals: Ok(vec![WaitingJournal { detail: HOSTILE.to_owned(), repair: HOSTILE.to_owned() }]),
        recovery: Some(Recovery {
            every_seconds: 60,
            last_round: Some(now()),
            ended: [("lost".to_owned(), 3)].into(),
            error: Some(HOSTILE.to_owned()),
        }),
        errors: vec![DatabaseError { at: now(), class: ErrorClass::Transient, message: HOSTILE.to_owned(), count: 2 }],
        checks: seen(vec![
            Check { check: "connection".to_owned(), state: "ok".to_owned(), detail: HOSTILE.to_owned(), repair: None },
            Check {
                check: "x".to_owned(),
                state: HOSTILE.to_owned(),
                detail: String::new(),
                repair: Some(HOSTILE.to_owned()),
            },
        ]),
        started_at: now(),
    }
}

/// No page has markup or control characters of a record.
#[track_caller]
fn assert_harmless(page: &str) {
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"), "{page}");
    for bad in ["<script>", "<img", "onerror=alert(2)>", "'>"] {
        assert!(!page.contains(bad), "{bad}: {page}");
    }
    let is_odd =
        |character: char| (character.is_control() && character != '\n') || matches!(character, '\u{2028}' | '\u{202e}');
    assert!(!page.contains(is_odd), "{page}");
    assert_eq!(page.matches("<script").count(), 1);
}

#[test]
fn no_text_of_a_record_becomes_markup() {
    let run = hostile_run();
    let id = frame("/runs/1", "lang=zh&curve=%3Cscript%3E");
    assert_harmless(&super::run(&id, HOSTILE, None, &seen(Some(run.clone()))));
    assert_harmless(&super::run(&id, HOSTILE, Some(HOSTILE), &seen(Some(run.clone()))));
    assert_harmless(&super::run(&id, HOSTILE, None, &seen(None)));
    assert_harmless(&super::run(&id, HOSTILE, None, &Err(away())));
    let curve = Sparkline { name: HOSTILE.to_owned(), values: vec![Some(1.0), None, Some(f64::MAX)] };
    let listed = ListedRun { record: run.record.clone(), curve: Some(curve) };
    let query = RunsQuery {
        name: Some(HOSTILE.to_owned()),
        tags: vec![(HOSTILE.to_owned(), Some(HOSTILE.to_owned()))],
        host: Some(HOSTILE.to_owned()),
        job: Some(HOSTILE.to_owned()),
        before: Some(HOSTILE.to_owned()),
        ..RunsQuery::default()
    };
    let page = RunsPage { runs: vec![listed], next: Some(HOSTILE.to_owned()) };
    assert_harmless(&runs(&frame("/", ""), &query, &seen(Ok(page))));
    let differences = vec![Difference { key: HOSTILE.to_owned(), values: vec![json!(HOSTILE), json!([HOSTILE])] }];
    let compared = Comparison { runs: vec![run.clone(), run], missing: vec![HOSTILE.to_owned()], differences };
    assert_harmless(&comparison(&frame("/compare", "ids=1,2"), &seen(Ok(compared))));
    assert_harmless(&health(&frame("/health", ""), &healthy()));
    assert_harmless(&message(&frame("/<script>", "<script>"), Problem::BadRequest, HOSTILE));
}

#[test]
fn list_of_fifty_runs_is_small_and_complete() {
    let page = runs(
        &frame("/", "name=res*"),
        &RunsQuery { name: Some("res*".into()), ..RunsQuery::default() },
        &seen(Ok(list(50))),
    );
    assert!(page.len() < 40_000, "{} bytes", page.len());
    assert_eq!(page.matches("<tr id=\"run-").count(), 50);
    for part in [
        "<a href=\"/runs/100\">resnet50-imagenet</a> v12",
        "<a class=\"tag\" href=\"/?tag=team%3Dvision\">team=vision</a>",
        "<time datetime=\"2026-08-01T08:12:00Z\">2026-08-01 08:12:00</time> <small>1h ago</small>",
        "1h 48m <small>so far</small>",
        "9s ago",
        "href=\"/?name=res%2A&#38;before=51\" rel=\"next\"",
        "<b class=\"training\"><i aria-hidden=\"true\">●</i> training</b>",
        "<html lang=\"en\">",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn page_of_a_run_is_in_the_wanted_language() {
    let page = RunPage { record: running(7), series: vec![series("loss", 200)] };
    let chinese = super::run(&frame("/runs/7", "lang=zh"), "7", None, &seen(Some(page.clone())));
    for part in ["<html lang=\"zh\">", "训练中", "9 秒前", "1 小时 48 分", "href=\"/?lang=zh\"", "最新"] {
        assert!(chinese.contains(part), "{part}: {chinese}");
    }
    let english = super::run(&frame("/runs/7", ""), "7", None, &seen(Some(page)));
    assert!(english.contains("hreflang=\"zh\"") && english.contains("3 of them NaN"), "{english}");
    let all: Vec<Series> = (0..9).map(|number| series(&format!("metric {number}"), 256)).collect();
    let full = super::run(&frame("/runs/7", ""), "7", None, &seen(Some(RunPage { record: running(7), series: all })));
    assert!(full.len() < 50_000, "{} bytes", full.len());
    assert!(full.contains("href=\"/runs/7?curve=metric%208\""), "{full}");
    // The next look at an overdue run.
    let mut late = running(7);
    late.0.insert("last_seen_seconds_ago".to_owned(), json!(301));
    let late = RunPage { record: late, series: Vec::new() };
    assert!(super::run(&frame("/runs/7", ""), "7", None, &seen(Some(late))).contains("! the lease has run out"));
}

#[test]
fn database_that_is_away_is_named_with_the_age_of_what_is_shown() {
    let old = Ok(Seen { value: Arc::new(Ok(list(1))), at: now() - TimeDelta::minutes(4), away: Some(away()) });
    let page = runs(&frame("/", ""), &RunsQuery::default(), &old);
    for part in [
        "The database has not answered since 2026-08-01 09:57:00 UTC.",
        "Shown is the state of 2026-08-01 09:56:00 UTC.",
        "<small>3m ago</small>",
        "check that it runs",
        "run-100",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let never = runs(&frame("/", ""), &RunsQuery::default(), &Err(away()));
    assert!(never.contains("Nothing was read before.") && !never.contains("There is no record yet"), "{never}");
}

#[test]
fn empty_list_names_the_next_step() {
    let none = runs(&frame("/", ""), &RunsQuery::default(), &seen(Ok(RunsPage::default())));
    assert!(none.contains("runwrap -- python train.py"), "{none}");
    let filter = RunsQuery { statuses: vec!["failed".to_owned()], ..RunsQuery::default() };
    let unfit = runs(&frame("/", "status=failed"), &filter, &seen(Ok(RunsPage::default())));
    assert!(unfit.contains("No record fits these filters.") && unfit.contains("value=\"failed\" checked"), "{unfit}");
}

#[test]
fn compared_curves_differ_in_colour_and_dashes_and_have_names() {
    let run = |id: u32| RunPage {
        record: running(id),
        series: vec![series("loss", 50 + id), series(&format!("only{id}"), 9)],
    };
    let differences = vec![Difference { key: "train_metrics.loss".to_owned(), values: vec![json!(0.5), Value::Null] }];
    let compared = Comparison { runs: vec![run(1), run(2)], missing: vec!["9".to_owned()], differences };
    let page = comparison(&frame("/compare", "ids=1,2,9"), &seen(Ok(compared)));
    assert_eq!(page.matches("<figure").count(), 3);
    let first = page.split("<figure").nth(1).unwrap().split("</figure>").next().unwrap();
    for part in ["class=\"line s1\"", "class=\"line s2\"", "resnet50-imagenet v12 #1", "resnet50-imagenet v12 #2"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    for part in ["No such record: 9", "train_metrics.loss", "href=\"/compare?ids=1,2,9&#38;scale=log\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn huge_records_make_bounded_pages() {
    let huge = "m".repeat(1 << 20);
    let metrics: serde_json::Map<String, Value> =
        (0..50_000).map(|number| (format!("m{number}"), json!(number))).collect();
    let tags: serde_json::Map<String, Value> = (0..1000).map(|number| (format!("t{number}"), json!(huge))).collect();
    let mut object = running(1);
    object.0.extend([("train_metrics".to_owned(), Value::Object(metrics)), ("tags".to_owned(), Value::Object(tags))]);
    for key in ["name", "version", "error_message", "host", "job", "own"] {
        object.0.insert(key.to_owned(), json!(huge));
    }
    let listed = RunsPage { runs: vec![ListedRun { record: object.clone(), curve: None }], next: None };
    let page = runs(&frame("/", ""), &RunsQuery::default(), &seen(Ok(listed)));
    assert!(page.len() < 20_000 && !page.contains(&"m".repeat(30_000)), "{} bytes", page.len());
    let page =
        super::run(&frame("/runs/1", ""), "1", None, &seen(Some(RunPage { record: object, series: Vec::new() })));
    assert!(page.len() < 250_000, "{} bytes", page.len());
}

#[test]
fn templates_escape_every_value_and_hold_no_inline_code() {
    let templates = [
        include_str!("comparison.html"),
        include_str!("frame.html"),
        include_str!("health.html"),
        include_str!("message.html"),
        include_str!("parts.html"),
        include_str!("run.html"),
        include_str!("runs.html"),
    ];
    for template in templates {
        for bad in ["safe", "escape", "style=", "<style", "onclick", "onload", "javascript:"] {
            assert!(!template.contains(bad), "{bad}: {template}");
        }
    }
    let own = SCRIPT.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(own <= 80, "{own} lines of script");
    assert!(SCRIPT.len() < 4000 && STYLE.len() < 12_000, "{} {}", SCRIPT.len(), STYLE.len());
}
