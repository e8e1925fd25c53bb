//! Curves in braille, for a terminal: a braille character takes one column in every locale, lines and blocks do not. Pure.

use textplots::{Chart, Plot, Shape};

/// The dots of a braille character.
const DOTS: (u32, u32) = (2, 4);

/// The narrowest canvas that textplots draws on.
pub(crate) const COLUMNS_MIN: u32 = 16;

/// A point of a curve: the values between `low` and `high` at `x`, the last of them `value`. All finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlotPoint {
    pub(crate) x: f64,
    pub(crate) low: f64,
    pub(crate) value: f64,
    pub(crate) high: f64,
}

/// Draws the parts of a curve, each as one line, with the extremes beside and below it. The lines are at most `columns` wide if that
/// is enough for the labels and [`COLUMNS_MIN`]. Empty without a point.
pub(crate) fn plot(parts: &[Vec<PlotPoint>], columns: u32, rows: u32) -> String {
    let Some(range) = Range::of(parts) else { return String::new() };
    let labels = [number(range.high), number(range.low)];
    let margin = labels.iter().map(String::len).max().unwrap_or_default();
    let left = u32::try_from(margin + 1).unwrap_or(u32::MAX);
    let width = columns.saturating_sub(left).max(COLUMNS_MIN);
    let lines = drawn(parts, &range, width, rows);
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let label = if at == 0 {
            &labels[0]
        } else if at + 1 == lines.len() {
            &labels[1]
        } else {
            ""
        };
        text += format!("{label:>margin$} {line}").trim_end();
        text.push('\n');
    }
    let (first, last) = (number(range.first), number(range.last));
    let between = (width as usize).saturating_sub(first.len());
    text + &format!("{:margin$} {first}{last:>between$}\n", "")
}

/// Values at equal distances in one row; a value that is missing leaves a gap. Empty without a value.
pub(crate) fn sparkline(values: &[Option<f64>]) -> String {
    let mut parts = vec![Vec::new()];
    for (at, value) in (0_u32..).zip(values) {
        let point = value.map(|value| PlotPoint { x: f64::from(at), low: value, value, high: value });
        match (point, parts.last_mut()) {
            (Some(point), Some(part)) => part.push(point),
            (None, _) | (Some(_), None) => parts.push(Vec::new()),
        }
    }
    Range::of(&parts).map_or_else(String::new, |range| drawn(&parts, &range, COLUMNS_MIN, 1).concat())
}

/// A number in a few characters: a whole one as it is, another one with five significant digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let scientific = format!("{value:.4e}");
    if size > 0.0 && !(1e-4..1e15).contains(&size) {
        return scientific;
    }
    if value.fract() == 0.0 {
        return format!("{:.0}", value + 0.0);
    }
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    let decimals = usize::try_from(4 - exponent).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The extremes of a curve. They are halved where they are subtracted: their distance may exceed the largest number.
struct Range {
    first: f64,
    last: f64,
    low: f64,
    high: f64,
}

impl Range {
    fn of(parts: &[Vec<PlotPoint>]) -> Option<Self> {
        let points = parts.iter().flatten();
        let range = |point: &PlotPoint| Self { first: point.x, last: point.x, low: point.low, high: point.high };
        points.map(range).reduce(|all, one| Self {
            first: all.first.min(one.first),
            last: all.last.max(one.last),
            low: all.low.min(one.low),
            high: all.high.max(one.high),
        })
    }
}

/// The number of the dot of `value`, from 0 to `most`; the middle if there is one value only.
fn dot(value: f64, (low, high): (f64, f64), most: u32) -> f32 {
    let (low, high) = (low / 2.0, high / 2.0);
    let share = if high > low { (value / 2.0 - low) / (high - low) } else { 0.5 };
    #[expect(clippy::cast_possible_truncation, reason = "the number of a dot is small")]
    let dot = (share * f64::from(most)).round() as f32;
    dot
}

