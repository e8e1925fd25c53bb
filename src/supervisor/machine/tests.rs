//! The supervisor's decisions: single scenarios, and properties over any order of events.

use proptest::prelude::*;

use super::*;
use crate::record::{Begun, RecordId};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> RunLimits {
    RunLimits {
        start_timeout: 5 * SECOND,
        finish_timeout: 30 * SECOND,
        timeout: Some(60 * SECOND),
        kill_after: 10 * SECOND,
        kill_after_stop: false,
        require_database: false,
        exit_if_running: 75,
        has_keeper: true,
    }
}

fn recorded() -> SupervisorEvent {
    recorded_as("1")
}

fn recorded_as(id: &str) -> SupervisorEvent {
    let record_id = RecordId(id.into());
    SupervisorEvent::Keeper(ToSupervisor::Recorded(Begun { record_id, version: None, table: None }))
}

fn sent(number: i32) -> SupervisorEvent {
    reached(number, SignalScope::SupervisorOnly)
}

fn reached(number: i32, scope: SignalScope) -> SupervisorEvent {
    SupervisorEvent::Signal { signal: signal_info(number), scope }
}

fn signal_info(number: i32) -> SignalInfo {
    SignalInfo { number, sender: Sender::Process { pid: 7, uid: 0 }, value: None }
}

fn failed() -> ToSupervisor {
    ToSupervisor::Failed { refused: false, message: "no right".into(), hint: "grant it".into() }
}

fn send(signal: i32) -> SupervisorAction {
    SupervisorAction::SignalTrainer { signal, value: None }
}

fn stop_self(signal: i32) -> SupervisorAction {
    SupervisorAction::StopSelf { signal }
}

/// The trainer was stopped, and no shell waits for the terminal.
fn stopped(signal: i32) -> SupervisorEvent {
    SupervisorEvent::TrainerStopped { signal, in_foreground: false }
}

/// A machine whose trainer has run since time 0.
fn running(limits: RunLimits) -> SupervisorMachine {
    let mut machine = SupervisorMachine::new(limits, InheritedSignals::default(), Duration::ZERO);
    assert!(machine.step(recorded(), Duration::ZERO).contains(&SupervisorAction::Spawn));
    machine.spawned(Duration::ZERO);
    machine
}

#[test]
fn trainer_starts_after_start_timeout_without_a_record() {
    let mut machine = SupervisorMachine::new(limits(), InheritedSignals::default(), Duration::ZERO);
    assert_eq!(machine.wake_at(), Some(5 * SECOND));
    assert_eq!(machine.step(SupervisorEvent::Tick, 4 * SECOND), []);
    assert_eq!(machine.step(SupervisorEvent::Tick, 5 * SECOND).last(), Some(&SupervisorAction::Spawn));
    // A late record starts no second trainer.
    assert!(!machine.step(recorded(), 6 * SECOND).contains(&SupervisorAction::Spawn));
}

#[test]
fn another_record_in_place_of_the_first_is_reported() {
    let mut machine = running(limits());
    assert_eq!(machine.step(recorded(), SECOND), []);
    let message = "record 1 is not this run's any more: it goes on as record 7".to_owned();
    let warning = SupervisorAction::Warn { message, hint: String::new() };
    assert_eq!(machine.step(recorded_as("7"), SECOND), [warning]);
    assert_eq!(machine.step(recorded_as("7"), SECOND), []);
}

#[test]
fn required_database_that_does_not_answer_starts_no_trainer() {
    let mut machine = SupervisorMachine::new(
        RunLimits { require_database: true, ..limits() },
        InheritedSignals::default(),
        Duration::ZERO,
    );
    let actions = machine.step(SupervisorEvent::Tick, 5 * SECOND);
    assert_eq!(actions[1..], [SupervisorAction::Abandon, SupervisorAction::Exit(EndAs::Code(EXIT_RUNWRAP))]);
}

#[test]
fn stop_request_is_written_durably_before_it_is_relayed() {
    let mut machine = running(limits());
    let actions = machine.step(sent(signals::SIGTERM), SECOND);
    assert!(matches!(
        actions[..],
        [SupervisorAction::Write(journal::RunEvent::StopRequested { .. }), SupervisorAction::SignalTrainer { .. }]
    ));
    assert_eq!(actions[1], send(signals::SIGTERM));
}

