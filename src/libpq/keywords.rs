//! libpq's parameters, and how far runwrap supports each. Data, and the lookup.

use super::error::{InvalidValue, nearest, refuse};

/// The parameters that runwrap honours, and their environment variables; an empty one does not exist.
pub(super) const SUPPORTED: [(&str, &str); 24] = [
    ("service", "PGSERVICE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("dbname", "PGDATABASE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslpassword", ""),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslsni", "PGSSLSNI"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("gssencmode", "PGGSSENCMODE"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
];

/// The parameters that demand a protection or a mode that runwrap lacks. They are refused: to connect without the
/// protection would be unsafe.
const UNSUPPORTED: [(&str, Option<&str>); 3] =
    [("requirepeer", Some("PGREQUIREPEER")), ("require_auth", Some("PGREQUIREAUTH")), ("replication", None)];

/// The parameters that change nothing that matters to runwrap. OpenSSL is built without compression.
const IGNORED: [&str; 17] = [
    "fallback_application_name",
    "client_encoding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "load_balance_hosts",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "sslcertmode",
    "sslcompression",
    "sslkeylogfile",
    "sslnegotiation",
    "min_protocol_version",
    "max_protocol_version",
];

/// The parameters of Python's drivers in SQLAlchemy's URLs. Ignored there, unknown elsewhere.
const DRIVER_ONLY: [&str; 7] = [
    "async_fallback",
    "command_timeout",
    "prepare_threshold",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "statement_cache_size",
    "timeout",
];

/// The environment variables of the parameters that are refused.
pub(super) fn unsupported_variables() -> impl Iterator<Item = &'static str> {
    UNSUPPORTED.iter().filter_map(|(_, variable)| *variable)
}

/// The keyword `name`, the parameter at `position` (from 1) of its text; `None` if the parameter is ignored.
/// An unknown name is repeated only if it resembles a known one: otherwise it may be part of a password with a blank.
pub(super) fn find(name: &str, position: usize, driver: bool) -> Result<Option<&'static str>, InvalidValue> {
    if let Some((keyword, _)) = SUPPORTED.iter().find(|(keyword, _)| *keyword == name) {
        return Ok(Some(keyword));
    }
    let ignored = || IGNORED.iter().chain(DRIVER_ONLY.iter().filter(|_| driver)).copied();
    if ignored().any(|keyword| keyword == name) {
        return Ok(None);
    }
    let unsupported = UNSUPPORTED.iter().map(|(keyword, _)| *keyword);
    if let Some(keyword) = unsupported.clone().find(|keyword| *keyword == name) {
        return refuse(format!("runwrap cannot honour {keyword}"), "leave this parameter out");
    }
    let known = SUPPORTED.iter().map(|(keyword, _)| *keyword).chain(unsupported).chain(ignored());
    if let Some(meant) = nearest(name, known) {
        return refuse(format!("there is no parameter \"{name}\""), format!("did you mean {meant}?"));
    }
    let hint = "use libpq's names (host, port, user, dbname, sslmode, …), and quote a value with blanks in it";
    refuse(format!("parameter {position} in it is unknown to libpq"), hint)
}
