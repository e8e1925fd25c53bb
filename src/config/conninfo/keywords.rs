//! libpq's parameters, and what becomes of each here. Data, and the lookup. Called by its siblings.

use super::Malformed;
use crate::config::error::nearest;

/// One of libpq's parameters.
#[derive(Debug)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    /// The environment variable that stands in for it.
    pub(super) variable: Option<&'static str>,
    pub(super) treatment: Treatment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    Used,
    /// It tunes something that runwrap does in its own way, or that rustls always does.
    Ignored,
    /// It demands a protection that runwrap cannot give: going on without it would be a lie.
    Refused,
    /// A parameter of a Python driver, found in SQLAlchemy's URLs; ignored there, unknown elsewhere.
    OfDriver,
}

const fn used(name: &'static str, variable: &'static str) -> Keyword {
    Keyword { name, variable: Some(variable), treatment: Treatment::Used }
}

const fn of(name: &'static str, treatment: Treatment) -> Keyword {
    Keyword { name, variable: None, treatment }
}

const fn refused(name: &'static str, variable: &'static str) -> Keyword {
    Keyword { name, variable: Some(variable), treatment: Treatment::Refused }
}

use Treatment::{Ignored, OfDriver};

pub(super) const KEYWORDS: &[Keyword] = &[
    used("service", "PGSERVICE"),
    used("host", "PGHOST"),
    used("hostaddr", "PGHOSTADDR"),
    used("port", "PGPORT"),
    used("user", "PGUSER"),
    used("password", "PGPASSWORD"),
    used("passfile", "PGPASSFILE"),
    used("dbname", "PGDATABASE"),
    used("sslmode", "PGSSLMODE"),
    used("sslrootcert", "PGSSLROOTCERT"),
    used("sslcert", "PGSSLCERT"),
    used("sslkey", "PGSSLKEY"),
    used("channel_binding", "PGCHANNELBINDING"),
    used("target_session_attrs", "PGTARGETSESSIONATTRS"),
    used("application_name", "PGAPPNAME"),
    used("options", "PGOPTIONS"),
    used("connect_timeout", "PGCONNECT_TIMEOUT"),
    refused("requirepeer", "PGREQUIREPEER"),
    refused("require_auth", "PGREQUIREAUTH"),
    refused("sslcrl", "PGSSLCRL"),
    refused("sslcrldir", "PGSSLCRLDIR"),
    of("sslpassword", Treatment::Refused),
    of("replication", Treatment::Refused),
    of("fallback_application_name", Ignored),
    of("client_encoding", Ignored),
    of("keepalives", Ignored),
    of("keepalives_idle", Ignored),
    of("keepalives_interval", Ignored),
    of("keepalives_count", Ignored),
    of("tcp_user_timeout", Ignored),
    of("load_balance_hosts", Ignored),
    of("gssencmode", Ignored),
    of("gssdelegation", Ignored),
    of("gsslib", Ignored),
    of("krbsrvname", Ignored),
    of("sslcertmode", Ignored),
    of("sslcompression", Ignored),
    of("sslkeylogfile", Ignored),
    of("sslnegotiation", Ignored),
    of("sslsni", Ignored),
    of("ssl_min_protocol_version", Ignored),
    of("ssl_max_protocol_version", Ignored),
    of("min_protocol_version", Ignored),
    of("max_protocol_version", Ignored),
    of("async_fallback", OfDriver),
    of("command_timeout", OfDriver),
    of("prepare_threshold", OfDriver),
    of("prepared_statement_cache_size", OfDriver),
    of("prepared_statement_name_func", OfDriver),
    of("statement_cache_size", OfDriver),
    of("timeout", OfDriver),
];

/// Finds the parameter `name`, the `position`th (from 1) of its text; `None` where it is to be ignored.
/// An unknown one is named only if it resembles a known one: else it may be part of a password with a blank in it.
pub(super) fn find(name: &str, position: usize, driver: bool) -> Result<Option<&'static Keyword>, Malformed> {
    let known = |keyword: &&Keyword| driver || keyword.treatment != OfDriver;
    if let Some(keyword) = KEYWORDS.iter().filter(known).find(|keyword| keyword.name == name) {
        return match keyword.treatment {
            Treatment::Used => Ok(Some(keyword)),
            Ignored | OfDriver => Ok(None),
            Treatment::Refused => {
                Err(Malformed::new(format!("runwrap cannot honour {}", keyword.name), "leave this parameter out"))
            }
        };
    }
    match nearest(name, KEYWORDS.iter().filter(known).map(|keyword| keyword.name)) {
        Some(meant) => {
            Err(Malformed::new(format!("there is no parameter \"{name}\""), format!("did you mean {meant}?")))
        }
        None => Err(Malformed::new(
            format!("parameter {position} in it is none of libpq's"),
            "use libpq's names (host, port, user, dbname, sslmode, …), and quote a value with blanks in it",
        )),
    }
}
