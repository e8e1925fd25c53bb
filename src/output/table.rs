//! Tables and aligned `key: value` lists. Pure.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::printable::printable;

/// Between two columns.
const GAP: usize = 2;

/// The widest column, also without a terminal: each row is as wide as the longest one.
const WIDTH_MAX: usize = 1000;

/// The narrowest width of a column that may be cut.
const CUT_WIDTH_MIN: usize = 12;

/// A column of a table that must fit a terminal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) heading: String,
    /// The least important column is left out first.
    pub(crate) importance: u8,
    /// Its cells are cut before a column is left out.
    pub(crate) may_be_cut: bool,
    /// Of its cells: none, or one a row.
    pub(crate) styles: Vec<Style>,
}

/// Rows under a header: aligned columns two spaces apart, without borders and trailing blanks.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let heading = |heading: &&str| Column { heading: (*heading).to_owned(), ..Column::default() };
    fitted(&header.iter().map(heading).collect::<Vec<_>>(), rows, None)
}

/// As [`table`], in lines of at most `width` if that is given: cells are cut, columns left out, in the end the lines cut.
pub(crate) fn fitted(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let natural = |(at, column): (usize, &Column)| {
        let cells = cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.width());
        cells.chain([printable(&column.heading).width()]).max().unwrap_or_default().min(WIDTH_MAX)
    };
    let natural: Vec<usize> = columns.iter().enumerate().map(natural).collect();
    let widths =
        width.map_or_else(|| natural.iter().copied().map(Some).collect(), |width| widths(columns, &natural, width));
    let shown: Vec<(usize, usize)> =
        widths.iter().enumerate().filter_map(|(at, width)| Some((at, (*width)?))).collect();
    let mut text = String::new();
    let line = |cell: &dyn Fn(usize) -> (String, Style)| {
        let mut line = String::new();
        let mut behind = 0;
        for (at, width) in &shown {
            let (content, style) = cell(*at);
            let content = cut(&content, *width);
            if !content.is_empty() {
                line.push_str(&" ".repeat(behind));
                line = line + &style.to_string() + &content + &format!("{style:#}");
                behind = 0;
            }
            behind += width - content.width() + GAP;
        }
        line + "\n"
    };
    text += &line(&|at| (columns.get(at).map(|column| printable(&column.heading)).unwrap_or_default(), Style::new()));
    for (number, row) in cells.iter().enumerate() {
        let style =
            |at: usize| columns.get(at).and_then(|column| column.styles.get(number)).copied().unwrap_or_default();
        text += &line(&|at| (row.get(at).cloned().unwrap_or_default(), style(at)));
    }
    text
}

/// The width of each column, none for one that is left out.
fn widths(columns: &[Column], natural: &[usize], width: usize) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let total = |widths: &[Option<usize>]| {
        let shown: Vec<usize> = widths.iter().flatten().copied().collect();
        shown.iter().sum::<usize>() + GAP * shown.len().saturating_sub(1)
    };
    loop {
        let excess = total(&widths).saturating_sub(width);
        if excess == 0 {
            return widths;
        }
        let slack = |(at, shown): (usize, &Option<usize>)| {
            let may_be_cut = columns.get(at).is_some_and(|column| column.may_be_cut);
            shown.filter(|_| may_be_cut).map_or(0, |shown| shown.saturating_sub(CUT_WIDTH_MIN))
        };
        let slack: Vec<usize> = widths.iter().enumerate().map(slack).collect();
        if slack.iter().sum::<usize>() >= excess {
            let mut left = excess;
            for (shown, slack) in widths.iter_mut().zip(slack) {
                let less = slack.min(left);
                *shown = shown.map(|width| width - less);
                left -= less;
            }
            return widths;
        }
        let shown = widths.iter().enumerate().filter(|(_, width)| width.is_some());
        let least = shown.min_by_key(|(at, _)| columns.get(*at).map(|column| column.importance)).map(|(at, _)| at);
        let is_last = widths.iter().flatten().count() <= 1;
        match least {
            Some(at) if !is_last => widths[at] = None,
            _ => return widths.into_iter().map(|shown| shown.map(|_| width)).collect(),
        }
    }
}

/// `text` in at most `width` columns; `…` marks a cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut left = width.saturating_sub(1);
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        shown.push(character);
    }
    if width > 0 { shown + "…" } else { shown }
}

/// One `key:  value` a line, values aligned, also the further lines of a value.
pub(crate) fn key_values(pairs: &[(String, String)]) -> String {
    let width = pairs.iter().map(|(key, _)| printable(key).width()).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (key, value) in pairs {
        let mut label = format!("{}:", printable(key));
        for line in value.split('\n') {
            let blanks = " ".repeat(width.saturating_sub(label.width()));
            let line = format!("{label}{blanks}{}", printable(line));
            text = text + line.trim_end() + "\n";
            label.clear();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    fn rows<const N: usize>(rows: &[[&str; N]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect()
    }

    fn columns(columns: &[(&str, u8, bool)]) -> Vec<Column> {
        let column = |(heading, importance, may_be_cut): &(&str, u8, bool)| Column {
            heading: (*heading).to_owned(),
            importance: *importance,
            may_be_cut: *may_be_cut,
            styles: Vec::new(),
        };
        columns.iter().map(column).collect()
    }

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let rows = rows(&[["1", "résumé", ""], ["1234", "x", "now"], ["5", "训练", "now"]]);
        assert_eq!(
            table(&["ID", "NAME", "SEEN"], &rows),
            "ID    NAME    SEEN\n\
             1     résumé\n\
             1234  x       now\n\
             5     训练    now\n"
        );
        assert_eq!(table(&["ID"], &[]), "ID\n");
    }

    #[test]
    fn a_cell_cannot_break_its_row_or_control_the_terminal() {
        assert_eq!(table(&["A"], &[vec!["x\ny\u{1b}c".to_owned()]]), "A\nx\\ny\\u{1b}c\n");
    }

    #[test]
    fn table_fits_its_width() {
        let all = columns(&[("ID", 9, false), ("NAME", 7, true), ("STATUS", 8, false), ("END", 1, false)]);
        let rows = rows(&[
            ["7", "a-long-name-of-a-network", "completed", "2026-01-02"],
            ["8", "训练一个非常深的网络", "failed", "-"],
        ]);
        let lines = |width| fitted(&all, &rows, Some(width)).lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            lines(40),
            [
                "ID  NAME           STATUS     END",
                "7   a-long-name-…  completed  2026-01-02",
                "8   训练一个非常…  failed     -",
            ]
        );
        assert_eq!(lines(28)[1], "7   a-long-name-…  completed");
        assert_eq!(lines(16)[1], "7   completed");
        for width in 1..60 {
            assert!(lines(width).iter().all(|line| line.width() <= width), "{width}: {:?}", lines(width));
        }
    }

    #[test]
    fn style_takes_no_room() {
        let mut all = columns(&[("A", 1, false), ("B", 1, false)]);
        all[0].styles = vec![AnsiColor::Green.on_default()];
        assert_eq!(fitted(&all, &rows(&[["x", "y"]]), None), "A  B\n\u{1b}[32mx\u{1b}[0m  y\n");
    }

    #[test]
    fn values_are_aligned_in_all_their_lines() {
        let pairs = [("id", "7"), ("error_message", "first\n\u{1b}second\n"), ("x", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            key_values(&pairs),
            "id:             7\n\
             error_message:  first\n\
             \u{20}               \\u{1b}second\n\
             \n\
             x:\n"
        );
    }
}
