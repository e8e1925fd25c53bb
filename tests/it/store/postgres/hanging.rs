//! A server that is down or does not answer: every attempt ends by its deadline, and no acknowledged write is lost.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use runwrap::config::PostgresTarget;
use runwrap::record::{Applied, Change};
use runwrap::store::{OpenOptions, Store, StoreError, attempt};

use crate::store::place::{Place, begin, progress, run, success, transient};
use crate::support::postgres::{Postgres, connect};

const SHORT: Duration = Duration::from_millis(700);

#[test]
fn silent_server_does_not_delay_a_command_past_its_deadline() {
    let server = Postgres::private();
    let target = server.target("postgres");
    let place = Place::at_postgres(target);
    let first = run("cifar");
    begin(&place, &first);
    server.freeze();
    let start = Instant::now();
    let (run_id, ended) = (first.run_id, Change::Finalize(progress("{}"), success()));
    let retried = ended.clone();
    let silent = place.within(SHORT, place.options(), move |store| store.apply(run_id, &ended));
    assert!(transient(silent).ends_with("did not answer within 700ms"));
    assert!(start.elapsed() < Duration::from_secs(10));
    server.thaw();
    // The server may have executed the abandoned statement. To send it again is safe either way.
    assert_ne!(place.open().apply(run_id, &retried).unwrap(), Applied::Missing);
    assert_eq!(place.show("1")["status"], "completed");
    server.stop();
    let down = place.within(SHORT * 10, place.options(), Store::migrate);
    transient(down);
    server.start();
    assert_eq!(place.open().apply(run_id, &retried).unwrap(), Applied::Kept);
}

#[test]
fn waiter_is_woken_after_the_answer_is_stored() {
    let place = Place::postgres();
    let (wake, woken) = channel();
    let mut attempts = attempt::Attempts::on(place.target.clone());
    let done = move || wake.send(()).unwrap();
    let answer = attempts.start(place.options(), attempt::Keep::Closed, Store::migrate, done);
    woken.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(answer.try_recv().unwrap().unwrap(), 9);
}

#[test]
fn panic_in_the_client_is_a_transient_error() {
    let place = Place::sqlite();
    let work = |_store: &mut runwrap::store::Store| -> Result<(), StoreError> { panic!("on purpose") };
    transient(place.within(SHORT * 10, place.options(), work));
}

/// Another transaction holds the lock of the row.
#[test]
fn lock_wait_ends_with_the_statement_timeout() {
    let place = Place::postgres();
    let run = run("cifar");
    begin(&place, &run);
    let mut holder = connect(place.postgres_target());
    let mut held = holder.transaction().unwrap();
    held.batch_execute("SELECT * FROM training_records FOR UPDATE").unwrap();
    let options = OpenOptions { statement_timeout: Duration::from_millis(200), ..place.options() };
    let mut store = runwrap::store::open(&place.target, &options).unwrap();
    let ended = Change::Finalize(progress("{}"), success());
    transient(store.apply(run.run_id, &ended));
    held.rollback().unwrap();
    assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
}

/// The answer to a commit is lost; the same record sent again is stored once.
#[test]
fn crashed_server_loses_nothing_that_it_acknowledged() {
    let server = Postgres::private();
    let target = PostgresTarget { user: "admin".into(), ..server.target("postgres") };
    let place = Place::at_postgres(target);
    let run = run("cifar");
    let mut store = place.open();
    let begun = store.begin(&run, None).unwrap();
    server.stop();
    transient(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))));
    server.start();
    assert_eq!(place.open().begin(&run, Some(&begun)).unwrap(), begun);
    assert_eq!(place.count("training_records"), 1);
}
