//! An end that the database refuses is sent again with fewer or shorter values. The end itself is never lost.

use runwrap::record::{Applied, Change, Circumstances, Ending, Progress, Proof, Reason, Report, Run, RunId, Status};
use runwrap::store::StoreError;
use serde_json::{Value, json};

use crate::store::place::{Place, begin, presumption, progress, run, success};
use crate::support::postgres::{Postgres, connect};

/// Ends a run in a table with these columns, after 11 hours, with metrics, a path and a long message.
fn ended(columns: &str, after: &str) -> serde_json::Map<String, Value> {
    let place = Place::postgres();
    place.sql(&format!(
        "CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT, train_start_time TIMESTAMPTZ, {columns}); {after}"
    ));
    let run = run("cifar");
    begin(&place, &run);
    let report = Report { model_path: Some("/m/1.pt".into()), ..progress(r#"{"loss": 0.5}"#).report };
    let told = Progress { report, ..progress("{}") };
    let message = format!("exited with code 1\n{}\nValueError: the last line", "  File \"x.py\"\n".repeat(40));
    let ending = Ending {
        status: Status::Failed,
        reason: Reason::Exit,
        duration_seconds: 40_000,
        exit_code: Some(1),
        error_message: Some(message),
        ..success()
    };
    let mut store = place.open();
    assert_eq!(store.apply(run.run_id, &Change::Finalize(told, ending)).unwrap(), Applied::Written, "{columns}");
    let shown = place.show("1");
    assert_eq!(
        (&shown["status"], &shown["reason"], &shown["exit_code"]),
        (&json!("failed"), &json!("exit"), &json!(1))
    );
    shown
}

const OTHERS: &str = "train_end_time TIMESTAMPTZ, train_metrics JSONB, model_path TEXT, error_message TEXT";

// Holds: failures/value-refused
#[test]
fn duration_that_does_not_fit_is_left_out() {
    for duration in ["SMALLINT", "NUMERIC(4,2)", "INTEGER CHECK (train_duration < 100)"] {
        let shown = ended(&format!("train_duration {duration}, {OTHERS}"), "");
        assert_eq!((&shown["train_duration"], &shown["model_path"]), (&Value::Null, &json!("/m/1.pt")), "{duration}");
        assert_eq!(shown["train_metrics"], json!({"loss": 0.5}));
        assert!(shown["train_end_time"].is_string() && shown["error_message"].is_string());
    }
}

#[test]
fn message_that_a_check_refuses_is_shortened() {
    let columns = OTHERS.replace("error_message TEXT", "error_message TEXT CHECK (length(error_message) <= 250)");
    let shown = ended(&format!("train_duration BIGINT, {columns}"), "");
    let message = shown["error_message"].as_str().unwrap();
    assert!(message.starts_with("exited with code 1…") && message.ends_with("ValueError: the last line"), "{message}");
    assert_eq!((&shown["train_duration"], &shown["model_path"]), (&json!(40_000), &json!("/m/1.pt")));
}

#[test]
fn long_messages_keep_their_first_line_and_their_end() {
    let columns = OTHERS.replace("error_message TEXT", "error_message VARCHAR(255)");
    let message = ended(&format!("train_duration BIGINT, {columns}"), "")["error_message"].clone();
    let message = message.as_str().unwrap();
    assert_eq!(message.chars().count(), 255);
    assert!(message.starts_with("exited with code 1…") && message.ends_with("ValueError: the last line"), "{message}");
}

// Holds: failures/value-refused
#[test]
fn column_that_a_trigger_refuses_is_left_out() {
    for (column, kept) in
        [("model_path", "train_metrics"), ("train_metrics", "model_path"), ("train_duration", "model_path")]
    {
        let trigger = format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN IF NEW.{column} IS NOT NULL THEN RAISE EXCEPTION ''not this''; END IF; RETURN NEW; END';
             CREATE TRIGGER refuse BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION refuse()"
        );
        let shown = ended(&format!("train_duration BIGINT, {OTHERS}"), &trigger);
        assert!(shown[column].is_null() && !shown[kept].is_null(), "{column}");
    }
}

/// One refused value took four others with it.
// Holds: failures/value-refused
#[test]
fn refused_value_takes_no_other_with_it() {
    let all = ["train_duration", "train_metrics", "model_path", "error_message", "train_end_time"];
    for column in all {
        let trigger = format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN IF NEW.{column} IS NOT NULL THEN RAISE EXCEPTION ''not this''; END IF; RETURN NEW; END';
             CREATE TRIGGER refuse BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION refuse()"
        );
        let shown = ended(&format!("train_duration BIGINT, {OTHERS}"), &trigger);
        let missing: Vec<&str> = all.into_iter().filter(|name| shown[*name].is_null()).collect();
        assert_eq!(missing, [column]);
        if column != "error_message" {
            assert!(shown["error_message"].as_str().unwrap().len() > 400, "{column}");
        }
    }
}

