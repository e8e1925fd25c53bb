//! The size of reported metrics, for their limits. Pure.

use serde_json::{Map, Value};

/// The limit of the values in one line, and in all metrics together. In memory a value takes 100 times the bytes of its shortest JSON.
pub(super) const METRICS_VALUES_MAX: usize = 20_000;

/// The size of metrics: the approximate bytes of their JSON, for which the limit needs no exact number, and how many values they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(super) bytes: usize,
    pub(super) values: usize,
}

impl Size {
    /// Of a key and its value, with punctuation.
    pub(super) fn of(key: &str, value: &Value) -> Self {
        Self { bytes: key.len() + value.to_string().len() + 4, values: values_of(value) }
    }

    pub(super) fn of_all(metrics: &Map<String, Value>) -> Self {
        metrics.iter().map(|(key, value)| Self::of(key, value)).fold(Self::default(), Self::and)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, values: self.values + other.values }
    }
}

fn values_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values_of).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(values_of).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// How many values a JSON text has, or more.
pub(super) fn values_in(text: &[u8]) -> usize {
    let (mut count, mut is_text, mut is_escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' if !is_text => count += 1,
            _ => {}
        }
    }
    count
}
