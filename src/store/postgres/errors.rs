//! Errors of the client and of the server, sorted once by what follows from them. Owns their messages and hints; must never repeat a
//! password.

use std::error::Error as _;

use postgres::error::{DbError, SqlState};

use super::tls::{self, HandshakeError};
use crate::config::{PostgresHost, PostgresTarget};
use crate::store::StoreError;
use crate::store::session::Class;

/// Which server a message is about: host, port and database, nothing else.
#[derive(Clone, Debug)]
pub(super) struct Server {
    name: String,
    user: String,
}

/// The kind of an error, as far as the store acts on it.
pub(super) fn class(error: &postgres::Error) -> Class {
    let Some(answer) = error.as_db_error() else { return Class::Other };
    let is_id = || answer.detail().is_some_and(|detail| detail.contains("(id)="));
    match answer.code().code() {
        "23505" if answer.table() == Some("runwrap_runs") => Class::Raced,
        "23505" if is_id() => Class::IdTaken,
        "22P05" | "22021" => Class::BadText,
        "55P03" => Class::Locked,
        code if code.starts_with("22") => Class::BadValue,
        code if code.starts_with("42") || code.starts_with("3F") => Class::Schema,
        code if is_refusal(code) => Class::Refused,
        _ => Class::Other,
    }
}

/// A constraint, a limit, a view's CHECK OPTION, or an error that a trigger raised, also with a code of its own.
fn is_refusal(code: &str) -> bool {
    // Classes that the server itself uses; every other one is a trigger's.
    const OTHERS: [&str; 32] = [
        "00", "01", "02", "03", "08", "0A", "0B", "0L", "0P", "24", "25", "26", "28", "2B", "2D", "34", "35", "3B",
        "3D", "40", "42", "3F", "53", "55", "57", "58", "72", "F0", "HV", "XX", "0Z", "22",
    ];
    !OTHERS.iter().any(|class| code.starts_with(class))
}

impl Server {
    pub(super) fn new(target: &PostgresTarget, host: &PostgresHost) -> Self {
        let name = format!("postgres://{}:{}/{}", host.host, host.port, target.dbname);
        Self { name, user: target.user.clone() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn transient(&self, why: &str) -> StoreError {
        StoreError::Transient { message: format!("{}: {why}", self.name) }
    }

    pub(super) fn sort(&self, error: &postgres::Error) -> StoreError {
        let message = format!("{}: {}", self.name, cause(error));
        match error.as_db_error() {
            Some(answer) if answer.code().code() == "25006" => {
                // It may be promoted.
                let advice = "name the primary, or all hosts with target_session_attrs=read-write";
                StoreError::Transient { message: format!("{message}: {advice}") }
            }
            Some(answer) if is_transient(answer.code()) && pooler_hint(answer).is_none() => {
                StoreError::Transient { message }
            }
            Some(answer) => StoreError::Permanent { message, hint: self.hint(answer) },
            None => match self.hint_without_answer(error) {
                Some(hint) => StoreError::Permanent { message, hint },
                None => StoreError::Transient { message },
            },
        }
    }

    fn hint(&self, answer: &DbError) -> String {
        let code = answer.code().code();
        let mentions = |part: &str| answer.message().contains(part);
        match (code, &code[..2]) {
            _ if pooler_hint(answer).is_some() => pooler_hint(answer).unwrap_or_default().into(),
            ("28P01", _) => "check the password: in the URL, PGPASSWORD or the password file".into(),
            ("28000", _) if mentions("valid client certificate") => {
                "name the client's certificate with sslcert=FILE and its key with sslkey=FILE".into()
            }
            ("28000", _) if mentions("certificate authentication") => {
                format!("name a client certificate of the user {} with sslcert=FILE", self.user)
            }
            ("28000", _) if mentions("role ") => {
                format!("create the role {}, or correct the user in the URL", self.user)
            }
            (_, "28") if mentions("no encryption") || mentions("SSL off") => {
                "set sslmode=require, or let pg_hba.conf on the server admit this user, host and database without TLS"
                    .into()
            }
            (_, "28") => "let pg_hba.conf on the server admit this user, host and database".into(),
            ("3D000", _) => "create the database, or correct its name in the URL".into(),
            ("3F000", _) => "create the schema, or correct it in --table".into(),
            ("42501", _) if answer.message().contains("for schema") => format!(
                "let a user with the right to create in that schema run `runwrap migrate`, or grant it: GRANT CREATE ON SCHEMA … TO {}",
                self.user
            ),
            ("42501", _) if mentions("row-level security") => {
                format!("let the policies of the table admit the rows of {}, for SELECT, INSERT and UPDATE", self.user)
            }
            ("42501", _) => format!(
                "grant {} SELECT, INSERT and UPDATE on the table, on runwrap_runs, runwrap_versions and runwrap_series beside it, and USAGE on their schema and sequences",
                self.user
            ),
            ("23502", _) if answer.column() == Some("model_path") => {
                "give the path with --model-path PATH, or let the column be NULL".into()
            }
            ("23505", _) if answer.detail().is_some_and(|detail| detail.contains("version")) => {
                "give another version with --model-version, or leave that out for the next number".into()
            }
            ("23502", _) => "give the column a value with --set COLUMN=VALUE, or a default in the table".into(),
            (_, "22" | "23") => {
                "the table does not take this value: widen the column or its constraint, or change the value".into()
            }
            (_, "42") => "the table is not what runwrap takes it for: compare it with `runwrap migrate --print`".into(),
            _ => format!("see the server's log for SQLSTATE {code}"),
        }
    }

    /// An error that the server did not send is one of the network, save where a person has set something wrongly.
    fn hint_without_answer(&self, error: &postgres::Error) -> Option<String> {
        let words = cause(error);
        if words.contains("channel binding") {
            return Some("set channel_binding=prefer, or let the server ask for the password by SCRAM over TLS".into());
        }
        if words.contains("invalid configuration") || words.contains("authentication error") {
            return Some(format!("give the password of {} in PGPASSWORD or the password file", self.user));
        }
        if words.contains("server does not support TLS") {
            return Some("let the server offer TLS, or choose sslmode=prefer or sslmode=disable".into());
        }
        hint_for_tls(error).map(str::to_owned)
    }
}

/// A pooler's refusal of a setting, which time does not change, under SQLSTATE 08P01.
fn pooler_hint(answer: &DbError) -> Option<&'static str> {
    const HINTS: [(&str, &str); 2] = [
        (
            "unsupported startup parameter",
            "leave options out of the URL, or name it in ignore_startup_parameters of the pooler",
        ),
        ("statement pooling", "set pool_mode=transaction in the pooler for this database or user"),
    ];
    HINTS.into_iter().find_map(|(words, hint)| answer.message().contains(words).then_some(hint))
}

fn hint_for_tls(error: &postgres::Error) -> Option<&'static str> {
    let source = error.source()?;
    match source.downcast_ref::<HandshakeError>() {
        Some(HandshakeError::Certificate(verdict)) => Some(hint_for_certificate(verdict.as_raw())),
        Some(HandshakeError::Name(_)) => {
            Some("set the host to a name in the certificate, and hostaddr to its address if DNS does not know the name")
        }
        Some(HandshakeError::Protocol(_)) => hint_for_reason(&source.to_string()),
        None => hint_for_reason(&tls::reason_of_io(source)?),
    }
}

