//! The cost of a run on the wire, counted by a proxy: each round trip of a transaction holds the run's row locked.

use std::thread;

use runwrap::config::{PostgresTarget, SslMode};
use runwrap::record::{Applied, Change, Ending, Progress, Report, Run, RunId};
use runwrap::store::{OpenOptions, Store, open};
use serde_json::json;

use super::racing::WAITING;
use crate::store::place::{Place, progress, run, success};
use crate::support::postgres::{Postgres, connect};
use crate::support::proxy::Proxy;
use crate::support::wait::wait_until;

/// The round trips of `work` on a connection that is open already.
fn cost(proxy: &Proxy, place: &Place, options: &OpenOptions, work: impl FnOnce(&mut Store)) -> usize {
    let mut store = open(&place.target, options).unwrap();
    let before = proxy.round_trips();
    work(&mut store);
    proxy.round_trips() - before
}

/// A database behind a proxy. It has the tables, and the counter of the name `cifar`.
fn proxied() -> (Proxy, Place) {
    let server = Postgres::shared();
    let proxy = Proxy::before(server.port());
    let target = server.tcp_target(&server.new_database(), "127.0.0.1");
    let target = PostgresTarget { sslmode: SslMode::Disable, ..target };
    let mut hosts = target.hosts.clone();
    hosts[0].port = proxy.port();
    let place = Place::at_postgres(PostgresTarget { hosts, ..target });
    place.open().begin(&run("cifar"), None).unwrap();
    (proxy, place)
}

/// With the options of a keeper: its attempts share the shape of the tables, which only the first one reads.
#[test]
fn round_trips_of_a_run_are_bounded() {
    let (proxy, place) = proxied();
    let options = place.options();
    let run = run("cifar");
    let cost = |work: &dyn Fn(&mut Store)| cost(&proxy, &place, &options, work);
    let known = std::cell::OnceCell::new();
    let begin = cost(&|store| known.set(store.begin(&run, None).unwrap()).unwrap());
    assert_eq!(begin, 5, "begin");
    let beat = |metrics: &str| {
        let heartbeat = Change::Heartbeat(progress(metrics));
        cost(&|store| _ = store.apply(run.run_id, &heartbeat).unwrap())
    };
    let (news, silence) = (beat(r#"{"loss": 1}"#), beat(r#"{"loss": 1.0}"#));
    assert_eq!((news, silence), (3, 2), "heartbeat with news, and without");
    let renewed = cost(&|store| assert!(store.renew(run.run_id, progress("{}").seen_at).unwrap()));
    assert_eq!(renewed, 1, "a heartbeat that brings nothing but time");
    // Every keeper looks once per lease: with 1,000 runs at the default lease that is 4 statements a second.
    assert_eq!(cost(&|store| assert_eq!(store.overdue(9).unwrap(), [])), 1, "a look at overdue runs");
    let report = Report { model_path: Some("/m/1.pt".into()), ..Report::default() };
    let ending = Ending { error_message: Some("late".into()), ..success() };
    let ended = Change::Finalize(Progress { report, ..progress("{}") }, ending);
    let end = cost(&|store| _ = store.apply(run.run_id, &ended).unwrap());
    assert_eq!(end, 3, "end");
    // The tables are known: lock the run's row, read the record, commit.
    assert_eq!(cost(&|store| _ = store.begin(&run, known.get()).unwrap()), 3, "begin again");
    let other = Run { run_id: RunId(uuid::Uuid::now_v7()), ..run.clone() };
    let whole = cost(&|store| {
        let both = |store: &mut Store| store.begin(&other, None).and_then(|_begun| store.apply(other.run_id, &ended));
        assert_eq!(store.together(true, both).unwrap(), Applied::Written);
    });
    // Each of the two transactions is a savepoint.
    assert_eq!(whole, 10, "a run that is delivered whole");
}

/// The record is read in the round trip of the lock, and still as the lock's holder left it: an older reading would cost two more
/// round trips, since the update compares.
#[test]
fn record_is_read_after_the_wait_for_the_lock() {
    let (proxy, place) = proxied();
    let (options, run) = (place.options(), run("cifar"));
    let record_id = open(&place.target, &options).unwrap().begin(&run, None).unwrap().record_id;
    // Not through the proxy.
    let direct = Postgres::shared().target(&place.postgres_target().dbname);
    let (mut client, mut observer) = (connect(&direct), connect(&direct));
    let mut holder = client.transaction().unwrap();
    let held = format!(
        "SELECT FROM runwrap_runs WHERE run_id = '{}' FOR UPDATE;
         UPDATE training_records SET train_metrics = '{{\"loss\": 1}}' WHERE id = {record_id}",
        run.run_id
    );
    holder.batch_execute(&held).unwrap();
    let ended = Change::Finalize(progress(r#"{"accuracy": 1}"#), success());
    let end = |store: &mut Store| assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
    let mut store = open(&place.target, &options).unwrap();
    let before = proxy.round_trips();
    thread::scope(|scope| {
        let end = scope.spawn(|| end(&mut store));
        wait_until("the end waits for the lock", || observer.query_one(WAITING, &[]).unwrap().get::<_, i64>(0) == 1);
        holder.commit().unwrap();
        end.join().unwrap();
    });
    assert_eq!(proxy.round_trips() - before, 3);
    assert_eq!(place.show(&record_id.0)["train_metrics"], json!({"loss": 1, "accuracy": 1}));
}