/// The rows of the drawing, as many as asked for, in braille and blanks.
fn drawn(parts: &[Vec<PlotPoint>], range: &Range, columns: u32, rows: u32) -> Vec<String> {
    let (width, height) = (columns * DOTS.0, rows * DOTS.1);
    let x = |point: &PlotPoint| dot(point.x, (range.first, range.last), width - 1);
    // The chart counts from below, and its dot 0 is below the last row.
    let y = |value: f64| dot(value, (range.low, range.high), height - 1) + 1.0;
    let mut lines: Vec<Vec<(f32, f32)>> = Vec::new();
    for part in parts {
        lines.push(part.iter().map(|point| (x(point), y(point.value))).collect());
        lines.extend(part.iter().map(|point| vec![(x(point), y(point.low)), (x(point), y(point.high))]));
    }
    let shapes: Vec<Shape<'_>> = lines.iter().map(|line| Shape::Lines(line)).collect();
    #[expect(clippy::cast_precision_loss, reason = "the number of a dot is small")]
    let mut chart = Chart::new_with_y_range(width, height, 0.0, width as f32, 0.0, height as f32);
    let chart = shapes.iter().fold(&mut chart, |chart, shape| chart.lineplot(shape));
    chart.figures();
    let frame = chart.frame();
    frame.lines().take(rows as usize).map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, value: f64) -> PlotPoint {
        PlotPoint { x, low: value, value, high: value }
    }

    #[test]
    fn curve_falls_from_its_highest_to_its_lowest_value() {
        let points: Vec<PlotPoint> = (0..40).map(|x| point(f64::from(x), 2.5 - 0.05 * f64::from(x))).collect();
        let expected = "\
\u{20}2.5 ⠉⠒⠢⢄⣀⡀
          ⠉⠑⠒⠤⢄⣀
0.55           ⠈⠉⠑⠢⠤⣀
     0             39
";
        assert_eq!(plot(&[points], 21, 3), expected);
    }

    #[test]
    fn parts_are_drawn_apart_and_extremes_as_columns() {
        let spike = PlotPoint { x: 40.0, low: 0.0, value: 1.0, high: 2.0 };
        let drawing = plot(&[vec![point(0.0, 1.0), point(10.0, 1.0)], vec![spike]], 22, 2);
        let lines: Vec<&str> = drawing.lines().collect();
        assert!(lines[0].ends_with('⢸') || lines[0].ends_with('⡇'), "{drawing}");
        assert!(lines[1].contains("        "), "{drawing}");
    }

    #[test]
    fn odd_ranges_are_drawn() {
        for points in [
            vec![point(3.0, 1.0)],
            vec![point(0.0, -f64::MAX), point(f64::MAX, f64::MAX)],
            vec![point(1.0, 1e-320), point(1.0, 2e-320)],
        ] {
            let drawing = plot(&[points], 40, 3);
            assert_eq!(drawing.lines().count(), 4, "{drawing}");
            let braille = |character: &char| ('\u{2801}'..='\u{28ff}').contains(character);
            assert!(drawing.chars().any(|character| braille(&character)), "{drawing}");
        }
        assert_eq!(plot(&[], 40, 3), "");
        assert_eq!(plot(&[vec![]], 40, 3), "");
    }

    #[test]
    fn drawing_fits_its_columns() {
        let points: Vec<PlotPoint> = (0..300).map(|x| point(f64::from(x), f64::from(x % 7))).collect();
        for columns in [40, 80, 200] {
            let drawing = plot(std::slice::from_ref(&points), columns, 6);
            assert!(drawing.lines().all(|line| line.chars().count() <= columns as usize), "{drawing}");
        }
    }

    #[test]
    fn sparkline_has_one_row_and_gaps() {
        assert_eq!(sparkline(&[Some(1.0), Some(0.0)]).chars().count(), 16);
        assert!(sparkline(&[Some(1.0), None, Some(1.0), Some(0.0)]).contains("   "));
        assert_eq!(sparkline(&[None]), "");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.123_456_7, "0.12346"),
            (12_345.678, "12346"),
            (1.5, "1.5"),
            (100.0, "100"),
            (-3.25, "-3.25"),
            (0.000_123_45, "0.00012345"),
            (1e-9, "1.0000e-9"),
            (1e20, "1.0000e20"),
            (1_234_567.0, "1234567"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
