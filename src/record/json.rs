//! Equality of JSON values as databases keep them: `jsonb` reorders keys and rewrites numbers without changing either. Pure.

use serde_json::Value;

/// Whether two values are equal: the order of keys does not count, and numbers are compared by value, with every digit.
pub(crate) fn same_json(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => decimal(&left.to_string()) == decimal(&right.to_string()),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_json(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same_json(value, other)))
        }
        (left, right) => left == right,
    }
}

/// Sign, significant digits and exponent of a JSON number, so that `1.50e1` and `15` are equal. Zero has no sign.
fn decimal(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_negative = integer.starts_with('-');
    let all = format!("{}{fraction}", integer.trim_start_matches('-'));
    let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
    if digits.is_empty() {
        return (false, digits, 0);
    }
    let trailing = all.len() - all.trim_end_matches('0').len();
    let exponent = exponent.trim_start_matches('+').parse::<i64>().unwrap_or(i64::MAX);
    let shift = i64::try_from(trailing).unwrap_or(i64::MAX) - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    (is_negative, digits, exponent.saturating_add(shift))
}

#[cfg(test)]
mod tests {
    use super::same_json;

    #[track_caller]
    fn check(left: &str, right: &str, expected: bool) {
        let read = |text| serde_json::from_str(text).unwrap();
        assert_eq!(same_json(&read(left), &read(right)), expected, "{left} {right}");
    }

    #[test]
    fn numbers_are_equal_by_value_with_every_digit() {
        for (left, right) in
            [("1", "1.0"), ("1e-05", "0.00001"), ("1.50e1", "15"), ("-0.0", "0"), ("1E+2", "100"), ("1e400", "10e399")]
        {
            check(left, right, true);
        }
        check("12345678901234567890123", "12345678901234567890124", false);
        check("-1", "1", false);
        check("0.1", "0.10000000000000001", false);
    }

    #[test]
    fn objects_are_equal_whatever_the_order_of_their_keys() {
        check(r#"{"a": [1, {"b": null}], "c": "x"}"#, r#"{"c": "x", "a": [1.0, {"b": null}]}"#, true);
        check(r#"{"a": 1}"#, r#"{"a": 1, "b": 1}"#, false);
        check("[1, 2]", "[2, 1]", false);
        check("\"1\"", "1", false);
    }
}
