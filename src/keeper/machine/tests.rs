//! The keeper's decisions: single stories, and the invariants in any order of events.

mod ended;
mod healing;

use proptest::prelude::*;

use super::*;
use crate::record::{Begun, RecordId, RunId};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_mins(5);
const STARTED: JournalFacts = JournalFacts { started: true, stopping: false, ended: false };
const STOPPING: JournalFacts = JournalFacts { stopping: true, ..STARTED };
const ENDED: JournalFacts = JournalFacts { ended: true, ..STARTED };

fn keeper() -> KeeperMachine {
    KeeperMachine::new(30 * SECOND, LEASE, 3600 * SECOND, true, Role::default())
}

fn delivered(ended: bool) -> KeeperEvent {
    let begun = Some(Begun { record_id: RecordId("1".into()), version: None, table: None });
    KeeperEvent::Delivered(Delivered { begun, ended, ..Delivered::default() })
}

fn transient() -> KeeperEvent {
    KeeperEvent::Failed(StoreError::Transient { message: "down".into() })
}

fn permanent() -> KeeperEvent {
    KeeperEvent::Failed(StoreError::Permanent { message: "no right".into(), hint: "grant it".into() })
}

#[test]
fn it_begins_at_once_gives_an_early_sign_of_life_and_then_one_a_heartbeat() {
    let mut keeper = keeper();
    assert_eq!(keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5), [KeeperAction::Attempt]);
    keeper.step(delivered(false), SECOND, 0.5);
    assert_eq!(keeper.wake_at(), None);
    keeper.step(KeeperEvent::Looked(STARTED), 2 * SECOND, 0.5);
    assert_eq!(keeper.wake_at(), Some(3 * SECOND));
    assert_eq!(keeper.step(KeeperEvent::Time, 3 * SECOND, 0.5), [KeeperAction::Attempt]);
    keeper.step(delivered(false), 4 * SECOND, 0.5);
    assert_eq!(keeper.wake_at(), Some(34 * SECOND));
}

#[test]
fn sqlite_file_stays_open_between_close_heartbeats() {
    for (heartbeat, between) in [(SECOND, Keep::Open), (30 * SECOND, Keep::Closed)] {
        let mut keeper = KeeperMachine::new(heartbeat, LEASE, 3600 * SECOND, true, Role::default());
        keeper.is_file = true;
        keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5);
        assert_eq!(keeper.keep(false), Keep::Open);
        keeper.step(delivered(false), SECOND, 0.5);
        keeper.step(KeeperEvent::Looked(STARTED), 2 * SECOND, 0.5);
        assert_eq!(keeper.keep(false), between, "{heartbeat:?}");
        // Nothing comes after the end.
        keeper.step(KeeperEvent::Looked(ENDED), 3 * SECOND, 0.5);
        assert_eq!(keeper.keep(false), Keep::Closed);
    }
}

#[test]
fn server_connection_is_kept_briefly_after_the_begin_only() {
    let mut keeper = KeeperMachine::new(SECOND, LEASE, 3600 * SECOND, true, Role::default());
    keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5);
    assert_eq!(keeper.keep(false), Keep::Briefly);
    keeper.step(delivered(false), SECOND, 0.5);
    keeper.step(KeeperEvent::Looked(STARTED), 2 * SECOND, 0.5);
    assert_eq!([keeper.keep(true), keeper.keep(false)], [Keep::Open, Keep::Closed]);
    keeper.step(KeeperEvent::Looked(ENDED), 3 * SECOND, 0.5);
    assert_eq!(keeper.keep(false), Keep::Closed);
}

#[test]
fn an_end_is_delivered_at_once_then_all_is_removed_and_it_goes() {
    let end = || KeeperAction::Send(ToSupervisor::Final);
    for (is_file, order) in [(true, [KeeperAction::Close, end()]), (false, [end(), KeeperAction::Close])] {
        let mut keeper = KeeperMachine { is_file, ..keeper() };
        keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.5);
        keeper.step(delivered(false), SECOND, 0.5);
        assert_eq!(keeper.step(KeeperEvent::Looked(ENDED), 2 * SECOND, 0.5), [KeeperAction::Attempt]);
        let last = keeper.step(delivered(true), 3 * SECOND, 0.5);
        let settled = [KeeperAction::Remove, KeeperAction::AwaitBacklog].into_iter();
        let expected: Vec<_> = settled.chain(order).chain([KeeperAction::Exit]).collect();
        assert_eq!(last[1..], expected);
    }
}

#[test]
fn an_end_that_comes_during_an_attempt_gets_one_of_its_own() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Looked(ENDED), SECOND, 0.5), []);
    keeper.step(delivered(false), SECOND, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Time, SECOND, 0.5), [KeeperAction::Attempt]);
}

