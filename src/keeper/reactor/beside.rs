//! What a keeper does beside its own run: the runs of other hosts, the runs left behind, and the command of `--on-finish`.

use std::io;
use std::sync::mpsc::{self, TryRecvError};
use std::time::Duration;

use super::{BACKLOG_WAIT_MAX, INSPECTED_MAX, Keeper};
use crate::delivery::{Backlog, Destination, ON_FINISH_LIMIT, heal, run_on_finish};
use crate::keeper::linger;
use crate::keeper::machine::Healed;
use crate::store::{RecordView, Store};
use crate::sys::random;

/// The longest wait for the commands of the ends that one look at overdue runs has made: each takes at most a minute.
const HEALED_WAIT_MAX: Duration = Duration::from_mins(100);

impl Keeper {
    pub(super) fn heal(&mut self, examines: bool) {
        let (state_dir, destination) = (self.config.state_dir.clone(), Destination::of(&self.config.target));
        let set = self.journal.durable().begin.run.set.clone();
        let claims = self.config.on_finish.is_some();
        let work = move |store: &mut Store| {
            let unfit = if examines { store.unfit_for(&set) } else { Ok(Vec::new()) };
            let unfit = unfit.unwrap_or_else(|error| {
                log::warn!(event = "table_not_examined", error:%; "");
                Vec::new()
            });
            if examines {
                log::info!(event = "table_examined", findings = unfit.len(); "");
            }
            let (has_journals, lost) = heal(store, &state_dir, &destination, random::fraction())?;
            let finished = if claims {
                lost.into_iter().filter_map(|run_id| store.claim_end(run_id, true)).collect()
            } else {
                Vec::new()
            };
            Ok(Healed { has_journals, unfit, finished })
        };
        self.healing = Some(self.start(false, work));
    }

    /// Runs the command for each of `records`, on a thread; its end is an event if `is_own`.
    pub(super) fn on_finish(&mut self, records: Vec<RecordView>, is_own: bool) -> io::Result<()> {
        let Some(command) = self.config.on_finish.clone().filter(|_| !records.is_empty()) else { return Ok(()) };
        let (directory, waker) = (self.config.directory.clone(), self.waker.clone());
        let (sender, receiver) = mpsc::channel();
        if is_own {
            self.command = Some(receiver);
        } else {
            self.healed.retain(|earlier| matches!(earlier.try_recv(), Err(TryRecvError::Empty)));
            self.healed.push(receiver);
        }
        let work = move || {
            for record in &records {
                run_on_finish(&command, &directory, record, ON_FINISH_LIMIT);
            }
            let _nobody_waits = sender.send(()).is_err();
            if let Err(error) = waker.wake() {
                log::error!(event = "wake_failed", error:%; "");
            }
        };
        let started = std::thread::Builder::new().name("on-finish".to_owned()).spawn(work);
        if let Err(error) = started {
            log::warn!(event = "on_finish_failed", error:%; "");
            self.waker.wake()?;
        }
        Ok(())
    }

    /// Waits for the commands that run for the ends of other runs: they are claimed.
    pub(super) fn await_healed(&mut self) {
        for command in self.healed.drain(..) {
            // It has sent its end, or is gone, unless it takes too long.
            let _ended = command.recv_timeout(HEALED_WAIT_MAX);
        }
    }

    /// Starts a process for the backlog, if there is one: a delivery by this process might hang.
    pub(super) fn deliver_backlog(&mut self) {
        let Some(own) = self.place.as_ref().and_then(|place| place.1.path().file_name()) else { return };
        let backlog = Backlog::new(self.config.state_dir.clone(), Destination::of(&self.config.target), false, 0);
        if self.backlog.insert(backlog.without(own)).has_dead(INSPECTED_MAX) {
            self.lingering = linger::start(&self.config);
        }
    }

    pub(super) fn await_backlog(&mut self) -> io::Result<()> {
        if self.lingering.is_none() && self.backlog.as_mut().is_some_and(Backlog::has_dead_again) {
            self.lingering = linger::start(&self.config);
        }
        // Before the begin the supervisor waits for the record, then for the end.
        let patience = if self.machine.begun { self.config.finish_timeout } else { self.config.start_timeout };
        let limit = BACKLOG_WAIT_MAX.min(patience / 2);
        self.lingering.as_ref().map_or(Ok(()), |lingering| lingering.wait(limit))
    }
}
