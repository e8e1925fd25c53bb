//! SQLite's errors, sorted once by what follows from them. Owns their messages and hints.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::StoreError;
use crate::store::session::Class;

/// SQLite's code, also of a statement that names a missing column.
fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    if let rusqlite::Error::SqlInputError { error, .. } = error {
        return Some(error.code);
    }
    error.sqlite_error_code()
}

/// The kind of an error, as far as the store acts on it.
pub(super) fn class(error: &rusqlite::Error) -> Class {
    match code(error) {
        Some(ErrorCode::TypeMismatch | ErrorCode::TooBig) => Class::BadValue,
        Some(ErrorCode::ConstraintViolation) if error.to_string().contains("runwrap_runs.run_id") => Class::Raced,
        Some(ErrorCode::ConstraintViolation) => Class::Refused,
        Some(ErrorCode::Unknown) => Class::Schema,
        Some(_) | None => Class::Other,
    }
}

pub(super) fn sort(path: &Path, error: &rusqlite::Error) -> StoreError {
    // Without the text of the statement.
    let cause = if let rusqlite::Error::SqlInputError { msg, .. } = error { msg.clone() } else { error.to_string() };
    let message = format!("sqlite:{}: {cause}", path.display());
    let permanent = |hint: &str| StoreError::Permanent { message: message.clone(), hint: hint.into() };
    let Some(code) = code(error) else {
        return permanent("the table is not what runwrap takes it for: compare it with `runwrap migrate --print`");
    };
    match code {
        // Another process holds the lock, the disk is full or in trouble, a descriptor is refused: that passes.
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::SystemIoFailure
        | ErrorCode::DiskFull
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::OutOfMemory
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::SchemaChanged
        | ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted => StoreError::Transient { message },
        ErrorCode::NotADatabase => {
            permanent("the file is something else: name another with --database-url sqlite:PATH")
        }
        ErrorCode::DatabaseCorrupt => {
            permanent("the file is damaged: keep a copy, try `sqlite3 FILE .recover`, or put a backup in its place")
        }
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            permanent("give this user the right to read and write the file and its directory")
        }
        ErrorCode::ConstraintViolation => permanent(
            "the table does not take this value: give the column one with --set COLUMN=VALUE, or change its constraint",
        ),
        ErrorCode::TypeMismatch | ErrorCode::TooBig | ErrorCode::ParameterOutOfRange => {
            permanent("the table does not take this value: change the column or the value")
        }
        ErrorCode::InternalMalfunction
        | ErrorCode::NotFound
        | ErrorCode::ApiMisuse
        | ErrorCode::NoLargeFileSupport
        | ErrorCode::Unknown => {
            permanent("the table is not what runwrap takes it for: compare it with `runwrap migrate --print`")
        }
        _ => permanent("see https://sqlite.org/rescode.html for what it means"),
    }
}
