//! Parses timestamps as databases, applications and people write them. Pure.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// Parses a timestamp; without a zone it is UTC.
pub(crate) fn read_instant(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(zoned) = DateTime::parse_from_rfc3339(text) {
        return Some(zoned.to_utc());
    }
    // `+01`, `+0100` and `+01:00`, also after a blank as in the output of date and git.
    let zoned = ["%FT%T%.f%#z", "%F %T%.f%#z", "%FT%R%#z", "%F %R%#z"];
    if let Some(zoned) = zoned.into_iter().find_map(|form| DateTime::parse_from_str(text, form).ok()) {
        return Some(zoned.to_utc());
    }
    let naive = ["%FT%T%.f", "%F %T%.f", "%FT%R", "%F %R"];
    let naive = naive.into_iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let midnight = || NaiveDate::parse_from_str(text, "%F").ok()?.and_hms_opt(0, 0, 0);
    Some(naive.or_else(midnight)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::read_instant;

    #[test]
    fn timestamp_without_a_zone_is_utc() {
        for text in [
            "2025-11-27T01:20:52Z",
            "2025-11-27 01:20:52",
            "2025-11-27 01:20:52Z",
            "2025-11-27T02:20:52+01:00",
            "2025-11-27 02:20:52.000+01",
            "2025-11-27T02:20:52+0100",
            "2025-11-27 02:20:52 +0100",
            "2025-11-26T20:20:52.0-0500",
        ] {
            assert_eq!(read_instant(text).unwrap().timestamp(), 1_764_206_452, "{text}");
        }
        assert_eq!(read_instant("2025-11-27T02:20+0100"), read_instant("2025-11-27 01:20"));
        for text in ["", "now", "1764206452", "2025-11-27+0100", "01:20:52", "2025-13-01", "2025-11-27T25:00:00Z"] {
            assert_eq!(read_instant(text), None, "{text}");
        }
    }
}