#[test]
fn kill_after_bounds_a_relayed_stop_only_if_given() {
    let mut machine = running(RunLimits { timeout: None, ..limits() });
    machine.step(sent(signals::SIGTERM), SECOND);
    assert_eq!(machine.wake_at(), None);
    let mut machine = running(RunLimits { timeout: None, kill_after_stop: true, ..limits() });
    machine.step(sent(signals::SIGTERM), SECOND);
    assert_eq!(machine.step(SupervisorEvent::Tick, 11 * SECOND), [send(signals::SIGKILL)]);
}

#[test]
fn stop_sent_to_the_group_is_written_and_not_relayed() {
    let mut machine = running(RunLimits { timeout: None, kill_after_stop: true, ..limits() });
    let actions = machine.step(reached(signals::SIGTERM, SignalScope::Group), SECOND);
    assert!(matches!(actions[..], [SupervisorAction::Write(journal::RunEvent::StopRequested { .. })]));
    assert_eq!(machine.step(reached(10, SignalScope::Group), SECOND), []);
    // Only a relayed stop is bounded.
    assert_eq!(machine.wake_at(), None);
}

fn settled(number: i32, scope: SignalScope) -> SupervisorEvent {
    SupervisorEvent::Settled { signal: signal_info(number), scope }
}

#[test]
fn unproven_stop_is_written_at_once_and_relayed_only_without_evidence() {
    for scope in [SignalScope::SupervisorOnly, SignalScope::Group] {
        let mut machine = running(RunLimits { timeout: None, kill_after_stop: true, ..limits() });
        let actions = machine.step(reached(signals::SIGTERM, SignalScope::Unproven), SECOND);
        assert!(matches!(actions[..], [SupervisorAction::Write(journal::RunEvent::StopRequested { .. })]));
        let (relayed, kill_at) = match scope {
            SignalScope::SupervisorOnly => (vec![send(signals::SIGTERM)], Some(12 * SECOND)),
            SignalScope::Group | SignalScope::Unproven | SignalScope::Unknown => (vec![], None),
        };
        assert_eq!((machine.step(settled(signals::SIGTERM, scope), 2 * SECOND), machine.wake_at()), (relayed, kill_at));
        assert_eq!(machine.step(settled(signals::SIGTERM, SignalScope::SupervisorOnly), 2 * SECOND), [], "once");
    }
}

#[test]
fn unproven_signals_are_relayed_before_the_supervisor_stops() {
    let mut machine = running(limits());
    let unproven = SignalScope::Unproven;
    machine.step(reached(signals::SIGTSTP, SignalScope::Group), SECOND);
    assert_eq!(machine.step(reached(signals::SIGCONT, unproven), SECOND), []);
    let actions = machine.step(stopped(signals::SIGTSTP), SECOND);
    assert_eq!(actions, [send(signals::SIGCONT), stop_self(signals::SIGTSTP)]);
}

#[test]
fn stop_request_continues_a_stopped_trainer() {
    let mut machine = running(limits());
    assert_eq!(machine.step(stopped(signals::SIGSTOP), SECOND), []);
    assert_eq!(machine.step(sent(signals::SIGTERM), SECOND)[1..], [send(signals::SIGTERM), send(signals::SIGCONT)]);
    let actions = machine.step(reached(signals::SIGTERM, SignalScope::Group), SECOND);
    assert_eq!(actions[1..], [send(signals::SIGCONT)]);
    machine.step(SupervisorEvent::TrainerContinued, 2 * SECOND);
    assert_eq!(machine.step(sent(signals::SIGTERM), SECOND)[1..], [send(signals::SIGTERM)]);
}

