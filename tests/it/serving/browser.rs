//! `runwrap serve` as a person sees it, in a real browser. Pictures are kept in the directory of the tests' artefacts.

mod driver;
mod pictures;

use std::process::Stdio;

use driver::{Browser, Circumstances, DESK};

use super::client::Served;
use crate::support::postgres::Postgres;
use crate::support::site::{Site, start};
use crate::support::wait::wait_until;

/// Markup, script, quotes, a mark that reorders text and a control character.
const HOSTILE: &str = "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>\"'\u{202e}&lt";
const HOSTILE_SHOWN: &str = "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>\"'\\u{202e}&lt";

/// Reports each number that it reads as a loss at the same step.
const REPORTING: &str = r#"while read n; do echo "{\"metrics\": {\"loss\": $n, \"val\": {\"acc\": 0.5}}, \"step\": $n}" >> $RUNWRAP_REPORT; done"#;

fn url(service: &Served, path: &str) -> String {
    format!("http://{}{path}", service.address)
}

/// Some ended runs: `resnet-a` and `resnet-b` with curves, and `vit`, which fails.
fn some_runs(site: &Site) {
    for (name, scale, tag) in [("resnet-a", 1, "team=vision"), ("resnet-b", 2, "nightly")] {
        let script = format!(
            r#"for n in $(seq 1 40); do echo "{{\"metrics\": {{\"loss\": $((4000 / (n + {scale}))), \"acc\": 0.$((n + 10))}}, \"step\": ${{n}}00}}"; done >> $RUNWRAP_REPORT"#
        );
        assert!(site.run(&["-n", name, "--tag", tag, "--job", "sweep"], &script).status.success());
    }
    assert_eq!(site.run(&["-n", "vit"], "echo out of memory >&2; exit 3").status.code(), Some(3));
}

#[test]
fn list_fills_a_curve_grows_and_a_run_ends_while_a_person_looks() {
    for site in [Site::sqlite(), Site::postgres()] {
        let service = Served::start(&site, &[]);
        let mut browser = Browser::take(DESK);
        browser.open(&url(&service, "/"));
        assert!(browser.text("main").contains("There is no record yet"));
        let options = ["-n", "resnet", "--heartbeat", "1s", "--tag", "team=vision"];
        let mut run = start(site.shell(&options, REPORTING).stdin(Stdio::piped()));
        browser.ticks_until("so far");
        assert!(browser.text("main").contains("resnet v1 #1 team=vision"), "{}", browser.text("main"));
        run.say("90");
        browser.ticks_until("loss 90");
        browser.follow("td a");
        assert_eq!(browser.address(), url(&service, "/runs/1"));
        let path = "return document.querySelector('#c0 path.line').getAttribute('d')";
        let before = browser.run(path);
        run.say("70");
        browser.ticks_until("last 70, lowest 70, highest 90 · 2 values");
        assert_ne!(browser.run(path), before);
        run.close_stdin();
        assert!(run.end().success());
        browser.ticks_until("✓ completed");
        assert_eq!(browser.run("return document.title"), "resnet v1 – runwrap");
        browser.was_quiet(&service.address);
    }
}

#[test]
fn update_keeps_scroll_selection_focus_boxes_and_details() {
    let site = Site::sqlite();
    some_runs(&site);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(DESK);
    browser.open(&url(&service, "/runs/1"));
    browser.click("#c0 summary");
    browser.run(
        "document.querySelector('#c0 h3 a').focus(); scrollTo(0, 120); \
         const text = document.querySelector('h1').firstChild; getSelection().setBaseAndExtent(text, 0, text, 6);",
    );
    let state = "return [scrollY, getSelection().toString(), document.activeElement.textContent, \
                 document.querySelector('#c0 details').open]";
    let before = browser.run(state);
    assert_eq!(before, serde_json::json!([120, "resnet", "loss", true]));
    assert!(site.runwrap(&["note", "1", "a new note"]).status().unwrap().success());
    browser.ticks_until("a new note");
    assert_eq!(browser.run(state), before);

    // A new row comes in above the focus and the checked box.
    browser.open(&url(&service, "/"));
    browser.click("#run-2 input");
    browser.run("document.querySelector('#run-2 a').focus()");
    assert!(site.run(&["-n", "later"], "true").status.success());
    browser.ticks_until("later");
    assert_eq!(browser.run("return document.querySelector('tbody tr').id"), "run-4");
    let kept = "return [...document.querySelectorAll('input[name=ids]:checked')].map(box => box.value)\
                .concat(document.activeElement.getAttribute('href'))";
    assert_eq!(browser.run(kept), serde_json::json!(["2", "/runs/2"]));
    browser.was_quiet(&service.address);
}

