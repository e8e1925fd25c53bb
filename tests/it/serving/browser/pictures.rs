//! The pages as pictures: readable in every width and colour, and the pictures of the documentation.

use serde_json::json;

use super::driver::{Browser, Circumstances, DESK};
use super::{some_runs, url};
use crate::serving::client::Served;
use crate::support::site::{Site, start};
use crate::support::wait::wait_until;

/// The texts whose contrast to their background is below 4.5, and those that leave the window. For `run`.
const FLAWS: &str = r"
    const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const numbers = color => color.match(/[\d.]+/g).map(Number);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const color = numbers(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
    };
    const flaws = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
        if (!text || ['SCRIPT', 'NOSCRIPT', 'TITLE', 'title', 'desc'].includes(element.nodeName)) continue;
        if (!element.getClientRects().length || element.closest('.unseen, .skip')) continue;
        const style = getComputedStyle(element), isSvg = element.namespaceURI.endsWith('svg');
        const tones = [light(numbers(isSvg ? style.fill : style.color)), light(behind(element))].sort();
        const contrast = (Math.max(...tones) + 0.05) / (Math.min(...tones) + 0.05);
        if (contrast < 4.5) flaws.push(`${contrast.toFixed(2)}: ${text}`);
    }
    if (document.documentElement.scrollWidth > innerWidth) flaws.push(`${document.documentElement.scrollWidth} pixels wide`);
    for (const element of document.querySelectorAll('a[href], button, input:not([type=hidden]), summary')) {
        const name = element.getAttribute('aria-label') || element.textContent || element.closest('label')?.textContent;
        if (!name?.trim()) flaws.push(`no name: ${element.outerHTML}`);
    }
    return flaws;
";

#[test]
fn pages_are_readable_narrow_and_wide_dark_and_light() {
    let site = Site::sqlite();
    some_runs(&site);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(DESK);
    for (width, dark) in [(1200, false), (1200, true), (360, false), (360, true)] {
        browser.set_up(Circumstances { width, dark, ..DESK });
        for (name, path) in [
            ("list", "/"),
            ("run", "/runs/1"),
            ("curve", "/runs/1?curve=loss&axis=time&scale=log"),
            ("failed", "/runs/3"),
            ("compare", "/compare?ids=1,2,3,99"),
            ("health", "/health"),
            ("missing", "/runs/99"),
            ("mistake", "/?status=running"),
            ("list-zh", "/?lang=zh"),
            ("run-zh", "/runs/1?lang=zh&axis=time"),
        ] {
            browser.open(&url(&service, path));
            assert_eq!(browser.run(FLAWS), json!([]), "{path} at {width}, dark: {dark}");
            if dark == (width < 1000) {
                browser.picture(&format!("{name}-{width}"), 0);
            }
        }
        let paper = browser.run("return getComputedStyle(document.body).backgroundColor");
        assert_eq!(paper, if dark { "rgb(21, 24, 28)" } else { "rgb(251, 251, 250)" });
    }
}

/// A report of 2,000 lines: a loss that falls with noise, and an accuracy that rises, over `hours`.
fn long_report(site: &Site, name: &str, speed: f64, hours: f64) -> String {
    let begin = chrono::Utc::now().timestamp();
    let mut random = 12_345_u32;
    let reported = |step: u32| {
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let noise = f64::from(random >> 16) / 65_536.0 - 0.5;
        let share = f64::from(step) / 2000.0;
        let loss = 0.35 + 2.1 * (-speed * share).exp() + 0.16 * noise * (1.2 - share);
        let accuracy = 0.93 - 0.8 * (-speed * share * 1.3).exp() + 0.03 * noise;
        #[expect(clippy::cast_possible_truncation, reason = "a few hours")]
        let time = begin + (share * hours * 3600.0) as i64;
        format!(
            "{{\"metrics\": {{\"loss\": {loss:.4}, \"val\": {{\"acc\": {accuracy:.4}}}}}, \"step\": {}, \"time\": {time}}}\n",
            step * 10
        )
    };
    let path = site.path().join(name);
    std::fs::write(&path, (0..2000).map(reported).collect::<String>()).unwrap();
    format!("cat '{}' >> $RUNWRAP_REPORT", path.display())
}

/// The pictures of docs/serve.md, which are copied from the artefacts when the pages have changed.
#[test]
fn pictures_of_the_documentation_are_made() {
    let site = Site::sqlite();
    let run = |name: &str, tag: &str, speed: f64| {
        let script = long_report(&site, &format!("{name}{speed}"), speed, 3.4);
        assert!(site.run(&["-n", name, "--tag", tag, "--job", "sweep-17"], &script).status.success());
    };
    run("resnet50", "lr=0.1", 4.0);
    run("resnet50", "lr=0.3", 7.0);
    assert!(!site.run(&["-n", "bert-base", "--tag", "team=text"], "exit 1").status.success());
    assert!(
        !site
            .run(&["-n", "vit-b16", "--tag", "team=vision", "--timeout", "1s"], "exec tail -f /dev/null")
            .status
            .success()
    );
    site.sql(
        "UPDATE training_records SET train_duration = 12241, train_start_time = datetime('now', '-' || (6 - id) || ' hours');
         UPDATE training_records SET train_end_time = datetime(train_start_time, '+12241 seconds')",
    );
    let live = long_report(&site, "live", 5.0, 1.7);
    let mut running = start(&mut site.shell(
        &["-n", "resnet50", "--tag", "lr=0.2", "--heartbeat", "1s"],
        &format!("{live}; exec tail -f /dev/null"),
    ));
    wait_until("the run is recorded", || site.records().len() == 5);
    let service = Served::start(&site, &[]);
    let mut browser = Browser::take(Circumstances { width: 880, ..DESK });
    browser.open(&url(&service, "/"));
    browser.ticks_until("loss");
    // The first heartbeat writes the true start.
    wait_until("a run of an hour or two", || {
        site.sql("UPDATE training_records SET train_start_time = datetime('now', '-6130 seconds') WHERE id = 5");
        browser.tick();
        browser.text("main").contains("1h 42m")
    });
    for (name, path, height, width, dark, languages) in [
        ("list", "/", 540, 880, false, "en"),
        ("run", "/runs/2", 600, 880, false, "en"),
        ("phone", "/runs/2", 640, 360, true, "zh"),
    ] {
        browser.set_up(Circumstances { width, dark, languages, ..DESK });
        browser.open(&url(&service, path));
        let picture = browser.picture(&format!("docs-{name}"), height);
        let bytes = std::fs::metadata(&picture).unwrap().len();
        assert!((1000..120_000).contains(&bytes), "{name}: {bytes} bytes");
    }
    running.signal("TERM");
    running.end();
}
