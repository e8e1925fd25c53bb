//! The history of reported metrics: a series per name, of bounded size, exact in its extremes. A pure function of the reported
//! lines in their order: reading them again gives the same series. Must not read a clock or a file.

use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// The buckets of a series at most. One more merges them in pairs: a long series has 128 to 256.
pub const BUCKETS_MAX: usize = 256;

/// A longer name gets no series: 1,000 of them would be as large as the values.
const NAME_BYTES_MAX: usize = 512;

/// The metrics that count steps, the first one wins.
const STEPS: [&str; 5] = ["step", "global_step", "_step", "iteration", "iter"];

/// The position of a reported line, as the trainer gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Position {
    pub(crate) step: Option<f64>,
    pub(crate) epoch: Option<f64>,
    /// Seconds since 1970.
    pub(crate) time: Option<f64>,
}

/// Where and when a line was reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported {
    /// Its number in the file, from 1.
    pub(crate) line: u64,
    pub(crate) position: Position,
    /// Since the beginning of the run: by the line's own time, else when it was first read.
    pub(crate) seconds: f64,
}

/// The series of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recorder {
    most: usize,
    series: Vec<Series>,
    places: HashMap<String, usize>,
}

/// The values of one name. Every bucket but the last has `per_bucket` values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    pub name: String,
    /// A power of two.
    pub per_bucket: u64,
    /// All values, and those of them that are no numbers.
    pub total: u64,
    pub nan: u64,
    pub infinite: u64,
    pub negative_infinite: u64,
    #[serde(flatten)]
    pub buckets: Buckets,
    /// The last x, and how often x has fallen before it.
    #[serde(skip)]
    last: Option<(f64, u64)>,
}

/// The buckets, by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    /// Of the last number.
    pub x: Vec<f64>,
    pub seconds: Vec<f64>,
    /// The last number; none if the bucket has none.
    pub value: Vec<Option<f64>>,
    pub low: Vec<Option<f64>>,
    pub high: Vec<Option<f64>>,
    /// How many values are no numbers.
    #[serde(serialize_with = "sparse")]
    pub others: Vec<u64>,
    /// How often x has fallen until the last value: a run was resumed at an earlier step.
    #[serde(serialize_with = "sparse")]
    pub segment: Vec<u64>,
}

impl Recorder {
    /// Keeps the series of the first `most` names.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    pub(crate) fn series(&self) -> &[Series] {
        &self.series
    }

    /// Forgets all lines: the file was written anew.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.most);
    }

    /// Adds the next line.
    pub(crate) fn add(&mut self, metrics: &Map<String, Value>, reported: Reported) {
        if self.most > 0 {
            let x = x_of(metrics, reported);
            self.add_nested(&mut String::new(), metrics, (x, reported.seconds));
        }
    }

    fn add_nested(&mut self, name: &mut String, metrics: &Map<String, Value>, at: (f64, f64)) {
        let length = name.len();
        for (key, value) in metrics {
            if length + key.len() > NAME_BYTES_MAX {
                continue;
            }
            name.push_str(key);
            if let Value::Object(nested) = value {
                name.push('/');
                self.add_nested(name, nested, at);
            } else if let Some(number) = number(value) {
                self.add_value(name, at, number);
            }
            name.truncate(length);
        }
    }

    fn add_value(&mut self, name: &str, (x, seconds): (f64, f64), value: f64) {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.series.len() == self.most => return,
            None => {
                self.series.push(Series { name: name.to_owned(), per_bucket: 1, ..Series::default() });
                self.places.insert(name.to_owned(), self.series.len() - 1);
                self.series.len() - 1
            }
        };
        if let Some(series) = self.series.get_mut(place) {
            series.add(x, seconds, value);
        }
    }
}

impl Series {
    /// As a database holds it; `None` if the columns do not have one value a bucket.
    pub(crate) fn stored(
        name: String,
        per_bucket: u64,
        total: u64,
        (nan, infinite, negative_infinite): (u64, u64, u64),
        mut buckets: Buckets,
    ) -> Option<Self> {
        let count = buckets.x.len();
        for sparse in [&mut buckets.others, &mut buckets.segment] {
            if sparse.is_empty() {
                sparse.resize(count, 0);
            }
        }
        let Buckets { x: _, seconds, value, low, high, others, segment } = &buckets;
        let lengths = [seconds.len(), value.len(), low.len(), high.len(), others.len(), segment.len()];
        let is_whole = lengths.iter().all(|length| *length == count);
        is_whole.then_some(Self { name, per_bucket, total, nan, infinite, negative_infinite, buckets, last: None })
    }