/// The shape of the table without the column was remembered to the end.
// Holds: failures/value-refused
#[test]
fn column_that_is_away_for_a_while_is_written_at_the_end() {
    for column in ["train_duration", "error_message", "train_end_time"] {
        let place = Place::postgres();
        let options = place.options();
        let mut store = runwrap::store::open(&place.target, &options).unwrap();
        let run = run("cifar");
        store.begin(&run, None).unwrap();
        place.sql(&format!("ALTER TABLE training_records RENAME COLUMN {column} TO away"));
        assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress(r#"{"a": 1}"#))).unwrap(), Applied::Written);
        place.sql(&format!("ALTER TABLE training_records RENAME COLUMN away TO {column}"));
        let ending =
            Ending { status: Status::Failed, reason: Reason::Exit, error_message: Some("x".into()), ..success() };
        assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), ending)).unwrap(), Applied::Written);
        assert!(!place.show("1")[column].is_null(), "{column}");
    }
}

/// Metrics in a domain over a domain were cut to invalid JSON.
#[test]
fn metrics_that_do_not_fit_are_left_out_whole() {
    for metrics in ["VARCHAR(8)", "nested"] {
        let place = Place::postgres();
        place.sql(&format!(
            "CREATE DOMAIN label AS VARCHAR(8); CREATE DOMAIN nested AS label;
             CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT, train_metrics {metrics}, error_message nested)"
        ));
        let run = run("cifar");
        begin(&place, &run);
        let ending = Ending { status: Status::Failed, error_message: Some("much too long".into()), ..success() };
        let ended = Change::Finalize(progress(r#"{"loss": 0.123456789}"#), ending);
        assert_eq!(place.open().apply(run.run_id, &ended).unwrap(), Applied::Written);
        let shown = place.show("1");
        assert_eq!((&shown["status"], &shown["train_metrics"]), (&json!("failed"), &Value::Null), "{metrics}");
        assert_eq!(shown["error_message"].as_str().unwrap().chars().count(), 8);
    }
}

/// What an application had stored in a `json` column, and jsonb would refuse, stays.
#[test]
fn escaped_nul_in_json_is_kept() {
    let place = Place::postgres();
    place.sql(
        r#"CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT, train_metrics JSON);
        INSERT INTO training_records (id, status, train_metrics) VALUES (7, 'training', '{"note": "a\u0000b"}')"#,
    );
    let run = Run { adopt: Some(runwrap::record::RecordId("7".into())), ..run("cifar") };
    begin(&place, &run);
    assert_eq!(
        place.open().apply(run.run_id, &Change::Finalize(progress(r#"{"loss": 1}"#), success())).unwrap(),
        Applied::Written
    );
    let kept = place.text("SELECT train_metrics AS x FROM training_records").unwrap();
    assert_eq!(kept, r#"{"note":"a\u0000b","loss":1}"#);
}

/// A run that was presumed lost could not come back where the duration must not be null.
#[test]
fn revived_run_keeps_a_duration_that_must_not_be_null() {
    let place = Place::postgres();
    place.sql(
        "CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT, train_start_time TIMESTAMPTZ,
            train_end_time TIMESTAMPTZ, train_duration BIGINT NOT NULL DEFAULT 0, error_message TEXT)",
    );
    let run = run("cifar");
    begin(&place, &run);
    let mut store = place.open();
    assert_eq!(store.apply(run.run_id, &Change::Presume(presumption(Proof::DeadJournal))).unwrap(), Applied::Written);
    assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::InPart);
    let shown = place.show("1");
    assert_eq!(
        (&shown["status"], &shown["train_end_time"], &shown["reason"]),
        (&json!("training"), &Value::Null, &Value::Null)
    );
}

/// The cut mark of the tail itself was refused, and a name outside the encoding gave no record at all.
// Holds: failures/character-refused
#[test]
fn characters_outside_the_encoding_are_replaced() {
    let server = Postgres::shared();
    for encoding in ["LATIN1", "WIN1252", "EUC_CN", "SQL_ASCII"] {
        let name = format!("runs_{}", encoding.to_lowercase());
        let admin = server.target(&server.new_database());
        connect(&admin)
            .batch_execute(&format!(
                "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            ))
            .unwrap();
        let place = Place::at_postgres(server.target(&name));
        let run = Run {
            name: "训练 😀".into(),
            command: vec!["python".into(), "träin 😀.py".into()],
            cwd: "/home/安/é".into(),
            model_path: Some("/m/模型 😀.pt".into()),
            circumstances: Circumstances {
                job: Some("作业 😀".into()),
                tags: [("标签 😀".into(), "é 😀".into())].into(),
                stdout_path: Some("/out/输出".into()),
                ..Circumstances::default()
            },
            is_exclusive: true,
            ..run("x")
        };
        let record_id = begin(&place, &run).record_id.0;
        let ending = Ending {
            status: Status::Failed,
            error_message: Some("exited with code 1\n…“ValueError” — 错误 😀".into()),
            ..success()
        };
        let beside = Run { run_id: RunId(uuid::Uuid::now_v7()), ..run.clone() };
        let refused = place.open().begin(&beside, None);
        assert!(matches!(refused, Err(StoreError::Running { .. })), "{encoding}: {refused:?}");
        let ended = Change::Finalize(progress(r#"{"损失 😀": 1}"#), ending);
        assert_eq!(place.open().apply(run.run_id, &ended).unwrap(), Applied::Written, "{encoding}");
        let shown = place.show(&record_id);
        assert_eq!(shown["status"], "failed", "{encoding}");
        assert!(shown["error_message"].as_str().unwrap().starts_with("exited with code 1\n"), "{encoding}");
        assert!(shown["tags"].is_object() && shown["attempt"] == 1, "{encoding}");
        assert!(shown["train_metrics"].is_object() && shown["command"].is_array(), "{encoding}");
        // A character that the encoding has stays.
        let kept = if ["LATIN1", "WIN1252"].contains(&encoding) { "träin ?.py" } else { "tr?in ?.py" };
        assert!(shown["command"][1] == kept || encoding == "SQL_ASCII", "{encoding}: {}", shown["command"]);
    }
}

/// runwrap's own index refused a path of 3,800 characters.
#[test]
fn long_paths_and_names_break_no_index() {
    let place = Place::postgres();
    let mut state = 1_u64;
    let mut random = |count: usize| -> String {
        let digit = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + u8::try_from(state >> 59).unwrap() % 26)
        };
        (0..count).map(digit).collect()
    };
    let run = Run { name: random(5000), model_path: Some(format!("/{}", random(5000))), ..run("x") };
    begin(&place, &run);
    assert_eq!(place.open().apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Written);
    let shown = place.show("1");
    assert_eq!(
        (shown["name"].as_str(), shown["model_path"].as_str()),
        (Some(run.name.as_str()), run.model_path.as_deref())
    );
}

/// The commit travels with the statement, whose row the server sends before it commits.
#[test]
fn renewal_that_its_commit_refuses_is_not_acknowledged() {
    let place = Place::postgres();
    let (run, heartbeat) = (run("cifar"), Change::Heartbeat(progress("{}")));
    begin(&place, &run);
    let mut store = place.open();
    assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
    place.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
         CREATE CONSTRAINT TRIGGER refuses AFTER UPDATE ON runwrap_runs
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    assert!(!store.renew(run.run_id, progress("{}").seen_at).unwrap());
    place.sql("DROP TRIGGER refuses ON runwrap_runs");
    assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
}
