//! Why a row that the application has inserted cannot become a run's (`--record-id`). Owns the words; the stores
//! find out. Called by both.

use super::StoreError;
use crate::record::RecordId;

pub(super) fn no_row(id: &RecordId, table: &str) -> StoreError {
    StoreError::BadInput {
        message: format!("--record-id {id}: table {table} has no such row"),
        hint: "give the id of a row that has been inserted and committed, or leave --record-id out".into(),
    }
}

pub(super) fn not_training(id: &RecordId, status: &str) -> StoreError {
    StoreError::BadInput {
        message: format!("--record-id {id}: the row is {status:?}, not \"training\""),
        hint: "a record that has ended is not begun again: leave --record-id out for a new one".into(),
    }
}

pub(super) fn watched(id: &RecordId, run_id: &str) -> StoreError {
    StoreError::BadInput {
        message: format!("--record-id {id}: run {run_id} watches this row already"),
        hint: "wait for that run to end, or leave --record-id out for a row of its own".into(),
    }
}
