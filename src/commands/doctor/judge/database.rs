//! Judges the database: whether it answers, its connection, its tables, the rehearsed runs and its clock. Pure.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Line, RIGHTS, milliseconds, room};
use crate::commands::doctor::facts::{Answer, DatabaseFacts, Reached, Trouble, Wire};
use crate::config::SslMode;
use crate::store::{Rehearsal, ServerFacts, TableFacts};

/// Clocks that differ by more deserve attention.
const CLOCKS_DIFFER_MAX: TimeDelta = TimeDelta::seconds(2);

pub(super) fn judge(facts: &DatabaseFacts) -> Vec<Line> {
    let mut lines = vec![reach(facts)];
    if let (Wire::File, Some(found)) = (facts.wire, &facts.file_system) {
        let elsewhere = "name a file elsewhere with --database-url sqlite:PATH";
        lines.push(room("database", "the file of the database", found, &format!("make room, or {elsewhere}")));
        if found.is_volatile {
            let detail = format!("the file of the database is on {}, which a reboot empties", found.kind);
            lines.push(Line::warning("database", detail, elsewhere));
        }
        if found.is_shared {
            let detail = format!(
                "the file of the database is on {}: hosts that write at once need locks that they share",
                found.kind
            );
            lines.push(Line::warning("database", detail, "use PostgreSQL for the runs of several hosts"));
        }
    }
    let Answer::Server(reached) = &facts.answer else { return lines };
    lines.extend(durability(&reached.server));
    lines.extend(tls(facts.wire, reached.server.encryption.as_deref()));
    lines.extend(match &reached.tables {
        Err(trouble) => vec![Line::trouble("table", trouble)],
        Ok(tables) => table(tables, reached, facts.migrates),
    });
    lines.extend(reached.rehearsal.as_ref().into_iter().flat_map(rehearsal));
    lines.push(clock(reached));
    lines
}

fn reach(facts: &DatabaseFacts) -> Line {
    const CHECK: &str = "database";
    let name = &facts.name;
    let reached = match &facts.answer {
        Answer::NoFile(None) => {
            return Line::ok(
                CHECK,
                format!("{name} does not exist yet: the first run makes it, and none was rehearsed"),
            );
        }
        Answer::NoFile(Some(why)) => {
            let repair = "name a file in a directory that you may write: --database-url sqlite:PATH";
            return Line::failure(CHECK, format!("{name} does not exist, and cannot be made: {why}"), repair);
        }
        Answer::None(trouble) => return Line::trouble(CHECK, trouble),
        Answer::Server(reached) => reached,
    };
    let role = reached.server.role.as_ref().map_or_else(String::new, |role| format!(", as {role}"));
    let detail = format!("{name} answered after {}: {}{role}", milliseconds(reached.took), reached.server.version);
    if reached.server.is_standby {
        let repair = "name the primary, or every host with target_session_attrs=read-write";
        return Line::failure(CHECK, format!("{detail}; it is a standby, which takes no record"), repair);
    }
    if reached.took > facts.start_timeout / 2 {
        let given = humantime::format_duration(facts.start_timeout);
        return Line::warning(CHECK, detail, format!("give it more time with --start-timeout, which is {given}"));
    }
    Line::ok(CHECK, detail)
}

fn durability(server: &ServerFacts) -> Option<Line> {
    let settings = &server.not_durable;
    (!settings.is_empty()).then(|| {
        let detail = format!(
            "the server has switched off {settings}: after a crash it may lack a record that it has acknowledged"
        );
        Line::warning("database", detail, format!("switch on {settings} in its configuration"))
    })
}

fn tls(wire: Wire, encryption: Option<&str>) -> Option<Line> {
    const CHECK: &str = "tls";
    let demanded = match wire {
        Wire::File => return None,
        Wire::Local => {
            let how = encryption.map_or_else(|| "without TLS".to_owned(), |how| format!("by {how}"));
            return Some(Line::ok(CHECK, format!("the connection does not leave this host, {how}")));
        }
        Wire::Network(demanded) => demanded,
    };
    let repair = "set sslmode=verify-full in the database URL";
    let Some(how) = encryption else {
        let detail = "the connection is not encrypted: others in the network may read and change records";
        return Some(Line::warning(CHECK, detail, repair));
    };
    Some(match demanded {
        Some(SslMode::VerifyFull) => Line::ok(CHECK, format!("{how}, certificate and name of the server verified")),
        Some(SslMode::VerifyCa) => Line::ok(CHECK, format!("{how}, certificate of the server verified")),
        Some(SslMode::Require) => Line::ok(CHECK, format!("{how}, certificate of the server not verified")),
        Some(SslMode::Disable | SslMode::Allow | SslMode::Prefer) | None => {
            Line::warning(CHECK, format!("{how}, but a connection without TLS is permitted"), repair)
        }
    })
}

