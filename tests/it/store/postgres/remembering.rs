//! The record that a process remembers from the begin is read with the lock of the run's row, before that row names the record.

use runwrap::record::{Applied, Change};

use crate::store::place::{Place, progress, run, success};
use crate::support::postgres::{Postgres, connect};

/// A restore without the key: the end was written into the run's rows, and never into the record.
// Holds: failures/database-restored
#[test]
fn doubled_row_of_a_run_is_not_read_as_its_record() {
    let place = Place::postgres();
    let (run, mut store) = (run("cifar"), place.open());
    store.begin(&run, None).unwrap();
    place.sql(
        "ALTER TABLE runwrap_runs DROP CONSTRAINT runwrap_runs_pkey CASCADE;
         INSERT INTO runwrap_runs SELECT * FROM runwrap_runs",
    );
    let ended = Change::Finalize(progress("{}"), success());
    assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
    assert_eq!(place.text("SELECT status AS x FROM training_records").unwrap(), "completed");
}

/// The end was refused for as long as the process remembered the row.
#[test]
fn unreadable_row_that_the_run_has_left_keeps_no_end_away() {
    let server = Postgres::shared();
    connect(&server.target(&server.new_database()))
        .batch_execute("CREATE DATABASE unreadable ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .unwrap();
    let place = Place::at_postgres(server.target("unreadable"));
    let (run, mut store) = (run("cifar"), place.open());
    store.begin(&run, None).unwrap();
    place.sql(
        r"INSERT INTO training_records (id, status) VALUES (77, 'training');
          UPDATE runwrap_runs SET record_id = '77';
          UPDATE training_records SET error_message = E'\xff' WHERE id = 1",
    );
    let ended = Change::Finalize(progress("{}"), success());
    assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
    let statuses = place.texts("SELECT status AS x FROM training_records ORDER BY id");
    assert_eq!(statuses, ["training", "completed"].map(|status| Some(status.to_owned())));
}
