//! `runwrap note`: adds a text and tags to a record, and takes tags away.

use super::ask::ask;
use super::error::CommandError;
use super::invocation::NoteArgs;
use super::repaired::{column, shown};
use crate::config::Settings;
use crate::delivery::recoverer;
use crate::record::{Applied, RecordId};
use crate::store::Note;
use crate::sys::clock;

/// Adds to a record according to `args`.
///
/// # Errors
/// There is no such record, or the database did not answer.
pub(super) fn note(settings: &Settings, args: &NoteArgs) -> Result<(), CommandError> {
    let (by, _when) = recoverer();
    let NoteArgs { id, text, tags, untagged } = args.clone();
    let note = Note { text, tags, untagged, by, at: clock::wall_time() };
    let noted = ask(settings, "note the record", move |store| {
        let Some(entry) = store.show(&id)? else { return Ok(None) };
        let record_id = RecordId(shown(&column(Some(&entry), "id")));
        store.note(&record_id, &note).map(Some)
    })?;
    match noted {
        Some(noted) if noted.applied != Applied::Missing => {
            log::info!(event = "noted", id = args.id; "record {} has the note", args.id);
            Ok(())
        }
        Some(_) | None => {
            Err(CommandError::NoSuchRecord { id: args.id.clone(), database: settings.database.identity() })
        }
    }
}
