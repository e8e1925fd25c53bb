//! `key=value` connection strings: libpq's rules for blanks, quotes and backslashes. Pure.

use super::error::{InvalidValue, refuse};
use super::keywords;
use super::parameters::Parameters;

pub(super) fn parse(text: &str) -> Result<Parameters, InvalidValue> {
    let mut parameters = Parameters::default();
    let mut rest = text.trim_start();
    let mut position = 0;
    while !rest.is_empty() {
        position += 1;
        let pair = rest.split_once('=').map(|(name, after)| (name.trim_end(), after.trim_start()));
        let Some((name, after)) = pair.filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
        else {
            let hint =
                "write key=value pairs with a blank between them, and quote a value with blanks in it: key='a b'";
            return refuse(format!("parameter {position} in it has no ="), hint);
        };
        let (value, after) = value(after, position)?;
        if let Some(keyword) = keywords::find(name, position, false)? {
            parameters.set(keyword, value);
        }
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// The value at the start of `text`, and the text after it. A backslash escapes the next character, in quotes too.
fn value(text: &str, position: usize) -> Result<(String, &str), InvalidValue> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, text.get(at + 1..).unwrap_or(""))),
            blank if blank.is_whitespace() && !quoted => return Ok((value, text.get(at..).unwrap_or(""))),
            other => value.push(other),
        }
    }
    if quoted {
        return refuse(format!("the quote of parameter {position} is not closed"), "add the missing '");
    }
    Ok((value, ""))
}
