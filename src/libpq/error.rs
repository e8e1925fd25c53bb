//! The error of a text, and the guess at a misspelled name. Pure.

use thiserror::Error;

/// A text that is not a value of its type. Displays as the cause. Holds no part of a connection string.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{cause}")]
pub struct InvalidValue {
    pub cause: String,
    /// What to do next.
    pub hint: String,
}

impl InvalidValue {
    pub fn new(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { cause: cause.into(), hint: hint.into() }
    }
}

/// # Errors
/// Always: an [`InvalidValue`].
pub fn refuse<T>(cause: impl Into<String>, hint: impl Into<String>) -> Result<T, InvalidValue> {
    Err(InvalidValue::new(cause, hint))
}

/// The known word that `word` probably misspells.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.8;
    let similarity = |candidate| (strsim::jaro_winkler(word, candidate), candidate);
    let similar = known.into_iter().map(similarity).filter(|(similarity, _)| *similarity >= SIMILAR);
    similar.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, candidate)| candidate)
}
