//! Each fact that would lose a promise is a failure, each other odd one a warning, and both name a next step.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Line, State, judge, milliseconds, size};
use crate::commands::doctor::facts::{
    Answer, Configuration, DatabaseFacts, Facts, Locks, Place, Reached, StateFacts, SystemFacts, Trial, Trouble, Wire,
};
use crate::config::SslMode;
use crate::delivery::Waiting;
use crate::store::{Rehearsal, ServerFacts, TableFacts};
use crate::sys::file_system::FileSystem;
use crate::sys::kernel::Kernel;
use crate::sys::limits::Limits;
use crate::sys::lock_trial::LockTrial;

fn file_system() -> FileSystem {
    FileSystem {
        kind: "ext4".to_owned(),
        is_shared: false,
        is_volatile: false,
        free_bytes: 1 << 40,
        free_files: Some(1 << 20),
    }
}

fn reached() -> Reached {
    Reached {
        took: Duration::from_millis(12),
        server: ServerFacts {
            version: "PostgreSQL 17.2".to_owned(),
            role: Some("ml".to_owned()),
            clock: chrono::DateTime::UNIX_EPOCH,
            is_standby: false,
            encryption: Some("TLSv1.3 TLS_AES_256_GCM_SHA384".to_owned()),
            not_durable: String::new(),
        },
        ahead: TimeDelta::milliseconds(3),
        uncertainty: Duration::from_millis(1),
        tables: Ok(tables()),
        rehearsal: Some(Ok((Duration::from_millis(9), Rehearsal::default()))),
    }
}

fn tables() -> TableFacts {
    TableFacts {
        table: "training_records".to_owned(),
        has_table: true,
        migrated: 8,
        needed: 7,
        newest: 8,
        unfit: Vec::new(),
        left_to_set: Vec::new(),
    }
}

fn trial() -> Trial {
    Trial {
        exists: true,
        file_system: Ok(file_system()),
        written: Ok(Duration::from_millis(5)),
        locks: Locks::Tried(LockTrial { is_exclusive: true, is_freed: true }),
    }
}

/// Facts without a finding.
fn sound() -> Facts {
    Facts {
        configuration: Configuration {
            places: vec![Place { name: "table", value: "training_records".to_owned(), origin: "default".to_owned() }],
            given: vec!["RUNWRAP_HEARTBEAT=10s".to_owned()],
            homeless: Vec::new(),
        },
        database: DatabaseFacts {
            name: "postgres://h:5432/d".to_owned(),
            start_timeout: Duration::from_secs(5),
            migrates: true,
            wire: Wire::Network(Some(SslMode::VerifyFull)),
            file_system: None,
            answer: Answer::Server(Box::new(reached())),
        },
        state: StateFacts {
            path: "/state".into(),
            limit: Duration::from_secs(5),
            trial: Some(Ok(trial())),
            waiting: Some(Ok(Vec::new())),
            log_file: "/state/runwrap.log".into(),
            log_error: None,
        },
        system: SystemFacts {
            kernel: Kernel {
                release: "6.12.1".to_owned(),
                has_pidfds: true,
                has_death_signal: true,
                has_proc: true,
                counts_oom_kills: true,
            },
            limits: Ok(Limits { file_bytes: None, open_files: Some(1024), processes: None, core_bytes: Some(0) }),
            free_descriptors: 15,
            needed_descriptors: 15,
            free_tasks: 8,
            needed_tasks: 8,
            database_bytes: None,
        },
    }
}

/// The lines that are not well, after a change of sound facts.
#[track_caller]
fn findings(change: impl FnOnce(&mut Facts)) -> Vec<Line> {
    let mut facts = sound();
    change(&mut facts);
    let lines = judge(&facts);
    for line in &lines {
        let has_step = line.repair.as_ref().is_some_and(|repair| !repair.is_empty());
        assert!(has_step == (line.state != State::Ok) && !line.detail.is_empty(), "{line:?}");
    }
    lines.into_iter().filter(|line| line.state != State::Ok).collect()
}

/// Asserts that the change leads to one finding, about `check`, with `part` in its detail.
#[track_caller]
fn check(state: State, check: &str, part: &str, change: impl FnOnce(&mut Facts)) {
    let found = findings(change);
    assert_eq!(found.iter().map(|line| (line.state, line.check)).collect::<Vec<_>>(), [(state, check)], "{found:?}");
    assert!(found[0].detail.contains(part), "no {part:?} in {found:?}");
}

/// The same about a database that was reached.
#[track_caller]
fn check_reached(state: State, name: &str, part: &str, change: impl FnOnce(&mut Reached)) {
    check(state, name, part, |facts| {
        let mut changed = reached();
        change(&mut changed);
        facts.database.answer = Answer::Server(Box::new(changed));
    });
}

