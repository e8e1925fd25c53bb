//! The cells of the kill matrix: each point of a run against each victim of its phase, all victims of a point at once.

use std::thread;

use super::cell::{Phase, Point, Stops, TidyUp, Victim, check};
use crate::support::site::Site;

/// Longer than any test holds the record up.
const PATIENT: &str = "1m";
/// The trainer starts at once, recorded or not.
const AT_ONCE: &str = "1ms";

const JOURNAL_BEGUN: Point = point(Phase::Opening, "journal-begun=stop", Stops::Supervisor);
const BEFORE_INSERT: Point = point(Phase::Opening, "inserting=stop", Stops::Keeper);
const AFTER_INSERT: Point = point(Phase::Opening, "inserted=stop", Stops::Keeper);
const BEFORE_EXEC: Point = point(Phase::Running, "before-exec=stop", Stops::Trainer);
const EXECUTED: Point = point(Phase::Running, "running=stop", Stops::Supervisor);
const RUNNING: Point = point(Phase::Running, "", Stops::Nobody);
const EXITED: Point = point(Phase::Ended, "exited=stop", Stops::Supervisor);
const JOURNALED: Point = point(Phase::Journaled, "ended=stop,finalizing=stop", Stops::SupervisorAndKeeper);
const DELIVERING: Point = point(Phase::Journaled, "finalizing=stop", Stops::Keeper);
const COMMITTING: Point = point(Phase::Journaled, "committing=stop", Stops::Keeper);
const DELIVERED: Point = point(Phase::Journaled, "finalized=stop", Stops::Keeper);
const REMOVED: Point = point(Phase::Journaled, "removed=stop", Stops::Keeper);

const fn point(phase: Phase, failpoints: &'static str, stops: Stops) -> Point {
    Point { phase, failpoints, stops, start_timeout: PATIENT }
}

/// Every victim of `point`, each in a site of its own.
fn row(point: Point, code: i32, site: impl Fn() -> Site) {
    rows(point, point.phase.victims(), code, site);
}

fn rows(point: Point, victims: &[Victim], code: i32, site: impl Fn() -> Site) {
    thread::scope(|scope| {
        for (index, victim) in victims.iter().enumerate() {
            let site = site();
            let by = if index % 2 == 0 { TidyUp::LaterRun } else { TidyUp::Recover };
            // A failure prints the name of its thread.
            let name = format!("{} {victim:?}", point.failpoints);
            let cell = thread::Builder::new().name(name);
            let _joined_by_the_scope =
                cell.spawn_scoped(scope, move || check(&site, &point, *victim, code, by)).unwrap();
        }
    });
}

// Holds: failures/kill-before-insert
#[test]
fn killed_after_journal_begin_leaves_one_true_record() {
    row(JOURNAL_BEGUN, 0, Site::sqlite);
}

// Holds: failures/kill-before-insert
#[test]
fn killed_before_insert_leaves_one_true_record() {
    row(BEFORE_INSERT, 0, Site::sqlite);
}

// Holds: failures/kill-before-insert
#[test]
fn killed_before_insert_while_running_leaves_one_true_record() {
    row(Point { phase: Phase::Running, start_timeout: AT_ONCE, ..BEFORE_INSERT }, 0, Site::sqlite);
}

// Holds: failures/kill-before-exec
#[test]
fn killed_after_insert_leaves_one_true_record() {
    row(AFTER_INSERT, 0, Site::sqlite);
}

// Holds: failures/kill-before-exec
#[test]
fn killed_before_exec_leaves_one_true_record() {
    row(BEFORE_EXEC, 0, Site::sqlite);
}

// Holds: failures/kill-running
#[test]
fn killed_right_after_exec_leaves_one_true_record() {
    row(EXECUTED, 0, Site::sqlite);
}

// Holds: failures/kill-running
#[test]
fn killed_while_running_leaves_one_true_record() {
    row(RUNNING, 0, Site::sqlite);
}

// Holds: failures/kill-before-journal
#[test]
fn killed_between_exit_and_journal_leaves_one_true_record() {
    row(EXITED, 0, Site::sqlite);
    row(EXITED, 3, Site::sqlite);
}

// Holds: failures/kill-delivery
#[test]
fn killed_between_journal_and_delivery_keeps_the_end() {
    row(JOURNALED, 0, Site::sqlite);
    row(JOURNALED, 3, Site::sqlite);
}

// Holds: failures/kill-delivery
#[test]
fn killed_before_finalize_keeps_the_journaled_end() {
    row(DELIVERING, 0, Site::sqlite);
}

// Holds: failures/kill-delivery
#[test]
fn killed_inside_finalize_transaction_keeps_journaled_end() {
    row(COMMITTING, 0, Site::sqlite);
}

// Holds: failures/kill-delivery
#[test]
fn killed_after_finalize_records_no_second_end() {
    row(DELIVERED, 0, Site::sqlite);
}

// Holds: failures/kill-removed
#[test]
fn killed_after_journal_removal_loses_nothing() {
    row(REMOVED, 0, Site::sqlite);
}

/// With a server, an insert or a finalize can commit after the death of the keeper that sent it.
// Holds: failures/kill-postgresql
#[test]
fn killed_at_any_point_on_postgresql_leaves_one_true_record() {
    let victims = [Victim::Supervisor, Victim::Keeper, Victim::Both];
    for point in [BEFORE_INSERT, AFTER_INSERT, RUNNING, JOURNALED, COMMITTING, DELIVERED] {
        rows(point, &victims, 0, Site::postgres);
    }
}
