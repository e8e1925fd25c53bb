//! Series for a reader: which one comes first, its points and its extremes. Pure.

use serde_json::{Map, Value, json};

use super::series::{Buckets, Series, counts_steps};

/// The order of curves for a person: losses before accuracies before others, the counters of steps last.
pub(crate) fn curve_rank(name: &str) -> u8 {
    let name = name.to_lowercase();
    if counts_steps(&name) {
        3
    } else if name.contains("loss") {
        0
    } else if name.contains("acc") {
        1
    } else {
        2
    }
}

/// The points of a series, as `runwrap_points` has them.
pub(crate) fn points(series: &Series) -> Vec<Map<String, Value>> {
    let Buckets { x, seconds, value, low, high, .. } = &series.buckets;
    let at = |index: usize| {
        let point = json!({
            "x": x.get(index)?, "seconds": seconds.get(index)?, "value": value.get(index).copied().flatten()?,
            "low": low.get(index)?, "high": high.get(index)?,
        });
        point.as_object().cloned()
    };
    (0..x.len()).filter_map(at).collect()
}

/// The best values of the metrics, whichever is better: by name, as `lowest` and `highest`.
pub(crate) fn extremes(all: &[Series]) -> Map<String, Value> {
    let [mut lowest, mut highest] = [Map::new(), Map::new()];
    for Series { name, buckets, .. } in all {
        let (low, high) = (buckets.low.iter().copied().flatten(), buckets.high.iter().copied().flatten());
        lowest.extend(low.reduce(f64::min).map(|value| (name.clone(), json!(value))));
        highest.extend(high.reduce(f64::max).map(|value| (name.clone(), json!(value))));
    }
    [("lowest", lowest), ("highest", highest)]
        .map(|(key, values)| (key.to_owned(), Value::Object(values)))
        .into_iter()
        .collect()
}
