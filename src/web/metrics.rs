//! The metrics in Prometheus' formats, for `/metrics` and for the textfile of node_exporter. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::look::ErrorClass;
use crate::record::{Reason, Status};
use crate::store::{Gauges, Pulse};

/// The format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    OpenMetrics,
    /// Version 0.0.4: what node_exporter reads.
    Prometheus,
}

impl MetricsFormat {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// The numbers.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// `None`: the database does not answer. An old number would look like a present one.
    pub gauges: Option<Gauges>,
    /// `None`: the state directory cannot be read, or was not looked at yet.
    pub undelivered: Option<usize>,
    /// By reason, since this process started.
    pub recovered: BTreeMap<String, u64>,
    pub errors: BTreeMap<ErrorClass, u64>,
}

type Labels = Vec<(&'static str, String)>;
type Gauged = Family<Labels, Gauge<f64, AtomicU64>>;
type Counted = Family<Labels, Counter>;

/// Renders the metrics.
///
/// # Errors
/// The library cannot encode a value, which is a bug in it.
pub fn render(figures: &Figures, format: MetricsFormat) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("runwrap");
    if let Some(gauges) = &figures.gauges {
        runs(&mut registry, gauges);
        pulse(&mut registry, &gauges.pulse);
        successes(&mut registry, gauges);
    }
    let up = gauge(&mut registry, "database_up", "Whether the database has answered");
    set(&up, &vec![], if figures.gauges.is_some() { 1.0 } else { 0.0 });
    if let Some(count) = figures.undelivered {
        let help = "Journals in the state directory of this host that wait for their delivery";
        set(&gauge(&mut registry, "undelivered_journals", help), &vec![], number(count as u64));
    }
    let recovered = Counted::default();
    let help = "Records that the recovery of this process has ended, by reason";
    registry.register("recovered", help, recovered.clone());
    for reason in [Reason::Lost, Reason::Stuck].map(|reason| reason.to_string()) {
        drop(recovered.get_or_create(&vec![("reason", reason)]));
    }
    for (reason, count) in &figures.recovered {
        recovered.get_or_create(&vec![("reason", reason.clone())]).inc_by(*count);
    }
    let errors = Counted::default();
    let help =
        "Failed questions of this process to the database: transient ones may pass, permanent ones need a person";
    registry.register("database_errors", help, errors.clone());
    for class in ErrorClass::ALL {
        let count = figures.errors.get(&class).copied().unwrap_or_default();
        errors.get_or_create(&vec![("class", class.as_str().to_owned())]).inc_by(count);
    }
    let build = gauge(&mut registry, "build_info", "The version of runwrap; always 1");
    let version = ("version", env!("CARGO_PKG_VERSION").to_owned());
    set(&build, &vec![version, ("commit", env!("RUNWRAP_BUILD_COMMIT").to_owned())], 1.0);

    let mut rendered = String::new();
    match format {
        MetricsFormat::OpenMetrics => text::encode(&mut rendered, &registry)?,
        MetricsFormat::Prometheus => prometheus_text::encode(&mut rendered, &registry)?,
    }
    Ok(rendered)
}

fn runs(registry: &mut Registry, gauges: &Gauges) {
    let help = "Runs by status and reason: all runs in training, which have no reason yet, and of the ended ones those that began \
        within 24 hours, among the newest 10000 runs";
    let runs = gauge(registry, "runs", help);
    let labels = |status: &str, reason: &str| vec![("status", status.to_owned()), ("reason", reason.to_owned())];
    set(&runs, &labels(Status::Training.as_str(), ""), number(gauges.pulse.live));
    for ((status, reason), count) in &gauges.ended {
        set(&runs, &labels(status, reason), number(*count));
    }
}

fn pulse(registry: &mut Registry, pulse: &Pulse) {
    let help = "The age of the oldest last heartbeat among the runs in training; 0 without such runs";
    let age = gauge(registry, "oldest_heartbeat_age_seconds", help);
    set(&age, &vec![], pulse.oldest_heartbeat_seconds.unwrap_or_default());
    let overdue = gauge(registry, "overdue_runs", "Runs in training whose lease has run out: a recovery ends them");
    set(&overdue, &vec![], number(pulse.overdue));
}

