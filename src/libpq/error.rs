//! The error of a connection string, and the guess at a misspelled name. Pure.

/// A connection string, a `PG*` variable or a service file that cannot be used. Holds no part of a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConninfoError {
    pub cause: String,
    /// What to do next.
    pub hint: String,
}

impl ConninfoError {
    pub fn new(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { cause: cause.into(), hint: hint.into() }
    }
}

/// The known word that `word` probably misspells.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.8;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}
