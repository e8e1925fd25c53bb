//! The values in which records differ. Pure.

use serde_json::{Map, Value};

use super::number_of;

/// Columns that differ between any two runs, and explain nothing.
const OF_ONE_RUN: [&str; 14] = [
    "id",
    "run_id",
    "record_id",
    "created_at",
    "updated_at",
    "train_start_time",
    "train_end_time",
    "heartbeat_at",
    "last_seen_at",
    "last_seen_seconds_ago",
    "elapsed_seconds",
    "pid",
    "recovered_at",
    "recovered_by",
];

/// One value in which records differ. Null: the record does not have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The column, or `lowest` and `highest` for the metrics with a history; within JSON with a path behind it: `train_metrics.loss`.
    pub key: String,
    /// Of each record, in their order.
    pub values: Vec<Value>,
}

/// The values in which `records` differ, in the order of their keys.
pub(crate) fn differences(records: &[&Map<String, Value>]) -> Vec<Difference> {
    let mut all = Vec::new();
    for key in keys(records).into_iter().filter(|key| !OF_ONE_RUN.contains(key)) {
        compare(key.to_owned(), values(records, key), &mut all);
    }
    all
}

/// The keys of any of `objects`, each once.
fn keys<'a>(objects: &[&'a Map<String, Value>]) -> Vec<&'a str> {
    let mut keys: Vec<&str> = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        let is_new = |key: &&String| objects[..at].iter().all(|earlier| !earlier.contains_key(*key));
        keys.extend(object.keys().filter(is_new).map(String::as_str));
    }
    keys
}

fn values(objects: &[&Map<String, Value>], key: &str) -> Vec<Value> {
    objects.iter().map(|object| object.get(key).cloned().unwrap_or_default()).collect()
}

/// Adds the differences of some values. Objects are compared key by key.
fn compare(key: String, compared: Vec<Value>, all: &mut Vec<Difference>) {
    let is_same = |[first, second]: [&Value; 2]| {
        let is_same_number = || number_of(first).is_some_and(|number| Some(number) == number_of(second));
        first == second || is_same_number()
    };
    if compared.windows(2).all(|pair| is_same([&pair[0], &pair[1]])) {
        return;
    }
    let empty = Map::new();
    let objects: Option<Vec<&Map<String, Value>>> =
        compared.iter().map(|value| if value.is_null() { Some(&empty) } else { value.as_object() }).collect();
    let Some(objects) = objects else { return all.push(Difference { key, values: compared }) };
    for name in keys(&objects) {
        compare(format!("{key}.{name}"), values(&objects, name), all);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_listed_with_its_path() {
        let record = |value: Value| value.as_object().unwrap().clone();
        let first = record(json!({
            "id": 1, "train_metrics": {"loss": 0.5, "same": 1, "deep": {"a": [1, 2]}}, "tags": null, "host": "a",
            "train_duration": 60, "owner": "ann", "cost": 1,
        }));
        let second = record(json!({
            "id": 2, "train_metrics": {"loss": 0.25, "same": 1, "deep": {"a": [1, 3]}, "f1": 0.9},
            "tags": {"team": "x"}, "host": "a", "train_duration": 61, "extra": true, "cost": 1.0,
        }));
        let lines = |records: &[&Map<String, Value>]| {
            let line = |Difference { key, values }: &Difference| format!("{key} {}", json!(values));
            let mut lines: Vec<String> = differences(records).iter().map(line).collect();
            lines.sort_unstable();
            lines
        };
        let expected = [
            "extra [null,true]",
            "owner [\"ann\",null]",
            "tags.team [null,\"x\"]",
            "train_duration [60,61]",
            "train_metrics.deep.a [[1,2],[1,3]]",
            "train_metrics.f1 [null,0.9]",
            "train_metrics.loss [0.5,0.25]",
        ];
        assert_eq!(lines(&[&first, &second]), expected);
        assert_eq!(lines(&[&first, &first]), [""; 0]);
        let third = record(json!({"host": "b", "tags": 7}));
        let three = lines(&[&first, &second, &third]);
        assert!(three.contains(&r#"host ["a","a","b"]"#.to_owned()), "{three:?}");
        assert!(three.contains(&r#"tags [null,{"team":"x"},7]"#.to_owned()), "{three:?}");
        assert!(three.contains(&"train_metrics.same [1,1,null]".to_owned()), "{three:?}");
    }
}
