//! The two forms of a connection string: `postgres://` URLs, with libpq's rules for several hosts, IPv6 in brackets,
//! percent-encoded socket directories and the parameters after the `?`; and `key=value` pairs, with libpq's rules for
//! blanks, quotes and backslashes. Pure.

use percent_encoding::percent_decode_str;

use super::error::{InvalidValue, refuse};
use super::keywords;
use super::parameters::Parameters;

/// The parameters of the URL `postgres://` + `text`. `driver` allows the parameters of Python's drivers.
pub(super) fn read_url(text: &str, driver: bool) -> Result<Parameters, InvalidValue> {
    let mut parameters = Parameters::default();
    if text.contains('#') {
        return refuse("it holds a #", "write %23 for a # in a password");
    }
    let (front, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, dbname) = front.split_once('/').unwrap_or((front, ""));
    if dbname.contains('@') {
        return refuse("there is an @ behind the first /", "write %2F for a / in a password, %40 for an @");
    }
    let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if credentials.contains('@') {
        return refuse("the user or password holds an @", "write %40 for an @ in it");
    }
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    parameters.set("user", decoded(user, "user")?);
    parameters.set("password", decoded(password, "password")?);
    addresses(hosts, &mut parameters)?;
    parameters.set("dbname", decoded(dbname, "database")?);
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    for (index, pair) in pairs().enumerate() {
        parameter(pair, index + 1, driver, &mut parameters)?;
    }
    // SQLAlchemy's several hosts.
    let listed: Vec<&str> = pairs().filter_map(|pair| pair.strip_prefix("host=")).collect();
    if listed.iter().any(|host| has_port(host)) {
        addresses(&listed.join(","), &mut parameters)?;
    } else if listed.len() > 1 {
        parameters.set("host", decoded(&listed.join(","), "host")?);
    }
    Ok(parameters)
}

/// Whether a parameter `host` names its port too, as SQLAlchemy writes it: `?host=a:1&host=b:2`.
fn has_port(host: &str) -> bool {
    let parts = host.split_once(':');
    parts
        .is_some_and(|(name, port)| !name.contains(',') && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// `host:port,host:port`; each host and each port is optional.
fn addresses(text: &str, parameters: &mut Parameters) -> Result<(), InvalidValue> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for address in text.split(',') {
        let (host, port) = match address.strip_prefix('[').map(|bracketed| bracketed.split_once(']')) {
            None => address.split_once(':').unwrap_or((address, "")),
            Some(Some((host, ""))) => (host, ""),
            Some(Some((host, port))) if port.starts_with(':') => (host, port.trim_start_matches(':')),
            Some(_) => return refuse("the brackets around an IPv6 address do not match", "write [::1]:5432"),
        };
        hosts.push(decoded(host, "host")?);
        ports.push(decoded(port, "port")?);
    }
    if hosts.iter().any(|host| host.contains(',')) {
        return refuse("a host holds a comma", "write a comma between hosts as it is, not as %2C");
    }
    parameters.set("host", hosts.join(","));
    parameters.set("port", ports.join(","));
    Ok(())
}

fn parameter(pair: &str, position: usize, driver: bool, parameters: &mut Parameters) -> Result<(), InvalidValue> {
    let Some((name, value)) = pair.split_once('=') else {
        let hint = "write parameters as ?name=value&name=value, and %3F for a ? in a password";
        return refuse(format!("parameter {position} in it has no ="), hint);
    };
    let (name, value) = (decoded(name, "name of a parameter")?, decoded(value, "value of a parameter")?);
    // JDBC's and asyncpg's name of sslmode.
    let (name, value) = match (name.as_str(), value.as_str()) {
        ("ssl", "true") => ("sslmode", "require"),
        ("ssl", mode) if driver => ("sslmode", mode),
        other => other,
    };
    if let Some(keyword) = keywords::find(name, position, driver)? {
        parameters.set(keyword, value.to_owned());
    }
    Ok(())
}

fn decoded(text: &str, part: &str) -> Result<String, InvalidValue> {
    let sound = |digits: &str| digits.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(sound) {
        return refuse(format!("the {part} has a % without two hexadecimal digits"), "write %25 for a %");
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) if !decoded.contains('\0') => Ok(decoded.into_owned()),
        Ok(_) | Err(_) => {
            let hint = "write each byte of its UTF-8 form as %XX";
            refuse(format!("the {part} is not UTF-8 once its %XX are decoded"), hint)
        }
    }
}

pub(super) fn read_pairs(text: &str) -> Result<Parameters, InvalidValue> {
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
