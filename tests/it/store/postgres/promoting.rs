//! A standby that has been up for long is promoted: every run gets a full lease to find it.

use runwrap::record::{Applied, Change, Proof};
use runwrap::store::open;

use crate::store::place::{Place, begin, presumption, progress, run};
use crate::support::postgres::{Postgres, connect};
use crate::support::wait::wait_until;

fn presume() -> Change {
    Change::Presume(presumption(Proof::Lease))
}

/// All living runs were presumed lost once: the start of the standby was long ago.
// Holds: failures/database-promoted
#[test]
fn each_run_gets_a_lease_after_a_promotion() {
    let primary = Postgres::private();
    let standby = primary.standby();
    let name = primary.new_database();
    let before = Place::at_postgres(primary.target(&name));
    let [heard, silent] = ["heard", "silent"].map(|name| runwrap::record::Run { lease_seconds: 1, ..run(name) });
    begin(&before, &heard);
    begin(&before, &silent);
    before.set_heartbeat(heard.run_id, -9);
    before.set_heartbeat(silent.run_id, -9);
    let count = "SELECT FROM runwrap_runs WHERE heartbeat_at < now() - interval '5 seconds'";
    let exists = || connect(&standby.target("postgres")).query("SELECT FROM pg_database WHERE datname = $1", &[&name]);
    wait_until("the database on the standby", || exists().is_ok_and(|rows| rows.len() == 1));
    wait_until("the rows on the standby", || {
        connect(&standby.target(&name)).query(count, &[]).is_ok_and(|rows| rows.len() == 2)
    });
    let place = Place::at_postgres(standby.target(&name));
    place.wait_until_up_for_a_second();
    // A standby can be read.
    assert_eq!(place.show("1")["status"], "training");
    primary.stop();
    standby.promote();
    let mut store = place.open();
    assert_eq!(store.apply(heard.run_id, &presume()).unwrap(), Applied::Renewed);
    assert_eq!(store.apply(silent.run_id, &presume()).unwrap(), Applied::Renewed);
    assert_eq!(store.apply(silent.run_id, &presume()).unwrap(), Applied::Kept);
    assert_eq!(store.apply(heard.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Written);
    // A lease later the silent run is lost, and a run that found the new primary keeps its usual lease.
    place.set_heartbeat(silent.run_id, -2);
    assert_eq!(store.apply(silent.run_id, &presume()).unwrap(), Applied::Written);
    assert_eq!(store.apply(heard.run_id, &presume()).unwrap(), Applied::Kept);
    place.set_heartbeat(heard.run_id, -2);
    assert_eq!(store.apply(heard.run_id, &presume()).unwrap(), Applied::Written);
}

/// Had its host vanished after such a heartbeat, the run would have got another lease at the first look.
// Holds: failures/database-promoted
#[test]
fn first_heartbeat_after_a_promotion_is_a_whole_one() {
    let primary = Postgres::private();
    let standby = primary.standby();
    let name = primary.new_database();
    let before = Place::at_postgres(primary.target(&name));
    let (run, unknown, heartbeat) = (run("cifar"), run("unknown"), Change::Heartbeat(progress("{}")));
    // The attempts of one keeper share what they have found.
    let options = before.options();
    let mut store = open(&before.target, &options).unwrap();
    store.begin(&run, None).unwrap();
    assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
    assert!(store.renew(run.run_id, progress("{}").seen_at).unwrap());
    // A look at the runs of other hosts changes nothing about it.
    assert_eq!(store.apply(unknown.run_id, &presume()).unwrap(), Applied::Missing);
    wait_until("the run on the standby", || {
        let after = Place::at_postgres(standby.target(&name));
        open(&after.target, &options).is_ok_and(|mut store| store.show("1").is_ok_and(|record| record.is_some()))
    });
    primary.stop();
    standby.promote();
    let after = Place::at_postgres(standby.target(&name));
    let mut store = open(&after.target, &options).unwrap();
    assert!(!store.renew(run.run_id, progress("{}").seen_at).unwrap());
    assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
    assert!(store.renew(run.run_id, progress("{}").seen_at).unwrap());
}

/// Some services refuse the functions that name the timeline.
#[test]
fn without_a_timeline_the_start_of_the_server_serves() {
    let place = Place::postgres();
    place.sql("REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn), pg_current_wal_lsn() FROM PUBLIC");
    place.open().migrate().unwrap();
    let dbname = &place.postgres_target().dbname;
    place.sql(&format!(
        "CREATE ROLE worker_of_{dbname} LOGIN;
         GRANT SELECT, INSERT, UPDATE ON training_records, runwrap_runs, runwrap_versions TO worker_of_{dbname}"
    ));
    let user = format!("worker_of_{dbname}");
    let worker = Place::at_postgres(runwrap::config::PostgresTarget { user, ..place.postgres_target().clone() });
    let run = runwrap::record::Run { lease_seconds: 1, ..run("cifar") };
    begin(&worker, &run);
    place.wait_until_up_for_a_second();
    let start =
        "SELECT timeline = -CAST(extract(epoch FROM pg_postmaster_start_time()) AS bigint) AS x FROM runwrap_runs";
    assert_eq!(place.text(start).as_deref(), Some("true"));
    // Each heartbeat is a whole one there.
    let mut store = worker.open();
    assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Written);
    assert!(!store.renew(run.run_id, progress("{}").seen_at).unwrap());
    worker.set_heartbeat(run.run_id, -2);
    assert_eq!(worker.open().apply(run.run_id, &presume()).unwrap(), Applied::Written);
}
