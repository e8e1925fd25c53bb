//! From libpq's parameters to a [`PostgresTarget`]: the precedence (text, service, environment, default) and the
//! meaning of each. Pure but for the directories and files that it is told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::keywords::{KEYWORDS, Keyword, Treatment};
use super::{Malformed, service};
use crate::config::database::{
    ChannelBinding, DatabaseTarget, PostgresHost, PostgresTarget, Secret, SslMode, TargetSessionAttrs,
};
use crate::config::env::Env;
use crate::config::values::absolute;

const PORT: u16 = 5432;
/// Where servers listen by default: as Debian and Red Hat build them, and as upstream does.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Values by libpq's names. An empty value is no value, as in libpq's URLs and environment.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<&'static str, Parameter>);

#[derive(Debug)]
struct Parameter {
    text: String,
    /// The environment variable that it comes from, if it comes from one.
    variable: Option<&'static str>,
}

impl Parameters {
    /// A later value replaces an earlier one.
    pub(super) fn set(&mut self, keyword: &Keyword, value: String) {
        self.set_text(keyword.name, value);
    }

    pub(super) fn set_if_unset(&mut self, keyword: &Keyword, value: String) {
        if self.get(keyword.name).is_none() {
            self.set_text(keyword.name, value);
        }
    }

    pub(super) fn set_text(&mut self, name: &'static str, value: String) {
        if !value.is_empty() {
            self.0.insert(name, Parameter { text: value, variable: None });
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|parameter| parameter.text.as_str())
    }

    /// What a message calls the parameter: its variable where it comes from the environment.
    fn called(&self, name: &str) -> String {
        match self.0.get(name).and_then(|parameter| parameter.variable) {
            Some(variable) => format!("the value of {variable}"),
            None => format!("its {name}"),
        }
    }

    /// Adds what `weaker` has and `self` has not.
    fn complete(&mut self, weaker: Self) {
        for (name, value) in weaker.0 {
            self.0.entry(name).or_insert(value);
        }
    }
}

/// The server that `given`, the service file and the environment name together.
pub(super) fn target(given: Parameters, around: &Env<'_>) -> Result<DatabaseTarget, Malformed> {
    let mut parameters = given;
    if let Some(name) = parameters.get("service").map(str::to_owned).or_else(|| around.text("PGSERVICE")) {
        parameters.complete(service::find(&name, around)?);
    }
    parameters.complete(of_environment(around)?);
    // A database that is itself a connection string: libpq allows it in some tools, and it would hold a password.
    if parameters.get("dbname").is_some_and(|dbname| dbname.contains("://") || dbname.contains('=')) {
        return Err(Malformed::new("the name of its database is a connection string", "write one or the other"));
    }
    let user =
        parameters.get("user").map(str::to_owned).or_else(|| (around.account)().name).ok_or_else(|| {
            Malformed::new("it names no user, and this process has none", "write USER@ before the host")
        })?;
    let dbname = parameters.get("dbname").unwrap_or(&user).to_owned();
    let (sslmode, sslrootcert) = tls(&parameters, around)?;
    let path = |name: &str| parameters.get(name).map(|path| absolute(around.cwd, Path::new(path)));
    Ok(DatabaseTarget::Postgres(Box::new(PostgresTarget {
        hosts: hosts(&parameters, around)?,
        password: parameters.get("password").map(|password| Secret::new(password.to_owned())),
        passfile: path("passfile").or_else(|| Some(around.home().join(".pgpass"))),
        sslmode,
        sslrootcert,
        sslcert: path("sslcert"),
        sslkey: path("sslkey"),
        channel_binding: channel_binding(&parameters)?,
        target_session_attrs: target_session_attrs(&parameters)?,
        application_name: parameters.get("application_name").unwrap_or("runwrap").to_owned(),
        options: parameters.get("options").map(str::to_owned),
        connect_timeout_seconds: connect_timeout(&parameters)?,
        user,
        dbname,
    })))
}

fn of_environment(around: &Env<'_>) -> Result<Parameters, Malformed> {
    let mut parameters = Parameters::default();
    for keyword in KEYWORDS {
        let Some(variable) = keyword.variable else { continue };
        let Some(value) = around.text(variable) else { continue };
        if keyword.treatment == Treatment::Refused {
            let hint = format!("unset {variable} for runwrap");
            return Err(Malformed::new(format!("runwrap cannot honour {variable}, which is set"), hint));
        }
        parameters.0.insert(keyword.name, Parameter { text: value, variable: Some(variable) });
    }
    Ok(parameters)
}

/// libpq pairs the lists up: as many ports as hosts, or one for all; `hostaddr` spares the look-up of a host.
fn hosts(parameters: &Parameters, around: &Env<'_>) -> Result<Vec<PostgresHost>, Malformed> {
    let names = list(parameters.get("host"));
    let addresses = list(parameters.get("hostaddr"));
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(Malformed::new(
            "host and hostaddr are lists of different lengths",
            "write as many of one as of the other",
        ));
    }
    let ports = list(parameters.get("port"));
    let count = names.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count {
        return Err(Malformed::new(
            "host and port are lists of different lengths",
            "write one port, or one for each host",
        ));
    }
    (0..count)
        .map(|index| {
            let given = |list: &[&str]| list.get(index).copied().filter(|text| !text.is_empty()).map(str::to_owned);
            let address = given(&addresses);
            let hostaddr = address.as_deref().map(|text| ip_address(text, parameters)).transpose()?;
            let (host, hostaddr) = match (given(&names), address) {
                (Some(name), _) => (name, hostaddr),
                (None, Some(address)) => (address, None),
                (None, None) => (socket_directory(around), None),
            };
            if host.starts_with('@') {
                return Err(Malformed::new(
                    "a socket in the abstract namespace is not supported",
                    "name a socket's directory",
                ));
            }
            if host.contains('@') {
                return Err(Malformed::new("a host holds an @", "write %40 for an @ in a password"));
            }
            let port = if ports.len() == 1 { ports.first().copied() } else { ports.get(index).copied() };
            Ok(PostgresHost { host, hostaddr, port: port_number(port.unwrap_or(""), parameters)? })
        })
        .collect()
}