#[test]
fn a_hung_attempt_is_left_behind_with_its_image() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Time, ATTEMPT_DEADLINE / 2, 0.5), []);
    assert_eq!(keeper.step(KeeperEvent::Time, ATTEMPT_DEADLINE, 0.5), [KeeperAction::ReplaceImage]);
    assert_eq!(keeper.role.failures, 1);
}

#[test]
fn an_image_that_replaces_another_gives_up_when_that_one_would_have() {
    for (until, last) in [(60, [KeeperAction::Exit]), (61, [KeeperAction::ReplaceImage])] {
        let role = Role { failures: 6, until: Some(until * SECOND), ..Role::default() };
        let mut keeper = KeeperMachine::new(30 * SECOND, LEASE, 3600 * SECOND, false, role);
        keeper.step(KeeperEvent::Looked(ENDED), 50 * SECOND, 0.5);
        keeper.step(KeeperEvent::SupervisorGone, 50 * SECOND, 0.5);
        assert_eq!(keeper.step(KeeperEvent::Time, 50 * SECOND + ATTEMPT_DEADLINE, 0.5), last);
    }
}

/// A cause from hours ago was named when the end was late.
#[test]
fn causes_are_reported_once_each_and_withdrawn_by_an_answer() {
    let mut keeper = keeper();
    let failed = |message: &str| KeeperEvent::Failed(StoreError::Transient { message: message.into() });
    let retrying = |message: &str| vec![KeeperAction::Send(ToSupervisor::Retrying { message: message.into() })];
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.0);
    let failures = [("a", retrying("a")), ("a", vec![]), ("b", retrying("a; b")), ("a", vec![])];
    for (minute, (message, expected)) in (1..).zip(failures) {
        assert_eq!(keeper.step(failed(message), 60 * minute * SECOND, 1.0), expected, "{minute}");
        keeper.step(KeeperEvent::Time, (60 * minute + 59) * SECOND, 1.0);
    }
    let answered = KeeperAction::Send(ToSupervisor::Answered);
    assert_eq!(keeper.step(delivered(false), 300 * SECOND, 1.0).first(), Some(&answered));
    keeper.step(KeeperEvent::Time, 400 * SECOND, 1.0);
    assert_ne!(keeper.step(delivered(false), 401 * SECOND, 1.0).first(), Some(&answered));
    keeper.step(KeeperEvent::Time, 500 * SECOND, 1.0);
    assert_eq!(keeper.step(failed("a"), 501 * SECOND, 1.0), retrying("a"));
}

/// After a failover each heartbeat tried the dead host first.
#[test]
fn host_that_answered_last_is_asked_first() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.0);
    assert_eq!(keeper.host(), 0);
    keeper.step(transient(), SECOND, 0.0);
    assert_eq!(keeper.host(), 1);
    keeper.step(KeeperEvent::Time, SECOND, 0.0);
    keeper.step(delivered(false), SECOND, 0.0);
    assert_eq!(keeper.host(), 1);
    keeper.step(KeeperEvent::Time, 40 * SECOND, 0.0);
    keeper.step(transient(), 41 * SECOND, 0.0);
    assert_eq!(keeper.host(), 2);
}

/// The row that `--record-id` names stayed with a dead run of the same state directory.
#[test]
fn refused_begin_is_tried_again_behind_the_backlog() {
    let mut keeper = keeper();
    let refused = || KeeperEvent::Failed(StoreError::BadInput { message: "watched".into(), hint: "wait".into() });
    keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5);
    let first = keeper.step(refused(), SECOND, 0.5);
    assert_eq!(first, [KeeperAction::DeliverBacklog, KeeperAction::AwaitBacklog]);
    assert_eq!(keeper.step(KeeperEvent::Time, SECOND, 0.5), [KeeperAction::Attempt]);
    let second = keeper.step(refused(), 2 * SECOND, 0.5);
    assert!(matches!(second[..], [KeeperAction::Send(ToSupervisor::Failed { refused: true, .. })]));
}

/// The run that is in the way may have died with its journal in the same state directory.
#[test]
fn run_beside_its_namesake_is_refused_behind_the_backlog() {
    let mut keeper = keeper();
    let running = || {
        let run_id = RunId(uuid::Uuid::nil());
        KeeperEvent::Failed(StoreError::Running { run_id, message: "record 3".into() })
    };
    keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5);
    let first = keeper.step(running(), SECOND, 0.5);
    assert_eq!(first, [KeeperAction::DeliverBacklog, KeeperAction::AwaitBacklog]);
    assert_eq!(keeper.step(KeeperEvent::Time, SECOND, 0.5), [KeeperAction::Attempt]);
    let second = keeper.step(running(), 2 * SECOND, 0.5);
    assert_eq!(second, [KeeperAction::Send(ToSupervisor::Running { message: "record 3".into() })]);
    assert_eq!(keeper.wake_at(), None);
}

