//! The answers of the database, shared by all viewers: a question is asked once however many viewers wait for it, and not again while
//! its answer is fresh. Owns the bounds of the kept answers. Lives on the thread that serves; the asking is a lane's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::lane::Lane;
use super::look::{Away, Looked, Seen};
use super::state::Events;
use crate::store::{Hosts, StoreError};
use crate::sys::clock::{boot_time, wall_time};

/// So many questions of one kind are remembered.
const ENTRIES_MAX: usize = 64;

/// Their answers have so many bytes together, about. One that is larger replaces all others.
const BYTES_MAX: usize = 3 << 20;

/// So long a viewer waits for an answer.
const WAIT_MAX: Duration = Duration::from_secs(6);

/// A question to the database.
pub(super) trait Question: Clone + Eq + Hash + Send + 'static {
    type Answer: Send + Sync + 'static;

    /// How long its answer counts as new.
    const FRESH: Duration = Duration::from_secs(2);

    /// Whether the database is asked. Else the answer is of this host, and counts neither as its answer nor as its failure.
    const IS_OF_DATABASE: bool = true;

    /// Asks, on the thread of a lane.
    ///
    /// # Errors
    /// The database does not answer, or refuses.
    fn ask(&self, hosts: &mut Hosts, table: &str) -> Result<Self::Answer, StoreError>;

    /// The memory that the answer takes, about.
    fn weight(answer: &Self::Answer) -> usize;

    /// Whether it may take long, and belongs on the slow lane.
    fn is_slow(&self) -> bool {
        false
    }
}

struct Entry<A> {
    seen: Option<(Arc<A>, DateTime<Utc>)>,
    weight: usize,
    failure: Option<Away>,
    /// The boot time at which the last attempt ended.
    tried_at: Option<Duration>,
    /// While an attempt is under way: wakes the viewers that wait.
    pending: Option<Rc<Notify>>,
    /// The boot time of the last use.
    used_at: Duration,
}

impl<A> Default for Entry<A> {
    fn default() -> Self {
        Self { seen: None, weight: 0, failure: None, tried_at: None, pending: None, used_at: Duration::ZERO }
    }
}

impl<A> Entry<A> {
    fn answer(&self) -> Option<Looked<A>> {
        let seen = self
            .seen
            .as_ref()
            .map(|(value, at)| Ok(Seen { value: Arc::clone(value), at: *at, away: self.failure.clone() }));
        seen.or_else(|| self.failure.clone().map(Err))
    }
}

/// The answers of one kind of question.
pub(super) struct Cache<Q: Question> {
    entries: Rc<RefCell<HashMap<Q, Entry<Q::Answer>>>>,
    quick: Rc<Lane>,
    slow: Rc<Lane>,
    events: Events,
    table: String,
}

/// What a viewer does for an answer.
enum Next<A> {
    Answer(Looked<A>),
    Wait(Rc<Notify>),
}

impl<Q: Question> Cache<Q> {
    pub(super) fn new(quick: &Rc<Lane>, slow: &Rc<Lane>, events: &Events, table: &str) -> Self {
        let (quick, slow) = (Rc::clone(quick), Rc::clone(slow));
        Self { entries: Rc::default(), quick, slow, events: events.clone(), table: table.to_owned() }
    }

    /// The answer to `question`: fresh, or if the database is away the last one. Waits for at most [`WAIT_MAX`].
    pub(super) async fn look(&self, question: &Q) -> Looked<Q::Answer> {
        self.look_until(question, latest()).await
    }

    /// The same, until `deadline`: several questions of one viewer share it.
    pub(super) async fn look_until(&self, question: &Q, deadline: Instant) -> Looked<Q::Answer> {
        let done = match self.next(question) {
            Next::Answer(answer) => return answer,
            Next::Wait(done) => done,
        };
        // It gets the notification from here on, whether it is polled or not.
        let notified = done.notified();
        let is_late = tokio::time::timeout_at(deadline, notified).await.is_err();
        let answer = self.entries.borrow().get(question).and_then(Entry::answer);
        match answer {
            Some(Ok(seen)) if is_late && seen.away.is_none() => {
                let away = Some(self.late());
                Ok(Seen { away, ..seen })
            }
            Some(answer) => answer,
            None => Err(self.late()),
        }
    }

    /// Asks `question` unless its answer is fresh, and does not wait: for several questions at once, each then looked at.
    pub(super) fn prepare(&self, question: &Q) {
        match self.next(question) {
            Next::Answer(_) | Next::Wait(_) => {}
        }
    }

    fn late(&self) -> Away {
        let message = format!("no answer within {}", humantime::format_duration(WAIT_MAX));
        self.away(message)
    }

