//! The site: the caches of everything that is shown, and what a request asks. Must not route or render.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderName};
use tokio::time::Instant;

use super::Options;
use super::allowed::AllowedHosts;
use super::answer::{Answer, Budget};
use super::cache::{Cache, latest};
use super::lane::Lane;
use super::look::{BadQuery, Health, Query, WaitingJournal};
use super::metrics::{Figures, MetricsFormat};
use super::questions::{ChecksLook, CompareLook, GaugesLook, JournalsLook, PulseLook, RunLook, RunsLook, StuckLook};
use super::state::Events;
use crate::sys::clock::{boot_time, wall_time};

/// No look takes longer, whatever `--start-timeout` is: a viewer waits.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The same request gets the same answer for so long.
const RENDERED_FRESH: Duration = Duration::from_secs(1);

/// The answers that are kept for it: so many bytes together, and none larger.
const RENDERED_BYTES_MAX: usize = 2 << 20;

pub(super) struct Site {
    pub(super) runs: Cache<RunsLook>,
    pub(super) run: Cache<RunLook>,
    pub(super) compare: Cache<CompareLook>,
    pulse: Cache<PulseLook>,
    stuck: Cache<StuckLook>,
    gauges: Cache<GaugesLook>,
    checks: Cache<ChecksLook>,
    journals: Cache<JournalsLook>,
    options: Options,
    pub(super) allowed: AllowedHosts,
    pub(super) events: Events,
    pub(super) budget: Budget,
    started_at: DateTime<Utc>,
    rendered: RefCell<HashMap<String, (Duration, Answer)>>,
}

/// A request that was checked.
pub(super) struct Asked<'a> {
    /// The parts of the path, decoded: none for `/`.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    pub(super) headers: &'a HeaderMap,
    /// As sent, with the query: for links to the same page.
    pub(super) target: &'a str,
}

impl Asked<'_> {
    pub(super) fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The key of an answer that was rendered: all that it depends on.
    pub(super) fn key(&self) -> String {
        let header = |name| self.header(name).unwrap_or_default();
        format!("{}\n{}\n{}", self.target, header(ACCEPT_LANGUAGE), header(ACCEPT))
    }

    /// Whether a program asks, which gets its errors as JSON.
    pub(super) fn is_of_api(&self) -> bool {
        self.path.first().is_some_and(|part| part == "api")
    }

    pub(super) fn metrics_format(&self) -> MetricsFormat {
        let accepted = self.header(ACCEPT).unwrap_or_default();
        let is_plain = accepted.contains("text/plain") && !accepted.contains("application/openmetrics-text");
        if is_plain { MetricsFormat::Prometheus } else { MetricsFormat::OpenMetrics }
    }
}

/// A request that gets no answer to its question.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// For a person.
    pub(super) sentence: String,
}

impl Refusal {
    pub(super) fn not_found(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, sentence: sentence.into() }
    }
}

impl From<BadQuery> for Refusal {
    fn from(BadQuery(sentence): BadQuery) -> Self {
        Self { status: StatusCode::BAD_REQUEST, sentence }
    }
}

impl Site {
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn new(options: Options, host: Option<&str>, events: &Events) -> io::Result<Self> {
        let limit = options.look_limit.min(LOOK_MAX);
        let lane = |name: &str| Lane::start(name, &options.database, limit).map(Rc::new);
        // Pages, filters that may read far, metrics, and this host: none waits for another.
        let (pages, filters) = (lane("looks")?, lane("filters")?);
        let (figures, local) = (lane("metrics")?, lane("local")?);
        let table = options.table.as_str();
        Ok(Self {
            runs: Cache::new(&pages, &filters, events, table),
            run: Cache::new(&pages, &filters, events, table),
            compare: Cache::new(&pages, &filters, events, table),
            pulse: Cache::new(&figures, &figures, events, table),
            stuck: Cache::new(&filters, &filters, events, table),
            gauges: Cache::new(&figures, &figures, events, table),
            checks: Cache::new(&local, &local, events, table),
            journals: Cache::new(&local, &local, events, table),
            allowed: AllowedHosts::new(host, &options.allowed_hosts),
            options,
            events: events.clone(),
            budget: Budget::new(),
            started_at: wall_time(),
            rendered: RefCell::default(),
        })
    }

    /// The numbers of the metrics.
    pub(super) async fn figures(&self) -> Figures {
        let deadline = latest();
        self.prepare_undelivered();
        let gauges = self.gauges.look_until(&GaugesLook, deadline).await.ok().filter(|seen| seen.away.is_none());
        let undelivered = self.undelivered(deadline).await.ok().map(|all| all.len());
        let gauges = gauges.map(|seen| (*seen.value).clone());
        Figures { undelivered, ..self.events.figures(gauges) }
    }

    fn journals_look(&self) -> JournalsLook {
        JournalsLook { state_dir: self.options.state_dir.clone(), database: self.options.database.clone() }
    }

    fn prepare_undelivered(&self) {
        if self.events.recovery().is_none() {
            self.journals.prepare(&self.journals_look());
        }
    }

    /// The journals that wait. The recovery counts them itself: two processes that look at once would hinder each other.
    async fn undelivered(&self, deadline: Instant) -> Result<Vec<WaitingJournal>, String> {
        if self.events.recovery().is_some() {
            return self
                .events
                .journals()
                .unwrap_or_else(|| Err("the first round of the recovery has not ended".to_owned()));
        }
        let looked = self.journals.look_until(&self.journals_look(), deadline).await;
        looked.map_err(|away| away.error).and_then(|seen| (*seen.value).clone())
    }

    /// The state of the service and of its database.
    pub(super) async fn health(&self) -> Health {
        let stuck_after = self.options.stuck_after;
        let stuck = StuckLook { silent_seconds: u32::try_from(stuck_after.as_secs()).unwrap_or(u32::MAX) };
        let checks = ChecksLook(self.options.checks.clone());
        // At once: while the database or the state directory hangs, one wait is enough.
        let deadline = latest();
        self.pulse.prepare(&PulseLook);
        self.stuck.prepare(&stuck);
        self.prepare_undelivered();
        self.checks.prepare(&checks);
        Health {
            database: self.options.database.identity(),
            table: self.options.table.clone(),
            pulse: self.pulse.look_until(&PulseLook, deadline).await,
            stuck: self.stuck.look_until(&stuck, deadline).await,
            stuck_after_seconds: stuck_after.as_secs(),
            journals: self.undelivered(deadline).await,
            checks: self.checks.look_until(&checks, deadline).await,
            recovery: self.events.recovery(),
            errors: self.events.errors(),
            started_at: self.started_at,
        }
    }

    pub(super) fn rendered(&self, key: &str) -> Option<Answer> {
        let rendered = self.rendered.borrow();
        let (at, answer) = rendered.get(key)?;
        (boot_time().saturating_sub(*at) < RENDERED_FRESH).then(|| answer.clone())
    }

    pub(super) fn keep(&self, key: String, answer: &Answer) {
        let mut rendered = self.rendered.borrow_mut();
        let now = boot_time();
        rendered.retain(|_, (at, _)| now.saturating_sub(*at) < RENDERED_FRESH);
        let size = |key: &str, answer: &Answer| key.len() + answer.body.len() + 1000;
        let kept: usize = rendered.iter().map(|(key, (_, answer))| size(key, answer)).sum();
        if kept + size(&key, answer) <= RENDERED_BYTES_MAX {
            rendered.insert(key, (now, answer.clone()));
        }
    }
}
