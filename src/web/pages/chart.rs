//! A curve, or some over one another, with axes, a summary in words and a table of the points. Pure.

use super::drawing::{Axes, Paths};
use super::frame::Frame;
use super::labels::{Labels, filled};
use super::scale::{LENGTH, Scale, Tick};
use super::time::span;
use crate::output;
use crate::record::{Buckets, Series};

/// The table has so many points, unless the page has only this curve.
const ROWS_MAX: usize = 32;

/// A chart has about so many parts between its ticks. Labels of times are long.
const COLUMNS: f64 = 4.0;
const ROWS: f64 = 5.0;

/// A tick nearer to an end of the axis has its label beside it, not below it.
const NEAR: u32 = LENGTH / 20;

/// A chart as the template draws it.
#[derive(Default)]
pub(super) struct Chart {
    /// Unique on its page.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) href: Option<String>,
    pub(super) summary: String,
    pub(super) x_ticks: Vec<AxisTick>,
    pub(super) y_ticks: Vec<AxisTick>,
    pub(super) curves: Vec<Drawn>,
    pub(super) legend: Vec<Entry>,
    /// Step, time, value, lowest, highest.
    pub(super) rows: Vec<[String; 5]>,
    pub(super) rows_note: String,
    /// All points, in the API.
    pub(super) json: Option<String>,
}

pub(super) struct AxisTick {
    /// From the left, or from the top.
    pub(super) percent: String,
    pub(super) label: String,
    /// The class of its text.
    pub(super) anchor: &'static str,
}

pub(super) struct Drawn {
    pub(super) class: &'static str,
    pub(super) paths: Paths,
}

/// One of the curves that lie over one another.
pub(super) struct Entry {
    pub(super) class: &'static str,
    pub(super) name: String,
    pub(super) href: String,
    pub(super) summary: String,
}

/// The classes of compared runs: colour and dashes.
pub(super) const CLASSES: [&str; 8] = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"];

impl Chart {
    /// Of one series, `number` on its page. `is_alone`: with all its points in the table.
    pub(super) fn single(frame: &Frame, number: usize, series: &Series, is_alone: bool) -> Self {
        let labels = frame.labels();
        let axes = Axes::of(frame.view, &[series]);
        let mut chart = Self { id: format!("c{number}"), title: series.name.clone(), ..Self::default() };
        if let Some(axes) = &axes {
            chart.set_ticks(labels, axes);
            chart.curves.push(Drawn { class: "", paths: axes.paths(series) });
        }
        chart.summary = summary(labels, series, chart.curves.first());
        let most = if is_alone { usize::MAX } else { ROWS_MAX };
        let points = series.buckets.value.iter().flatten().count();
        chart.rows = rows(labels, &series.buckets, most);
        if chart.rows.len() < points {
            chart.rows_note = filled(labels.points_some, &[&chart.rows.len().to_string(), &points.to_string()]);
        }
        chart
    }

    /// Of the series with the name `title` of some runs. The summary of an entry is filled in.
    pub(super) fn overlay(frame: &Frame, number: usize, title: &str, all: Vec<(Entry, &Series)>) -> Self {
        let labels = frame.labels();
        let shown: Vec<&Series> = all.iter().map(|(_, series)| *series).collect();
        let axes = Axes::of(frame.view, &shown);
        let mut chart = Self { id: format!("c{number}"), title: title.to_owned(), ..Self::default() };
        chart.summary = filled(labels.overlay, &[&all.len().to_string()]);
        if let Some(axes) = &axes {
            chart.set_ticks(labels, axes);
        }
        for (entry, series) in all {
            let drawn = axes.as_ref().map(|axes| Drawn { class: entry.class, paths: axes.paths(series) });
            chart.legend.push(Entry { summary: summary(labels, series, drawn.as_ref()), ..entry });
            chart.curves.extend(drawn);
        }
        chart
    }

    fn set_ticks(&mut self, labels: &Labels, axes: &Axes) {
        let ticks = |scale: &Scale, parts: f64, turn: fn(u32) -> u32| {
            let tick = |tick: Tick| AxisTick {
                percent: percent(turn(tick.place)),
                anchor: match tick.place {
                    place if place < NEAR => "left",
                    place if place > LENGTH - NEAR => "right",
                    _ => "middle",
                },
                label: tick.label,
            };
            scale.ticks(labels, parts).into_iter().map(tick).collect()
        };
        self.x_ticks = ticks(&axes.x, COLUMNS, |place| place);
        self.y_ticks = ticks(&axes.y, ROWS, |place| LENGTH - place);
    }
}

fn percent(place: u32) -> String {
    format!("{}.{}", place * 100 / LENGTH, place * 1000 / LENGTH % 10)
}