    fn add(&mut self, x: f64, seconds: f64, value: f64) {
        let segment = self.last.map_or(0, |(last, segment)| segment + u64::from(x < last));
        self.last = Some((x, segment));
        if self.total.is_multiple_of(self.per_bucket) {
            if self.buckets.x.len() == BUCKETS_MAX {
                self.buckets.merge_pairs();
                self.per_bucket *= 2;
            }
            self.buckets.push_empty(x, seconds);
        }
        self.total += 1;
        self.nan += u64::from(value.is_nan());
        self.infinite += u64::from(value == f64::INFINITY);
        self.negative_infinite += u64::from(value == f64::NEG_INFINITY);
        self.buckets.add_to_last(x, seconds, value, segment);
    }
}

impl Buckets {
    fn push_empty(&mut self, x: f64, seconds: f64) {
        self.x.push(x);
        self.seconds.push(seconds);
        for column in [&mut self.value, &mut self.low, &mut self.high] {
            column.push(None);
        }
        self.others.push(0);
        self.segment.push(0);
    }

    fn add_to_last(&mut self, x: f64, seconds: f64, value: f64, segment: u64) {
        let Some(at) = self.x.len().checked_sub(1) else { return };
        self.segment[at] = segment;
        // The place of a NaN is shown only if no number is beside it.
        if value.is_finite() || self.value[at].is_none() {
            (self.x[at], self.seconds[at]) = (x, seconds);
        }
        if !value.is_finite() {
            self.others[at] += 1;
            return;
        }
        self.value[at] = Some(value);
        self.low[at] = Some(self.low[at].map_or(value, |low| low.min(value)));
        self.high[at] = Some(self.high[at].map_or(value, |high| high.max(value)));
    }

    /// Each bucket with an even number takes in the next one.
    fn merge_pairs(&mut self) {
        let count = self.x.len() / 2;
        for at in 0..count {
            let (first, second) = (2 * at, 2 * at + 1);
            let last = if self.value[second].is_some() || self.value[first].is_none() { second } else { first };
            self.x[at] = self.x[last];
            self.seconds[at] = self.seconds[last];
            self.value[at] = self.value[last];
            self.low[at] = of_both(f64::min, self.low[first], self.low[second]);
            self.high[at] = of_both(f64::max, self.high[first], self.high[second]);
            self.others[at] = self.others[first] + self.others[second];
            self.segment[at] = self.segment[second];
        }
        for column in [&mut self.x, &mut self.seconds] {
            column.truncate(count);
        }
        for column in [&mut self.value, &mut self.low, &mut self.high] {
            column.truncate(count);
        }
        self.others.truncate(count);
        self.segment.truncate(count);
    }
}

/// Nothing if there is only 0: most series have neither.
fn sparse<S: Serializer>(counts: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    if counts.iter().all(|count| *count == 0) { [0_u64; 0].serialize(serializer) } else { counts.serialize(serializer) }
}

fn of_both(pick: fn(f64, f64) -> f64, one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(pick(one, other)),
        (one, other) => one.or(other),
    }
}

/// The line's own step comes before one among its metrics, that before an epoch, that before a time.
fn x_of(metrics: &Map<String, Value>, reported: Reported) -> f64 {
    let metric = |name: &&str| metrics.get(*name).and_then(number).filter(|number| number.is_finite());
    let Reported { line, position, seconds } = reported;
    let step = position.step.or_else(|| STEPS.iter().find_map(metric));
    let epoch = || position.epoch.or_else(|| metric(&"epoch"));
    // A line number is exact up to 2^53.
    #[expect(clippy::cast_precision_loss, reason = "no file has so many lines")]
    let number = line as f64;
    step.or_else(epoch).or_else(|| position.time.map(|_| seconds)).unwrap_or(number)
}

/// Whether the metric `name` is the x of others.
pub(crate) fn counts_steps(name: &str) -> bool {
    name == "epoch" || STEPS.contains(&name)
}

