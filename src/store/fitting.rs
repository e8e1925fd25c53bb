//! Texts of a change as the columns of the user's table take them. Pure.

use std::borrow::Cow;

use super::shape::Columns;
use crate::record::{Change, Decision, Ending};

/// `change` with texts that the table takes.
pub(super) fn fitted<'a>(change: &'a Change, columns: &Columns) -> Cow<'a, Change> {
    let (Change::Heartbeat(progress) | Change::Finalize(progress, _)) = change else { return Cow::Borrowed(change) };
    let (model_path, error) = (&progress.report.model_path, &progress.report.error);
    let error = if let Change::Finalize(_, ending) = change { &ending.error_message } else { error };
    let fitted = columns.fit(model_path.as_deref(), error.as_deref());
    // The metrics may be large: a copy only if a text is another one.
    if (&fitted.0, &fitted.1) == (model_path, error) {
        return Cow::Borrowed(change);
    }
    let mut progress = progress.clone();
    progress.report.model_path = fitted.0;
    Cow::Owned(match change {
        Change::Finalize(_, ending) => Change::Finalize(progress, Ending { error_message: fitted.1, ..ending.clone() }),
        Change::Heartbeat(_) | Change::Begin(_) | Change::Presume(_) => {
            progress.report.error = fitted.1;
            Change::Heartbeat(progress)
        }
    })
}

pub(super) fn fitted_decision(decision: &Decision, columns: &Columns) -> Decision {
    let mut fitted = decision.clone();
    if let Decision::Close(verdict) = &mut fitted {
        columns.fit_both(&mut verdict.model_path, &mut verdict.explanation);
    }
    fitted
}
