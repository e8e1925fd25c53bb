//! The values of a record in groups, each with its label. A value that no group has is of the user's own table. Pure.

use serde_json::{Map, Value};

use super::fields::{Fact, brief, flat, page_of, runs_with, shell_words, shown};
use super::frame::Frame;
use super::labels::Labels;
use super::time::{Moment, span};
use crate::output;
use crate::store::RecordView;
use crate::web::look::value;

/// So many members of the context, and columns of the user's own, are shown. The API has them all.
const MEMBERS_MAX: usize = 200;

/// How a value is shown.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Code,
    Time,
    Seconds,
    Bytes,
    Words,
    /// Only if it is true.
    Truth,
    /// A line for each of its keys.
    Object,
    /// The runs of the list that have the same value.
    Filter,
    /// The page of another run.
    Run,
}

type Group = (&'static str, Vec<(&'static str, &'static str, Kind)>);

fn all_groups(l: &'static Labels) -> [Group; 4] {
    use Kind::{Bytes, Code, Filter, Object, Plain, Run, Seconds, Time, Truth, Words};
    [
        (
            l.result,
            vec![
                ("exit_code", l.exit_code, Plain),
                ("signal", l.signal, Plain),
                ("stop_signal", l.stop_signal, Plain),
                ("presumed", l.presumed, Truth),
                ("model_path", l.model, Code),
                ("model_bytes", l.model_bytes, Bytes),
            ],
        ),
        (
            l.process,
            vec![
                ("command", l.command, Words),
                ("cwd", l.directory, Code),
                ("host", l.host, Filter),
                ("username", l.user, Plain),
                ("pid", l.pid, Plain),
                ("stdout_path", l.stdout, Code),
                ("stderr_path", l.stderr, Code),
            ],
        ),
        (
            l.resources,
            vec![
                ("cpu_user_seconds", l.cpu_user, Seconds),
                ("cpu_system_seconds", l.cpu_system, Seconds),
                ("max_rss_bytes", l.memory, Bytes),
            ],
        ),
        (
            l.circumstances,
            vec![
                ("job", l.job, Filter),
                ("attempt", l.attempt, Plain),
                ("parent_run_id", l.parent, Run),
                ("context", "", Object),
                ("created_at", l.created, Time),
                ("heartbeat_at", l.heartbeat, Time),
                ("last_seen_at", l.last_seen_at, Time),
                ("lease_seconds", l.lease, Seconds),
                ("run_id", l.run_id, Code),
                ("runwrap_version", "runwrap", Plain),
            ],
        ),
    ]
}

/// Keys that another part of the page has, and one that repeats the id.
const ELSEWHERE: [&str; 18] = [
    "id",
    "record_id",
    "name",
    "version",
    "status",
    "reason",
    "tags",
    "error_message",
    "train_metrics",
    "train_start_time",
    "train_end_time",
    "train_duration",
    "elapsed_seconds",
    "last_seen_seconds_ago",
    "attempts",
    "children",
    "recovered_at",
    "recovered_by",
];

/// The groups with a value. A key that none of them has is of the user's own table.
pub(super) fn groups(frame: &Frame, record: &RecordView) -> Vec<(&'static str, Vec<Fact>)> {
    let all = all_groups(frame.labels());
    let is_own = |key: &str| {
        !ELSEWHERE.contains(&key) && all.iter().all(|(_, keys)| keys.iter().all(|(known, ..)| *known != key))
    };
    let own = record.0.iter().filter(|(key, value)| !value.is_null() && is_own(key));
    let own = own.take(MEMBERS_MAX).map(|(key, value)| Fact::text(key, shown(value))).collect();
    let groups = all.iter().map(|(heading, keys)| {
        let facts = keys.iter().flat_map(|(key, label, kind)| facts(frame, label, *kind, value(record, key), key));
        (*heading, facts.collect::<Vec<_>>())
    });
    let further = std::iter::once((frame.labels().further, own));
    groups.chain(further).filter(|(_, facts)| !facts.is_empty()).collect()
}

fn facts(frame: &Frame, label: &str, kind: Kind, value: &Value, key: &str) -> Vec<Fact> {
    let labels = frame.labels();
    let plain = || Fact::text(label, shown(value));
    let fact = match (kind, value) {
        (_, Value::Null) => return Vec::new(),
        (Kind::Object, Value::Object(object)) => return members(object),
        (Kind::Truth, Value::Bool(false)) => return Vec::new(),
        (Kind::Truth, Value::Bool(true)) => Fact::text(label, labels.yes.to_owned()),
        (Kind::Code, value) => Fact::code(label, shown(value)),
        (Kind::Words, Value::Array(words)) => Fact::code(label, shell_words(words)),
        (Kind::Time, value) => Fact::moment(label, Moment::of(labels, &shown(value), frame.now)),
        (Kind::Seconds, value) => {
            value.as_f64().map_or_else(plain, |number| Fact::text(label, seconds(labels, number)))
        }
        (Kind::Bytes, value) => value.as_u64().map_or_else(plain, |size| Fact::text(label, output::bytes(size))),
        (Kind::Filter, value) => runs_with(frame, label, key, shown(value)),
        (Kind::Run, value) => Fact::link(label, shown(value), page_of(frame, &shown(value))),
        (Kind::Plain | Kind::Truth | Kind::Words | Kind::Object, _) => plain(),
    };
    vec![fact]
}

/// The context without the parts that have a place of their own.
fn members(object: &Map<String, Value>) -> Vec<Fact> {
    let members = flat("", object).into_iter();
    let members = members.filter(|(key, _)| key != "notes" && key != "finalized");
    members.take(MEMBERS_MAX).map(|(key, value)| Fact::text(&key.replace('_', " "), brief(value))).collect()
}

fn seconds(labels: &Labels, seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = seconds.max(0.0) as u64;
    if whole < 60 { format!("{}{}", output::number(seconds), labels.seconds) } else { span(labels, whole, 4) }
}
