//! The claim to an end, for `--on-finish`: one process gets the record of each end, once.

use super::session::{Access, Failure};
use super::{RecordView, Store, StoreError};
use crate::record::RunId;

impl Store {
    /// The record of a run that has ended, if no process has had it for this end. `is_new`: this process has just written the end.
    /// An error is logged, and no process gets the record: a command must not run twice.
    pub fn claim_end(&mut self, run_id: RunId, is_new: bool) -> Option<RecordView> {
        let id = run_id.to_string();
        let claimed = self.transaction(Access::Series, None, |transaction, _none| {
            let condition = if is_new { "TRUE" } else { "notified_at IS NULL" };
            let claim = transaction.sql("claim_end", &[("{condition}", condition)]);
            let table = transaction.shape.record_table.clone();
            transaction.session.execute(&claim, &[Some(&table), Some(&id)])
        });
        let shown = match claimed {
            Ok(0) => return None,
            Ok(_one) => self.show(&id),
            Err(Failure { error, .. }) => Err(error),
        };
        shown.unwrap_or_else(|error| {
            if let StoreError::Permanent { message, .. } | StoreError::BadInput { message, .. } = &error {
                let advice = "run `runwrap migrate`, or leave out --on-finish";
                self.notice = Some(format!("the command of --on-finish does not run ({advice}): {message}"));
            }
            log::warn!(event = "end_not_claimed", run_id:%, error:%;
                "the end of run {run_id} cannot be claimed for --on-finish: {error}");
            None
        })
    }
}
