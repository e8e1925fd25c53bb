//! Judges the state directory, the log and the journals that wait. Pure.

use std::time::Duration;

use super::{Line, milliseconds, room};
use crate::commands::doctor::facts::{Locks, StateFacts, Trial};
use crate::sys::lock_trial::LockTrial;

const CHECK: &str = "state-directory";

/// A disk that takes longer to sync a file deserves attention.
const SYNC_MAX: Duration = Duration::from_secs(1);

/// The journals that are named at most.
const NAMED_MAX: usize = 10;

pub(super) fn judge(facts: &StateFacts) -> Vec<Line> {
    let path = facts.path.display();
    let limit = humantime::format_duration(facts.limit);
    let trial = match &facts.trial {
        None => {
            let repair = "check the disk or the file server, or name another directory with --state-dir";
            return vec![Line::failure(CHECK, format!("{path} did not answer within {limit}"), repair)];
        }
        Some(Err(why)) => {
            let repair = "name a directory with --state-dir that you own and only you can write to";
            let detail = format!("{path} cannot be used, and no run can keep a journal: {why}");
            return [vec![Line::failure(CHECK, detail, repair)], waiting(facts)].concat();
        }
        Some(Ok(trial)) => trial,
    };
    let mut lines = vec![written(&path.to_string(), trial)];
    lines.extend(file_system(trial));
    lines.push(locks(trial));
    lines.extend(waiting(facts));
    lines.push(log(facts));
    lines
}

fn written(path: &str, trial: &Trial) -> Line {
    let state = if trial.exists { "" } else { " does not exist yet, and the first run makes it;" };
    match &trial.written {
        Err(why) => {
            let repair = "make room, raise the limit, or name another directory with --state-dir";
            Line::failure(CHECK, format!("{path}{state} no journal can be written: {why}"), repair)
        }
        Ok(took) => {
            let detail = format!("{path}{state} a file was written and synced in {}", milliseconds(*took));
            if *took > SYNC_MAX {
                return Line::warning(CHECK, detail, "name a directory on a faster disk with --state-dir");
            }
            Line::ok(CHECK, detail)
        }
    }
}

fn file_system(trial: &Trial) -> Vec<Line> {
    let elsewhere = "name a directory on a disk with --state-dir";
    let found = match &trial.file_system {
        Err(why) => return vec![Line::warning(CHECK, format!("its file system is unknown: {why}"), elsewhere)],
        Ok(found) => found,
    };
    let mut lines = vec![room(CHECK, "journals", found, "make room, or name another directory with --state-dir")];
    if found.is_volatile {
        let detail = format!("it is on {}: a reboot loses the journals that are not delivered", found.kind);
        lines.push(Line::warning(CHECK, detail, elsewhere));
    }
    if found.is_shared {
        let detail =
            format!("it is on {}: the journals of other hosts are left until their lease has run out", found.kind);
        lines.push(Line::ok(CHECK, detail));
    }
    lines
}

fn locks(trial: &Trial) -> Line {
    const CHECK: &str = "locks";
    let repair = "name a directory on a local disk with --state-dir, or mount the file system with locks";
    match &trial.locks {
        Locks::Refused => {
            Line::failure(CHECK, "the file system supports no locks, and no run can keep a journal", repair)
        }
        Locks::Unknown(why) => {
            let repair = "repair the cause, and run `runwrap doctor` again";
            Line::warning(CHECK, format!("a lock could not be tried in a second process: {why}"), repair)
        }
        Locks::Tried(LockTrial { is_exclusive: false, .. }) => {
            Line::failure(CHECK, "two processes held one lock at once: two may deliver one run", repair)
        }
        Locks::Tried(LockTrial { is_freed: false, .. }) => {
            let detail = "the lock of a killed process was not freed: its run would never be recovered";
            Line::failure(CHECK, detail, repair)
        }
        Locks::Tried(_) => Line::ok(CHECK, "a lock keeps another process away, and is freed when its holder is killed"),
    }
}

fn waiting(facts: &StateFacts) -> Vec<Line> {
    const CHECK: &str = "journals";
    let waiting = match &facts.waiting {
        None => {
            let repair = "give it more time with --start-timeout";
            return vec![Line::warning(CHECK, "the journals could not be read in time", repair)];
        }
        // The failure of the state directory itself.
        Some(Err(_)) if !matches!(facts.trial, Some(Ok(_))) => return Vec::new(),
        Some(Err(trouble)) => return vec![Line::trouble(CHECK, trouble)],
        Some(Ok(waiting)) if waiting.is_empty() => return vec![Line::ok(CHECK, "none waits for its delivery")],
        Some(Ok(waiting)) => waiting,
    };
    let mut sorted: Vec<_> = waiting.iter().collect();
    // Those that need a person first: they decide the exit status.
    sorted.sort_by_key(|journal| !journal.needs_a_person);
    let line = |journal: &&crate::delivery::Waiting| {
        let line = if journal.needs_a_person { Line::failure } else { Line::warning };
        line(CHECK, journal.detail.clone(), journal.repair.clone())
    };
    let mut lines: Vec<Line> = sorted.iter().take(NAMED_MAX).map(line).collect();
    if let Some(more) = waiting.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        lines.push(Line::warning(CHECK, format!("{more} more wait"), "run `runwrap check` to see all"));
    }
    lines
}

fn log(facts: &StateFacts) -> Line {
    const CHECK: &str = "log";
    let path = facts.log_file.display();
    match &facts.log_error {
        None => Line::ok(CHECK, format!("{path} can be written")),
        Some(why) => {
            let repair = "name another file with --log-file";
            Line::warning(CHECK, format!("{path} cannot be written, and runs go on without it: {why}"), repair)
        }
    }
}
