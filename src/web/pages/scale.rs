//! The places of numbers along an axis, and its ticks. Pure. Must not know HTML.

use super::labels::Labels;
use super::time::span;
use crate::output;

/// The length of an axis, in the units of a drawing.
pub(super) const LENGTH: u32 = 1000;

const TICKS_MAX: usize = 8;

/// The steps of an axis of time, in seconds; beyond them whole days.
const TIME_STEPS: [f64; 19] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0,
    43_200.0, 86_400.0, 172_800.0,
];
const DAY: f64 = 86_400.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Linear,
    Logarithmic,
    /// Seconds.
    Time,
}

/// An axis from the least to the largest value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// From 0 to [`LENGTH`].
    pub(super) place: u32,
    pub(super) label: String,
}

impl Scale {
    /// `None` if no value has a place.
    pub(super) fn of(kind: Kind, values: impl Iterator<Item = f64>) -> Option<Self> {
        let placed = values.filter(|value| has_place(kind, *value));
        placed.map(|value| Self { low: value, high: value, kind }).reduce(|all, one| Self {
            low: all.low.min(one.low),
            high: all.high.max(one.high),
            kind,
        })
    }

    /// From 0 to [`LENGTH`], the middle if all values are equal; `None` if `value` has no place. A value beyond the ends is at the end.
    pub(super) fn place(&self, value: f64) -> Option<u32> {
        if !has_place(self.kind, value) {
            return None;
        }
        // Halves: the distance of the ends may exceed the largest number.
        let of = |value: f64| if self.kind == Kind::Logarithmic { value.ln() } else { value / 2.0 };
        let (low, high) = (of(self.low), of(self.high));
        let share = if high > low { ((of(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
        let place = (share * f64::from(LENGTH)).round() as u32;
        Some(place)
    }

    /// At round values, from the least to the largest, the axis in at most about `parts` parts.
    pub(super) fn ticks(&self, labels: &Labels, parts: f64) -> Vec<Tick> {
        let least = self.high / parts - self.low / parts;
        let mut values = match self.kind {
            Kind::Linear => multiples(self.low, self.high, round_step(least)),
            Kind::Time => multiples(self.low, self.high, time_step(least)),
            Kind::Logarithmic => self.powers(),
        };
        if values.len() < 2 {
            values = if self.low < self.high { vec![self.low, self.high] } else { vec![self.low] };
        }
        let step = values.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let label = |value: f64| match self.kind {
            Kind::Linear => label(value, step),
            Kind::Logarithmic => output::number(value),
            Kind::Time => time_label(labels, value),
        };
        let tick = |value: f64| Some(Tick { place: self.place(value)?, label: label(value) });
        values.into_iter().take(TICKS_MAX).filter_map(tick).collect()
    }

    /// Powers of ten, at most [`TICKS_MAX`]; between two of them their double and fivefold.
    fn powers(&self) -> Vec<f64> {
        let (first, last) = (exponent(self.low), exponent(self.high));
        let stride = usize::try_from((last - first) / 6 + 1).unwrap_or(1);
        let steps: &[f64] = if last - first < 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers =
            (first..=last).step_by(stride).flat_map(|power| steps.iter().map(move |step| step * ten_to(power)));
        powers.filter(|value| (self.low..=self.high).contains(value)).collect()
    }
}

fn has_place(kind: Kind, value: f64) -> bool {
    value.is_finite() && (kind != Kind::Logarithmic || value > 0.0)
}

/// The power of ten at or below a positive number.
fn exponent(value: f64) -> i32 {
    // The one of the C library would load libm.so at both process starts of a run.
    #[expect(clippy::cast_possible_truncation, reason = "from -324 to 308")]
    let exponent = libm::log10(value).floor() as i32;
    exponent
}

fn ten_to(exponent: i32) -> f64 {
    // The direct power of a subnormal number is 0.
    if exponent < -300 { 10_f64.powi(-300) / 10_f64.powi(-300 - exponent) } else { 10_f64.powi(exponent) }
}

/// The next of 1, 2, 5 and 10 times a power of ten; 0 if there is none.
fn round_step(least: f64) -> f64 {
    if least <= 0.0 {
        return 0.0;
    }
    let power = ten_to(exponent(least));
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least && step.is_finite()).unwrap_or(0.0)
}

fn time_step(least: f64) -> f64 {
    if least < TIME_STEPS[0] / 2.0 {
        return round_step(least);
    }
    TIME_STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(|| (round_step(least / DAY) * DAY).max(DAY))
}

fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    if step <= 0.0 {
        return Vec::new();
    }
    let first = (low / step).ceil();
    let multiples = (0_u32..).take(TICKS_MAX).map(|number| (first + f64::from(number)) * step);
    let mut multiples: Vec<f64> =
        multiples.take_while(|value| *value <= high + step * 1e-9 && value.is_finite()).collect();
    // A step below the precision of the numbers repeats them.
    multiples.dedup();
    multiples
}

/// With as many digits as distinguish it from a value at the distance `step`.
fn label(value: f64, step: f64) -> String {
    let size = value.abs();
    if !step.is_finite() || step <= 0.0 || (size > 0.0 && size < step / 2.0) {
        return output::number(if step.is_finite() && step > 0.0 { 0.0 } else { value });
    }
    let last = exponent(step * 1.000_001);
    if size < 1e6 && last >= -6 {
        let decimals = usize::try_from(-last).unwrap_or(0);
        return format!("{:.decimals$}", value + 0.0);
    }
    if size == 0.0 {
        return "0".to_owned();
    }
    let digits = usize::try_from(exponent(size) - last).unwrap_or(0).min(17);
    let text = format!("{value:.digits$e}");
    let Some((mantissa, exponent)) = text.split_once('e').filter(|(mantissa, _)| mantissa.contains('.')) else {
        return text;
    };
    format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
}

fn time_label(labels: &Labels, seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = seconds.round().max(0.0) as u64;
    if (seconds - seconds.round()).abs() > 1e-9 || seconds < 0.0 {
        return format!("{}{}", output::number(seconds), labels.seconds);
    }
    span(labels, whole, 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::labels::Language;
    use super::*;

    fn ticks(kind: Kind, low: f64, high: f64) -> Vec<(u32, String)> {
        let scale = Scale::of(kind, [low, high].into_iter()).unwrap();
        scale.ticks(Language::English.labels(), 4.0).into_iter().map(|tick| (tick.place, tick.label)).collect()
    }

    fn labels(kind: Kind, low: f64, high: f64) -> Vec<String> {
        ticks(kind, low, high).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(Kind::Linear, 0.0, 1.0), ["0.0", "0.5", "1.0"]);
        assert_eq!(labels(Kind::Linear, 0.13, 2.4), ["1", "2"]);
        assert_eq!(labels(Kind::Linear, 0.0, 39.0), ["0", "10", "20", "30"]);
        assert_eq!(labels(Kind::Linear, -1.0, 1.0), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(Kind::Linear, 0.0, 1e7), ["0", "5e6", "1e7"]);
        assert_eq!(labels(Kind::Linear, 0.723_147, 0.723_149), ["0.723147", "0.723148", "0.723149"]);
        assert_eq!(labels(Kind::Linear, 0.0, 3e-9), ["0", "1e-9", "2e-9", "3e-9"]);
        assert_eq!(ticks(Kind::Linear, 5.0, 5.0), [(500, "5".to_owned())]);
    }

    #[test]
    fn logarithmic_ticks_are_powers_of_ten() {
        assert_eq!(labels(Kind::Logarithmic, 0.001, 10.0), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(labels(Kind::Logarithmic, 0.15, 2.4), ["0.2", "0.5", "1", "2"]);
        assert_eq!(labels(Kind::Logarithmic, 3.1, 3.2), ["3.1", "3.2"]);
        assert!(labels(Kind::Logarithmic, f64::MIN_POSITIVE, f64::MAX).len() >= 5);
    }

    #[test]
    fn ticks_of_time_are_whole_units() {
        assert_eq!(labels(Kind::Time, 0.0, 3600.0), ["0s", "15m", "30m", "45m", "1h"]);
        assert_eq!(labels(Kind::Time, 0.0, 90_000.0), ["0s", "12h", "1d"]);
        assert_eq!(labels(Kind::Time, 0.0, 1.0), ["0s", "0.5s", "1s"]);
        assert_eq!(labels(Kind::Time, 0.0, 40.0 * DAY), ["0s", "10d", "20d", "30d", "40d"]);
    }

    fn any_number() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            -1e6..1e6_f64,
            prop_oneof![Just(0.0), Just(-0.0), Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(f64::NAN)],
            (1e9..1e9 + 1e-6_f64),
        ]
    }

    proptest! {
        #[test]
        fn places_and_ticks_are_inside_and_in_order(
            values in prop::collection::vec(any_number(), 0..6),
            kind in prop_oneof![Just(Kind::Linear), Just(Kind::Logarithmic), Just(Kind::Time)],
        ) {
            let Some(scale) = Scale::of(kind, values.iter().copied()) else {
                prop_assert!(values.iter().all(|value| !has_place(kind, *value)));
                return Ok(());
            };
            for value in &values {
                prop_assert_eq!(scale.place(*value).is_some(), has_place(kind, *value));
                prop_assert!(scale.place(*value).unwrap_or(0) <= LENGTH);
            }
            let ticks = scale.ticks(Language::English.labels(), 4.0);
            prop_assert!(!ticks.is_empty() && ticks.len() <= TICKS_MAX, "{:?}", ticks);
            prop_assert!(ticks.windows(2).all(|pair| pair[0].place <= pair[1].place), "{:?}", ticks);
            for tick in &ticks {
                prop_assert!(tick.place <= LENGTH && !tick.label.is_empty() && tick.label.len() < 32, "{:?}", tick);
                prop_assert!(!tick.label.contains("NaN") && !tick.label.contains("inf"), "{:?}", tick);
            }
        }
    }
}
