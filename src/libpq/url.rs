//! `postgres://` URLs: libpq's rules for several hosts, IPv6 in brackets, percent-encoded socket directories and the
//! parameters after the `?`. Pure.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::error::ConninfoError;
use super::keywords;
use super::parameters::Parameters;

/// The parameters of the URL `postgres://` + `text`. `driver` allows the parameters of Python's drivers.
pub(super) fn parse(text: &str, driver: bool) -> Result<Parameters, ConninfoError> {
    let mut parameters = Parameters::default();
    if text.contains('#') {
        return Err(ConninfoError::new("it holds a #", "write %23 for a # in a password"));
    }
    let (front, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, dbname) = front.split_once('/').unwrap_or((front, ""));
    if dbname.contains('@') {
        let hint = "write %2F for a / in a password, %40 for an @";
        return Err(ConninfoError::new("there is an @ behind the first /", hint));
    }
    let hosts = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            credentials(user, &mut parameters)?;
            hosts
        }
        None => authority,
    };
    addresses(hosts, &mut parameters)?;
    parameters.set("dbname", decoded(dbname, "database")?);
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        parameter(pair, index + 1, driver, &mut parameters)?;
    }
    Ok(parameters)
}

fn credentials(text: &str, parameters: &mut Parameters) -> Result<(), ConninfoError> {
    if text.contains('@') {
        return Err(ConninfoError::new("the user or password holds an @", "write %40 for an @ in it"));
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    parameters.set("user", decoded(user, "user")?);
    parameters.set("password", decoded(password, "password")?);
    Ok(())
}

/// `host:port,host:port`; each host and each port is optional.
fn addresses(text: &str, parameters: &mut Parameters) -> Result<(), ConninfoError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for address in text.split(',') {
        let (host, port) = match address.strip_prefix('[').map(|bracketed| bracketed.split_once(']')) {
            None => address.split_once(':').unwrap_or((address, "")),
            Some(Some((host, ""))) => (host, ""),
            Some(Some((host, port))) if port.starts_with(':') => (host, port.trim_start_matches(':')),
            Some(_) => {
                let cause = "the brackets around an IPv6 address do not match";
                return Err(ConninfoError::new(cause, "write [::1]:5432"));
            }
        };
        hosts.push(decoded(host, "host")?);
        ports.push(decoded(port, "port")?);
    }
    if hosts.iter().any(|host| host.contains(',')) {
        let hint = "write a comma between hosts as it is, not as %2C";
        return Err(ConninfoError::new("a host holds a comma", hint));
    }
    parameters.set("host", hosts.join(","));
    parameters.set("port", ports.join(","));
    Ok(())
}

fn parameter(pair: &str, position: usize, driver: bool, parameters: &mut Parameters) -> Result<(), ConninfoError> {
    let Some((name, value)) = pair.split_once('=') else {
        let hint = "write parameters as ?name=value&name=value, and %3F for a ? in a password";
        return Err(ConninfoError::new(format!("parameter {position} in it has no ="), hint));
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

fn decoded(text: &str, part: &str) -> Result<String, ConninfoError> {
    let mut after_percent = text.split('%').skip(1);
    let sound = |digits: &str| digits.len() >= 2 && digits.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !after_percent.all(sound) {
        return Err(ConninfoError::new(
            format!("the {part} has a % without two hexadecimal digits"),
            "write %25 for a %",
        ));
    }
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|decoded| !decoded.contains('\0'));
    decoded.map(Cow::into_owned).ok_or_else(|| {
        let hint = "write each byte of its UTF-8 form as %XX";
        ConninfoError::new(format!("the {part} is not UTF-8 once its %XX are decoded"), hint)
    })
}
