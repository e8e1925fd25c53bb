//! Durations, ages, times and commands for people. Pure.

use chrono::DateTime;

/// Whole seconds as `7h 20m 52s`: every unit that is not zero, with days as the largest; `0s` for zero.
pub(crate) fn duration(seconds: u64) -> String {
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let parts: Vec<String> =
        units.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// A size in its largest unit, with one decimal: `12.6 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let unit = UNITS.iter().enumerate().take_while(|(power, _)| bytes >> (10 * (power + 1)) > 0).last();
    let Some((power, unit)) = unit else { return format!("{bytes} bytes") };
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let size = (bytes >> (10 * power)) as f64 / 1024.0;
    format!("{size:.1} {unit}")
}

/// An age in its largest unit: `12s ago`, `3h ago`. A negative age counts as zero: the clocks of two machines differ.
pub(crate) fn ago(seconds: i64) -> String {
    let age = duration(u64::try_from(seconds).unwrap_or(0));
    format!("{} ago", age.split(' ').next().unwrap_or_default())
}

/// An RFC 3339 time as `2026-08-01 10:00:00` in UTC; any other text as it is.
pub(crate) fn utc(text: &str) -> String {
    DateTime::parse_from_rfc3339(text)
        .map_or_else(|_| text.to_owned(), |time| time.to_utc().format("%Y-%m-%d %H:%M:%S").to_string())
}

/// A word as a shell reads it.
pub(crate) fn shell_word(text: &str) -> String {
    let is_safe = |character: char| character.is_alphanumeric() || "-_./=:,@%+".contains(character);
    if !text.is_empty() && text.chars().all(is_safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_every_unit_that_is_not_zero() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (26_452, "7h 20m 52s"),
            (86_399, "23h 59m 59s"),
            (86_400, "1d"),
            (31_536_061, "365d 1m 1s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn sizes_have_one_decimal() {
        for (size, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (13_250_560, "12.6 MiB"),
            (3 << 40, "3.0 TiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn ages_show_the_largest_unit_and_are_not_negative() {
        for (seconds, text) in [
            (-3, "0s ago"),
            (12, "12s ago"),
            (119, "1m ago"),
            (7200, "2h ago"),
            (86_400, "1d ago"),
            (8_640_000, "100d ago"),
        ] {
            assert_eq!(ago(seconds), text);
        }
    }

    #[test]
    fn times_are_in_utc_without_fractions() {
        assert_eq!(utc("2026-08-01T12:00:00.123456+02:00"), "2026-08-01 10:00:00");
        assert_eq!(utc("2026-08-01T10:00:00Z"), "2026-08-01 10:00:00");
        assert_eq!(utc("infinity"), "infinity");
    }
}
