//! The look at overdue runs beside a run.

use super::*;

fn is_heal(action: &KeeperAction) -> bool {
    matches!(action, KeeperAction::Heal { .. })
}

#[test]
fn overdue_runs_are_ended_after_the_first_heartbeat_and_once_per_lease() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(JournalFacts::default()), Duration::ZERO, 0.5);
    assert!(!keeper.step(delivered(false), SECOND, 0.5).iter().any(is_heal));
    keeper.step(KeeperEvent::Looked(STARTED), SECOND, 0.5);
    let mut healed_at = Vec::new();
    for second in (2..1000).map(|second| second * SECOND) {
        if keeper.step(KeeperEvent::Time, second, 0.5) == [KeeperAction::Attempt]
            && keeper.step(delivered(false), second, 0.5).iter().any(is_heal)
        {
            healed_at.push(second.as_secs());
            keeper.step(KeeperEvent::Healed(Healed::default()), second, 0.5);
        }
    }
    // 0.85 leases, and up to a heartbeat.
    assert_eq!(healed_at, [2, 272, 542, 812]);
}

#[test]
fn a_look_that_hangs_is_not_repeated_and_delays_no_end() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.0);
    assert!(keeper.step(delivered(false), SECOND, 0.0).iter().any(is_heal));
    keeper.step(KeeperEvent::Time, 1000 * SECOND, 0.0);
    assert!(!keeper.step(delivered(false), 1001 * SECOND, 0.0).iter().any(is_heal));
    assert_eq!(keeper.step(KeeperEvent::Looked(ENDED), 1002 * SECOND, 0.0), [KeeperAction::Attempt]);
}

#[test]
fn journals_of_overdue_runs_are_delivered() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(STARTED), Duration::ZERO, 0.0);
    assert_eq!(
        keeper.step(KeeperEvent::Healed(Healed { has_journals: true, ..Healed::default() }), SECOND, 0.0),
        [KeeperAction::DeliverBacklog]
    );
    assert_eq!(keeper.step(KeeperEvent::Healed(Healed::default()), SECOND, 0.0), []);
}
