//! Triggers that act on a new or changed row before it is written: those that refuse it, and the columns that they may change.

use super::source::raises;

/// A trigger for each row, before or instead of its insertion or update.
#[derive(Clone, Debug, Default)]
pub(super) struct Trigger {
    pub(super) name: String,
    /// Empty in SQLite, whose triggers have a body.
    pub(super) function: String,
    pub(super) source: String,
    pub(super) is_on_insert: bool,
    /// On the update of any column.
    pub(super) is_on_update: bool,
    /// The source is that of PL/pgSQL.
    pub(super) is_readable: bool,
    /// It has a condition.
    pub(super) is_conditional: bool,
}

impl Trigger {
    /// It can only refuse a row: one of SQLite begins with RAISE, one of PostgreSQL returns NULL.
    pub(super) fn refuses_rows(&self) -> bool {
        if self.function.is_empty() { raises(&self.source) } else { self.returns_no_row() }
    }

    /// It acts on each new or changed row, and its source returns nothing but NULL.
    fn returns_no_row(&self) -> bool {
        let source = self.source.to_lowercase();
        let words: Vec<&str> = source.split(|end| !is_of_word(end)).collect();
        let returned: Vec<&str> = words.windows(2).filter(|pair| pair[0] == "return").map(|pair| pair[1]).collect();
        let acts = (self.is_on_insert || self.is_on_update) && !self.is_conditional;
        acts && !returned.is_empty() && returned.iter().all(|word| *word == "null")
    }

    /// Whether it may change a column: its source names the column, or uses the whole row but to return it.
    pub(super) fn may_change(&self, column: &str) -> bool {
        let (source, column) = (self.source.to_lowercase(), column.to_lowercase());
        if !self.is_readable || !column.chars().all(is_of_word) {
            return true;
        }
        let (mut rest, mut before) = (source.as_str(), "");
        while let Some(at) = rest.find(is_of_word) {
            let length = rest[at..].find(|end| !is_of_word(end)).unwrap_or(rest.len() - at);
            let (word, after) = rest[at..].split_at(length);
            let is_row = word == "new" && before != "return" && !after.trim_start().starts_with('.');
            if word == column || is_row {
                return true;
            }
            (rest, before) = (after, word);
        }
        false
    }
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(source: &str) -> Trigger {
        Trigger { source: source.into(), is_on_insert: true, is_readable: true, ..Trigger::default() }
    }

    #[test]
    fn trigger_that_returns_only_null_returns_no_row() {
        let returns_no_row = |source: &str| trigger(source).returns_no_row();
        assert!(returns_no_row("BEGIN INSERT INTO part VALUES (NEW.*); RETURN NULL; END"));
        assert!(!returns_no_row("BEGIN IF x THEN RETURN NULL; END IF; RETURN NEW; END"));
        assert!(!returns_no_row("runwrap_c_function"));
        let conditional = Trigger { is_conditional: true, ..trigger("BEGIN RETURN NULL; END") };
        assert!(!conditional.returns_no_row());
    }

    #[test]
    fn trigger_changes_only_columns_that_it_names() {
        let changes_status = |source: &str| trigger(source).may_change("status");
        assert!(!changes_status("BEGIN NEW.updated_at := now(); INSERT INTO log VALUES (NEW.*); RETURN NEW; END"));
        assert!(changes_status("BEGIN NEW.Status := upper(NEW.STATUS); RETURN NEW; END"));
        assert!(changes_status("BEGIN NEW := changed(NEW); RETURN NEW; END"));
        assert!(Trigger { is_readable: false, ..trigger("f") }.may_change("status"));
        assert!(trigger("BEGIN RETURN NEW; END").may_change("a b"));
    }
}
