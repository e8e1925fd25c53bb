//! `runwrap check`: what is wrong with the records, what would repair it, and on demand what can be repaired from the
//! record itself. Reads the table page by page, so that its size is not held in memory. Called by `commands`.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::ask::ask;
use super::error::EXIT_NO;
use super::repaired::{column, shown};
use super::undelivered::undelivered;
use crate::commands::{CheckArgs, CommandError};
use crate::config::{Settings, Verbosity};
use crate::output::{self, Array, ProgressBar};
use crate::record::{Applied, Decision, Finding, RecordId, Repair, findings};
use crate::store::{Scope, Suspicious};

/// So many records a page, that one is read in a fraction of a second and the way to the database is not felt.
const PAGE_RECORDS: u32 = 10_000;

/// A check under way.
struct Check<'a> {
    settings: &'a Settings,
    args: &'a CheckArgs,
    array: Array,
    progress: ProgressBar,
    /// What was found and not repaired.
    open: u64,
}

/// Checks the state directory and every record, and prints what is wrong as it is found. The exit status says whether
/// anything is, and stays.
///
/// # Errors
/// It could not be checked, or not to the end.
pub(super) fn check(settings: &Settings, args: &CheckArgs) -> Result<ExitCode, CommandError> {
    let estimate = || match scope(args) {
        Scope::All => ask(settings, "count the records", |store| store.estimate()),
        Scope::LiveRuns => Ok(None),
    };
    let progress = ProgressBar::start(settings.verbosity != Verbosity::Quiet, estimate)?;
    let mut check = Check { settings, args, array: Array::default(), progress, open: 0 };
    let went = check.go();
    check.progress.clear();
    if args.json {
        check.array.end()?;
    }
    went?;
    Ok(if check.open == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}

impl Check<'_> {
    fn go(&mut self) -> Result<(), CommandError> {
        for (record_id, finding) in undelivered(self.settings)? {
            self.tell(&record_id, &finding, false)?;
        }
        let mut last = None;
        let mut read = 0;
        loop {
            self.progress.show(read);
            let (scope, after) = (scope(self.args), last.clone());
            let page = ask(self.settings, "check the records", move |store| {
                store.examine(scope, after.as_ref(), PAGE_RECORDS)
            })?;
            read += page.read;
            for suspicious in &page.suspicious {
                self.judge(suspicious)?;
            }
            if page.last.is_none() || page.read < u64::from(PAGE_RECORDS) {
                return Ok(());
            }
            last = page.last;
        }
    }

    fn judge(&mut self, suspicious: &Suspicious) -> Result<(), CommandError> {
        let id = shown(&suspicious.record_id);
        let stuck_after = self.args.stuck_after;
        let found = findings(&id, &suspicious.examined, stuck_after.as_secs_f64(), &in_short(stuck_after));
        let derives = found.iter().any(|finding| finding.repair == Repair::Derived);
        let fixed = derives && self.args.fix && self.fix(&id)?;
        for finding in found {
            self.tell(&suspicious.record_id, &finding, fixed && finding.repair == Repair::Derived)?;
        }
        Ok(())
    }

    /// Repairs what follows from the record itself, if it still does.
    fn fix(&self, id: &str) -> Result<bool, CommandError> {
        let record_id = RecordId(id.to_owned());
        let decided = ask(self.settings, "repair a record", move |store| store.decide(&record_id, &Decision::Derive));
        let decided = match decided {
            Ok(decided) => decided,
            // It stays a finding, and stops no other.
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
            log::info!(event = "fixed", record_id = id, before = before.join(" "), after = after.join(" "); "");
        }
        Ok(fixed)
    }

    fn tell(&mut self, record_id: &Value, finding: &Finding, fixed: bool) -> Result<(), CommandError> {
        self.open += u64::from(!fixed);
        let kind = finding.kind.as_str();
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

const fn scope(args: &CheckArgs) -> Scope {
    if args.live { Scope::LiveRuns } else { Scope::All }
}

/// As a person types it: `24h`, not `1day`.
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
    fn a_duration_is_said_as_it_can_be_typed_again() {
        for (seconds, text) in [(86_400, "24h"), (5_400, "90m"), (61, "61s"), (0, "0s")] {
            assert_eq!(in_short(Duration::from_secs(seconds)), text);
        }
    }
}
