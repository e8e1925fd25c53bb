//! The places of a curve in a drawing of [`LENGTH`] by [`LENGTH`], and its paths. Pure. Must not know HTML.

use std::fmt::Write;

use super::scale::{Kind, LENGTH, Scale};
use crate::record::{Buckets, Series};

/// The points of a sparkline at most.
const SPARK_POINTS: usize = 32;
/// The size of a sparkline.
pub(super) const SPARK: (u32, u32) = (96, 24);

/// How curves are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The horizontal axis is the time since the start of the run, not its step.
    pub(crate) by_time: bool,
    pub(crate) logarithmic: bool,
}

/// The axes that one or more curves share.
pub(super) struct Axes {
    pub(super) x: Scale,
    pub(super) y: Scale,
    view: View,
}

/// The paths of one curve; each may be empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Paths {
    /// Through the last values.
    pub(super) line: String,
    /// Between the extremes.
    pub(super) band: String,
    /// Marks at the top where values are no numbers.
    pub(super) marks: String,
    /// The last point.
    pub(super) end: Option<(u32, u32)>,
    /// Points without a place on a logarithmic axis.
    pub(super) left_out: usize,
}

/// A bucket with a number.
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    low: f64,
    value: f64,
    high: f64,
}

impl View {
    fn xs(self, buckets: &Buckets) -> &[f64] {
        if self.by_time { &buckets.seconds } else { &buckets.x }
    }
}

impl Axes {
    /// `None` if there is nothing to draw.
    pub(super) fn of(view: View, all: &[&Series]) -> Option<Self> {
        let kind = if view.logarithmic { Kind::Logarithmic } else { Kind::Linear };
        let is_drawn = |point: &Point| !view.logarithmic || point.value > 0.0;
        let points = || all.iter().flat_map(|series| points(view, &series.buckets).flatten()).filter(is_drawn);
        let y = Scale::of(kind, points().flat_map(|point| [point.low, point.value, point.high]))?;
        let along = if view.by_time { Kind::Time } else { Kind::Linear };
        let x = Scale::of(along, points().map(|point| point.x))?;
        Some(Self { x, y, view })
    }

    /// The curve of a series on these axes.
    pub(super) fn paths(&self, series: &Series) -> Paths {
        let mut paths = Paths::default();
        for part in parts(self.view, &series.buckets) {
            let places: Vec<[(u32, u32); 3]> = part.iter().filter_map(|point| self.place(point)).collect();
            paths.left_out += part.len() - places.len();
            let middle: Vec<(u32, u32)> = places.iter().map(|place| place[1]).collect();
            push_line(&mut paths.line, &middle);
            paths.end = middle.last().copied().or(paths.end);
            if places.iter().any(|[low, _, high]| low != high) {
                let upper = places.iter().map(|place| place[2]);
                let lower = places.iter().rev().map(|place| place[0]);
                push_line(&mut paths.band, &upper.chain(lower).collect::<Vec<_>>());
                paths.band.push('z');
            }
        }
        let xs = self.view.xs(&series.buckets).iter().zip(&series.buckets.others);
        for x in xs.filter(|(_, others)| **others > 0).filter_map(|(x, _)| self.x.place(*x)) {
            // Writing into a string never fails.
            let _never_fails = write!(paths.marks, "M{x} 0v60").is_ok();
        }
        paths
    }

    /// The places of the least, the last and the largest value; `None` of one that is left out.
    fn place(&self, point: &Point) -> Option<[(u32, u32); 3]> {
        let x = self.x.place(point.x)?;
        let value = self.y.place(point.value)?;
        // An extreme at or below 0 reaches to the bottom of a logarithmic axis.
        let of = |extreme: f64| (x, LENGTH - self.y.place(extreme).unwrap_or(0));
        Some([of(point.low), (x, LENGTH - value), of(point.high)])
    }
}

/// Equally spaced values in few points, as the path of a drawing of [`SPARK`]; empty without a value.
pub(super) fn sparkline(values: &[Option<f64>]) -> String {
    let width = values.len().div_ceil(SPARK_POINTS).max(1);
    let thinned: Vec<Option<f64>> =
        values.chunks(width).map(|chunk| chunk.iter().copied().flatten().next_back()).collect();
    let Some(scale) = Scale::of(Kind::Linear, thinned.iter().copied().flatten()) else { return String::new() };
    let last = u32::try_from(thinned.len().saturating_sub(1)).unwrap_or(0);
    let mut path = String::new();
    let mut part = Vec::new();
    for (at, value) in (0_u32..).zip(&thinned) {
        match value.and_then(|value| scale.place(value)) {
            Some(place) => {
                let x = (at * SPARK.0).checked_div(last).unwrap_or(SPARK.0 / 2);
                part.push((x, SPARK.1 - place * SPARK.1 / LENGTH));
            }
            None => push_line(&mut path, &std::mem::take(&mut part)),
        }
    }
    push_line(&mut path, &part);
    path
}