#[test]
fn deadlines_pause_while_the_job_is_stopped() {
    let mut machine = running(limits());
    let in_foreground = SupervisorEvent::TrainerStopped { signal: signals::SIGTSTP, in_foreground: true };
    assert_eq!(machine.step(in_foreground.clone(), 10 * SECOND), [stop_self(signals::SIGTSTP)]);
    assert_eq!(machine.wake_at(), None);
    assert_eq!(machine.step(SupervisorEvent::Tick, 500 * SECOND), []);
    // The supervisor is continued before the trainer.
    machine.step(SupervisorEvent::Resumed, 509 * SECOND);
    assert_eq!(machine.wake_at(), None);
    machine.step(SupervisorEvent::TrainerContinued, 510 * SECOND);
    assert_eq!(machine.wake_at(), Some(560 * SECOND));
    // What stops the trainer alone stops no job.
    machine.step(stopped(signals::SIGSTOP), 550 * SECOND);
    assert_eq!(
        machine.step(SupervisorEvent::Tick, 560 * SECOND)[1..],
        [send(signals::SIGTERM), send(signals::SIGCONT)]
    );
    machine.step(SupervisorEvent::TrainerContinued, 561 * SECOND);
    // The grace period stands still as well.
    machine.step(in_foreground.clone(), 565 * SECOND);
    machine.step(SupervisorEvent::TrainerContinued, 600 * SECOND);
    assert_eq!(machine.wake_at(), Some(605 * SECOND));
    // The end restarts the deadlines.
    machine.step(in_foreground, 601 * SECOND);
    machine.step(SupervisorEvent::TrainerEnded(TrainerExit::Exited { code: 0 }), 602 * SECOND);
    assert_eq!(machine.wake_at(), Some(632 * SECOND));
}

#[test]
fn job_stops_with_the_trainer_only_if_asked_to_stop() {
    for (scope, sent) in [(SignalScope::Group, vec![]), (SignalScope::SupervisorOnly, vec![send(signals::SIGTTIN)])] {
        // The signal and the stop arrive in either order.
        let mut machine = running(limits());
        assert_eq!(machine.step(reached(signals::SIGTTIN, scope), SECOND), sent);
        assert_eq!(machine.step(stopped(signals::SIGTTIN), SECOND), [stop_self(signals::SIGTTIN)]);
        let mut machine = running(limits());
        assert_eq!(machine.step(stopped(signals::SIGTTIN), SECOND), []);
        let expected = [sent, vec![stop_self(signals::SIGTTIN)]].concat();
        assert_eq!(machine.step(reached(signals::SIGTTIN, scope), SECOND), expected);
        // After the continue, a later stop is independent.
        machine.step(SupervisorEvent::TrainerContinued, SECOND);
        machine.step(SupervisorEvent::Resumed, SECOND);
        assert_eq!(machine.step(stopped(signals::SIGSTOP), SECOND), []);
    }
}

// Holds: signals/before-fork-suspend
#[test]
fn without_a_trainer_the_job_stops_at_once() {
    let mut machine = SupervisorMachine::new(limits(), InheritedSignals::default(), Duration::ZERO);
    assert_eq!(machine.step(sent(signals::SIGTSTP), SECOND), [stop_self(signals::SIGTSTP)]);
    assert_eq!(machine.wake_at(), None);
    machine.step(SupervisorEvent::Resumed, 101 * SECOND);
    assert_eq!(machine.wake_at(), Some(105 * SECOND));
    machine.step(recorded(), 102 * SECOND);
    machine.spawned(102 * SECOND);
    machine.step(SupervisorEvent::TrainerEnded(TrainerExit::Exited { code: 0 }), 103 * SECOND);
    assert_eq!(machine.step(sent(signals::SIGTSTP), 104 * SECOND), [stop_self(signals::SIGTSTP)]);
    machine.step(SupervisorEvent::Resumed, 204 * SECOND);
    assert_eq!(machine.wake_at(), Some(233 * SECOND));
}

#[test]
fn trainer_killed_while_stopped_pauses_no_later_wait() {
    let mut machine = running(limits());
    machine.step(stopped(signals::SIGTSTP), SECOND);
    let killed = TrainerExit::Signaled { signal: 9, name: "SIGKILL".into(), oom: false };
    machine.step(SupervisorEvent::TrainerEnded(killed), 2 * SECOND);
    machine.step(sent(signals::SIGTSTP), 3 * SECOND);
    machine.step(SupervisorEvent::Resumed, 103 * SECOND);
    assert_eq!(machine.wake_at(), Some(132 * SECOND));
}