/// A keeper never tried again before the end: a right that was revoked for two seconds silenced a run for days.
#[test]
fn refused_heartbeat_is_reported_once_and_repeated() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.5);
    assert!(matches!(keeper.step(permanent(), SECOND, 0.5)[..], [KeeperAction::Send(ToSupervisor::Failed { .. })]));
    assert_eq!(keeper.wake_at(), Some(31 * SECOND));
    assert_eq!(keeper.step(KeeperEvent::Time, 31 * SECOND, 0.5), [KeeperAction::Attempt]);
    assert_eq!(keeper.step(permanent(), 32 * SECOND, 0.5), []);
    keeper.step(KeeperEvent::Time, 62 * SECOND, 0.5);
    assert!(keeper.step(delivered(false), 63 * SECOND, 0.5).contains(&KeeperAction::Send(ToSupervisor::Restored)));
    // The cause is reported again if it returns.
    keeper.step(KeeperEvent::Time, 93 * SECOND, 0.5);
    assert!(matches!(
        keeper.step(permanent(), 94 * SECOND, 0.5)[..],
        [KeeperAction::Send(ToSupervisor::Failed { .. })]
    ));
}

#[test]
fn refused_end_is_reported_and_left_to_a_later_process() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.5);
    keeper.step(permanent(), SECOND, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Looked(ENDED), 2 * SECOND, 0.5), [KeeperAction::Attempt]);
    let last = keeper.step(permanent(), 3 * SECOND, 0.5);
    assert!(matches!(last[..], [KeeperAction::Send(ToSupervisor::Failed { .. }), KeeperAction::Exit]), "{last:?}");
}

#[test]
fn stop_request_is_a_heartbeat_at_once() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.5);
    keeper.step(delivered(false), SECOND, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Looked(STOPPING), 2 * SECOND, 0.5), [KeeperAction::Attempt]);
    keeper.step(delivered(false), 3 * SECOND, 0.5);
    assert_eq!(keeper.wake_at(), Some(33 * SECOND));
    // Only the first request is a heartbeat.
    assert_eq!(keeper.step(KeeperEvent::Looked(STOPPING), 4 * SECOND, 0.5), []);
}

#[test]
fn stop_request_during_a_heartbeat_is_followed_by_another() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Looked(STOPPING), SECOND, 0.5), []);
    keeper.step(delivered(false), 2 * SECOND, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Time, 2 * SECOND, 0.5), [KeeperAction::Attempt]);
}

#[test]
fn without_a_supervisor_and_without_an_end_it_takes_over() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.5);
    keeper.step(delivered(false), SECOND, 0.5);
    assert_eq!(keeper.step(KeeperEvent::SupervisorGone, 2 * SECOND, 0.5), [KeeperAction::TakeOver]);
    assert_eq!(keeper.step(KeeperEvent::Looked(ENDED), 2 * SECOND, 0.5), [KeeperAction::Attempt]);
}

#[test]
fn a_run_that_has_ended_is_left_to_the_one_that_lingers() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(ENDED), Duration::ZERO, 0.5);
    assert_eq!(keeper.step(KeeperEvent::SupervisorGone, SECOND, 0.5), []);
    assert_eq!(keeper.step(transient(), 2 * SECOND, 0.5), [KeeperAction::Linger]);
}

#[test]
fn a_journal_in_memory_can_be_left_to_nobody() {
    let mut keeper = KeeperMachine::new(30 * SECOND, LEASE, 3600 * SECOND, false, Role::default());
    keeper.step(KeeperEvent::Looked(ENDED), Duration::ZERO, 0.5);
    keeper.step(KeeperEvent::SupervisorGone, SECOND, 0.5);
    assert_eq!(keeper.step(transient(), 2 * SECOND, 0.5), []);
    assert!(keeper.wake_at().is_some());
    keeper.step(KeeperEvent::Time, 10 * SECOND, 0.5);
    assert_eq!(keeper.step(transient(), 3601 * SECOND, 0.5), [KeeperAction::Exit]);
}

