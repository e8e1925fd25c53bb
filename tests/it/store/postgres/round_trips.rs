//! The cost of a run on the wire, counted by a proxy: each round trip of a transaction holds the run's row locked.

use runwrap::config::{PostgresTarget, SslMode};
use runwrap::record::{Change, Ending, Progress, Report};
use runwrap::store::{OpenOptions, Store, open};

use crate::store::place::{Place, progress, run, success};
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;

/// The round trips of `work` on a connection that is open already.
fn cost(proxy: &Proxy, place: &Place, options: &OpenOptions, work: impl FnOnce(&mut Store)) -> usize {
    let mut store = open(&place.target, options).unwrap();
    let before = proxy.round_trips();
    work(&mut store);
    proxy.round_trips() - before
}

/// With the options of a keeper: its attempts share the shape of the tables, which only the first one reads.
#[test]
fn round_trips_of_a_run_are_bounded() {
    let server = Postgres::shared();
    let proxy = Proxy::before(server.port());
    let target = server.tcp_target(&server.new_database(), "127.0.0.1");
    let target = PostgresTarget { sslmode: SslMode::Disable, ..target };
    let mut hosts = target.hosts.clone();
    hosts[0].port = proxy.port();
    let place = Place::at_postgres(PostgresTarget { hosts, ..target });
    // Creates the tables and the counter of the name.
    place.open().begin(&run("cifar"), None).unwrap();

    let options = place.options();
    let run = run("cifar");
    let cost = |work: &dyn Fn(&mut Store)| cost(&proxy, &place, &options, work);
    let known = std::cell::OnceCell::new();
    let begin = cost(&|store| known.set(store.begin(&run, None).unwrap()).unwrap());
    assert!(begin <= 5, "begin: {begin}");
    let beat = |metrics: &str| {
        let heartbeat = Change::Heartbeat(progress(metrics));
        cost(&|store| _ = store.apply(run.run_id, &heartbeat).unwrap())
    };
    let (news, silence) = (beat(r#"{"loss": 1}"#), beat(r#"{"loss": 1.0}"#));
    assert!(news <= 4 && silence <= 3, "heartbeat: {news} with news, {silence} without");
    let renewed = cost(&|store| assert!(store.renew(run.run_id, progress("{}").seen_at).unwrap()));
    assert_eq!(renewed, 1, "a heartbeat that brings nothing but time");
    // Every keeper looks once per lease: with 1,000 runs at the default lease that is 4 statements a second.
    assert_eq!(cost(&|store| assert_eq!(store.overdue(9).unwrap(), [])), 1, "a look at overdue runs");
    let report = Report { model_path: Some("/m/1.pt".into()), ..Report::default() };
    let ending = Ending { error_message: Some("late".into()), ..success() };
    let ended = Change::Finalize(Progress { report, ..progress("{}") }, ending);
    let end = cost(&|store| _ = store.apply(run.run_id, &ended).unwrap());
    assert!(end <= 4, "end: {end}");
    // Proves that the proxy counts: each statement of this transaction is one round trip.
    let again = cost(&|store| _ = store.begin(&run, known.get()).unwrap());
    assert!((3..=5).contains(&again), "begin again: {again}");
}