    fn away(&self, message: String) -> Away {
        if Q::IS_OF_DATABASE {
            self.events.failed(&StoreError::Transient { message })
        } else {
            Away { since: wall_time(), error: message, hint: None }
        }
    }

    fn next(&self, question: &Q) -> Next<Q::Answer> {
        let now = boot_time();
        let mut entries = self.entries.borrow_mut();
        make_room(&mut entries, question);
        let entry = entries.entry(question.clone()).or_default();
        entry.used_at = now;
        let is_fresh = entry.tried_at.is_some_and(|tried| now.saturating_sub(tried) < Q::FRESH);
        if let Some(answer) = entry.answer().filter(|_| is_fresh) {
            return Next::Answer(answer);
        }
        if entry.pending.is_none() && !self.start(question, entry) {
            let busy = || self.away("too many different questions wait for an answer".to_owned());
            return Next::Answer(entry.answer().unwrap_or_else(|| Err(busy())));
        }
        match (entry.answer(), &entry.pending) {
            // The database is away: nothing is gained by waiting.
            (Some(answer @ Ok(Seen { away: Some(_), .. })), _) => Next::Answer(answer),
            (_, Some(done)) => Next::Wait(Rc::clone(done)),
            (_, None) => Next::Answer(Err(self.late())),
        }
    }

    /// Asks `question` on its lane. False if too many wait there.
    fn start(&self, question: &Q, entry: &mut Entry<Q::Answer>) -> bool {
        let (sender, receiver) = oneshot::channel();
        let (asked, table) = (question.clone(), self.table.clone());
        let lane = if question.is_slow() { &self.slow } else { &self.quick };
        let queued_at = boot_time();
        let is_sent = lane.send(move |hosts| {
            // Behind slow questions: the viewer has been answered without it.
            let is_late = boot_time().saturating_sub(queued_at) >= WAIT_MAX;
            let overtaken = || StoreError::Transient { message: "other questions took too long".to_owned() };
            let answer = if is_late { Err(overtaken()) } else { asked.ask(hosts, &table) };
            let weight = answer.as_ref().map_or(0, Q::weight);
            // The viewer may have gone.
            sender.send((answer, weight)).ok();
        });
        if !is_sent {
            return false;
        }
        let done = Rc::new(Notify::new());
        entry.pending = Some(Rc::clone(&done));
        let (entries, events, question) = (Rc::clone(&self.entries), self.events.clone(), question.clone());
        tokio::task::spawn_local(async move {
            let lost = || (Err(StoreError::Transient { message: "the question was lost".to_owned() }), 0);
            let (answer, weight) = receiver.await.unwrap_or_else(|_lost| lost());
            settle(&mut entries.borrow_mut(), &events, &question, answer, weight);
            done.notify_waiters();
        });
        true
    }
}

/// So long a viewer that begins to wait now waits.
pub(super) fn latest() -> Instant {
    Instant::now() + WAIT_MAX
}

/// Keeps an answer, and forgets those that were not used for the longest time.
fn settle<Q: Question>(
    entries: &mut HashMap<Q, Entry<Q::Answer>>,
    events: &Events,
    question: &Q,
    answer: Result<Q::Answer, StoreError>,
    weight: usize,
) {
    if let Some(entry) = entries.get_mut(question) {
        entry.pending = None;
        entry.tried_at = Some(boot_time());
        match answer {
            Ok(answer) => {
                if Q::IS_OF_DATABASE {
                    events.answered();
                }
                entry.seen = Some((Arc::new(answer), wall_time()));
                entry.weight = weight;
                entry.failure = None;
            }
            Err(error) => entry.failure = Some(events.failed(&error)),
        }
    }
    while entries.values().map(|entry| entry.weight).sum::<usize>() > BYTES_MAX {
        if !forget_one(entries, question) {
            break;
        }
    }
}

fn make_room<Q: Question>(entries: &mut HashMap<Q, Entry<Q::Answer>>, question: &Q) {
    while entries.len() >= ENTRIES_MAX && !entries.contains_key(question) {
        if !forget_one(entries, question) {
            break;
        }
    }
}

/// Forgets the entry that was not used for the longest time, except `kept` and those under way. False if there is none.
fn forget_one<Q: Question>(entries: &mut HashMap<Q, Entry<Q::Answer>>, kept: &Q) -> bool {
    let candidates = entries.iter().filter(|(question, entry)| *question != kept && entry.pending.is_none());
    let oldest = candidates.min_by_key(|(_, entry)| entry.used_at).map(|(question, _)| question.clone());
    oldest.is_some_and(|oldest| entries.remove(&oldest).is_some())
}

#[cfg(test)]
mod tests;
