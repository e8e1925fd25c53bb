//! The supervisor's decisions: some stories told out, and what holds in any order of events.

use proptest::prelude::*;

use super::*;
use crate::record::{Begun, RecordId};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        start_timeout: 5 * SECOND,
        finish_timeout: 30 * SECOND,
        timeout: Some(60 * SECOND),
        kill_after: 10 * SECOND,
        kill_after_stop: false,
        require_database: false,
        leads_session: false,
    }
}

fn recorded() -> Event {
    Event::Keeper(ToSupervisor::Recorded(Begun { record_id: RecordId("1".into()), version: None }))
}

fn sent(number: i32) -> Event {
    Event::Signal(Received { number, sender: Sender::Process { pid: 7, uid: 0 }, value: None })
}

fn failed() -> ToSupervisor {
    ToSupervisor::Failed { message: "no right".into(), hint: "grant it".into() }
}

fn send(signal: i32) -> Action {
    Action::Send { signal, value: None }
}

/// A machine whose trainer runs since the moment 0.
fn running(limits: Limits) -> Machine {
    let mut machine = Machine::new(limits, Duration::ZERO);
    assert!(machine.step(recorded(), Duration::ZERO).contains(&Action::Spawn));
    machine.spawned(Duration::ZERO);
    machine
}

#[test]
fn the_trainer_waits_for_the_record_but_no_longer_than_its_timeout() {
    let mut machine = Machine::new(limits(), Duration::ZERO);
    assert_eq!(machine.wake_at(), Some(5 * SECOND));
    assert_eq!(machine.step(Event::Time, 4 * SECOND), []);
    assert_eq!(machine.step(Event::Time, 5 * SECOND).last(), Some(&Action::Spawn));
    // The record that comes later starts no second trainer.
    assert!(!machine.step(recorded(), 6 * SECOND).contains(&Action::Spawn));
}

#[test]
fn a_required_database_that_does_not_answer_starts_nothing() {
    let mut machine = Machine::new(Limits { require_database: true, ..limits() }, Duration::ZERO);
    let actions = machine.step(Event::Time, 5 * SECOND);
    assert_eq!(actions[1..], [Action::Abandon, Action::End(EndAs::Code(EXIT_RUNWRAP))]);
}

#[test]
fn a_stop_request_is_written_durably_before_it_is_relayed() {
    let mut machine = running(limits());
    let actions = machine.step(sent(signals::SIGTERM), SECOND);
    assert!(matches!(
        actions[..],
        [Action::Write { event: journal::Event::StopRequested { .. }, durable: true }, Action::Send { .. }]
    ));
    assert_eq!(actions[1], send(signals::SIGTERM));
}

#[test]
fn kill_after_bounds_a_relayed_stop_only_when_it_was_given() {
    let mut machine = running(Limits { timeout: None, ..limits() });
    machine.step(sent(signals::SIGTERM), SECOND);
    assert_eq!(machine.wake_at(), None);
    let mut machine = running(Limits { timeout: None, kill_after_stop: true, ..limits() });
    machine.step(sent(signals::SIGTERM), SECOND);
    assert_eq!(machine.step(Event::Time, 11 * SECOND), [send(signals::SIGKILL)]);
}

#[test]
fn a_timeout_terminates_then_kills_and_ends_with_124() {
    let mut machine = running(limits());
    let actions = machine.step(Event::Time, 60 * SECOND);
    assert_eq!(actions[1..], [send(signals::SIGTERM), send(signals::SIGCONT)]);
    assert_eq!(machine.step(Event::Time, 70 * SECOND), [send(signals::SIGKILL)]);
    machine.step(Event::TrainerEnded(TrainerExit::Exited { code: 0 }), 71 * SECOND);
    let over = machine.step(Event::Keeper(ToSupervisor::Final), 72 * SECOND);
    assert_eq!(over, [Action::End(EndAs::Code(EXIT_TIMEOUT))]);
}

#[test]
fn signals_that_come_before_the_trainer_are_held_for_it() {
    let mut machine = Machine::new(limits(), Duration::ZERO);
    assert_eq!(machine.step(sent(10), SECOND), []);
    assert_eq!(machine.step(recorded(), SECOND)[1..], [Action::Spawn, send(10)]);
}

#[test]
fn a_keeper_that_dies_again_and_again_is_replaced_with_growing_pauses() {
    let mut machine = running(limits());
    assert_eq!(machine.step(Event::KeeperGone, SECOND), [Action::StartKeeper]);
    assert_eq!(machine.step(Event::KeeperGone, SECOND), []);
    let next = machine.wake_at().unwrap();
    assert!(next > SECOND && next < 2 * SECOND);
    assert_eq!(machine.step(Event::Time, next), [Action::StartKeeper]);
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(recorded()),
        Just(Event::Keeper(ToSupervisor::Refused { message: String::new(), hint: String::new() })),
        Just(Event::Keeper(failed())),
        Just(Event::Keeper(ToSupervisor::Final)),
        Just(Event::KeeperGone),
        (1..65).prop_map(sent),
        (1..65).prop_map(|number| Event::Signal(Received { number, sender: Sender::Kernel, value: None })),
        Just(Event::Executed { pid: 1 }),
        Just(Event::SpawnFailed { not_found: true, message: String::new() }),
        (0..256).prop_map(|code| Event::TrainerEnded(TrainerExit::Exited { code })),
        Just(Event::TrainerStopped { signal: signals::SIGTSTP }),
        Just(Event::TrainerContinued),
        Just(Event::Time),
    ]
}

/// Whether the trainer could say this now: only one that was spawned does, and it ends once.
fn possible(event: &Event, spawned: bool, finished: bool) -> bool {
    match event {
        Event::Executed { .. }
        | Event::SpawnFailed { .. }
        | Event::TrainerEnded(_)
        | Event::TrainerStopped { .. }
        | Event::TrainerContinued => spawned && !finished,
        Event::Keeper(_) | Event::KeeperGone | Event::Signal(_) | Event::Time => true,
    }
}

proptest! {
    #[test]
    fn in_any_order_of_events_one_trainer_one_end_and_every_wait_is_bounded(
        events in prop::collection::vec((event(), 0..20_u32), 1..60),
    ) {
        let mut machine = Machine::new(limits(), Duration::ZERO);
        let mut now = Duration::ZERO;
        let (mut spawned, mut finished, mut ended) = (0, 0, 0);
        for (event, seconds) in events {
            now += seconds * SECOND;
            if !possible(&event, spawned > 0, finished > 0) {
                continue;
            }
            let actions = machine.step(event, now);
            prop_assert!(ended == 0 || actions.is_empty(), "after the end: {actions:?}");
            for action in &actions {
                match action {
                    Action::Spawn => { spawned += 1; machine.spawned(now); }
                    Action::Finish(_) => finished += 1,
                    Action::End(_) => ended += 1,
                    Action::Send { .. } => prop_assert!(spawned > 0 && finished == 0, "nobody to send to"),
                    Action::StartKeeper | Action::Write { .. } | Action::StopSelf | Action::Warn { .. } | Action::Abandon => {}
                }
            }
            prop_assert!(spawned <= 1 && finished <= 1 && ended <= 1);
            // Only a trainer without a deadline of its own may be waited for without one.
            prop_assert!(ended > 0 || spawned > finished || machine.wake_at().is_some());
        }
    }
}
