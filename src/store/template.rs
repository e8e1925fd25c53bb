//! Fills the statements of `sql/`: `{token}` is put in place, and a line that ends in `-- when: FLAG` stays only
//! where the flag is set, so that one file serves tables that lack a column or keep it in another type.
//! Owns that notation and nothing else. Called by both stores.

use std::collections::{HashMap, HashSet};

/// Ends a line that is there only under a flag.
const WHEN: &str = "-- when: ";

/// What the statements of one table are filled with.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) tokens: HashMap<String, String>,
    pub(super) flags: HashSet<String>,
}

impl Words {
    /// `statement` with its tokens and conditional lines settled. Comments stay, for whoever reads the server's log.
    pub(super) fn fill(&self, statement: &str) -> String {
        let mut filled = String::with_capacity(statement.len());
        for line in statement.lines() {
            match line.split_once(WHEN) {
                Some((_, flag)) if !self.flags.contains(flag.trim()) => continue,
                Some((code, _)) => self.fill_line(code.trim_end(), &mut filled),
                None => self.fill_line(line, &mut filled),
            }
            filled.push('\n');
        }
        filled
    }

    /// A copy with one more token.
    pub(super) fn with(&self, token: &str, text: String) -> Self {
        let mut more = self.clone();
        more.tokens.insert(token.to_owned(), text);
        more
    }

    /// A copy with more flags.
    pub(super) fn flagged(&self, flags: &[&str]) -> Self {
        let mut more = self.clone();
        more.flags.extend(flags.iter().map(ToString::to_string));
        more
    }

    fn fill_line(&self, line: &str, filled: &mut String) {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let token = after.split_once('}').and_then(|(token, tail)| Some((self.tokens.get(token)?, tail)));
            // Without a token it is a brace of the statement's own, such as a regular expression's `{1,9}`.
            let (text, tail) = token.map_or(("{", after), |(text, tail)| (text.as_str(), tail));
            filled.push_str(text);
            rest = tail;
        }
        filled.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_filled_and_lines_without_their_flag_dropped() {
        let mut words = Words::default().with("table", "\"t\"".into());
        words.flags.insert("version".into());
        let statement = "-- why\nSELECT\n    version, -- when: version\n    model_path, -- when: model_path\n    id -- key\nFROM {table}\nWHERE v ~ '{1,9}' AND x = '{unknown}'\n";
        assert_eq!(
            words.fill(statement),
            "-- why\nSELECT\n    version,\n    id -- key\nFROM \"t\"\nWHERE v ~ '{1,9}' AND x = '{unknown}'\n"
        );
    }
}