#[test]
fn sigterm_leaves_one_last_attempt_after_the_supervisor() {
    let mut keeper = KeeperMachine::new(30 * SECOND, LEASE, 3600 * SECOND, false, Role::default());
    keeper.step(KeeperEvent::Looked(ENDED), Duration::ZERO, 0.5);
    assert_eq!(keeper.step(KeeperEvent::Terminated, SECOND, 0.5), []);
    assert!(matches!(keeper.step(transient(), SECOND, 1.0)[..], [KeeperAction::Send(ToSupervisor::Retrying { .. })]));
    keeper.step(KeeperEvent::SupervisorGone, 2 * SECOND, 1.0);
    keeper.step(KeeperEvent::Time, 3 * SECOND, 1.0);
    assert_eq!(keeper.step(transient(), 4 * SECOND, 1.0), [KeeperAction::Exit]);
}

fn event() -> impl Strategy<Value = KeeperEvent> {
    prop_oneof![
        any::<(bool, bool, bool)>().prop_map(|(started, stopping, ended)| KeeperEvent::Looked(JournalFacts {
            started,
            stopping,
            ended
        })),
        Just(KeeperEvent::SupervisorGone),
        Just(KeeperEvent::Terminated),
        Just(KeeperEvent::Time),
        any::<bool>().prop_map(delivered),
        any::<bool>().prop_map(|has_journals| KeeperEvent::Healed(Healed { has_journals, ..Healed::default() })),
        Just(transient()),
        Just(permanent()),
    ]
}

proptest! {
    #[test]
    fn any_event_order_keeps_the_end_and_one_attempt_at_a_time(
        on_disk in any::<bool>(),
        events in prop::collection::vec((event(), 0..20_u32), 1..80),
    ) {
        let mut keeper = KeeperMachine::new(30 * SECOND, LEASE, 600 * SECOND, on_disk, Role::default());
        let (mut now, mut facts, mut under_way, mut alone, mut permanent, mut refused, mut healing) =
            (Duration::ZERO, JournalFacts::default(), None, false, false, false, false);
        for (event, seconds) in events {
            now += seconds * SECOND;
            let event = match event {
                // The journal only grows, and without a supervisor it does not change.
                KeeperEvent::Looked(looked) if !alone => {
                    facts = JournalFacts {
                        started: facts.started || looked.started,
                        stopping: facts.stopping || looked.stopping,
                        ended: facts.ended || looked.ended,
                    };
                    KeeperEvent::Looked(facts)
                }
                KeeperEvent::SupervisorGone if !alone => { alone = true; KeeperEvent::SupervisorGone }
                KeeperEvent::Delivered(_) if under_way.is_some() => {
                    refused = false;
                    delivered(under_way.take().is_some_and(|facts: JournalFacts| facts.ended))
                }
                KeeperEvent::Failed(error) if under_way.is_some() => {
                    under_way = None;
                    refused = !matches!(error, StoreError::Transient { .. });
                    permanent |= refused;
                    KeeperEvent::Failed(error)
                }
                KeeperEvent::Healed(journals) if healing => { healing = false; KeeperEvent::Healed(journals) }
                KeeperEvent::Terminated => KeeperEvent::Terminated,
                KeeperEvent::Looked(_) | KeeperEvent::SupervisorGone | KeeperEvent::Delivered(_) | KeeperEvent::Failed(_) | KeeperEvent::Time
                | KeeperEvent::NotOurs | KeeperEvent::Healed(_) | KeeperEvent::OnFinishEnded => KeeperEvent::Time,
            };
            let mut gone = false;
            let mut actions = keeper.step(event, now, 0.5);
            if actions.contains(&KeeperAction::TakeOver) {
                facts.ended = true;
                actions = keeper.step(KeeperEvent::Looked(facts), now, 0.5);
            }
            for action in actions {
                match action {
                    KeeperAction::Attempt => {
                        prop_assert!(under_way.is_none(), "two attempts at once");
                        under_way = Some(facts);
                    }
                    KeeperAction::Remove => prop_assert!(facts.ended, "removed before its end was delivered"),
                    KeeperAction::Exit | KeeperAction::Linger | KeeperAction::ReplaceImage => gone = true,
                    KeeperAction::Heal { .. } => {
                        prop_assert!(!healing && !facts.ended, "healed twice at once, or after the end");
                        healing = true;
                    }
                    KeeperAction::Send(_) | KeeperAction::TakeOver | KeeperAction::DeliverBacklog | KeeperAction::AwaitBacklog
                    | KeeperAction::Close | KeeperAction::OnFinish(_) => {}
                }
            }
            if gone {
                break;
            }
            // With an end that is not delivered an attempt is under way or due, unless a person must act first.
            prop_assert!(!facts.ended || permanent || keeper.wake_at().is_some(), "the end is forgotten");
            // A refusal before the end never stops the heartbeats.
            prop_assert!(facts.ended || !refused || keeper.wake_at().is_some(), "the run falls silent");
        }
    }
}
