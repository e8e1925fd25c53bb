//! Reading the report file: in any number of looks, by any number of keepers, and while the trainer rewrites it.

use std::io::Write;

use serde_json::json;

use super::*;
use crate::journal::run_state::tests::sample_begin;

const LIVING: Sight = Sight::Living { us: 1_000_000 };
const FINISHED: Sight = Sight::Finished { us: 9_000_000 };

fn reader(path: &Path) -> ReportReader {
    ReportReader::new(path, &sample_begin())
}

fn append(file: &mut File, text: &str) {
    file.write_all(text.as_bytes()).unwrap();
}

fn metrics(reader: &ReportReader) -> Value {
    reader.report().unwrap().metrics.clone().map_or(Value::Null, Value::Object)
}

#[test]
fn each_line_is_read_once_when_complete() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut reader = reader(file.path());
    append(file.as_file_mut(), "{\"metrics\": {\"a\": 1}}\nnonsense\n\n{\"metrics\": {\"b\"");
    reader.read_on(LIVING, Duration::MAX).unwrap();
    assert_eq!(metrics(&reader), json!({"a": 1}));
    append(file.as_file_mut(), ": 2}}\n{\"metrics\": {\"c\": 3}}");
    reader.read_on(LIVING, Duration::MAX).unwrap();
    assert_eq!(metrics(&reader), json!({"a": 1, "b": 2}));
    reader.read_on(FINISHED, Duration::MAX).unwrap();
    assert_eq!(metrics(&reader), json!({"a": 1, "b": 2, "c": 3}));
    assert_eq!(reader.lines, 4);
}

#[test]
fn rewritten_report_file_is_read_from_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report");
    let mut reader = reader(&path);
    // Longer, shorter, of equal length, and of equal length with another line.
    for content in [
        "{\"metrics\": {\"a\": 1}}\n",
        "{\"metrics\": {\"a\": 11}}\n",
        "{\"metrics\": {\"b\": 3}}\n",
        "{\"metrics\": {\"b\": 4}}\n",
        "{\"metrics\": {\"b\": 5}}\n{\"metrics\": {\"c\": 6}}\n",
    ] {
        append(&mut File::create(&path).unwrap(), content);
        reader.read_on(LIVING, Duration::MAX).unwrap();
        reader.read_on(LIVING, Duration::MAX).unwrap();
    }
    assert_eq!(metrics(&reader), json!({"a": 11, "b": 5, "c": 6}));
    assert_eq!(reader.lines, 2);
    let renamed = directory.path().join("renamed");
    append(&mut File::create(&renamed).unwrap(), "{\"metrics\": {\"b\": 7}}\n");
    #[expect(clippy::disallowed_methods, reason = "trainers rename over their files")]
    std::fs::rename(&renamed, &path).unwrap();
    reader.read_on(FINISHED, Duration::MAX).unwrap();
    assert_eq!(metrics(&reader)["b"], 7);
}

#[test]
fn missing_report_file_reports_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut reader = reader(&directory.path().join("none"));
    reader.read_on(FINISHED, Duration::MAX).unwrap();
    assert_eq!(reader.report(), Some(&Report::default()));
}

fn series(reader: &ReportReader) -> String {
    serde_json::to_string(reader.series().unwrap_or_default()).unwrap()
}

/// Looks at a growing file `looks` times, by a keeper that is replaced before some of them, and returns the series of a recovery
/// after each.
fn looked(lines: &[String], looks: &[(usize, bool)]) -> Vec<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.jsonl");
    let mut file = File::create(&path).unwrap();
    let text = lines.concat();
    let (mut keeper, mut written, mut us) = (reader(&path), 0, 1_000_000);
    let mut found = Vec::new();
    for (bytes, is_replaced) in looks {
        let to = (written + bytes).min(text.len());
        file.write_all(&text.as_bytes()[written..to]).unwrap();
        (written, us) = (to, us + 700_000);
        if *is_replaced {
            keeper = reader(&path);
        }
        keeper.read_on(Sight::Living { us }, Duration::MAX).unwrap();
        let mut recovery = reader(&path);
        // Nothing is written after the last look: a recovery finds the lines that the keeper had.
        recovery.read_on(Sight::Living { us: us + 5_000_000_000 }, Duration::MAX).unwrap();
        found.push((series(&keeper), series(&recovery)));
    }
    found
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]
    #[test]
    fn every_split_and_every_replaced_keeper_gives_the_same_series(
        values in proptest::collection::vec(-1e9..1e9_f64, 1..900),
        looks in proptest::collection::vec((1_usize..4000, proptest::bool::ANY), 1..12),
    ) {
        let line = |(value, number): (&f64, i64)| match number % 3 {
            0 => format!("{}\n", json!({"metrics": {"loss": value, "at": {"b": number}}, "step": number % 200})),
            1 => format!("{}\n", json!({"metrics": {"loss": value}, "time": 1_764_180_000 + number})),
            _ => format!("no json\n{}\n", json!({"metrics": {"acc": value}})),
        };
        let lines: Vec<String> = values.iter().zip(0..).map(line).collect();
        for (keeper, recovery) in looked(&lines, &looks) {
            proptest::prop_assert_eq!(keeper, recovery);
        }
        // Without the moments, one look gives the same as many.
        let untimed = |text: &str| {
            let mut series: Vec<Value> = serde_json::from_str(text).unwrap();
            for series in &mut series {
                series.as_object_mut().unwrap().remove("seconds");
            }
            series
        };
        let all = [&looks[..], &[(usize::MAX / 4, true)]].concat();
        let many = looked(&lines, &all).pop().unwrap().0;
        let one = looked(&lines, &[(usize::MAX / 4, false)]).pop().unwrap().0;
        proptest::prop_assert_eq!(untimed(&many), untimed(&one));
    }
}