#[test]
fn blocked_stop_request_is_held_for_the_trainer() {
    let inherited = InheritedSignals {
        blocked: [signals::SIGTERM, signals::SIGTSTP].into_iter().collect(),
        ..InheritedSignals::default()
    };
    let mut machine = SupervisorMachine::new(limits(), inherited, Duration::ZERO);
    assert_eq!(machine.step(sent(signals::SIGTSTP), SECOND), []);
    assert_eq!(machine.step(sent(signals::SIGTERM), SECOND), []);
    let actions = machine.step(recorded(), SECOND);
    assert_eq!(actions[1..3], [SupervisorAction::Spawn, send(signals::SIGTSTP)]);
    assert!(matches!(actions[3], SupervisorAction::Write(journal::RunEvent::StopRequested { .. })));
    assert_eq!(actions[4..], [send(signals::SIGTERM)]);
}

#[test]
fn repeated_stop_requests_do_not_grow_the_journal() {
    let mut machine = running(limits());
    let written =
        |actions: &[SupervisorAction]| actions.iter().any(|action| matches!(action, SupervisorAction::Write { .. }));
    let mut times = 0;
    for _ in 0..1000 {
        let actions = machine.step(sent(signals::SIGTERM), SECOND);
        times += u32::from(written(&actions));
        assert_eq!(actions.last(), Some(&send(signals::SIGTERM)));
    }
    assert_eq!(times, STOPS_WRITTEN_MAX);
}

#[test]
fn timeout_terminates_then_kills_and_exits_124() {
    let mut machine = running(limits());
    let actions = machine.step(SupervisorEvent::Tick, 60 * SECOND);
    assert_eq!(actions[1..], [send(signals::SIGTERM), send(signals::SIGCONT)]);
    assert_eq!(machine.step(SupervisorEvent::Tick, 70 * SECOND), [send(signals::SIGKILL)]);
    machine.step(SupervisorEvent::TrainerEnded(TrainerExit::Exited { code: 0 }), 71 * SECOND);
    let over = machine.step(SupervisorEvent::Keeper(ToSupervisor::Final), 72 * SECOND);
    assert_eq!(over, [SupervisorAction::ReapKeeper, SupervisorAction::Exit(EndAs::Code(EXIT_TIMEOUT))]);
}

#[test]
fn late_end_names_only_a_cause_that_still_holds() {
    let retrying = || SupervisorEvent::Keeper(ToSupervisor::Retrying { message: "refused".into() });
    let answered = SupervisorEvent::Keeper(ToSupervisor::Answered);
    for (events, is_named) in [(vec![retrying()], true), (vec![retrying(), answered], false), (vec![], false)] {
        let mut machine = running(RunLimits { timeout: None, ..limits() });
        for event in events {
            machine.step(event, 2 * SECOND);
        }
        machine.step(SupervisorEvent::TrainerEnded(TrainerExit::Exited { code: 0 }), 3 * SECOND);
        let late = machine.step(SupervisorEvent::Tick, 900 * SECOND);
        let [SupervisorAction::Warn { message, .. }, SupervisorAction::Exit(_)] = &late[..] else { panic!("{late:?}") };
        assert_eq!(message.contains("yet: refused;"), is_named, "{message}");
    }
}

// Holds: signals/before-fork-other
#[test]
fn signals_before_the_start_are_held_for_the_trainer() {
    let mut machine = SupervisorMachine::new(limits(), InheritedSignals::default(), Duration::ZERO);
    assert_eq!(machine.step(sent(10), SECOND), []);
    // Also a group signal: the trainer was not in the group yet.
    assert_eq!(machine.step(reached(signals::SIGWINCH, SignalScope::Group), SECOND), []);
    assert_eq!(machine.step(recorded(), SECOND)[1..], [SupervisorAction::Spawn, send(10), send(signals::SIGWINCH)]);
}

#[test]
fn dying_keepers_are_replaced_with_backoff() {
    let mut machine = running(limits());
    assert_eq!(machine.step(SupervisorEvent::KeeperGone, SECOND), [SupervisorAction::StartKeeper]);
    assert_eq!(machine.step(SupervisorEvent::KeeperGone, SECOND), []);
    let next = machine.wake_at().unwrap();
    assert!(next > SECOND && next < 2 * SECOND);
    assert_eq!(machine.step(SupervisorEvent::Tick, next), [SupervisorAction::StartKeeper]);
}