/// `last 0.12, lowest 0.1, highest 2.4 · 10000 values · 3 of them NaN`
fn summary(labels: &Labels, series: &Series, drawn: Option<&Drawn>) -> String {
    let Buckets { value, low, high, .. } = &series.buckets;
    let last = value.iter().copied().flatten().next_back();
    let lowest = low.iter().copied().flatten().reduce(f64::min);
    let highest = high.iter().copied().flatten().reduce(f64::max);
    let numbers = [last, lowest, highest].map(|number| number.map(output::number).unwrap_or_default());
    let mut facts = Vec::new();
    if last.is_some() {
        facts.push(filled(labels.summary, &numbers.each_ref().map(String::as_str)));
    }
    facts.push(match series.total {
        1 => labels.one_value.to_owned(),
        total => filled(labels.values, &[&total.to_string()]),
    });
    for (count, word) in [(series.nan, "NaN"), (series.infinite, "Infinity"), (series.negative_infinite, "-Infinity")] {
        if count > 0 {
            facts.push(filled(labels.not_numbers, &[&count.to_string(), word]));
        }
    }
    let left_out = drawn.map_or(0, |drawn| drawn.paths.left_out);
    if left_out > 0 {
        facts.push(filled(labels.not_positive, &[&left_out.to_string()]));
    }
    facts.join(" · ")
}

/// The points with a number, at most `most` of them, equally spaced, with the first and the last.
fn rows(labels: &Labels, buckets: &Buckets, most: usize) -> Vec<[String; 5]> {
    let with_number: Vec<usize> = (0..buckets.x.len()).filter(|at| buckets.value[*at].is_some()).collect();
    let count = with_number.len().min(most);
    let pick = |row: usize| match count {
        0 | 1 => with_number.last(),
        _ => with_number.get(row * (with_number.len() - 1) / (count - 1)),
    };
    let row = |at: &usize| {
        let of = |column: &[Option<f64>]| column[*at].map(output::number).unwrap_or_default();
        let (x, seconds) = (output::number(buckets.x[*at]), time(labels, buckets.seconds[*at]));
        [x, seconds, of(&buckets.value), of(&buckets.low), of(&buckets.high)]
    };
    (0..count).filter_map(pick).map(row).collect()
}

fn time(labels: &Labels, seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = seconds.max(0.0) as u64;
    if whole < 60 { format!("{}{}", output::number(seconds), labels.seconds) } else { span(labels, whole, 2) }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn series(values: &[Option<f64>]) -> Series {
        let x: Vec<f64> = (0_u32..).zip(values).map(|(x, _)| f64::from(x) * 10.0).collect();
        let buckets = Buckets {
            seconds: x.clone(),
            value: values.to_vec(),
            low: values.to_vec(),
            high: values.to_vec(),
            others: values.iter().map(|value| u64::from(value.is_none())).collect(),
            segment: vec![0; x.len()],
            x,
        };
        let nan = values.iter().filter(|value| value.is_none()).count() as u64;
        Series::stored("loss".to_owned(), 1, values.len() as u64, (nan, 0, 0), buckets).unwrap()
    }

    fn frame(query: &str) -> Frame {
        Frame::new("/runs/1", query, "en", DateTime::UNIX_EPOCH)
    }

    #[test]
    fn summary_counts_what_is_not_drawn() {
        let series = series(&[Some(-1.0), Some(2.0), None, Some(0.5)]);
        let chart = Chart::single(&frame(""), 1, &series, false);
        assert_eq!(chart.summary, "last 0.5, lowest -1, highest 2 · 4 values · 1 of them NaN");
        let chart = Chart::single(&frame("scale=log"), 1, &series, false);
        assert!(chart.summary.ends_with("· at or below 0 and not on this scale: 1"));
        let none = Chart::single(&frame(""), 1, &self::series(&[None]), false);
        assert_eq!((none.summary.as_str(), none.curves.len()), ("1 value · 1 of them NaN", 0));
    }

    #[test]
    fn table_has_the_first_and_the_last_point() {
        let values: Vec<Option<f64>> = (0..256).map(|value| Some(f64::from(value))).collect();
        let chart = Chart::single(&frame(""), 1, &series(&values), false);
        assert_eq!((chart.rows.len(), chart.rows_note.as_str()), (ROWS_MAX, "32 of 256"));
        assert_eq!((chart.rows[0][0].as_str(), chart.rows[31][0].as_str()), ("0", "2550"));
        assert_eq!(chart.rows[31][1], "42m 30s");
        let alone = Chart::single(&frame(""), 1, &series(&values), true);
        assert_eq!((alone.rows.len(), alone.rows_note.as_str()), (256, ""));
        assert_eq!(Chart::single(&frame(""), 1, &series(&[Some(1.0)]), false).rows.len(), 1);
        assert!(Chart::single(&frame(""), 1, &series(&[]), false).rows.is_empty());
    }
}
