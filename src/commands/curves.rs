//! The curves of a record for a person: which ones, and how. Pure.

use serde_json::{Map, Value};

use crate::output::{self, PlotPoint};
use crate::record::{Buckets, Series, curve_rank, number_of};

/// So many curves are drawn, unless they are named.
const DRAWN_MAX: usize = 4;

/// So many names are listed.
const NAMES_MAX: usize = 20;

const ROWS: u32 = 6;
const COLUMNS_MAX: u32 = 100;

/// Each curve as a line, and its drawing if `columns` is the width of a terminal; then the further names. `wanted` are names to draw.
pub(super) fn curves(all: &[Series], wanted: &[String], metrics: &Value, columns: Option<u32>) -> String {
    let chosen = chosen(all, wanted);
    let mut text = String::new();
    for series in &chosen {
        text = text + &output::printable(&summary(series)) + "\n";
        if let Some(columns) = columns {
            text += &output::plot(&parts(&series.buckets), columns.min(COLUMNS_MAX), ROWS);
        }
    }
    let is_chosen = |series: &&Series| chosen.iter().any(|chosen| chosen.name == series.name);
    let further: Vec<&str> =
        all.iter().filter(|series| !is_chosen(series)).map(|series| series.name.as_str()).collect();
    if !further.is_empty() {
        text = text + "further curves (--curve NAME): " + &listed(&further) + "\n";
    }
    let without = without_series(all, metrics);
    if !without.is_empty() {
        let without: Vec<&str> = without.iter().map(String::as_str).collect();
        text = text + "only the last value is kept of: " + &listed(&without) + "\n";
    }
    text
}

/// The names, as many as fit into a line or two.
pub(super) fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| output::printable(name)).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The wanted series, or the first ones: losses before accuracies before others, the counters of steps last.
fn chosen<'a>(all: &'a [Series], wanted: &[String]) -> Vec<&'a Series> {
    if !wanted.is_empty() {
        return wanted.iter().filter_map(|name| all.iter().find(|series| series.name == *name)).collect();
    }
    let mut sorted: Vec<&Series> = all.iter().collect();
    sorted.sort_by_key(|series| curve_rank(&series.name));
    sorted.truncate(DRAWN_MAX);
    sorted
}

/// `loss: last 0.12, lowest 0.1, highest 2.4, 10000 values, 3 of them NaN`
fn summary(series: &Series) -> String {
    let Buckets { value, low, high, .. } = &series.buckets;
    let extremes = [
        ("last", value.iter().copied().flatten().next_back()),
        ("lowest", low.iter().copied().flatten().reduce(f64::min)),
        ("highest", high.iter().copied().flatten().reduce(f64::max)),
    ];
    let mut facts: Vec<String> =
        extremes.iter().filter_map(|(word, value)| Some(format!("{word} {}", output::number((*value)?)))).collect();
    facts.push(format!("{} {}", series.total, if series.total == 1 { "value" } else { "values" }));
    for (count, word) in [(series.nan, "NaN"), (series.infinite, "Infinity"), (series.negative_infinite, "-Infinity")] {
        if count > 0 {
            facts.push(format!("{count} of them {word}"));
        }
    }
    format!("{}: {}", series.name, facts.join(", "))
}

/// The parts to draw: a value that is no number and an x that falls end a part.
fn parts(buckets: &Buckets) -> Vec<Vec<PlotPoint>> {
    let mut parts: Vec<Vec<PlotPoint>> = vec![Vec::new()];
    for (index, x) in buckets.x.iter().enumerate() {
        let of = |column: &[Option<f64>]| column.get(index).copied().flatten();
        let point = of(&buckets.value).zip(of(&buckets.low)).zip(of(&buckets.high));
        let point = point.map(|((value, low), high)| PlotPoint { x: *x, low, value, high });
        let falls = parts.last().and_then(|part| part.last()).is_some_and(|last| *x < last.x);
        if point.is_none() || falls {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(point);
        }
    }
    parts
}

/// The numbers among the metrics that have no series, nested names joined by `/`.
fn without_series(all: &[Series], metrics: &Value) -> Vec<String> {
    let mut names = Vec::new();
    if let (Some(metrics), false) = (metrics.as_object(), all.is_empty()) {
        number_names(&mut names, "", metrics);
    }
    names.retain(|name| all.iter().all(|series| series.name != *name));
    names
}

fn number_names(names: &mut Vec<String>, prefix: &str, metrics: &Map<String, Value>) {
    for (key, value) in metrics {
        let name = format!("{prefix}{key}");
        match value {
            Value::Object(nested) => number_names(names, &format!("{name}/"), nested),
            Value::Number(_) | Value::String(_) if number_of(value).is_some() => names.push(name),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::points;

    fn series(name: &str, values: &[f64]) -> Series {
        let x: Vec<f64> = (0_u32..).zip(values).map(|(x, _)| f64::from(x)).collect();
        let value: Vec<Option<f64>> =
            values.iter().map(|value| Some(*value).filter(|value| value.is_finite())).collect();
        let buckets = Buckets {
            seconds: x.clone(),
            low: value.clone(),
            high: value.clone(),
            others: vec![0; x.len()],
            segment: vec![0; x.len()],
            x,
            value,
        };
        Series::stored(name.to_owned(), 1, values.len() as u64, (0, 0, 0), buckets).unwrap()
    }

    #[test]
    fn losses_and_accuracies_come_first_and_steps_last() {
        let all = ["step", "lr", "val_accuracy", "val_loss", "loss", "grad"].map(|name| series(name, &[1.0]));
        let names =
            |wanted: &[String]| chosen(&all, wanted).iter().map(|series| series.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&[]), ["val_loss", "loss", "val_accuracy", "lr"]);
        assert_eq!(names(&["step".to_owned(), "other".to_owned()]), ["step"]);
    }

    #[test]
    fn text_has_facts_and_names_without_a_drawing() {
        let mut loss = series("loss", &[2.5, f64::NAN, 0.5]);
        loss.nan = 1;
        let all = [loss, series("a", &[1.0]), series("b", &[1.0]), series("c", &[1.0]), series("d\n", &[1.0])];
        let metrics = json!({"loss": 0.5, "late": 7, "odd": {"late": "NaN"}, "word": "x"});
        let expected = "\
loss: last 0.5, lowest 0.5, highest 2.5, 3 values, 1 of them NaN
a: last 1, lowest 1, highest 1, 1 value
b: last 1, lowest 1, highest 1, 1 value
c: last 1, lowest 1, highest 1, 1 value
further curves (--curve NAME): d\\n
only the last value is kept of: late, odd/late
";
        assert_eq!(curves(&all, &[], &metrics, None), expected);
        let drawn = curves(&all, &["loss".to_owned()], &metrics, Some(80));
        assert_eq!(drawn.lines().count(), 1 + 7 + 2, "{drawn}");
        assert_eq!(curves(&[], &[], &metrics, Some(80)), "");
    }

    #[test]
    fn gap_and_falling_x_end_a_part() {
        let mut series = series("loss", &[1.0, f64::NAN, 3.0, 4.0, 5.0]);
        series.buckets.x = vec![1.0, 2.0, 3.0, 2.0, 3.0];
        let lengths: Vec<usize> = parts(&series.buckets).iter().map(Vec::len).collect();
        assert_eq!(lengths, [1, 1, 2]);
        assert_eq!(points(&series).len(), 4);
    }

    #[test]
    fn many_names_are_cut() {
        let names: Vec<String> = (0..25).map(|number| format!("m{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(listed(&names).ends_with("m19 and 5 more"));
    }
}
