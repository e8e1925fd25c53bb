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
    let mut parts = split(typed)?;
    let name = parts.pop().unwrap_or_default();
    let schema = parts.pop();
    if !parts.is_empty() {
        return Err("it has more than a schema and a name");
    }
    for part in schema.iter().chain([&name]) {
        if part.is_empty() {
            return Err("a part of it is empty");
        }
        if part.len() > NAME_BYTES_MAX {
            return Err("a part of it is longer than 63 bytes");
        }
        if part.chars().any(char::is_control) {
            return Err("it contains a control character");
        }
    }
    if OWN.contains(&name.as_str()) {
        return Err("that table is runwrap's own");
    }
    Ok((schema, name))
}

fn split(typed: &str) -> Result<Vec<String>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = typed;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => plain_part(rest)?,
        };
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => return Err("text follows the closing quote"),
        }
    }
}

fn quoted_part(text: &str) -> Result<(String, &str), &'static str> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or("a double quote is not closed")?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Ok((part, after)),
        }
    }
}

fn plain_part(text: &str) -> Result<(String, &str), &'static str> {
    let end = text.find('.').unwrap_or(text.len());
    let (part, after) = text.split_at(end);
    let plain = |character: char| character.is_alphanumeric() || "_$-".contains(character);
    if part.chars().all(plain) { Ok((part.to_owned(), after)) } else { Err("a part of it needs double quotes") }
}