/// The number that a metric is, also if JSON has no word for it.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        // A number beyond the largest f64 is infinite.
        Value::Number(number) => number.as_str().parse().ok(),
        Value::String(word) => match word.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn line(number: u64) -> Reported {
        Reported { line: number, position: Position::default(), seconds: 0.5 }
    }

    fn recorded(most: usize, lines: &[Value]) -> Recorder {
        let mut recorder = Recorder::new(most);
        for (metrics, number) in lines.iter().zip(1..) {
            recorder.add(metrics.as_object().unwrap(), line(number));
        }
        recorder
    }

    fn names(recorder: &Recorder) -> Vec<&str> {
        recorder.series().iter().map(|series| series.name.as_str()).collect()
    }

    #[test]
    fn first_numeric_names_in_file_order_get_a_series() {
        let lines = [
            json!({"b": 1, "text": "x", "yes": true, "none": null}),
            json!({"a": {"y": 2, "x": {"z": "NaN"}}, "c": 3}),
        ];
        assert_eq!(names(&recorded(64, &lines)), ["b", "a/y", "a/x/z", "c"]);
        assert_eq!(names(&recorded(2, &lines)), ["b", "a/y"]);
        assert!(names(&recorded(0, &lines)).is_empty());
        let many: Map<String, Value> = (0..10_000).map(|number| (format!("m{number}"), json!(number))).collect();
        assert_eq!(names(&recorded(64, &[Value::Object(many)])).last(), Some(&"m63"));
        let odd = ["it's", "a\"b", "two\nlines", "{x}", "", &"n".repeat(1 << 20)];
        let line: Map<String, Value> = odd.iter().map(|name| ((*name).to_owned(), json!(1))).collect();
        assert_eq!(names(&recorded(64, &[Value::Object(line)])), odd[..5]);
    }

    #[test]
    fn x_is_step_then_epoch_then_time_then_the_number_of_the_line() {
        let metrics = json!({"loss": 1, "epoch": 7, "iter": 6, "global_step": 5});
        let x = |metrics: &Value, position: Position| {
            x_of(metrics.as_object().unwrap(), Reported { line: 3, position, seconds: 2.5 })
        };
        let time = Position { time: Some(1e9), ..Position::default() };
        let epoch = Position { epoch: Some(8.0), ..time };
        assert!((x(&metrics, Position { step: Some(9.0), ..epoch }) - 9.0).abs() < 1e-9);
        assert!((x(&metrics, epoch) - 5.0).abs() < 1e-9);
        assert!((x(&json!({"epoch": 7}), epoch) - 8.0).abs() < 1e-9);
        assert!((x(&json!({"epoch": 7}), time) - 7.0).abs() < 1e-9);
        assert!((x(&json!({"step": "NaN"}), time) - 2.5).abs() < 1e-9);
        assert!((x(&json!({"step": "one"}), Position::default()) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn falling_x_starts_a_segment_and_drops_nothing() {
        let lines = [1, 2, 3, 2, 3, 4, 1].map(|step| json!({"loss": step, "step": step}));
        let recorder = recorded(1, &lines);
        assert_eq!(recorder.series()[0].buckets.segment, [0, 0, 0, 1, 1, 1, 2]);
        assert_eq!(recorder.series()[0].total, 7);
    }

    #[test]
    fn values_that_are_no_numbers_are_counted_with_their_places() {
        let lines = [json!({"a": 1}), json!({"a": "NaN"}), json!({"a": "Infinity"}), json!({"a": "-Infinity"})];
        let big: Value = serde_json::from_str(r#"{"a": -1e999}"#).unwrap();
        let recorder = recorded(1, &[&lines[..], &[big]].concat());
        let series = &recorder.series()[0];
        assert_eq!((series.total, series.nan, series.infinite, series.negative_infinite), (5, 1, 1, 2));
        assert_eq!(series.buckets.value, [Some(1.0), None, None, None, None]);
        assert_eq!(series.buckets.others, [0, 1, 1, 1, 1]);
        assert!(!serde_json::to_string(series).unwrap().contains("[inf"));
    }

    /// The values of a bucket, from the definition.
    fn check(series: &Series, values: &[f64]) {
        let width = usize::try_from(series.per_bucket).unwrap();
        assert!(width.is_power_of_two() && series.buckets.x.len() <= BUCKETS_MAX);
        assert!(width == 1 || series.buckets.x.len() > BUCKETS_MAX / 2);
        assert_eq!(series.buckets.x.len(), values.len().div_ceil(width));
        for (at, piece) in values.chunks(width).enumerate() {
            let finite: Vec<f64> = piece.iter().copied().filter(|value| value.is_finite()).collect();
            assert_eq!(series.buckets.value[at], finite.last().copied());
            assert_eq!(series.buckets.low[at], finite.iter().copied().reduce(f64::min));
            assert_eq!(series.buckets.high[at], finite.iter().copied().reduce(f64::max));
            assert_eq!(series.buckets.others[at], (piece.len() - finite.len()) as u64);
            let last = piece.iter().rposition(|value| value.is_finite()).unwrap_or(piece.len() - 1);
            let x = u32::try_from(at * width + last + 1).unwrap();
            assert!((series.buckets.x[at] - f64::from(x)).abs() < 1e-9);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn buckets_are_those_of_the_definition(
            values in prop::collection::vec(prop_oneof![9 => -1e300..1e300_f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)], 1..3000),
        ) {
            let word = |value: &f64| if value.is_nan() { json!("NaN") } else if value.is_infinite() { json!("Infinity") } else { json!(value) };
            let lines: Vec<Value> = values.iter().map(|value| json!({"a": word(value)})).collect();
            check(&recorded(1, &lines).series()[0], &values);
        }
    }
}
