//! Times, ages and durations in the language of a page. Pure.

use chrono::{DateTime, Utc};

use super::labels::{Labels, filled};
use crate::record::read_instant;

/// A time, absolute and relative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// RFC 3339; none if the column holds no time.
    pub(super) iso: Option<String>,
    /// `2026-08-01 10:00:00`, in UTC.
    pub(super) absolute: String,
    /// None of a time in the future.
    pub(super) relative: Option<String>,
}

impl Moment {
    /// Of the text of a column.
    pub(super) fn of(labels: &Labels, text: &str, now: DateTime<Utc>) -> Self {
        match read_instant(text) {
            Some(instant) => Self::at(labels, instant, now),
            None => Self { absolute: text.to_owned(), ..Self::default() },
        }
    }

    pub(super) fn at(labels: &Labels, instant: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let age = u64::try_from((now - instant).num_seconds()).ok();
        Self {
            iso: Some(instant.format("%FT%TZ").to_string()),
            absolute: instant.format("%F %T").to_string(),
            relative: age.map(|seconds| ago(labels, seconds)),
        }
    }
}

/// Whole seconds in their largest units, at most `parts` of them: `7h 20m`; `0s` for zero.
pub(super) fn span(labels: &Labels, seconds: u64, parts: usize) -> String {
    let units = [
        (seconds / 86_400, labels.days),
        (seconds / 3600 % 24, labels.hours),
        (seconds / 60 % 60, labels.minutes),
        (seconds % 60, labels.seconds),
    ];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units.iter().skip(first).take(parts);
    let shown = shown.enumerate().filter(|(at, (count, _))| *at == 0 || *count > 0);
    shown.map(|(_, (count, unit))| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

/// An age in its largest unit: `12s ago`.
pub(super) fn ago(labels: &Labels, seconds: u64) -> String {
    filled(labels.ago, &[&span(labels, seconds, 1)])
}

#[cfg(test)]
mod tests {
    use super::super::labels::Language;
    use super::*;

    #[test]
    fn spans_have_the_largest_units() {
        let (english, chinese) = (Language::English.labels(), Language::Chinese.labels());
        for (seconds, parts, text) in [
            (0, 2, "0s"),
            (59, 2, "59s"),
            (60, 2, "1m"),
            (26_452, 2, "7h 20m"),
            (26_452, 4, "7h 20m 52s"),
            (86_401, 2, "1d"),
            (86_401, 4, "1d 1s"),
            (u64::MAX, 1, "213503982334601d"),
        ] {
            assert_eq!(span(english, seconds, parts), text);
        }
        assert_eq!(span(chinese, 26_452, 2), "7 小时 20 分");
        assert_eq!(ago(chinese, 12), "12 秒前");
        assert_eq!(ago(english, 7300), "2h ago");
    }

    #[test]
    fn moment_is_in_utc_and_other_text_stays() {
        let labels = Language::English.labels();
        let now = read_instant("2026-08-01T10:00:12Z").unwrap();
        let moment = Moment::of(labels, "2026-08-01T12:00:00.5+02:00", now);
        assert_eq!(moment.iso.as_deref(), Some("2026-08-01T10:00:00Z"));
        assert_eq!((moment.absolute.as_str(), moment.relative.as_deref()), ("2026-08-01 10:00:00", Some("11s ago")));
        assert_eq!(Moment::of(labels, "2026-08-02T10:00:00Z", now).relative, None);
        assert_eq!(Moment::of(labels, "infinity", now), Moment { absolute: "infinity".into(), ..Moment::default() });
    }
}
