//! From a connection string to a [`PostgresTarget`]: completes the parameters by service, environment and defaults, and
//! reads the value of each. Pure.

use std::net::IpAddr;
use std::path::PathBuf;

use super::connection_string::{read_pairs, read_url};
use super::defaults;
use super::env::Env;
use super::error::{InvalidValue, refuse};
use super::parameters::{Parameters, of_service};
use super::target::{PostgresHost, PostgresTarget, Secret, SslMode, TlsVersion};
use super::tls::SYSTEM_ROOTS;

/// The server that `text`, `key=value` pairs, names in `env`.
///
/// # Errors
/// The first parameter or variable that cannot be used.
pub fn target_from_pairs(text: &str, env: &Env<'_>) -> Result<PostgresTarget, InvalidValue> {
    target(read_pairs(text)?, env)
}

/// The server that the URL `postgres://` + `text` names in `env`. `driver` allows the parameters of Python's drivers.
///
/// # Errors
/// The first parameter or variable that cannot be used.
pub fn target_from_url(text: &str, driver: bool, env: &Env<'_>) -> Result<PostgresTarget, InvalidValue> {
    target(read_url(text, driver)?, env)
}

/// The precedence is the text, the service, the environment, the defaults.
fn target(given: Parameters, env: &Env<'_>) -> Result<PostgresTarget, InvalidValue> {
    let mut parameters = given;
    if let Some(name) = parameters.text("service").or_else(|| env.text("PGSERVICE")) {
        parameters.complete(of_service(&name, env)?);
    }
    parameters.complete(Parameters::from_environment(env)?);
    // Some of PostgreSQL's tools expand such a name. Here it would show a password in the database's identity.
    if parameters.get("dbname").is_some_and(|dbname| dbname.contains("://") || dbname.contains('=')) {
        return refuse("its dbname is a connection string", "write only the database's name");
    }
    let user = parameters.text("user").or_else(|| (env.account)().name).ok_or_else(|| {
        InvalidValue::new("it names no user, and this process has no user name", "write USER@ before the host")
    })?;
    let (sslmode, sslrootcert) = verification(&parameters, env)?;
    let (ssl_min_protocol_version, ssl_max_protocol_version) = tls_versions(&parameters)?;
    check_gssencmode(&parameters)?;
    let path = |keyword: &str| parameters.get(keyword).map(|path| env.absolute(path));
    Ok(PostgresTarget {
        hosts: hosts(&parameters, env)?,
        password: parameters.text("password").map(Secret::new),
        passfile: path("passfile").or_else(|| env.in_home(defaults::PASSFILE)),
        dbname: parameters.text("dbname").unwrap_or_else(|| user.clone()),
        sslmode,
        tls_directory: env.in_home(defaults::TLS_DIRECTORY),
        sslrootcert,
        sslcert: path("sslcert"),
        sslkey: path("sslkey"),
        sslpassword: parameters.text("sslpassword").map(Secret::new),
        sslcrl: path("sslcrl"),
        sslcrldir: path("sslcrldir"),
        sslsni: parameters.get("sslsni").is_none_or(|text| text.starts_with('1')),
        ssl_min_protocol_version,
        ssl_max_protocol_version,
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
fn hosts(parameters: &Parameters, env: &Env<'_>) -> Result<Vec<PostgresHost>, InvalidValue> {
    let [names, addresses, ports] = ["host", "hostaddr", "port"].map(|keyword| parameters.list(keyword));
    let count = names.len().max(addresses.len());
    let differ = |list: &[&str]| list != [""] && list.len() != count;
    if differ(&names) || differ(&addresses) {
        return refuse("host and hostaddr are lists of different lengths", "write as many host addresses as hosts");
    }
    if ports.len() != 1 && differ(&ports) {
        return refuse("host and port are lists of different lengths", "write one port, or one for each host");
    }
    let nth = |index| [&names, &addresses, &ports].map(|list| *list.get(index).or(list.first()).unwrap_or(&""));
    (0..count).map(|index| host(nth(index), parameters, env)).collect()
}

/// One host. An empty text is unset.
fn host(
    [name, address, port]: [&str; 3],
    parameters: &Parameters,
    env: &Env<'_>,
) -> Result<PostgresHost, InvalidValue> {
    let hint = "write a name as host, not as hostaddr";
    let hostaddr: Option<IpAddr> = match address {
        "" => None,
        _ => Some(address.parse().map_err(|_| parameters.refused("hostaddr", "is not an IP address", hint))?),
    };
    let given = [name, address].into_iter().find(|text| !text.is_empty());
    let host = given.unwrap_or_else(|| defaults::socket_directory(env)).to_owned();
    if host.starts_with('@') {
        return refuse("a socket in the abstract namespace is not supported", "name the directory of a socket");
    }
    if host.contains('@') {
        return refuse("a host holds an @", "write %40 for an @ in a password");
    }
    let hint = "write the port after the host's colon; write %3A for a : and %2F for a / in a password";
    let refused = || parameters.refused("port", "is not a number from 1 to 65535", hint);
    let port = match port {
        "" => defaults::PORT,
        _ => port.parse().ok().filter(|port| *port > 0).ok_or_else(refused)?,
    };
    Ok(PostgresHost { host, hostaddr: hostaddr.filter(|_| !name.is_empty()), port })
}

/// `sslmode` and `sslrootcert`. The system's roots permit nothing weaker than `verify-full`: they sign any host.
fn verification(parameters: &Parameters, env: &Env<'_>) -> Result<(SslMode, Option<PathBuf>), InvalidValue> {
    let mode = parameters.choice("sslmode", "disable, allow, prefer, require, verify-ca, verify-full")?;
    match (parameters.get("sslrootcert"), mode) {
        (Some(SYSTEM_ROOTS), None | Some(SslMode::VerifyFull)) => Ok((SslMode::VerifyFull, Some(SYSTEM_ROOTS.into()))),
        (Some(SYSTEM_ROOTS), Some(_)) => {
            refuse("sslrootcert=system goes only with sslmode=verify-full", "write sslmode=verify-full")
        }
        (file, mode) => Ok((mode.unwrap_or(defaults::SSLMODE), file.map(|path| env.absolute(path)))),
    }
}

/// The lowest and the highest version.
fn tls_versions(parameters: &Parameters) -> Result<(TlsVersion, Option<TlsVersion>), InvalidValue> {
    let version = |keyword: &str| parameters.choice::<TlsVersion>(keyword, "TLSv1, TLSv1.1, TLSv1.2, TLSv1.3");
    let minimum = version("ssl_min_protocol_version")?.unwrap_or(defaults::TLS_VERSION_MIN);
    let maximum = version("ssl_max_protocol_version")?;
    if maximum.is_some_and(|maximum| maximum < minimum) {
        let cause = "is lower than ssl_min_protocol_version";
        return Err(parameters.refused("ssl_max_protocol_version", cause, "correct one of the two"));
    }
    Ok((minimum, maximum))
}

fn check_gssencmode(parameters: &Parameters) -> Result<(), InvalidValue> {
    match parameters.get("gssencmode") {
        None | Some("disable" | "prefer") => Ok(()),
        Some("require") => {
            let cause = "demands an encryption by Kerberos, which runwrap lacks";
            Err(parameters.refused("gssencmode", cause, "write gssencmode=disable, and sslmode=require for TLS"))
        }
        Some(_) => Err(parameters.refused("gssencmode", "is unknown", "write one of disable, prefer, require")),
    }
}

/// Seconds. Zero and less are unlimited in libpq; here the deadline of the whole attempt limits them.
fn connect_timeout(parameters: &Parameters) -> Result<Option<u32>, InvalidValue> {
    let Some(text) = parameters.get("connect_timeout") else { return Ok(None) };
    let seconds: i64 = text
        .trim()
        .parse()
        .map_err(|_| parameters.refused("connect_timeout", "is not a number of seconds", "write connect_timeout=10"))?;
    Ok(u32::try_from(seconds).ok().filter(|seconds| *seconds > 0))
}