/// `code` is one of OpenSSL's verification errors.
fn hint_for_certificate(code: i32) -> &'static str {
    use openssl_sys::{
        X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_REVOKED,
        X509_V_ERR_CRL_HAS_EXPIRED, X509_V_ERR_CRL_NOT_YET_VALID, X509_V_ERR_CRL_SIGNATURE_FAILURE,
        X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_GET_CRL,
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    };
    match code {
        X509_V_ERR_CERT_HAS_EXPIRED | X509_V_ERR_CERT_NOT_YET_VALID => {
            "renew the certificate of the server or of its authority in sslrootcert, and check the clock of this host"
        }
        X509_V_ERR_CERT_REVOKED => {
            "give the server a certificate that sslcrl (or ~/.postgresql/root.crl) does not revoke"
        }
        X509_V_ERR_UNABLE_TO_GET_CRL
        | X509_V_ERR_CRL_HAS_EXPIRED
        | X509_V_ERR_CRL_NOT_YET_VALID
        | X509_V_ERR_CRL_SIGNATURE_FAILURE => {
            "put a current revocation list of each authority into sslcrl (or ~/.postgresql/root.crl) or sslcrldir"
        }
        X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
        | X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
        | X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
        | X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        | X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE => {
            "name the authority that signed the server's certificate with sslrootcert=FILE"
        }
        _ => "let the authority issue a certificate that OpenSSL accepts for a server",
    }
}

/// `reason` is OpenSSL's; with `alert` in it, the server's.
fn hint_for_reason(reason: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 8] = [
        ("alert unknown ca", "name a client certificate of an authority in the server's ssl_ca_file with sslcert=FILE"),
        ("alert certificate required", "name the client's certificate with sslcert=FILE and its key with sslkey=FILE"),
        ("certificate expired", "renew the client's certificate (sslcert)"),
        ("certificate revoked", "renew the client's certificate (sslcert)"),
        ("bad certificate", "name a client certificate that the server accepts with sslcert=FILE"),
        ("unsupported certificate", "name a client certificate that the server accepts with sslcert=FILE"),
        ("protocol", "widen ssl_min_protocol_version or ssl_max_protocol_version, here or on the server"),
        ("too small", "let the server use a longer key"),
    ];
    HINTS.iter().find(|(part, _)| reason.contains(part)).map(|(_, hint)| *hint)
}

/// Whether time alone may help.
fn is_transient(code: &SqlState) -> bool {
    // Read-only, lock not available, object in use, cancelled by a timeout, idle in a transaction for too long.
    const CODES: [&str; 5] = ["25006", "55P03", "55006", "57014", "25P03"];
    // Connection, resources, operator intervention, rollback, system.
    const CLASSES: [&str; 5] = ["08", "53", "57P", "40", "58"];
    CODES.contains(&code.code()) || CLASSES.iter().any(|class| code.code().starts_with(class))
}

/// The error and what lies under it, in one line.
fn cause(error: &postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return one_line(&format!("{} (SQLSTATE {})", answer.message(), answer.code().code()));
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let reason = tls::reason_of_io(deeper);
        source = deeper.source().filter(|_| reason.is_none());
        let words = reason.unwrap_or_else(|| deeper.to_string());
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_sorted_by_whether_time_helps() {
        for code in ["08006", "08P01", "53300", "57P01", "57P03", "40001", "40P01", "55P03", "25006", "57014", "58030"]
        {
            assert!(is_transient(&SqlState::from_code(code)), "{code}");
        }
        for code in ["22001", "22P02", "23502", "23514", "42501", "42P01", "28P01", "28000", "3D000", "3F000", "XX000"]
        {
            assert!(!is_transient(&SqlState::from_code(code)), "{code}");
        }
    }
}
