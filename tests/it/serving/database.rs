//! The API shows the records as the verbs do, whatever the state of the database.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::client::Served;
use crate::support::postgres::Postgres;
use crate::support::site::{Site, output};
use crate::support::wait::wait_until;

const REPORT: &str =
    r#"for i in 1 2 3; do echo "{\"metrics\": {\"acc\": $i, \"loss\": 0.$i}, \"step\": $i}"; done >> $RUNWRAP_REPORT"#;

fn both() -> [Site; 2] {
    [Site::sqlite(), Site::postgres()]
}

/// The JSON that a verb prints.
#[track_caller]
fn printed(site: &Site, arguments: &[&str]) -> Value {
    let output = output(&mut site.runwrap(arguments));
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn ids(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|record| record["id"].as_i64().unwrap()).collect()
}

/// The target of the link to the next page.
fn next(link: Option<&str>) -> Option<String> {
    let target = link?.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    Some(target.to_owned())
}

/// All ids of a list, page by page.
#[track_caller]
fn paged(served: &Served, target: &str) -> Vec<Vec<i64>> {
    let (mut pages, mut target) = (Vec::new(), Some(target.to_owned()));
    while let Some(page) = target {
        let reply = served.get(&page);
        assert_eq!(reply.status, 200, "{page}: {reply:?}");
        pages.push(ids(&serde_json::from_str(&reply.body).unwrap()));
        target = next(reply.header("link"));
        assert!(pages.len() < 20, "{pages:?}");
    }
    pages
}

#[test]
fn api_has_the_json_of_the_verbs() {
    for site in both() {
        assert!(site.run(&["-n", "a", "--job", "j", "--tag", "team=x"], REPORT).status.success());
        assert!(!site.run(&["-n", "b", "--job", "j"], "exit 3").status.success());
        let served = Served::start(&site, &[]);
        assert_eq!(served.json("/api/runs"), printed(&site, &["list", "--json"]));
        for id in ["1", "2"] {
            let shown = printed(&site, &["show", id, "--json"]);
            assert_eq!(served.json(&format!("/api/runs/{id}")), shown);
            let run_id = shown["run_id"].as_str().unwrap();
            assert_eq!(served.json(&format!("/api/runs/{run_id}")), shown);
            assert_eq!(shown["attempts"].as_array().unwrap().len(), 2);
        }
        let points = printed(&site, &["show", "1", "--points", "loss", "--format", "json"]);
        assert_eq!(served.json("/api/runs/1/points?metric=loss"), points);
        assert_eq!(points.as_array().unwrap().len(), 3);
        for (query, found) in [
            ("status=failed", vec![2]),
            ("status=failed&status=completed", vec![2, 1]),
            ("name=a", vec![1]),
            ("name=*", vec![2, 1]),
            ("tag=team", vec![1]),
            ("tag=team%3Dy", vec![]),
            ("job=j&status=completed", vec![1]),
            ("host=elsewhere", vec![]),
        ] {
            assert_eq!(ids(&served.json(&format!("/api/runs?{query}"))), found, "{query}");
        }
        served.end("TERM");
    }
}

#[test]
fn pages_follow_by_key_while_runs_begin() {
    for site in both() {
        for name in ["a", "b", "a", "b", "a"] {
            assert!(site.run(&["-n", name], "true").status.success());
        }
        let served = Served::start(&site, &[]);
        assert_eq!(paged(&served, "/api/runs?limit=2"), [vec![5, 4], vec![3, 2], vec![1]]);
        assert_eq!(paged(&served, "/api/runs?limit=5"), [vec![5, 4, 3, 2, 1]]);
        assert_eq!(paged(&served, "/api/runs?limit=2&name=a"), [vec![5, 3], vec![1]]);
        assert_eq!(paged(&served, "/api/runs?limit=1&status=completed&name=b"), [vec![4], vec![2]]);
        assert_eq!(paged(&served, "/api/runs?limit=2&status=failed"), [Vec::<i64>::new()]);
        let link = served.get("/api/runs?limit=2").header("link").map(str::to_owned);
        assert!(site.run(&["-n", "a"], "true").status.success());
        assert_eq!(ids(&served.json(&next(link.as_deref()).unwrap())), [3, 2]);
        served.end("TERM");
    }
}

