//! What follows once the database has the end.

use super::*;
use crate::store::RecordView;

fn ended(lacks_series: bool, finished: bool) -> KeeperEvent {
    let finished = finished.then(|| RecordView(serde_json::Map::new()));
    KeeperEvent::Delivered(Delivered { ended: true, lacks_series, finished, ..Delivered::default() })
}

/// The curve of a run was lost if another program locked its table for a second.
#[test]
fn series_that_are_missing_at_the_end_are_delivered_again() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(ENDED), Duration::ZERO, 0.5);
    let actions = keeper.step(ended(true, false), SECOND, 0.5);
    // A thousand keepers that wait must not hold the connections of their server.
    let [.., KeeperAction::Send(ToSupervisor::Final), KeeperAction::Close] = actions[..] else { panic!("{actions:?}") };
    assert!(!actions.contains(&KeeperAction::Remove) && !actions.contains(&KeeperAction::Exit), "{actions:?}");
    assert_eq!(keeper.step(KeeperEvent::SupervisorGone, SECOND, 0.5), [KeeperAction::Linger]);
}

#[test]
fn command_follows_the_removal_and_precedes_the_exit() {
    for alone in [false, true] {
        let mut keeper = keeper();
        keeper.step(KeeperEvent::Looked(ENDED), Duration::ZERO, 0.5);
        let actions = keeper.step(ended(false, true), SECOND, 0.5);
        let [
            KeeperAction::DeliverBacklog,
            KeeperAction::Remove,
            KeeperAction::AwaitBacklog,
            KeeperAction::Close,
            KeeperAction::Send(ToSupervisor::Ended),
            KeeperAction::OnFinish(_),
        ] = actions[..]
        else {
            panic!("{actions:?}")
        };
        if alone {
            // The supervisor need not wait for the command.
            assert_eq!(keeper.step(KeeperEvent::SupervisorGone, 2 * SECOND, 0.5), []);
        }
        assert_eq!(keeper.step(KeeperEvent::Terminated, 3 * SECOND, 0.5), []);
        assert_eq!(keeper.step(KeeperEvent::Time, 30 * SECOND, 0.5), []);
        let last = [KeeperAction::Send(ToSupervisor::Final), KeeperAction::Exit];
        assert_eq!(keeper.step(KeeperEvent::OnFinishEnded, 31 * SECOND, 0.5), last);
    }
}

#[test]
fn command_and_missing_series_do_not_wait_for_each_other() {
    let mut keeper = keeper();
    keeper.step(KeeperEvent::Looked(ENDED), Duration::ZERO, 0.5);
    assert!(
        keeper.step(ended(true, true), SECOND, 0.5).iter().any(|action| matches!(action, KeeperAction::OnFinish(_)))
    );
    assert_eq!(keeper.step(KeeperEvent::Time, 9 * SECOND, 0.5), [KeeperAction::Attempt]);
    assert_eq!(keeper.step(KeeperEvent::OnFinishEnded, 9 * SECOND, 0.5), [KeeperAction::Send(ToSupervisor::Final)]);
    let last = keeper.step(ended(false, false), 10 * SECOND, 0.5);
    assert_eq!(last.last(), Some(&KeeperAction::Exit));
}