/// Each bucket in its order; `None` if it has no number.
fn points(view: View, buckets: &Buckets) -> impl Iterator<Item = Option<Point>> {
    let Buckets { value, low, high, .. } = buckets;
    let extremes = value.iter().zip(low).zip(high);
    view.xs(buckets).iter().zip(extremes).map(|(x, ((value, low), high))| {
        let point = Point { x: *x, low: (*low)?, value: (*value)?, high: (*high)? };
        Some(point).filter(|point| point.x.is_finite() && point.value.is_finite())
    })
}

/// The parts of a curve: a bucket without a number and an x that falls end one.
fn parts(view: View, buckets: &Buckets) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = vec![Vec::new()];
    for point in points(view, buckets) {
        let last = parts.last().and_then(|part| part.last());
        let falls = point.zip(last).is_some_and(|(point, last)| point.x < last.x);
        if point.is_none() || falls {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(point);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Appends a line to a path: the first point, then the distance to each corner. A single point becomes a dot.
fn push_line(path: &mut String, points: &[(u32, u32)]) {
    let Some((first, rest)) = points.split_first() else { return };
    let distance =
        |to: &(u32, u32), from: &(u32, u32)| (i64::from(to.0) - i64::from(from.0), i64::from(to.1) - i64::from(from.1));
    let mut text = format!("M{} {}", first.0, first.1);
    let mut at = first;
    let mut command = 'l';
    for (number, point) in rest.iter().enumerate() {
        let (x, y) = distance(point, at);
        // A point between two others on a straight line is left out.
        let is_between = rest.get(number + 1).is_some_and(|next| {
            let (further_x, further_y) = distance(next, point);
            x * further_y == y * further_x && x * further_x >= 0 && y * further_y >= 0
        });
        if !is_between && (x, y) != (0, 0) {
            // Writing into a string never fails.
            let _never_fails = write!(text, "{command}{x} {y}").is_ok();
            command = ' ';
        }
        if !is_between {
            at = point;
        }
    }
    if command == 'l' {
        text.push_str("h0");
    }
    path.push_str(&text.replace(" -", "-"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(points: &[(f64, Option<f64>)]) -> Series {
        let values: Vec<Option<f64>> = points.iter().map(|(_, value)| *value).collect();
        banded(points, &values, &values)
    }

    fn banded(points: &[(f64, Option<f64>)], low: &[Option<f64>], high: &[Option<f64>]) -> Series {
        let x: Vec<f64> = points.iter().map(|(x, _)| *x).collect();
        let buckets = Buckets {
            seconds: x.iter().map(|x| x * 2.0).collect(),
            value: points.iter().map(|(_, value)| *value).collect(),
            low: low.to_vec(),
            high: high.to_vec(),
            others: points.iter().map(|(_, value)| u64::from(value.is_none())).collect(),
            segment: vec![0; x.len()],
            x,
        };
        Series::stored("loss".to_owned(), 1, points.len() as u64, (0, 0, 0), buckets).unwrap()
    }

    fn drawn(view: View, series: &Series) -> Option<Paths> {
        Axes::of(view, &[series]).map(|axes| axes.paths(series))
    }

    const LINEAR: View = View { by_time: false, logarithmic: false };
    const LOGARITHMIC: View = View { by_time: false, logarithmic: true };

    /// The absolute places along a path.
    fn places(path: &str) -> Vec<(i64, i64)> {
        let mut places: Vec<(i64, i64)> = Vec::new();
        let numbers = |text: &str| -> Vec<i64> {
            let text = text.replace('-', " -");
            text.split_whitespace().map(|number| number.parse().unwrap()).collect()
        };
        for (at, _) in path.match_indices(|character: char| character.is_ascii_alphabetic()) {
            let (command, rest) = path[at..].split_at(1);
            let end = rest.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(rest.len());
            let numbers = numbers(&rest[..end]);
            let last = places.last().copied();
            match (command, numbers[..].iter().as_slice()) {
                ("M", [x, y]) => places.push((*x, *y)),
                ("l", steps) if steps.len() % 2 == 0 => {
                    for step in steps.chunks(2) {
                        let last = places.last().unwrap();
                        places.push((last.0 + step[0], last.1 + step[1]));
                    }
                }
                ("v", [y]) => places.push((last.unwrap().0, last.unwrap().1 + y)),
                ("h", [0]) | ("z", []) => {}
                other => panic!("{other:?} in {path}"),
            }
        }
        places
    }

    #[test]
    fn line_and_band_go_from_left_to_right() {
        let points = [(0.0, Some(1.0)), (5.0, Some(0.0)), (10.0, Some(0.5))];
        let paths = drawn(LINEAR, &series(&points)).unwrap();
        assert_eq!(paths.line, "M0 0l500 1000 500-500");
        assert_eq!((paths.band.as_str(), paths.end), ("", Some((1000, 500))));
        let [low, high] = [[0.5, 0.0, 0.0], [1.0, 0.5, 1.0]].map(|values| values.map(Some));
        let paths = drawn(LINEAR, &banded(&points, &low, &high)).unwrap();
        assert_eq!(paths.band, "M0 0l500 500 500-500 0 1000-500 0-500-500z");
    }

    #[test]
    fn gap_falling_x_and_single_points_are_drawn() {
        let paths =
            drawn(LINEAR, &series(&[(0.0, Some(1.0)), (1.0, None), (2.0, Some(0.0)), (1.0, Some(1.0))])).unwrap();
        assert_eq!((paths.line.as_str(), paths.marks.as_str()), ("M0 0h0M1000 1000h0M500 0h0", "M500 0v60"));
        let paths = drawn(LINEAR, &series(&[(3.0, Some(7.0))])).unwrap();
        assert_eq!(paths.line, "M500 500h0");
        let paths = drawn(LINEAR, &series(&[(0.0, Some(7.0)), (1.0, Some(7.0))])).unwrap();
        assert_eq!(paths.line, "M0 500l1000 0");
        let by_time = View { by_time: true, ..LINEAR };
        assert!(drawn(by_time, &series(&[(0.0, Some(7.0))])).is_some());
        assert_eq!(drawn(LINEAR, &series(&[])), None);
        assert_eq!(drawn(LINEAR, &series(&[(0.0, None)])), None);
    }

    #[test]
    fn values_without_a_logarithm_are_left_out_and_counted() {
        let points = [(0.0, Some(-1.0)), (1.0, Some(1.0)), (2.0, Some(100.0)), (3.0, Some(0.0))];
        let paths = drawn(LOGARITHMIC, &series(&points)).unwrap();
        assert_eq!((paths.line.as_str(), paths.left_out), ("M0 1000l1000-1000", 2));
        let low = [Some(-1.0), Some(-5.0), Some(10.0), Some(0.0)];
        let high = points.map(|(_, value)| value);
        let paths = drawn(LOGARITHMIC, &banded(&points, &low, &high)).unwrap();
        assert_eq!(paths.band, "M0 1000l1000-1000 0 500-1000 500z");
        assert_eq!(drawn(LOGARITHMIC, &series(&[(0.0, Some(-1.0))])), None);
    }

    #[test]
    fn sparkline_has_few_points_and_gaps() {
        assert_eq!(sparkline(&[Some(1.0), Some(0.0)]), "M0 0l96 24");
        assert_eq!(sparkline(&[Some(1.0)]), "M48 12h0");
        assert_eq!(sparkline(&[]), "");
        let many: Vec<Option<f64>> =
            (0..256).map(|at| Some(f64::from(at % 7)).filter(|_| !(100..120).contains(&at))).collect();
        let path = sparkline(&many);
        assert!(path.matches('M').count() == 2 && path.len() < 400, "{path}");
        assert!(places(&path).iter().all(|(x, y)| (0..=96).contains(x) && (0..=24).contains(y)), "{path}");
    }

    fn any_number() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>(), -10.0..10.0_f64, Just(0.0), Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(1e9)]
    }

    proptest! {
        #[test]
        fn every_place_is_inside_the_drawing(
            points in prop::collection::vec((any_number(), any_number(), any_number(), any_number()), 0..40),
            (by_time, logarithmic) in any::<(bool, bool)>(),
        ) {
            // As stored: a bucket has the last finite value and finite extremes around it.
            let finite = |value: f64| Some(value).filter(|value| value.is_finite());
            let values: Vec<(f64, Option<f64>)> = points.iter().map(|(x, value, ..)| (*x, finite(*value))).collect();
            let extreme = |pick: fn(f64, f64) -> f64| -> Vec<Option<f64>> {
                let of = |(_, value, low, high): &(f64, f64, f64, f64)| {
                    Some([*low, *high].into_iter().filter(|value| value.is_finite()).fold(finite(*value)?, pick))
                };
                points.iter().map(of).collect()
            };
            let series = banded(&values, &extreme(f64::min), &extreme(f64::max));
            let inside = |path: &str, (width, height): (i64, i64)| {
                places(path).iter().all(|(x, y)| (0..=width).contains(x) && (0..=height).contains(y))
            };
            if let Some(paths) = drawn(View { by_time, logarithmic }, &series) {
                for path in [&paths.line, &paths.band, &paths.marks] {
                    prop_assert!(inside(path, (1000, 1000)), "{path}");
                }
                prop_assert!(!paths.line.is_empty());
            }
            prop_assert!(inside(&sparkline(&series.buckets.value), (96, 24)));
        }
    }
}