fn table(tables: &TableFacts, reached: &Reached, migrates: bool) -> Vec<Line> {
    let mut lines = vec![schema(tables, reached, migrates)];
    let (rights, others): (Vec<_>, Vec<_>) = tables.unfit.iter().partition(|unfit| unfit.is_right());
    for (check, found) in [(RIGHTS, &rights), ("table", &others)] {
        lines.extend(found.iter().map(|unfit| Line::failure(check, &unfit.detail, &unfit.repair)));
    }
    if let Some(role) = reached.server.role.as_ref().filter(|_| rights.is_empty() && tables.has_table) {
        lines.push(Line::ok(RIGHTS, format!("the role {role} may read and write the tables")));
    }
    if tables.has_table && others.is_empty() {
        lines.push(Line::ok("table", format!("{} can take the record of a run", tables.table)));
    }
    if others.is_empty() && !tables.left_to_set.is_empty() {
        let columns = tables.left_to_set.join(", ");
        let detail = format!("no run was rehearsed: each gives values to {columns}, and doctor was given none");
        let options: Vec<String> = tables.left_to_set.iter().map(|column| format!("--set {column}=VALUE")).collect();
        lines.push(Line::warning("rehearsal", detail, format!("run `runwrap doctor {}`", options.join(" "))));
    }
    lines
}

fn schema(tables: &TableFacts, reached: &Reached, migrates: bool) -> Line {
    const CHECK: &str = "schema";
    let TableFacts { table, has_table, migrated, needed, newest, .. } = tables;
    let missing = if *has_table { "" } else { ", and the table of the records is missing" };
    let detail = format!("migration {migrated} of {newest}{missing}");
    let is_ready = *has_table && migrated >= needed;
    let is_rehearsed = matches!(reached.rehearsal, Some(Ok(_)));
    let repair = "run `runwrap migrate`, or let an administrator run the output of `runwrap migrate --print`";
    match (is_ready && migrated >= newest, migrates) {
        (true, _) => Line::ok(CHECK, format!("{detail}, table {table}")),
        (false, true) if is_rehearsed => Line::ok(CHECK, format!("{detail}: the next run makes the missing tables")),
        (false, _) if is_ready => Line::warning(CHECK, format!("{detail}: runs keep no curves"), repair),
        // The rehearsal has the cause.
        (false, true) => Line::warning(CHECK, format!("{detail}: no run has made the missing tables"), repair),
        (false, false) => Line::failure(CHECK, format!("{detail}, and --no-migrate forbids to make it"), repair),
    }
}

fn rehearsal(result: &Result<(Duration, Rehearsal), Trouble>) -> Vec<Line> {
    const CHECK: &str = "rehearsal";
    let (took, Rehearsal { left_out, notice }) = match result {
        Err(trouble) => return vec![Line::trouble(CHECK, trouble)],
        Ok((took, rehearsal)) => (took, rehearsal),
    };
    let mut lines = Vec::new();
    if !left_out.is_empty() {
        let detail =
            format!("the database refused the values of {}: records are kept without them", left_out.join(", "));
        lines.push(Line::warning(CHECK, detail, "let the columns take the values of a run"));
    }
    if let Some(notice) = notice {
        lines.push(Line::warning(CHECK, notice, "run `runwrap migrate`, or let an administrator grant the rights"));
    }
    if lines.is_empty() {
        let detail = format!("a run was begun, ended and rolled back, in {}", milliseconds(*took));
        lines.push(Line::ok(CHECK, detail));
    }
    lines
}

fn clock(reached: &Reached) -> Line {
    const CHECK: &str = "clock";
    let uncertainty = TimeDelta::from_std(reached.uncertainty).unwrap_or_default();
    let apart = reached.ahead.abs();
    let milliseconds = milliseconds((apart + uncertainty).to_std().unwrap_or_default());
    if apart - uncertainty <= CLOCKS_DIFFER_MAX {
        return Line::ok(CHECK, format!("the database's clock is within {milliseconds} of this host's"));
    }
    let seconds = apart.num_seconds();
    let word = if reached.ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
    let detail =
        format!("the database's clock is {seconds} s {word} this host's: the times of a record are this host's");
    Line::warning(CHECK, detail, "synchronize the clocks of both machines, by NTP")
}
