//! Tables and aligned `key: value` lists. Pure.

use comfy_table::{Table, presets};

use super::printable::printable;

/// Rows under a header: aligned columns two spaces apart, without borders and trailing blanks.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// One `key:  value` a line, values aligned, also the further lines of a value.
pub(crate) fn key_values(pairs: &[(String, String)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (key, value) in pairs {
        let mut label = format!("{}:", printable(key));
        for line in value.split('\n') {
            let line = format!("{label:width$}{}", printable(line));
            text = text + line.trim_end() + "\n";
            label.clear();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let rows = [["1", "résumé", ""], ["1234", "x", "now"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            table(&["ID", "NAME", "SEEN"], &rows),
            "ID    NAME    SEEN\n\
             1     résumé\n\
             1234  x       now\n"
        );
        assert_eq!(table(&["ID"], &[]), "ID\n");
    }

    #[test]
    fn a_cell_cannot_break_its_row_or_control_the_terminal() {
        assert_eq!(table(&["A"], &[vec!["x\ny\u{1b}c".to_owned()]]), "A\nx\\ny\\u{1b}c\n");
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
