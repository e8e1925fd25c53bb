//! Values in the user's row that are too long to be read by a keeper, whose memory is bounded: they stay, and the run ends.

use runwrap::record::{Applied, Change, Ending, Reason, RecordId, Run, Status};
use runwrap::store::{OpenOptions, open};
use serde_json::json;

use super::conformance;
use super::place::{Place, begin, progress, run, success};

conformance!(a_value_too_long_to_read_keeps_no_end_out, metrics_that_grow_too_long_keep_the_earlier_ones,);

fn failure() -> Ending {
    Ending { status: Status::Failed, reason: Reason::Exit, exit_code: Some(3), ..success() }
}

/// The row was written once more, and could not be read again: the later reports never arrived.
fn metrics_that_grow_too_long_keep_the_earlier_ones(place: &Place) {
    place.open().migrate().unwrap();
    let long = "x".repeat(1_500_000);
    place.sql(&format!(
        "INSERT INTO training_records (id, status, error_message, train_metrics)
         VALUES (7, 'training', '5 bytes, too long to read', '{{\"app\": \"{long}\"}}')"
    ));
    let adopter = Run { adopt: Some(RecordId("7".into())), ..run("cifar") };
    begin(place, &adopter);
    let beat = |metrics: &str| place.open().apply(adopter.run_id, &Change::Heartbeat(progress(metrics))).unwrap();
    assert_eq!(beat(&json!({"large": "y".repeat(900_000)}).to_string()), Applied::Written);
    assert_eq!(beat(r#"{"loss": 1}"#), Applied::Written);
    let ending = Ending { error_message: Some("boom".into()), ..failure() };
    let ended = Change::Finalize(progress(r#"{"loss": 2}"#), ending);
    assert_eq!(place.open().apply(adopter.run_id, &ended).unwrap(), Applied::Written);
    let shown = place.show("7");
    assert_eq!((&shown["status"], &shown["train_metrics"]["loss"]), (&json!("failed"), &json!(2)));
    assert_eq!((shown["train_metrics"]["app"].as_str(), &shown["error_message"]), (Some(&*long), &json!("boom")));
}

/// A keeper reads answers of up to 8 MiB: the row of 9 MB stayed in training, and its journal waited for ever.
// Holds: failures/row-too-long
fn a_value_too_long_to_read_keeps_no_end_out(place: &Place) {
    place.open().migrate().unwrap();
    let options = OpenOptions { answer_bytes_max: 8 << 20, ..place.options() };
    let texts = if place.is_postgres() { "repeat('x', 9000000)" } else { "hex(zeroblob(4500000))" };
    let metrics = if place.is_postgres() {
        "jsonb_build_object('x', repeat('x', 9000000))"
    } else {
        "'{\"x\":\"' || hex(zeroblob(4500000)) || '\"}'"
    };
    for (number, column, value) in
        [(7, "train_metrics", metrics), (8, "error_message", texts), (9, "model_path", texts)]
    {
        place.sql(&format!(
            "INSERT INTO training_records (id, status, {column}) VALUES ({number}, 'training', {value})"
        ));
        let size = format!("SELECT length(CAST({column} AS text)) AS x FROM training_records WHERE id = {number}");
        let long = place.text(&size).unwrap();
        let adopter = Run { adopt: Some(RecordId(number.to_string())), ..run("cifar") };
        let mut store = open(&place.target, &options).unwrap();
        store.begin(&adopter, None).unwrap();
        let reported = progress(r#"{"loss": 1}"#);
        assert_eq!(store.apply(adopter.run_id, &Change::Heartbeat(reported.clone())).unwrap(), Applied::Written);
        let ended = Change::Finalize(reported, failure());
        assert_eq!(store.apply(adopter.run_id, &ended).unwrap(), Applied::Written, "{column}");
        assert_eq!(
            (place.show(&number.to_string())["status"].clone(), place.text(&size).unwrap()),
            (json!("failed"), long)
        );
    }
}