fn successes(registry: &mut Registry, gauges: &Gauges) {
    let help = "The end of the last completed run of a name, among its newest 200 runs; at most 3000 names";
    let ends = gauge(registry, "last_success_timestamp_seconds", help);
    let durations = gauge(registry, "last_duration_seconds", "The duration of that run");
    for last in &gauges.last_successes {
        let labels = || vec![("name", last.name.clone())];
        if let Some(ended_at) = last.ended_at {
            #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are exact in 53 bits")]
            let seconds = ended_at.timestamp_micros() as f64 / 1e6;
            set(&ends, &labels(), seconds);
        }
        if let Some(duration) = last.duration_seconds {
            set(&durations, &labels(), duration);
        }
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauged {
    let family = Gauged::default();
    registry.register(name, help, family.clone());
    family
}

fn set(family: &Gauged, labels: &Labels, value: f64) {
    family.get_or_create(labels).set(value);
}

#[expect(clippy::cast_precision_loss, reason = "no count is so large")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::store::LastSuccess;

    fn figures() -> Figures {
        let success = |name: &str| LastSuccess {
            name: name.to_owned(),
            ended_at: DateTime::from_timestamp(1_764_206_452, 500_000_000),
            duration_seconds: Some(60.0),
        };
        let gauges = Gauges {
            pulse: Pulse { live: 3, overdue: 1, oldest_heartbeat_seconds: Some(12.5) },
            ended: BTreeMap::from([(("failed", "oom".to_owned()), 2)]),
            last_successes: vec![success("cifar"), success("a\"b\\c\nd\u{202e}")],
        };
        let recovered = BTreeMap::from([("lost".to_owned(), 4)]);
        let errors = BTreeMap::from([(ErrorClass::Transient, 5)]);
        Figures { gauges: Some(gauges), undelivered: Some(7), recovered, errors }
    }

    #[test]
    fn every_metric_is_there_in_both_formats() {
        let open = render(&figures(), MetricsFormat::OpenMetrics).unwrap();
        let plain = render(&figures(), MetricsFormat::Prometheus).unwrap();
        for line in [
            "runwrap_runs{status=\"training\",reason=\"\"} 3.0",
            "runwrap_runs{status=\"failed\",reason=\"oom\"} 2.0",
            "runwrap_oldest_heartbeat_age_seconds 12.5",
            "runwrap_overdue_runs 1.0",
            "runwrap_last_success_timestamp_seconds{name=\"cifar\"} 1764206452.5",
            "runwrap_last_duration_seconds{name=\"cifar\"} 60.0",
            "runwrap_last_duration_seconds{name=\"a\\\"b\\\\c\\nd\u{202e}\"} 60.0",
            "runwrap_database_up 1.0",
            "runwrap_undelivered_journals 7.0",
            "runwrap_recovered_total{reason=\"lost\"} 4",
            "runwrap_recovered_total{reason=\"stuck\"} 0",
            "runwrap_database_errors_total{class=\"transient\"} 5",
            "runwrap_database_errors_total{class=\"permanent\"} 0",
        ] {
            assert!(open.lines().any(|known| known == line), "{line}\n{open}");
            let plain_line = line.strip_suffix(".0").unwrap_or(line);
            assert!(plain.lines().any(|known| known == line || known == plain_line), "{line}\n{plain}");
        }
        assert!(open.ends_with("# EOF\n"), "{open}");
        assert!(plain.contains("# TYPE runwrap_recovered_total counter\n"), "{plain}");
    }

    #[test]
    fn old_numbers_are_not_shown_while_the_database_is_away() {
        let away = Figures { gauges: None, undelivered: None, ..figures() };
        let text = render(&away, MetricsFormat::OpenMetrics).unwrap();
        assert!(text.contains("runwrap_database_up 0.0\n"), "{text}");
        for name in ["runwrap_runs", "runwrap_overdue", "runwrap_last", "runwrap_undelivered"] {
            assert!(!text.contains(name), "{text}");
        }
        assert!(text.contains("runwrap_recovered_total{reason=\"lost\"} 4"), "{text}");
    }
}