/// A look makes no table and no file, and the service needs neither at its start.
/// The bug: 50 records with large metrics filled the memory, or PostgreSQL's answer was refused and its database counted as away.
#[test]
fn large_records_come_in_shorter_pages_and_are_compared_by_twos() {
    for site in both() {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        let is_postgres = site.url().starts_with("postgres");
        let (numbers, kind) = if is_postgres {
            ("repeat('1,', 60000)", "jsonb")
        } else {
            ("replace(hex(zeroblob(60000)), '00', '1,')", "text")
        };
        let metrics = format!("CAST('{{\"a\": [' || {numbers} || '1]}}' AS {kind})");
        for _ in 0..8 {
            site.sql(&format!("INSERT INTO training_records (status, train_metrics) VALUES ('failed', {metrics})"));
        }
        let served = Served::start(&site, &[]);
        let pages = paged(&served, "/api/runs");
        assert_eq!(pages.concat(), [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(pages.iter().map(Vec::len).max(), Some(3));
        assert_eq!(paged(&served, "/api/runs?limit=2")[0], [8, 7]);
        assert_eq!(served.get("/compare?ids=1,2").status, 200);
        let refused = served.get("/compare?ids=1,2,3,4");
        assert!(refused.status == 400 && refused.body.contains("Compare fewer"), "{refused:?}");
        served.end("TERM");
    }
}

#[test]
fn empty_database_stays_as_it_is() {
    for site in both() {
        let served = Served::start(&site, &["--recover", "1s"]);
        for target in ["/", "/health", "/metrics"] {
            assert_eq!(served.get(target).status, 200, "{target}");
        }
        assert_eq!(served.json("/api/runs"), json!([]));
        assert_eq!(served.get("/api/runs/1").status, 404);
        match site.url().strip_prefix("sqlite:") {
            Some(path) => assert!(!Path::new(path).exists()),
            None => assert_eq!(site.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0\n"),
        }
        // The first run makes them, and the next look finds it.
        assert!(site.run(&[], "true").status.success());
        wait_until("the first run", || ids(&served.json("/api/runs")) == [1]);
        served.end("TERM");
    }
}

// Holds: failures/serve-outage
#[test]
fn service_outlives_its_database_and_marks_what_is_old() {
    let database = Postgres::private();
    let site = Site::on(&database);
    assert!(site.run(&[], "true").status.success());
    database.stop();
    let served = Served::start(&site, &["--start-timeout", "2s", "--recover", "1s"]);
    let away = served.get("/api/runs");
    assert_eq!((away.status, away.header("retry-after")), (503, Some("5")), "{away:?}");
    assert!(away.body.contains("The database does not answer since"), "{away:?}");
    assert_eq!(served.get("/").status, 503);
    let up =
        |is_up: bool| served.get("/metrics").body.contains(&format!("runwrap_database_up {}.0\n", i32::from(is_up)));
    assert!(up(false));
    assert_eq!(served.json("/healthz")["serving"], true);

    database.start();
    wait_until("the database", || served.get("/api/runs").status == 200 && up(true));
    assert_eq!(served.get("/api/runs").header("runwrap-away-since"), None);
    database.stop();
    wait_until("an old answer", || served.get("/api/runs").header("runwrap-away-since").is_some());
    let old = served.get("/api/runs");
    assert_eq!((old.status, ids(&serde_json::from_str(&old.body).unwrap())), (200, vec![1]));
    wait_until("no old numbers", || up(false));
    let metrics = served.get("/metrics").body;
    assert!(!metrics.contains("runwrap_runs{") && metrics.contains("class=\"transient\"}"), "{metrics}");
    database.start();
    wait_until("a new answer", || {
        let reply = served.get("/api/runs");
        reply.status == 200 && reply.header("runwrap-away-since").is_none()
    });
    served.end("TERM");
}

/// A database that takes connections and never answers must not hang a viewer.
// Holds: failures/serve-silent
#[test]
fn silent_database_delays_an_answer_within_a_bound() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/d", silent.local_addr().unwrap().port());
    let site = Site::with_url(&url);
    let served = Served::start(&site, &["--start-timeout", "1s", "--recover", "1s"]);
    let start = std::time::Instant::now();
    assert_eq!(served.get("/health").status, 200);
    assert!(start.elapsed() < std::time::Duration::from_secs(8), "{:?}", start.elapsed());
    for _ in 0..3 {
        assert_eq!(served.get("/api/runs/1").status, 503);
        assert_eq!(served.get("/healthz").status, 200);
    }
    served.end("TERM");
}

#[test]
fn role_that_may_only_read_is_enough() {
    let site = Site::postgres();
    assert!(site.run(&["-n", "a"], REPORT).status.success());
    site.sql(
        "CREATE ROLE looker LOGIN;
        GRANT SELECT ON training_records, runwrap_runs, runwrap_versions, runwrap_series TO looker",
    );
    let (user, rest) = site.url().split_once('@').unwrap();
    let user = user.strip_prefix("postgres://").unwrap();
    let looker = format!("postgres://looker@{rest}");
    assert_ne!(user, "looker");
    let mut command: Command = site.runwrap(&["serve", "--listen", "127.0.0.1:0"]);
    let served = Served::of(command.env("RUNWRAP_DATABASE_URL", looker));
    assert_eq!(served.json("/api/runs")[0]["name"], "a");
    assert_eq!(served.json("/api/runs/1/points?metric=acc").as_array().unwrap().len(), 3);
    for target in ["/", "/runs/1", "/compare?ids=1", "/health"] {
        assert_eq!(served.get(target).status, 200, "{target}");
    }
    assert!(served.get("/metrics").body.contains("runwrap_last_duration_seconds{name=\"a\"}"));
    let health = served.get("/health").body;
    assert!(health.contains("clock") && !health.contains("INSERT"), "{health}");
    assert!(!site.log().contains("event=look_failed"), "{}", site.log());
    served.end("TERM");
}

/// The bug: PostgreSQL refuses such a text, which counted as a failure of the database.
#[test]
fn filter_that_the_encoding_of_the_database_lacks_finds_no_run() {
    let site = Site::postgres();
    site.sql("CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let (address, _) = site.url().rsplit_once('/').unwrap();
    let site = Site::with_url(&format!("{address}/narrow"));
    assert!(site.run(&["-n", "a"], REPORT).status.success());
    let served = Served::start(&site, &[]);
    for filter in ["name=%E2%82%AC", "name=%E2%82%AC*", "tag=%E2%82%AC", "host=%E2%82%AC", "job=%E2%82%AC"] {
        assert_eq!(served.json(&format!("/api/runs?{filter}")), json!([]), "{filter}");
    }
    assert_eq!(served.json("/healthz")["database"], "up");
    served.end("TERM");
}

/// A table that orders by the start of its runs, since its ids have no order.
#[test]
fn pages_follow_by_start_in_a_table_with_text_ids() {
    for site in both() {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        let kind = if site.url().starts_with("sqlite:") { "TEXT" } else { "uuid" };
        site.sql(&format!(
            "DROP TABLE training_records;
            CREATE TABLE training_records (id {kind} PRIMARY KEY, status text, train_start_time timestamp)"
        ));
        let id = |number: u32| format!("00000000-0000-0000-0000-00000000000{number}");
        for (number, start) in [(1, "'2026-01-03'"), (2, "'2026-01-01'"), (3, "'2026-01-03'"), (4, "NULL"), (5, "NULL")]
        {
            let id = id(number);
            site.sql(&format!("INSERT INTO training_records VALUES ('{id}', 'completed', {start})"));
        }
        let served = Served::start(&site, &[]);
        for limit in 1..=5 {
            let (mut found, mut target) = (Vec::new(), Some(format!("/api/runs?limit={limit}")));
            while let Some(page) = target {
                let reply = served.get(&page);
                let records: Vec<Map<String, Value>> = serde_json::from_str(&reply.body).unwrap();
                found.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
                target = next(reply.header("link"));
                assert!(found.len() <= 5, "{found:?}");
            }
            assert_eq!(found, [3, 1, 2, 5, 4].map(id), "{limit}");
        }
        served.end("TERM");
    }
}
