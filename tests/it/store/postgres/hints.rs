//! The next step that an error of the server or of a pooler proposes names the setting that is wrong.

use runwrap::config::PostgresTarget;
use runwrap::record::Run;
use runwrap::store::StoreError;

use crate::store::place::{Place, begin, run};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Postgres, connect};

/// The error of a begin, as text with its hint.
fn refused(place: &Place, run: &Run) -> String {
    match place.open().begin(run, None) {
        Err(StoreError::Permanent { message, hint } | StoreError::BadInput { message, hint }) => {
            format!("{message}; {hint}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refused_values_name_the_option() {
    let path = Place::postgres();
    path.sql("CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT, model_path TEXT NOT NULL)");
    assert!(refused(&path, &run("cifar")).contains("--model-path"));
    let version = Place::postgres();
    version.sql(
        "CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT, version TEXT NOT NULL UNIQUE CHECK (version = 'a'))",
    );
    let first = Run { version: Some("a".into()), ..run("cifar") };
    begin(&version, &first);
    let message = refused(&version, &Run { version: Some("a".into()), ..run("cifar") });
    assert!(message.contains("--model-version"), "{message}");
}

#[test]
fn row_level_security_names_the_policies() {
    let place = Place::postgres();
    place.open().migrate().unwrap();
    let user = format!("row_{}", place.postgres_target().dbname);
    place.sql(&format!(
        "CREATE ROLE {user} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {user};
         ALTER TABLE training_records ENABLE ROW LEVEL SECURITY"
    ));
    let worker = Place::at_postgres(PostgresTarget { user, ..place.postgres_target().clone() });
    assert!(refused(&worker, &run("cifar")).contains("policies"));
}

#[test]
fn pooler_names_its_setting() {
    let server = Postgres::shared();
    let target = server.target(&server.new_database());
    let transactions = PgBouncer::before(server, 4);
    let options = PostgresTarget { options: Some("-c search_path=public".into()), ..transactions.target(&target) };
    let place = Place::at_postgres(options);
    match runwrap::store::open(&place.target, &place.options()) {
        Err(StoreError::Permanent { hint, .. }) => assert!(hint.contains("ignore_startup_parameters"), "{hint}"),
        other => panic!("{:?}", other.map(|_store| ())),
    }
    let statements = PgBouncer::in_mode("statement", server, 4);
    let place = Place::at_postgres(statements.target(&target));
    match place.open().begin(&run("cifar"), None) {
        Err(StoreError::Permanent { hint, .. }) => assert!(hint.contains("pool_mode=transaction"), "{hint}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn read_only_server_names_target_session_attrs() {
    let server = Postgres::shared();
    let name = server.new_database();
    let place = Place::at_postgres(server.target(&name));
    place.open().migrate().unwrap();
    connect(&server.target("postgres"))
        .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .unwrap();
    match place.open().begin(&run("cifar"), None) {
        Err(StoreError::Transient { message }) => {
            assert!(message.contains("target_session_attrs=read-write"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}
