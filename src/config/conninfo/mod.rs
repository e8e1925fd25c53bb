//! From the text of `--database-url` to a [`DatabaseTarget`], by the conventions of libpq and SQLAlchemy that
//! people's URLs follow. Owns the choice among the forms; `url`, `pairs`, `service`, `sqlite` read one each and
//! `postgres` merges what they found. Must not connect, and no message may hold a piece of the text:
//! in a malformed one any piece may be part of a password. Called by `settings`.

mod keywords;
mod pairs;
mod postgres;
mod service;
mod sqlite;
mod url;

#[cfg(test)]
mod tests;

use super::database::DatabaseTarget;
use super::env::Env;
use super::error::nearest;

/// Why the text names no database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub cause: String,
    pub hint: String,
}

impl Malformed {
    fn new(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { cause: cause.into(), hint: hint.into() }
    }
}

const FORMS: &str = "write postgres://USER@HOST/DATABASE, key=value pairs as for libpq, or sqlite:PATH";

/// The database that `text` names, with everything that the environment adds to it.
///
/// # Errors
/// [`Malformed`], without a piece of `text` in it.
pub fn parse_database(text: &str, around: &Env<'_>) -> Result<DatabaseTarget, Malformed> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Malformed::new("it is empty", FORMS));
    }
    if text.contains('\0') {
        return Err(Malformed::new("it holds a NUL", FORMS));
    }
    let Some((scheme, rest)) = scheme_of(text) else {
        if text.contains('=') {
            return postgres::target(pairs::parse(text)?, around);
        }
        let hint = "write sqlite:PATH for a file, postgres:///NAME for a database of the local server";
        return Err(Malformed::new("it has no scheme", hint));
    };
    let (scheme, driver) = match scheme.split_once('+') {
        Some((scheme, _driver)) => (scheme.to_ascii_lowercase(), true),
        None => (scheme.to_ascii_lowercase(), false),
    };
    match scheme.as_str() {
        "sqlite" => sqlite::parse(rest, around).map(DatabaseTarget::Sqlite),
        "postgres" | "postgresql" => match rest.strip_prefix("//") {
            Some(rest) => postgres::target(url::parse(rest, driver)?, around),
            None => Err(Malformed::new(format!("{scheme}: is not followed by //"), FORMS)),
        },
        "jdbc" => Err(Malformed::new("it is a JDBC URL", "leave out the jdbc: in front")),
        other => Err(unknown_scheme(other, rest)),
    }
}

/// The scheme and what follows its colon; `None` where the text does not begin with one.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(of_scheme))
        .then_some((scheme, rest))
}

/// Names the scheme only if it is surely one: `hunter2:x` may be somebody's password.
fn unknown_scheme(scheme: &str, rest: &str) -> Malformed {
    if !rest.starts_with("//") {
        return Malformed::new("it names no database that runwrap knows", FORMS);
    }
    let hint = match nearest(scheme, ["postgres", "postgresql", "sqlite"]) {
        Some(known) => format!("did you mean {known}:?"),
        None => FORMS.to_owned(),
    };
    Malformed::new(format!("{scheme}:// is not supported"), hint)
}
