//! `runwrap check`: prints inconsistent records and their repair, and with `--fix` repairs what follows from a record
//! itself. Must not hold the table in memory: it is read page by page.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::ask::ask;
use super::error::{CommandError, EXIT_NEGATIVE};
use super::invocation::CheckArgs;
use super::repaired::{column, shown};
use super::undelivered::undelivered;
use crate::config::{Settings, Verbosity};
use crate::output::{self, JsonArray, ProgressBar};
use crate::record::{Applied, Decision, Finding, FindingKind, RecordId, Repair, findings};
use crate::store::{Scope, Store, Suspicious, Unfit};

/// One page takes a fraction of a second, and outweighs the round trip to the database.
const PAGE_RECORDS: u32 = 10_000;

/// A check under way.
struct Check<'a> {
    settings: &'a Settings,
    args: &'a CheckArgs,
    array: JsonArray,
    progress: ProgressBar,
    /// The number of findings that were not repaired.
    open: u64,
}

/// Checks the state directory and every record, and prints each finding at once. The exit status is that of open findings.
///
/// # Errors
/// The check could not be completed.
pub(super) fn check(settings: &Settings, args: &CheckArgs) -> Result<ExitCode, CommandError> {
    let count = || ask(settings, "count the records", Store::estimate);
    // A table that cannot work may refuse to be read: that is a finding.
    let count = || count().or_else(|error| if error.needs_a_person() { Ok(None) } else { Err(error) });
    let estimate = || if args.live { Ok(None) } else { count() };
    let progress = ProgressBar::start(settings.verbosity != Verbosity::Quiet, estimate)?;
    let mut check = Check { settings, args, array: JsonArray::default(), progress, open: 0 };
    let result = check.run();
    check.progress.clear();
    if args.json {
        check.array.end()?;
    }
    result?;
    Ok(if check.open == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NEGATIVE) })
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), CommandError> {
        for waiting in undelivered(self.settings)? {
            self.report(&waiting.record_id, &waiting.finding(), false)?;
        }
        let unfit = ask(self.settings, "check the table", Store::unfit)?;
        for Unfit { detail, repair, .. } in &unfit {
            let (detail, repair) = (detail.clone(), Repair::Do(repair.clone()));
            self.report(&Value::Null, &Finding { kind: FindingKind::Table, detail, repair }, false)?;
        }
        match self.records() {
            Err(error) if !unfit.is_empty() && error.needs_a_person() => {
                log::info!(event = "records_not_checked", error:%; "the records cannot be checked: {error}");
                Ok(())
            }
            other => other,
        }
    }

    /// Examines the records, page by page.
    fn records(&mut self) -> Result<(), CommandError> {
        let scope = if self.args.live { Scope::LiveRuns } else { Scope::All };
        let mut last = None;
        let mut read = 0;
        loop {
            self.progress.show(read);
            let after = last.clone();
            let page = ask(self.settings, "check the records", move |store| {
                store.examine(scope, after.as_ref(), PAGE_RECORDS)
            })?;
            read += page.read;
            for suspicious in &page.suspicious {
                self.examine(suspicious)?;
            }
            if page.last.is_none() || page.read < u64::from(PAGE_RECORDS) {
                return Ok(());
            }
            last = page.last;
        }
    }

    fn examine(&mut self, suspicious: &Suspicious) -> Result<(), CommandError> {
        let id = shown(&suspicious.record_id);
        let stuck_after = self.args.stuck_after;
        let findings = findings(&id, &suspicious.examined, stuck_after.as_secs_f64(), &in_short(stuck_after));
        let derives = findings.iter().any(|finding| finding.repair == Repair::Derived);
        let fixed = derives && self.args.fix && self.fix(&id)?;
        for finding in findings {
            self.report(&suspicious.record_id, &finding, fixed && finding.repair == Repair::Derived)?;
        }
        Ok(())
    }

    /// Repairs what follows from the record itself; the rules look at it again under its lock.
    fn fix(&self, id: &str) -> Result<bool, CommandError> {
        let record_id = RecordId(id.to_owned());
        let work = move |store: &mut Store| store.decide(&record_id, &Decision::Derive);
        let decided = match ask(self.settings, "repair a record", work) {
            Ok(decided) => decided,
            // The finding stays open, and the check goes on.
            Err(error) if !error.is_transient() => {
                self.progress.clear();
                log::error!(event = "not_fixed", record_id = id, hint = error.hint(); "record {id}: {error}");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let fixed = decided.applied == Applied::Written;
        if fixed {
            let [before, after] = [decided.before, decided.after]
                .map(|entry| ["train_end_time", "train_duration"].map(|name| shown(&column(entry.as_ref(), name))));
            log::info!(event = "fixed", record_id = id, before = before.join(" "), after = after.join(" ");
                "record {id} is repaired");
        }
        Ok(fixed)
    }

    fn report(&mut self, record_id: &Value, finding: &Finding, fixed: bool) -> Result<(), CommandError> {
        self.open += u64::from(!fixed);
        let kind = finding.kind.to_string();
        let repair = match &finding.repair {
            Repair::Derived if fixed => "done",
            Repair::Derived => "runwrap check --fix",
            Repair::Do(what) => what,
        };
        self.progress.clear();
        if self.args.json {
            let object = json!({"record_id": record_id, "kind": kind, "detail": finding.detail, "repair": repair});
            return Ok(self.array.element(&object)?);
        }
        let record = if record_id.is_null() { String::new() } else { format!("record {}: ", shown(record_id)) };
        let line = format!("{record}{kind}: {} (repair: {repair})", finding.detail);
        Ok(output::print(&format!("{}\n", output::printable(&line)))?)
    }
}

/// In the syntax of an option: `24h`, not `1day`.
fn in_short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_can_be_typed_as_printed() {
        for (seconds, text) in [(86_400, "24h"), (5_400, "90m"), (61, "61s"), (0, "0s")] {
            assert_eq!(in_short(Duration::from_secs(seconds)), text);
        }
    }
}
