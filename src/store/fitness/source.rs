//! Reads the source of an SQLite table by the tokens of SQL: its catalog has no constraints and no collations.

use super::super::table::quote;

/// Those of `columns`, in lower case, that an expression may name.
pub(super) fn columns_of(expression: &str, columns: &[String]) -> Vec<String> {
    let lower = expression.to_lowercase();
    let words: Vec<&str> = lower.split(|end: char| !end.is_alphanumeric() && end != '_').collect();
    // A name of more than one word may be anywhere.
    let is_named = |name: &&String| words.contains(&name.as_str()) || lower.contains(name.as_str());
    columns.iter().filter(is_named).cloned().collect()
}

/// The expressions of `CHECK (…)` in the source of a table.
pub(super) fn checks_of_source(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut after_check, mut depth, mut open) = (false, 0_usize, None);
    for (at, token) in tokens(source) {
        match token {
            "(" => {
                depth += 1;
                open = open.or((after_check).then_some((depth, at + 1)));
            }
            ")" => {
                if let Some((_, from)) = open.filter(|(of, _)| *of == depth) {
                    found.push(source[from..at].trim().to_owned());
                    open = None;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        after_check = token.eq_ignore_ascii_case("check");
    }
    found
}

/// The collation of a column, quoted, if the source of its table names one.
pub(super) fn collation_of_source(source: &str, column: &str) -> Option<String> {
    let (mut depth, mut begins, mut is_column, mut after_collate) = (0_usize, false, false, false);
    for (_, token) in tokens(source) {
        match token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if begins => is_column = unquoted(token).eq_ignore_ascii_case(column),
            _ if is_column && depth == 1 && after_collate => return Some(quote(unquoted(token))),
            _ => {}
        }
        begins = depth == 1 && (token == "," || (token == "(" && !is_column));
        after_collate = token.eq_ignore_ascii_case("collate");
    }
    None
}

/// The event of a trigger that stands for the changes of a view: the word behind INSTEAD OF, in lower case.
pub(super) fn instead_of(source: &str) -> Option<String> {
    let words: Vec<String> = tokens(source).map(|(_, token)| token.to_lowercase()).collect();
    words.windows(3).find(|words| words[..2] == ["instead", "of"]).map(|words| words[2].clone())
}

/// Whether the body of a trigger on each new or changed row begins with `SELECT RAISE(…);`.
pub(super) fn raises(source: &str) -> bool {
    let tokens: Vec<String> = tokens(source).map(|(_, token)| token.to_lowercase()).collect();
    let Some(begin) = tokens.iter().position(|token| token == "begin") else { return false };
    let (head, body) = tokens.split_at(begin);
    let is = |word: &str| head.iter().any(|token| token == word);
    let is_of_each_row = (is("insert") || is("update")) && !is("when") && !is("of");
    let statement: Vec<&str> = body[1..].iter().take_while(|token| *token != ";").map(String::as_str).collect();
    let refuses = match statement.as_slice() {
        ["select", "raise", "(", "ignore", ")"] => is("before"),
        ["select", "raise", "(", "abort" | "fail" | "rollback", ",", _, ")"] => true,
        _ => false,
    };
    is_of_each_row && refuses
}

/// The tokens with their places, without spaces and comments.
fn tokens(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &source[end..];
            let first = rest.chars().next()?;
            let (at, token) = (end, &rest[..token_length(rest, first)]);
            end += token.len();
            if !first.is_whitespace() && !token.starts_with("--") && !token.starts_with("/*") {
                return Some((at, token));
            }
        }
    })
}

/// A name without its quotes.
fn unquoted(token: &str) -> &str {
    let inner = token.strip_prefix(['"', '`', '[', '\'']);
    inner.and_then(|inner| inner.strip_suffix(['"', '`', ']', '\''])).unwrap_or(token)
}

/// The length of the token at the begin of `rest`: a word, a text, a quoted name, a comment, or one character.
fn token_length(rest: &str, first: char) -> usize {
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    match first {
        '\'' | '"' | '`' => until(1, first.encode_utf8(&mut [0; 4])),
        '[' => until(1, "]"),
        '-' if rest.starts_with("--") => until(2, "\n"),
        '/' if rest.starts_with("/*") => until(2, "*/"),
        _ if first.is_alphanumeric() || first == '_' => {
            rest.find(|end: char| !end.is_alphanumeric() && end != '_').unwrap_or(rest.len())
        }
        _ => first.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_in_the_source_of_a_table() {
        let source = "CREATE TABLE t (status TEXT check (status IN ('a)', \"b\")), -- CHECK (no)\n
            note TEXT DEFAULT 'check (x)', CONSTRAINT c CHECK /* ( */ ((length(status)) > 2))";
        assert_eq!(checks_of_source(source), ["status IN ('a)', \"b\")", "(length(status)) > 2"]);
        let named = |expression: &str| columns_of(expression, &["id".into(), "status".into(), "a b".into()]);
        assert_eq!(named("\"Status\" <> 'x'"), ["status"]);
        assert_eq!(named("status <> [a b]"), ["status", "a b"]);
    }

    #[test]
    fn collation_is_that_of_the_column() {
        let source = "CREATE TABLE t (note TEXT COLLATE RTRIM, [Status] VARCHAR(9) NOT NULL COLLATE nocase, x)";
        assert_eq!(collation_of_source(source, "status").as_deref(), Some("\"nocase\""));
        assert_eq!(collation_of_source(source, "x"), None);
        let source = "CREATE TABLE t (status TEXT CHECK (status = 'a' COLLATE NOCASE), x TEXT COLLATE NOCASE)";
        assert_eq!(collation_of_source(source, "status"), None);
    }

    #[test]
    fn trigger_that_raises_at_once_refuses_each_row() {
        for (trigger, refuses) in [
            ("BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END", true),
            ("BEFORE UPDATE ON t FOR EACH ROW BEGIN SELECT RAISE(IGNORE); END", true),
            ("AFTER INSERT ON t BEGIN SELECT RAISE(IGNORE); END", false),
            ("BEFORE UPDATE OF note ON t BEGIN SELECT RAISE(ABORT, 'no'); END", false),
            ("BEFORE INSERT ON t WHEN NEW.id < 0 BEGIN SELECT RAISE(ABORT, 'no'); END", false),
            ("BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no') WHERE NEW.id < 0; END", false),
            ("BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'no'); END", false),
        ] {
            assert_eq!(raises(&format!("CREATE TRIGGER r {trigger}")), refuses, "{trigger}");
        }
    }
}
