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
    reached(number, Reach::Alone)
}

fn reached(number: i32, reach: Reach) -> Event {
    let signal = Received { number, sender: Sender::Process { pid: 7, uid: 0 }, value: None };
    Event::Signal { signal, reach }
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
fn what_the_group_has_got_is_written_down_and_not_relayed() {
    let mut machine = running(Limits { timeout: None, kill_after_stop: true, ..limits() });
    let actions = machine.step(reached(signals::SIGTERM, Reach::Group), SECOND);
    assert!(matches!(actions[..], [Action::Write { event: journal::Event::StopRequested { .. }, durable: true }]));
    assert_eq!(machine.step(reached(10, Reach::Group), SECOND), []);
    // Only a stop that we relayed is bounded.
    assert_eq!(machine.wake_at(), None);
}

#[test]
fn a_stopped_trainer_that_is_asked_to_stop_is_continued() {
    let mut machine = running(limits());
    assert_eq!(machine.step(Event::TrainerStopped { signal: signals::SIGSTOP }, SECOND), []);
    assert_eq!(machine.step(sent(signals::SIGTERM), SECOND)[1..], [send(signals::SIGTERM), send(signals::SIGCONT)]);
    let actions = machine.step(reached(signals::SIGTERM, Reach::Group), SECOND);
    assert_eq!(actions[1..], [send(signals::SIGCONT)]);
    machine.step(Event::TrainerContinued, 2 * SECOND);
    assert_eq!(machine.step(sent(signals::SIGTERM), SECOND)[1..], [send(signals::SIGTERM)]);
}

#[test]
fn deadlines_do_not_run_while_the_user_has_stopped_the_job() {
    let mut machine = running(limits());
    assert_eq!(machine.step(Event::TrainerStopped { signal: signals::SIGTSTP }, 10 * SECOND), [Action::StopSelf]);
    assert_eq!(machine.wake_at(), None);
    assert_eq!(machine.step(Event::Time, 500 * SECOND), []);
    machine.step(Event::TrainerContinued, 510 * SECOND);
    assert_eq!(machine.wake_at(), Some(560 * SECOND));
    // A SIGSTOP is somebody's business with the trainer alone.
    machine.step(Event::TrainerStopped { signal: signals::SIGSTOP }, 550 * SECOND);
    assert_eq!(machine.step(Event::Time, 560 * SECOND)[1..], [send(signals::SIGTERM), send(signals::SIGCONT)]);
    // The grace period stands still as well.
    machine.step(Event::TrainerStopped { signal: signals::SIGTTIN }, 565 * SECOND);
    machine.step(Event::TrainerContinued, 600 * SECOND);
    assert_eq!(machine.wake_at(), Some(605 * SECOND));
    // Its end is waited for again, whatever it was.
    machine.step(Event::TrainerStopped { signal: signals::SIGTSTP }, 601 * SECOND);
    machine.step(Event::TrainerEnded(TrainerExit::Exited { code: 0 }), 602 * SECOND);
    assert_eq!(machine.wake_at(), Some(632 * SECOND));
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
    // Also what the group has got: the trainer was not in it.
    assert_eq!(machine.step(reached(signals::SIGWINCH, Reach::Group), SECOND), []);
    assert_eq!(machine.step(recorded(), SECOND)[1..], [Action::Spawn, send(10), send(signals::SIGWINCH)]);
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
        (1..65).prop_map(|number| reached(number, Reach::Group)),
        (1..65).prop_map(|number| Event::Signal {
            signal: Received { number, sender: Sender::Kernel, value: None },
            reach: Reach::Unknown
        }),
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
        Event::Keeper(_) | Event::KeeperGone | Event::Signal { .. } | Event::Time => true,
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