#[test]
fn line_without_a_time_has_the_moment_of_its_first_sight() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.jsonl");
    let mut file = File::create(&path).unwrap();
    let mut keeper = reader(&path);
    for us in [1_000_000, 30_000_000, 30_050_000, 90_000_000] {
        append(&mut file, "{\"metrics\": {\"a\": 1}}\n");
        keeper.read_on(Sight::Living { us }, Duration::MAX).unwrap();
    }
    // The line's own time, which `date` or Python writes, counts before it: the run began at 18:00:00.5.
    append(&mut file, "{\"metrics\": {\"a\": 1}, \"time\": 1764180002.5}\n");
    append(&mut file, "{\"metrics\": {\"a\": 1}, \"time\": \"2025-11-26T19:00:03.5+01:00\"}\n");
    append(&mut file, "{\"metrics\": {\"a\": 1}, \"time\": 12}\n{\"metrics\": {\"a\": 1}}");
    // A torn line of a killed keeper.
    append(&mut File::options().append(true).open(directory.path().join("seen")).unwrap(), "99999 5");
    for _ in 0..2 {
        let mut recovery = reader(&path);
        recovery.read_on(Sight::Finished { us: 95_000_000 }, Duration::MAX).unwrap();
        assert_eq!(recovery.series().unwrap()[0].buckets.seconds, [1.0, 30.0, 30.0, 90.0, 2.0, 3.0, 95.0, 95.0]);
    }
}

#[test]
fn rewritten_report_file_has_the_series_of_its_lines_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.jsonl");
    append(&mut File::create(&path).unwrap(), "{\"metrics\": {\"a\": 1}}\n{\"metrics\": {\"a\": 2}}\n");
    let mut keeper = reader(&path);
    keeper.read_on(LIVING, Duration::MAX).unwrap();
    append(&mut File::create(&path).unwrap(), "{\"metrics\": {\"b\": 3}}\n{\"metrics\": {\"b\": 4}}\n");
    // A keeper that saw the old file, and one that did not.
    let mut other = reader(&path);
    for keeper in [&mut other, &mut keeper] {
        keeper.read_on(Sight::Living { us: 7_000_000 }, Duration::MAX).unwrap();
        let series = keeper.series().unwrap();
        assert_eq!((series.len(), series[0].name.as_str()), (1, "b"));
        assert_eq!(series[0].buckets.seconds, [7.0, 7.0]);
    }
    assert_eq!(metrics(&keeper), json!({"a": 2, "b": 4}));
}

#[test]
fn series_wait_until_a_new_keeper_has_read_as_far_as_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.jsonl");
    let line = format!("{}\n", json!({"metrics": {"a": 1, "note": "x".repeat(1000)}}));
    append(&mut File::create(&path).unwrap(), &line.repeat(20_000));
    let mut keeper = reader(&path);
    keeper.read_on(LIVING, Duration::MAX).unwrap();
    let mut next = reader(&path);
    next.read_on(LIVING, Duration::ZERO).unwrap();
    assert!(next.series().is_none() && next.report().is_none());
    next.read_on(LIVING, Duration::MAX).unwrap();
    assert_eq!(series(&next), series(&keeper));
}

#[test]
fn last_values_of_a_report_that_takes_too_long_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.jsonl");
    let line = |number: u32| format!("{}\n", json!({"metrics": {"a": number, "note": "x".repeat(1000)}}));
    append(&mut File::create(&path).unwrap(), &(0..10_000).map(line).collect::<String>());
    let mut keeper = reader(&path);
    keeper.read_on(FINISHED, Duration::ZERO).unwrap();
    assert_eq!(metrics(&keeper)["a"], 9_999);
    assert!(keeper.series().unwrap()[0].total < 3_000);
}

#[test]
fn metrics_file_of_an_earlier_run_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics.json");
    assert_eq!(read_metrics_file(&path, snapshot(&path)).unwrap(), None);
    append(&mut File::create(&path).unwrap(), "{\"loss\": 1}");
    let before = snapshot(&path);
    assert_eq!(read_metrics_file(&path, before).unwrap(), None);
    append(&mut File::create(&path).unwrap(), "{\"loss\": NaN}");
    assert_eq!(read_metrics_file(&path, before).unwrap(), json!({"loss": "NaN"}).as_object().cloned());
    append(&mut File::create(&path).unwrap(), "{\"loss\": ");
    assert!(read_metrics_file(&path, before).is_err());
}