#[test]
fn updates_stop_while_hidden_and_slow_down_after_errors() {
    let site = Site::sqlite();
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(DESK);
    browser.open(&url(&service, "/"));
    let pause = "return window.planned && window.planned.pause";
    assert_eq!(browser.run(pause), 5000);
    let turn = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {hidden} }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.run(&turn(true));
    assert_eq!(browser.run(pause), serde_json::Value::Null);
    // It is updated at once when it is seen again.
    assert!(site.run(&["-n", "meanwhile"], "true").status.success());
    browser.run(&turn(false));
    wait_until("the next update is planned", || browser.run(pause) == 5000);
    browser.ticks_until("meanwhile");
    browser.was_quiet(&service.address);

    service.end("TERM");
    for expected in [10_000, 20_000, 40_000, 60_000, 60_000] {
        browser.tick();
        assert_eq!(browser.run(pause), expected);
    }
    let text = browser.text("body");
    assert!(text.contains("does not answer; the page shows an earlier state") && text.contains("meanwhile"), "{text}");
}

#[test]
fn filters_and_comparison_work_by_keyboard_and_mouse() {
    let site = Site::sqlite();
    some_runs(&site);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(DESK);
    browser.open(&url(&service, "/"));
    // The first key leads past the header.
    browser.press("TAB");
    browser.press("ENTER");
    assert_eq!(browser.run("return document.activeElement.id"), "main");
    let rows = "return [...document.querySelectorAll('tbody tr')].map(row => row.id)";
    for (field, text, address, expected) in [
        ("name", "resnet*", "/?name=resnet*&tag=&host=&job=", vec!["run-2", "run-1"]),
        ("tag", "team=vision", "/?name=&tag=team%3Dvision&host=&job=", vec!["run-1"]),
        ("job", "none", "/?name=&tag=&host=&job=none", vec![]),
    ] {
        browser.open(&url(&service, "/"));
        browser.enter(&format!("input[name={field}]"), text);
        browser.submit();
        assert_eq!(browser.address(), url(&service, address));
        assert_eq!(browser.run(rows), serde_json::json!(expected), "{field}");
        assert_eq!(browser.run(&format!("return document.querySelector('input[name={field}]').value")), text);
    }
    assert!(browser.text("main").contains("No record fits these filters."));
    browser.follow("form.filters a");
    browser.click("input[value=failed]");
    browser.follow("form.filters button");
    assert_eq!(browser.run(rows), serde_json::json!(["run-3"]));
    assert!(browser.text("main").contains("✕ failed exit code 3"), "{}", browser.text("main"));
    browser.open(&url(&service, "/"));
    browser.follow("a.tag");
    assert_eq!(browser.run(rows), serde_json::json!(["run-2"]));
    assert_eq!(browser.address(), url(&service, "/?tag=nightly"));

    browser.open(&url(&service, "/"));
    browser.click("#run-2 input");
    browser.click("#run-1 input");
    browser.follow("main form button");
    assert_eq!(browser.address(), url(&service, "/compare?ids=2&ids=1"));
    let text = browser.text("main");
    for part in ["resnet-b v1 #2", "resnet-a v1 #1", "loss", "train_metrics"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let drawn = "return document.querySelectorAll('#c0 path.line').length";
    assert_eq!(browser.run(drawn), 2);
    browser.follow(".choices a[href*='scale=log']");
    assert_eq!(browser.address(), url(&service, "/compare?ids=2&ids=1&scale=log"));
    assert_eq!(browser.run(drawn), 2);
    browser.was_quiet(&service.address);
}

#[test]
fn older_runs_follow_page_by_page() {
    let site = Site::sqlite();
    some_runs(&site);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(DESK);
    let rows = "return [...document.querySelectorAll('tbody tr')].map(row => row.id)";
    browser.open(&url(&service, "/?limit=2"));
    assert_eq!(browser.run(rows), serde_json::json!(["run-3", "run-2"]));
    browser.follow("a[rel=next]");
    assert_eq!(browser.run(rows), serde_json::json!(["run-1"]));
    assert!(browser.text("main").contains("Newest runs") && !browser.text("main").contains("Older runs"));
    browser.follow(".pager a");
    assert_eq!(browser.address(), url(&service, "/?limit=2"));
}

#[test]
fn language_follows_the_browser_or_the_address() {
    let site = Site::sqlite();
    some_runs(&site);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(Circumstances { languages: "zh-CN,zh;q=0.9,en;q=0.5", ..DESK });
    browser.open(&url(&service, "/"));
    assert_eq!(browser.run("return document.documentElement.lang"), "zh");
    let text = browser.text("body");
    assert!(text.contains("训练任务") && text.contains("已完成") && text.contains("筛选"), "{text}");
    browser.follow("#run-3 a");
    assert!(browser.text("main").contains("非零退出码 3"), "{}", browser.text("main"));
    browser.follow("header a[lang=en]");
    assert_eq!(browser.address(), url(&service, "/runs/3?lang=en"));
    assert!(browser.text("main").contains("exit code 3"));
    // The choice stays.
    browser.follow("nav a");
    assert_eq!(browser.address(), url(&service, "/?lang=en"));
    browser.enter("input[name=name]", "vit");
    browser.submit();
    assert!(browser.address().contains("lang=en"), "{}", browser.address());
    assert!(browser.text("main").contains("✕ failed"));
    browser.was_quiet(&service.address);
}

#[test]
fn pages_are_whole_without_javascript() {
    let site = Site::sqlite();
    some_runs(&site);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(Circumstances { scripts: false, ..DESK });
    browser.open(&url(&service, "/"));
    let text = browser.text("body");
    assert!(text.contains("resnet-a v1 #1") && text.contains("does not update itself. Reload"), "{text}");
    assert!(site.run(&["-n", "later"], "true").status.success());
    wait_until("the new run after a reload", || {
        browser.follow("footer a");
        browser.text("main").contains("later")
    });
    browser.enter("input[name=name]", "resnet*");
    browser.follow("form.filters button");
    assert!(!browser.text("main").contains("later"));
    browser.follow("#run-1 a");
    browser.follow(".choices a[href*='axis=time']");
    browser.click("#c0 summary");
    assert!(browser.text("#c0").contains("Lowest"), "{}", browser.text("#c0"));
    browser.was_quiet(&service.address);
}

#[test]
fn hostile_texts_are_shown_as_text() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = r#"printf '{"metrics": {"%s": 1}}\n' "<b>loss</b>" >> $RUNWRAP_REPORT; exit 1"#;
        let tag = format!("{HOSTILE}={HOSTILE}");
        let options = ["-n", HOSTILE, "--tag", &tag, "--job", HOSTILE, "--model-version", HOSTILE];
        assert_eq!(site.run(&options, script).status.code(), Some(1));
        let text = HOSTILE.replace('\'', "''");
        site.sql(
            &format!("UPDATE training_records SET error_message = '{text}' || chr(27) || '[31m'")
                .replace("chr(", if site.url().starts_with("sqlite") { "char(" } else { "chr(" }),
        );
        let service = Served::start(&site, &[]);
        let mut browser = Browser::take(DESK);
        for path in ["/", "/runs/1", "/compare?ids=1", "/?lang=zh", "/runs/1?lang=zh"] {
            browser.open(&url(&service, path));
            let text = browser.text("main");
            assert!(text.contains(HOSTILE_SHOWN), "{path}: {text}");
            assert_eq!(browser.run("return [window.hacked, document.images.length]"), serde_json::json!([null, 0]));
            assert!(!browser.run("return document.documentElement.outerHTML").as_str().unwrap().contains('\u{202e}'));
            browser.tick();
        }
        assert!(browser.text("pre").contains("\\u{1b}[31m") || browser.address().contains("zh"));
        browser.picture("hostile", 0);
        // Its links lead to its runs.
        browser.open(&url(&service, "/"));
        browser.follow("a.tag");
        assert!(browser.text("main").contains(HOSTILE_SHOWN));
        for path in ["/<script>window.hacked=1</script>", "/runs/%3Cimg%20src=x%20onerror=window.hacked=1%3E"] {
            browser.open(&url(&service, path));
            assert_eq!(browser.run("return [window.hacked, document.images.length]"), serde_json::json!([null, 0]));
        }
    }
}

#[test]
fn page_names_a_database_that_is_away_and_recovers_with_it() {
    let server = Postgres::private();
    let site = Site::on(&server);
    some_runs(&site);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(DESK);
    browser.open(&url(&service, "/"));
    assert!(browser.text("main").contains("resnet-a"));
    browser.click("#run-2 input");
    browser.run("document.querySelector('#run-1 a').focus()");
    server.stop();
    browser.ticks_until("The database has not answered since");
    let text = browser.text("main");
    assert!(text.contains("Shown is the state of") && text.contains("resnet-a"), "{text}");
    browser.picture("away", 0);
    server.start();
    browser.ticks_while("not answered");
    // The notice came and went above the list.
    let kept = "return [document.querySelector('#run-2 input').checked, document.activeElement.getAttribute('href')]";
    assert_eq!(browser.run(kept), serde_json::json!([true, "/runs/1"]));
    browser.was_quiet(&service.address);
}
