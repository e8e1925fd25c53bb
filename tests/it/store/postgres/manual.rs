//! The SQL of docs/postgresql.md, in its order, in one database.

use std::collections::BTreeMap;

use runwrap::config::PostgresTarget;
use runwrap::record::{Applied, Change};
use runwrap::store::{OpenOptions, open};

use crate::store::place::{Place, progress, run, success};
use crate::support::postgres::{Postgres, connect};

/// The SQL blocks of the page, by the word behind `sql`.
fn blocks() -> BTreeMap<String, String> {
    let page = include_str!("../../../../docs/postgresql.md");
    let blocks = page.split("```sql ").skip(1).filter_map(|block| block.split("```").next()?.split_once('\n'));
    blocks.map(|(name, sql)| (name.to_owned(), sql.to_owned())).collect()
}

#[test]
fn sql_of_the_page_sets_up_a_database() {
    let server = Postgres::private();
    let admin = Place::at_postgres(server.target("postgres"));
    let blocks = blocks();
    let apply = |name: &str| connect(admin.postgres_target()).batch_execute(&blocks[name]).unwrap();
    apply("setup");
    let options = |table: &str| OpenOptions { table: table.into(), migrate: false, ..admin.options() };
    let printed = open(&admin.target, &options("ml.training_records")).unwrap().missing_sql().unwrap();
    connect(admin.postgres_target()).batch_execute(&printed).unwrap();
    for name in ["grants", "limit", "view"] {
        apply(name);
    }
    let trainer = PostgresTarget { user: "trainer".into(), ..admin.postgres_target().clone() };
    let trainer = Place::at_postgres(trainer);
    for table in ["training_records", "ml.training_records", "ml.job_records"] {
        let mut store = open(&trainer.target, &options(table)).unwrap();
        let run = run("cifar");
        let begun = store.begin(&run, None).unwrap();
        let ended = Change::Finalize(progress("{}"), success());
        assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written, "{table}");
        assert_eq!(store.show(&begun.record_id.0).unwrap().unwrap().0["status"], "completed", "{table}");
    }
    admin.sql("UPDATE ml.training_records SET train_end_time = '2020-01-01'");
    apply("retention");
    assert_eq!((admin.count("ml.training_records"), admin.count("ml.jobs"), admin.count("ml.runwrap_runs")), (0, 1, 1));
}