#[track_caller]
fn check_trial(state: State, name: &str, part: &str, change: impl FnOnce(&mut Trial)) {
    check(state, name, part, |facts| {
        let mut changed = trial();
        change(&mut changed);
        facts.state.trial = Some(Ok(changed));
    });
}

fn trouble(detail: &str) -> Trouble {
    Trouble { detail: detail.to_owned(), repair: "repair it".to_owned() }
}

#[test]
fn sound_facts_have_a_line_for_each_check_and_no_finding() {
    assert_eq!(findings(|_| ()), Vec::new());
    let mut checks: Vec<&str> = judge(&sound()).iter().map(|line| line.check).collect();
    checks.dedup();
    let expected = [
        "configuration",
        "database",
        "tls",
        "schema",
        "rights",
        "table",
        "rehearsal",
        "clock",
        "state-directory",
        "locks",
        "journals",
        "log",
        "kernel",
        "cgroup",
        "limits",
    ];
    assert_eq!(checks, expected);
}

#[test]
fn database_that_takes_no_record_is_a_failure() {
    let failure = State::Failure;
    check(failure, "database", "did not answer", |facts| {
        facts.database.answer = Answer::None(trouble("did not answer"));
    });
    check(failure, "database", "cannot be made: /x: why", |facts| {
        facts.database.answer = Answer::NoFile(Some("/x: why".to_owned()));
    });
    assert_eq!(findings(|facts| facts.database.answer = Answer::NoFile(None)), Vec::new());
    check_reached(failure, "database", "standby", |reached| reached.server.is_standby = true);
    check_reached(failure, "table", "no right", |reached| reached.tables = Err(trouble("no right")));
    check_reached(failure, "rehearsal", "refused", |reached| reached.rehearsal = Some(Err(trouble("refused"))));
    check(failure, "schema", "--no-migrate", |facts| {
        facts.database.migrates = false;
        let tables = Ok(TableFacts { has_table: false, migrated: 0, ..tables() });
        facts.database.answer = Answer::Server(Box::new(Reached { tables, rehearsal: None, ..reached() }));
    });
}

#[test]
fn slow_unsynced_or_open_database_is_a_warning() {
    let warning = State::Warning;
    check_reached(warning, "database", "answered after 3000 ms", |reached| reached.took = Duration::from_secs(3));
    check_reached(warning, "database", "fsync", |reached| reached.server.not_durable = "fsync".to_owned());
    check_reached(warning, "tls", "not encrypted", |reached| reached.server.encryption = None);
    check(warning, "tls", "permitted", |facts| facts.database.wire = Wire::Network(None));
    for wire in [Wire::File, Wire::Local, Wire::Network(Some(SslMode::Require))] {
        assert_eq!(findings(|facts| facts.database.wire = wire), Vec::new(), "{wire:?}");
    }
    for (milliseconds, part) in [(75_000, "75 s ahead of"), (-75_000, "75 s behind")] {
        check_reached(warning, "clock", part, |reached| reached.ahead = TimeDelta::milliseconds(milliseconds));
    }
    // Within what the round trip leaves open.
    let vague = |reached: &mut Reached| {
        (reached.ahead, reached.uncertainty) = (TimeDelta::seconds(3), Duration::from_millis(1500));
    };
    assert_eq!(
        findings(|facts| {
            let mut changed = reached();
            vague(&mut changed);
            facts.database.answer = Answer::Server(Box::new(changed));
        }),
        Vec::new()
    );
}

#[test]
fn tables_that_the_next_run_makes_are_well() {
    let missing = |rehearsal| {
        let tables = Ok(TableFacts { has_table: false, migrated: 0, ..tables() });
        move |facts: &mut Facts| {
            facts.database.answer = Answer::Server(Box::new(Reached { tables, rehearsal, ..reached() }));
        }
    };
    assert_eq!(findings(missing(reached().rehearsal)), Vec::new());
    let found = findings(missing(Some(Err(trouble("no right CREATE")))));
    let states: Vec<_> = found.iter().map(|line| (line.check, line.state)).collect();
    assert_eq!(states, [("schema", State::Warning), ("rehearsal", State::Failure)]);
}

#[test]
fn records_that_lack_something_are_a_warning() {
    let warning = State::Warning;
    check_reached(warning, "rehearsal", "train_metrics", |reached| {
        let rehearsal = Rehearsal { left_out: vec!["train_metrics"], notice: None };
        reached.rehearsal = Some(Ok((Duration::ZERO, rehearsal)));
    });
    check_reached(warning, "rehearsal", "curves", |reached| {
        let rehearsal = Rehearsal { left_out: Vec::new(), notice: Some("the curves are not kept".to_owned()) };
        reached.rehearsal = Some(Ok((Duration::ZERO, rehearsal)));
    });
    check_reached(warning, "rehearsal", "team", |reached| {
        reached.tables = Ok(TableFacts { left_to_set: vec!["team".to_owned()], ..tables() });
        reached.rehearsal = None;
    });
    check(warning, "schema", "no curves", |facts| {
        facts.database.migrates = false;
        let tables = Ok(TableFacts { migrated: 7, ..tables() });
        facts.database.answer = Answer::Server(Box::new(Reached { tables, ..reached() }));
    });
}