fn event() -> impl Strategy<Value = SupervisorEvent> {
    prop_oneof![
        Just(recorded()),
        Just(SupervisorEvent::Keeper(ToSupervisor::Failed {
            refused: true,
            message: String::new(),
            hint: String::new()
        })),
        Just(SupervisorEvent::Keeper(failed())),
        Just(SupervisorEvent::Keeper(ToSupervisor::Final)),
        Just(SupervisorEvent::KeeperGone),
        (1..65).prop_map(sent),
        (1..65).prop_map(|number| reached(number, SignalScope::Group)),
        (1..65).prop_map(|number| reached(number, SignalScope::Unproven)),
        (1..65).prop_map(|number| settled(number, SignalScope::SupervisorOnly)),
        (1..65).prop_map(|number| SupervisorEvent::Signal {
            signal: SignalInfo { number, sender: Sender::Kernel, value: None },
            scope: SignalScope::Unknown
        }),
        Just(SupervisorEvent::Executed { pid: 1, start_ticks: None }),
        Just(SupervisorEvent::SpawnFailed { not_found: true, message: String::new() }),
        (0..256).prop_map(|code| SupervisorEvent::TrainerEnded(TrainerExit::Exited { code })),
        any::<bool>()
            .prop_map(|in_foreground| SupervisorEvent::TrainerStopped { signal: signals::SIGTSTP, in_foreground }),
        Just(SupervisorEvent::TrainerContinued),
        Just(SupervisorEvent::Tick),
    ]
}

/// Whether the event can occur: trainer events only between spawn and end.
fn possible(event: &SupervisorEvent, spawned: bool, finished: bool) -> bool {
    match event {
        SupervisorEvent::Executed { .. }
        | SupervisorEvent::SpawnFailed { .. }
        | SupervisorEvent::TrainerEnded(_)
        | SupervisorEvent::TrainerStopped { .. }
        | SupervisorEvent::TrainerContinued => spawned && !finished,
        SupervisorEvent::Keeper(_)
        | SupervisorEvent::KeeperGone
        | SupervisorEvent::Signal { .. }
        | SupervisorEvent::Settled { .. }
        | SupervisorEvent::Resumed
        | SupervisorEvent::Tick => true,
    }
}

proptest! {
    #[test]
    fn any_order_of_events_has_one_trainer_one_end_bounded_waits(
        events in prop::collection::vec((event(), 0..20_u32), 1..60),
    ) {
        let mut machine = SupervisorMachine::new(limits(), InheritedSignals::default(), Duration::ZERO);
        let mut now = Duration::ZERO;
        let (mut spawned, mut finished, mut ended) = (0, 0, 0);
        for (event, seconds) in events {
            now += seconds * SECOND;
            if !possible(&event, spawned > 0, finished > 0) {
                continue;
            }
            let mut actions = machine.step(event, now);
            if actions.iter().any(|action| matches!(action, SupervisorAction::StopSelf { .. })) {
                // A SIGCONT resumes the supervisor.
                actions.extend(machine.step(SupervisorEvent::Resumed, now));
            }
            prop_assert!(ended == 0 || actions.is_empty(), "after the end: {actions:?}");
            for action in &actions {
                match action {
                    SupervisorAction::Spawn => { spawned += 1; machine.spawned(now); }
                    SupervisorAction::WriteEnd(_) => finished += 1,
                    SupervisorAction::Exit(_) => ended += 1,
                    SupervisorAction::SignalTrainer { .. } => prop_assert!(spawned > 0 && finished == 0, "signal without a trainer"),
                    SupervisorAction::StartKeeper | SupervisorAction::ReapKeeper | SupervisorAction::Write(_) | SupervisorAction::MoveJournal { .. } | SupervisorAction::StopSelf { .. } | SupervisorAction::Warn { .. } | SupervisorAction::Abandon => {}
                }
            }
            prop_assert!(spawned <= 1 && finished <= 1 && ended <= 1);
            // Only a running trainer may be waited for without a deadline.
            prop_assert!(ended > 0 || spawned > finished || machine.wake_at().is_some());
        }
    }
}
