//! The syntax of a table's name: `name` or `schema.name`, each part plain or in double quotes, which allow any character.
//! Pure.

/// PostgreSQL truncates longer names without an error; two names would then mean one table.
const NAME_BYTES_MAX: usize = 63;

/// runwrap's own tables, which `--table` must not name.
const OWN: [&str; 2] = ["runwrap_runs", "runwrap_migrations"];

/// The hint of every error.
pub const TABLE_NAME_HINT: &str =
    "write a name such as training_records, ml.training_records or ml.\"Training Records\"";

/// The schema and the name, without quotes and with their case kept.
///
/// # Errors
/// The cause, if `typed` is not a table's name.
pub fn parse_table_name(typed: &str) -> Result<(Option<String>, String), &'static str> {
    let mut parts = Vec::new();
    let mut rest = Some(typed);
    while let Some(text) = rest {
        let (part, after) =
            if let Some(quoted) = text.strip_prefix('"') { quoted_part(quoted) } else { plain_part(text) }?;
        rest = after.strip_prefix('.');
        if rest.is_none() && !after.is_empty() {
            return Err("text follows the closing quote");
        }
        parts.push(part);
    }
    let name = parts.pop().unwrap_or_default();
    let schema = parts.pop();
    if !parts.is_empty() {
        return Err("it has more than a schema and a name");
    }
    for part in schema.iter().chain([&name]) {
        match part.len() {
            0 => return Err("a part of it is empty"),
            1..=NAME_BYTES_MAX if part.chars().any(char::is_control) => return Err("it contains a control character"),
            1..=NAME_BYTES_MAX => {}
            _ => return Err("a part of it is longer than 63 bytes"),
        }
    }
    if OWN.contains(&name.as_str()) {
        return Err("that table is runwrap's own");
    }
    Ok((schema, name))
}

/// The part up to its closing quote, and the text after it.
fn quoted_part(text: &str) -> Result<(String, &str), &'static str> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or("a double quote is not closed")?;
        part.push_str(before);
        let Some(more) = after.strip_prefix('"') else { return Ok((part, after)) };
        part.push('"');
        rest = more;
    }
}

/// The part up to the next period, and the text after it.
fn plain_part(text: &str) -> Result<(String, &str), &'static str> {
    let (part, after) = text.split_at(text.find('.').unwrap_or(text.len()));
    let plain = |character: char| character.is_alphanumeric() || "_$-".contains(character);
    if part.chars().all(plain) { Ok((part.to_owned(), after)) } else { Err("a part of it needs double quotes") }
}
