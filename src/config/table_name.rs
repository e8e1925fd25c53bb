//! The grammar of a table's name as it is typed: `name`, `schema.name`, and either part in double quotes, within which any
//! character may stand. Owns the one answer to what is a name. Called where options are checked, and by `store`.

/// PostgreSQL cuts longer names silently, and then two names mean one table.
const NAME_BYTES_MAX: usize = 63;

/// Names that `--table` must not take: they are runwrap's own.
const OWN: [&str; 2] = ["runwrap_runs", "runwrap_migrations"];

/// How to write one.
pub const TABLE_NAME_HINT: &str =
    "write a name such as training_records, ml.training_records or ml.\"Training Records\"";

/// The schema and the name in what was typed, without quotes, in the case in which they were typed.
///
/// # Errors
/// Why it is no name of a table.
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
            return Err("it has a control character in it");
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
            None => return Err("something stands after the closing quote"),
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