#[test]
fn state_directory_that_keeps_no_journal_is_a_failure() {
    let failure = State::Failure;
    check(failure, "state-directory", "did not answer within 5s", |facts| {
        (facts.state.trial, facts.state.waiting) = (None, None);
    });
    check(failure, "state-directory", "belongs to user 7", |facts| {
        facts.state.trial = Some(Err("belongs to user 7".to_owned()));
        facts.state.waiting = Some(Err(trouble("the same")));
    });
    check_trial(failure, "state-directory", "no room", |trial| trial.written = Err("no room".to_owned()));
    check_trial(failure, "state-directory", "1023.9 KiB", |trial| {
        trial.file_system = Ok(FileSystem { free_bytes: (1 << 20) - 1, ..file_system() });
    });
    check_trial(failure, "state-directory", " 0 files", |trial| {
        trial.file_system = Ok(FileSystem { free_files: Some(0), ..file_system() });
    });
    check_trial(failure, "locks", "supports no locks", |trial| trial.locks = Locks::Refused);
    for (is_exclusive, is_freed, part) in [(false, true, "two processes"), (true, false, "not freed")] {
        let locks = Locks::Tried(LockTrial { is_exclusive, is_freed });
        check_trial(failure, "locks", part, |trial| trial.locks = locks);
    }
}

#[test]
fn state_directory_that_may_be_lost_is_a_warning() {
    let warning = State::Warning;
    check_trial(warning, "state-directory", "reboot", |trial| {
        trial.file_system = Ok(FileSystem { is_volatile: true, ..file_system() });
    });
    check_trial(warning, "state-directory", "1.0 MiB", |trial| {
        trial.file_system = Ok(FileSystem { free_bytes: 1 << 20, ..file_system() });
    });
    check_trial(warning, "state-directory", "2000 ms", |trial| trial.written = Ok(Duration::from_secs(2)));
    check_trial(warning, "locks", "why", |trial| trial.locks = Locks::Unknown("why".to_owned()));
    check(warning, "log", "why", |facts| facts.state.log_error = Some("why".to_owned()));
    check(warning, "configuration", "/tmp/x", |facts| facts.configuration.homeless = vec!["/tmp/x".into()]);
}

#[test]
fn journal_fails_only_if_no_process_delivers_it() {
    let journal = |needs_a_person| Waiting {
        record_id: serde_json::Value::Null,
        detail: format!("journal {needs_a_person}"),
        repair: "runwrap recover".to_owned(),
        needs_a_person,
    };
    for (needs_a_person, state) in [(false, State::Warning), (true, State::Failure)] {
        check(state, "journals", "journal", |facts| facts.state.waiting = Some(Ok(vec![journal(needs_a_person)])));
    }
    let mut many = vec![journal(false); 20];
    many.push(journal(true));
    let found = findings(|facts| facts.state.waiting = Some(Ok(many)));
    assert_eq!((found.len(), found[0].state, found[10].detail.as_str()), (11, State::Failure, "11 more wait"));
}

#[test]
fn limit_that_leaves_no_room_for_a_run_is_a_failure() {
    let limits =
        |file_bytes| Ok(Limits { file_bytes: Some(file_bytes), open_files: None, processes: None, core_bytes: None });
    let (failure, warning) = (State::Failure, State::Warning);
    check(failure, "limits", "4.0 KiB", |facts| facts.system.limits = limits(4096));
    check(failure, "limits", "database", |facts| {
        (facts.system.limits, facts.system.database_bytes) = (limits(1 << 30), Some((1 << 30) - 5));
    });
    check(warning, "limits", "32.0 MiB", |facts| facts.system.limits = limits(32 << 20));
    check(failure, "limits", "only 14 more files", |facts| facts.system.free_descriptors = 14);
    check(failure, "limits", "only 7 more processes", |facts| facts.system.free_tasks = 7);
    check(failure, "kernel", "no command", |facts| facts.system.kernel.has_death_signal = false);
    check(warning, "kernel", "/proc", |facts| facts.system.kernel.has_proc = false);
    check(warning, "kernel", "pidfds", |facts| facts.system.kernel.has_pidfds = false);
    check(warning, "cgroup", "oom", |facts| facts.system.kernel.counts_oom_kills = false);
}

#[test]
fn sizes_and_times_are_short() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1 << 10, "1.0 KiB"),
        ((1 << 20) - 1, "1023.9 KiB"),
        (3 << 29, "1.5 GiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
    assert_eq!(milliseconds(Duration::from_micros(450)), "0.4 ms");
    assert_eq!(milliseconds(Duration::from_micros(12_345)), "12 ms");
}
