//! A thread with a connection of its own, which answers one question after the other. Several keep slow questions from delaying quick
//! ones. The loop that serves viewers never waits for it without a bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use std::{io, thread};

use crate::config::DatabaseTarget;
use crate::store::Hosts;

/// So many questions wait for one thread.
const WAITING_MAX: usize = 32;

/// The most bytes that a server may send as one answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;

type Job = Box<dyn FnOnce(&mut Hosts) + Send>;

pub(super) struct Lane(SyncSender<Job>);

impl Lane {
    /// `limit`: for one question.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(name: &str, target: &DatabaseTarget, limit: Duration) -> io::Result<Self> {
        let (jobs, given) = sync_channel(WAITING_MAX);
        let target = target.clone();
        // It ends with the process: a question that hangs must not delay that.
        thread::Builder::new().name(name.to_owned()).spawn(move || work(&target, limit, &given))?;
        Ok(Self(jobs))
    }

    /// Queues a job. False if too many wait.
    pub(super) fn send(&self, job: impl FnOnce(&mut Hosts) + Send + 'static) -> bool {
        self.0.try_send(Box::new(job)).is_ok()
    }
}

fn work(target: &DatabaseTarget, limit: Duration, given: &Receiver<Job>) {
    // A look changes nothing: it makes and upgrades no table.
    let mut hosts = Hosts::of(target, false, limit, ANSWER_BYTES_MAX);
    while let Ok(job) = given.recv() {
        // A question that fails unexpectedly must not end the lane; its answer is lost.
        if catch_unwind(AssertUnwindSafe(|| job(&mut hosts))).is_err() {
            log::error!(event = "look_panicked"; "a question to the database failed unexpectedly");
        }
    }
}