fn ip_address(text: &str, parameters: &Parameters) -> Result<IpAddr, Malformed> {
    let cause = || format!("{} is not an IP address", parameters.called("hostaddr"));
    text.parse().map_err(|_| Malformed::new(cause(), "write a name as host, not as hostaddr"))
}

fn list(text: Option<&str>) -> Vec<&str> {
    text.map_or_else(Vec::new, |text| text.split(',').map(str::trim).collect())
}

fn port_number(text: &str, parameters: &Parameters) -> Result<u16, Malformed> {
    match text.parse() {
        Ok(0) | Err(_) if !text.is_empty() => {
            let hint = "write the port after the host's colon; write %3A for a : and %2F for a / in a password";
            Err(Malformed::new(format!("{} is not a number from 1 to 65535", parameters.called("port")), hint))
        }
        Ok(port) => Ok(port),
        Err(_) => Ok(PORT),
    }
}

/// The first that exists. Not the first with a socket in it: the name must not change while the server is down,
/// for a journal is delivered only to the database that it names.
fn socket_directory(around: &Env<'_>) -> String {
    let exists = |directory: &&str| (around.is_dir)(Path::new(directory));
    SOCKET_DIRECTORIES.into_iter().find(exists).unwrap_or(SOCKET_DIRECTORIES[0]).to_owned()
}

/// `sslrootcert=system` stays that one word: the system's roots, and nothing weaker than `verify-full`.
fn tls(parameters: &Parameters, around: &Env<'_>) -> Result<(SslMode, Option<PathBuf>), Malformed> {
    let mode = match parameters.get("sslmode") {
        None => None,
        Some("disable") => Some(SslMode::Disable),
        Some("allow") => Some(SslMode::Allow),
        Some("prefer") => Some(SslMode::Prefer),
        Some("require") => Some(SslMode::Require),
        Some("verify-ca") => Some(SslMode::VerifyCa),
        Some("verify-full") => Some(SslMode::VerifyFull),
        Some(_) => {
            let hint = "it is one of disable, allow, prefer, require, verify-ca and verify-full";
            return Err(Malformed::new(format!("{} is unknown", parameters.called("sslmode")), hint));
        }
    };
    match (parameters.get("sslrootcert"), mode) {
        (Some("system"), None | Some(SslMode::VerifyFull)) => Ok((SslMode::VerifyFull, Some(PathBuf::from("system")))),
        (Some("system"), Some(_)) => {
            Err(Malformed::new("sslrootcert=system goes only with sslmode=verify-full", "write sslmode=verify-full"))
        }
        (certificate, mode) => {
            Ok((mode.unwrap_or(SslMode::Prefer), certificate.map(|path| absolute(around.cwd, Path::new(path)))))
        }
    }
}

fn channel_binding(parameters: &Parameters) -> Result<ChannelBinding, Malformed> {
    match parameters.get("channel_binding") {
        None | Some("prefer") => Ok(ChannelBinding::Prefer),
        Some("disable") => Ok(ChannelBinding::Disable),
        Some("require") => Ok(ChannelBinding::Require),
        Some(_) => {
            let cause = format!("{} is unknown", parameters.called("channel_binding"));
            Err(Malformed::new(cause, "it is one of disable, prefer and require"))
        }
    }
}

fn target_session_attrs(parameters: &Parameters) -> Result<TargetSessionAttrs, Malformed> {
    Ok(match parameters.get("target_session_attrs") {
        None | Some("any") => TargetSessionAttrs::Any,
        Some("read-write") => TargetSessionAttrs::ReadWrite,
        Some("read-only") => TargetSessionAttrs::ReadOnly,
        Some("primary") => TargetSessionAttrs::Primary,
        Some("standby") => TargetSessionAttrs::Standby,
        Some("prefer-standby") => TargetSessionAttrs::PreferStandby,
        Some(_) => {
            let hint = "it is one of any, read-write, read-only, primary, standby and prefer-standby";
            return Err(Malformed::new(format!("{} is unknown", parameters.called("target_session_attrs")), hint));
        }
    })
}

/// Seconds; in libpq nought and less are "for ever", which here is left to the bound around the whole attempt.
fn connect_timeout(parameters: &Parameters) -> Result<Option<u32>, Malformed> {
    let Some(text) = parameters.get("connect_timeout") else { return Ok(None) };
    let Ok(seconds) = text.trim().parse::<i64>() else {
        let cause = format!("{} is not a number of seconds", parameters.called("connect_timeout"));
        return Err(Malformed::new(cause, "write connect_timeout=10"));
    };
    Ok(u32::try_from(seconds).ok().filter(|seconds| *seconds > 0))
}
