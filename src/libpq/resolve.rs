//! From a connection string to a [`PostgresTarget`]: completes the parameters by service, environment and defaults, and
//! reads the value of each. Pure.

use std::path::PathBuf;

use super::env::ClientEnv;
use super::error::ConninfoError;
use super::parameters::Parameters;
use super::target::{PostgresHost, PostgresTarget, Secret, SslMode};
use super::tls::SYSTEM_ROOTS;
use super::{defaults, pairs, service, url};

/// The server that `text`, `key=value` pairs, names in `env`.
///
/// # Errors
/// The first parameter or variable that cannot be used.
pub fn target_from_pairs(text: &str, env: &ClientEnv<'_>) -> Result<PostgresTarget, ConninfoError> {
    target(pairs::parse(text)?, env)
}

/// The server that the URL `postgres://` + `text` names in `env`. `driver` allows the parameters of Python's drivers.
///
/// # Errors
/// The first parameter or variable that cannot be used.
pub fn target_from_url(text: &str, driver: bool, env: &ClientEnv<'_>) -> Result<PostgresTarget, ConninfoError> {
    target(url::parse(text, driver)?, env)
}

/// The precedence is the text, the service, the environment, the defaults.
fn target(given: Parameters, env: &ClientEnv<'_>) -> Result<PostgresTarget, ConninfoError> {
    let mut parameters = given;
    if let Some(name) = parameters.text("service").or_else(|| env.text("PGSERVICE")) {
        parameters.complete(service::find(&name, env)?);
    }
    parameters.complete(Parameters::from_environment(env)?);
    // Some of PostgreSQL's tools expand such a name. Here it would show a password in the database's identity.
    if parameters.get("dbname").is_some_and(|dbname| dbname.contains("://") || dbname.contains('=')) {
        return Err(ConninfoError::new("its dbname is a connection string", "write only the database's name"));
    }
    let user = parameters.text("user").or_else(|| (env.user_name)()).ok_or_else(|| {
        ConninfoError::new("it names no user, and this process has no user name", "write USER@ before the host")
    })?;
    let home = defaults::home(env);
    let (sslmode, sslrootcert) = verification(&parameters, env)?;
    let path = |keyword: &str| parameters.get(keyword).map(|path| env.absolute(path));
    Ok(PostgresTarget {
        hosts: hosts(&parameters, env)?,
        password: parameters.text("password").map(Secret::new),
        passfile: path("passfile").or_else(|| home.as_deref().map(defaults::passfile)),
        dbname: parameters.text("dbname").unwrap_or_else(|| user.clone()),
        sslmode,
        tls_directory: home.as_deref().map(defaults::tls_directory),
        sslrootcert,
        sslcert: path("sslcert"),
        sslkey: path("sslkey"),
        channel_binding: parameters
            .choice("channel_binding", "disable, prefer, require")?
            .unwrap_or(defaults::CHANNEL_BINDING),
        target_session_attrs: parameters
            .choice("target_session_attrs", "any, read-write, read-only, primary, standby, prefer-standby")?
            .unwrap_or(defaults::TARGET_SESSION_ATTRS),
        application_name: parameters.get("application_name").unwrap_or(defaults::APPLICATION_NAME).to_owned(),
        options: parameters.text("options"),
        connect_timeout_seconds: connect_timeout(&parameters)?,
        user,
    })
}

/// Pairs the lists as libpq does: as many ports as hosts, or one for all. With `hostaddr`, `host` is not resolved.
fn hosts(parameters: &Parameters, env: &ClientEnv<'_>) -> Result<Vec<PostgresHost>, ConninfoError> {
    let [names, addresses, ports] = ["host", "hostaddr", "port"].map(|keyword| parameters.list(keyword));
    let count = names.len().max(addresses.len()).max(1);
    let differ = |list: &[&str]| !list.is_empty() && list.len() != count;
    if differ(&names) || differ(&addresses) {
        let hint = "write as many host addresses as hosts";
        return Err(ConninfoError::new("host and hostaddr are lists of different lengths", hint));
    }
    if ports.len() != 1 && differ(&ports) {
        let hint = "write one port, or one for each host";
        return Err(ConninfoError::new("host and port are lists of different lengths", hint));
    }
    (0..count)
        .map(|index| {
            let given = |list: &[&str]| list.get(index).copied().unwrap_or("").to_owned();
            let port = ports.get(index).or(ports.first()).copied().unwrap_or("");
            host(given(&names), given(&addresses), port, parameters, env)
        })
        .collect()
}

/// One host. An empty text is unset.
fn host(
    name: String,
    address: String,
    port: &str,
    parameters: &Parameters,
    env: &ClientEnv<'_>,
) -> Result<PostgresHost, ConninfoError> {
    let mut hostaddr = None;
    if !address.is_empty() {
        let hint = "write a name as host, not as hostaddr";
        let refused = |_| parameters.refused("hostaddr", "is not an IP address", hint);
        hostaddr = Some(address.parse().map_err(refused)?);
    }
    let (host, hostaddr) = match (name.is_empty(), hostaddr) {
        (false, hostaddr) => (name, hostaddr),
        (true, Some(_)) => (address, None),
        (true, None) => (defaults::socket_directory(env).to_owned(), None),
    };
    if host.starts_with('@') {
        let cause = "a socket in the abstract namespace is not supported";
        return Err(ConninfoError::new(cause, "name the directory of a socket"));
    }
    if host.contains('@') {
        return Err(ConninfoError::new("a host holds an @", "write %40 for an @ in a password"));
    }
    let port = match port.parse() {
        _ if port.is_empty() => defaults::PORT,
        Ok(0) | Err(_) => {
            let hint = "write the port after the host's colon; write %3A for a : and %2F for a / in a password";
            return Err(parameters.refused("port", "is not a number from 1 to 65535", hint));
        }
        Ok(port) => port,
    };
    Ok(PostgresHost { host, hostaddr, port })
}

/// `sslmode` and `sslrootcert`. The system's roots permit nothing weaker than `verify-full`: they sign any host.
fn verification(parameters: &Parameters, env: &ClientEnv<'_>) -> Result<(SslMode, Option<PathBuf>), ConninfoError> {
    let mode = parameters.choice("sslmode", "disable, allow, prefer, require, verify-ca, verify-full")?;
    match (parameters.get("sslrootcert"), mode) {
        (Some(SYSTEM_ROOTS), None | Some(SslMode::VerifyFull)) => Ok((SslMode::VerifyFull, Some(SYSTEM_ROOTS.into()))),
        (Some(SYSTEM_ROOTS), Some(_)) => {
            let cause = "sslrootcert=system goes only with sslmode=verify-full";
            Err(ConninfoError::new(cause, "write sslmode=verify-full"))
        }
        (file, mode) => Ok((mode.unwrap_or(defaults::SSLMODE), file.map(|path| env.absolute(path)))),
    }
}

/// Seconds. Zero and less are unlimited in libpq; here the deadline of the whole attempt limits them.
fn connect_timeout(parameters: &Parameters) -> Result<Option<u32>, ConninfoError> {
    let Some(text) = parameters.get("connect_timeout") else { return Ok(None) };
    let seconds: i64 = text
        .trim()
        .parse()
        .map_err(|_| parameters.refused("connect_timeout", "is not a number of seconds", "write connect_timeout=10"))?;
    Ok(u32::try_from(seconds).ok().filter(|seconds| *seconds > 0))
}
