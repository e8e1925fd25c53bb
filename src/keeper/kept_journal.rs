//! The run's journal as its keeper has it: all that is written, and how much of it is durable. Syncs it on a thread, so that a
//! disk that stalls delays no heartbeat and no takeover. Must not write to it before a takeover.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use super::family::Family;
use super::machine::JournalFacts;
use super::takeover::take_over;
use crate::journal::{Home, RunDirectory, RunState, Writer, read_run_state, run_name, sync};
use crate::link::KeeperConfig;
use crate::sys::clock;
use crate::sys::poll::Waker;

/// The delay of a sync that nothing waits for. A shorter run does without it.
const SYNC_DELAY: Duration = Duration::from_millis(100);

/// The state directory and the run's own.
pub(super) type Place = Arc<(Home, RunDirectory)>;

pub(super) struct KeptJournal {
    file: Arc<File>,
    is_on_disk: bool,
    /// All events, as read last, at the boot time `read_at`.
    written: RunState,
    read_at: Duration,
    /// The durable part of it; none before the first sync.
    durable: Option<RunState>,
    /// The sync under way, with the state that it makes durable.
    running: Option<(RunState, Receiver<io::Result<()>>)>,
    /// A sync failed: it is not repeated on this file.
    has_failed: bool,
    /// After a takeover.
    writer: Option<Writer>,
}

/// The run's directory. A run without one was delivered (the journal's descriptor still has its events), or is not published.
pub(super) fn place(config: &KeeperConfig) -> Option<Place> {
    if !config.has_directory {
        return None;
    }
    let opened = Home::open(&config.state_dir)
        .and_then(|home| home.open_run(&run_name(config.run_id, &config.target.identity())).map(|run| (home, run)));
    opened.inspect_err(|error| log::info!(event = "run_directory_gone", error:%; "")).ok().map(Arc::new)
}

impl KeptJournal {
    pub(super) fn new(file: Arc<File>, written: RunState, is_on_disk: bool) -> Self {
        let read_at = clock::boot_time();
        Self { file, is_on_disk, written, read_at, durable: None, running: None, has_failed: false, writer: None }
    }

    pub(super) const fn written(&self) -> &RunState {
        &self.written
    }

    /// The state that may be delivered.
    pub(super) fn durable(&self) -> &RunState {
        self.durable.as_ref().unwrap_or(&self.written)
    }

    /// Reads the journal again.
    pub(super) fn read(&mut self) -> io::Result<()> {
        self.written = read_run_state(&self.file)?;
        self.read_at = clock::boot_time();
        Ok(())
    }

    /// Ends the journal of a dead supervisor. A sync of the end is due.
    ///
    /// # Errors
    /// As [`take_over`].
    pub(super) fn take_over(
        &mut self,
        directory: Option<&RunDirectory>,
        number: Option<u32>,
        family: &mut Family,
    ) -> io::Result<()> {
        let mut writer = take_over(directory, Arc::clone(&self.file), number, family)?;
        if self.has_failed {
            writer.move_after(io::Error::other("an earlier sync failed"), directory);
        }
        self.follow(writer);
        Ok(())
    }

    /// Continues with all that `writer` has written, in the same file or in another one.
    fn follow(&mut self, writer: Writer) {
        let (journal, written) = (writer.journal(), writer.state().clone());
        // Without a file that holds the end, the old one stays open: no other process needs it.
        let file = journal.file().unwrap_or(&self.file);
        if Arc::ptr_eq(&self.file, file) && journal.file().is_some() {
            (self.written, self.read_at) = (written, clock::boot_time());
        } else {
            *self = Self::new(Arc::clone(file), written, journal.number_on_disk().is_some());
        }
        self.writer = Some(writer);
    }

    /// The boot time at which a sync is due: at once for the beginning, a request to stop and the end.
    pub(super) fn sync_at(&self) -> Option<Duration> {
        if self.running.is_some() || self.has_failed {
            return None;
        }
        let Some(durable) = &self.durable else { return Some(self.read_at) };
        let is_urgent = durable.stop != self.written.stop || durable.ended != self.written.ended;
        let delay = if is_urgent { Duration::ZERO } else { SYNC_DELAY };
        (durable.events < self.written.events).then(|| self.read_at + delay)
    }

    /// Starts a sync; the first one includes the names in `place`. [`Self::synced`] returns its result after `waker` has been
    /// woken.
    pub(super) fn start_sync(&mut self, place: Option<Place>, waker: Waker) {
        let (sender, receiver) = channel();
        self.running = Some((self.written.clone(), receiver));
        let (file, is_on_disk) = (Arc::clone(&self.file), self.is_on_disk);
        let place = place.filter(|_| self.durable.is_none());
        let work = move || {
            let result = if is_on_disk { sync(&file, place.as_deref()) } else { Ok(()) };
            sender.send(result).ok();
            if let Err(error) = waker.wake() {
                log::error!(event = "wake_failed", error:%; "");
            }
        };
        if !is_on_disk {
            return work();
        }
        match thread::Builder::new().name("sync".into()).spawn(work.clone()) {
            Ok(_never_joined) => {}
            // Without a thread it may hold up the heartbeats.
            Err(_) => work(),
        }
    }

    /// The durable facts, or the error, once the sync has ended. After a failure the journal must continue in another file:
    /// here after a takeover, else by the supervisor, the only process that may write.
    pub(super) fn synced(&mut self, directory: Option<&RunDirectory>) -> Option<io::Result<JournalFacts>> {
        let (_, receiver) = self.running.as_ref()?;
        let result = match receiver.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the sync ended without a result")),
            Ok(result) => result,
        };
        let state = self.running.take().map(|(state, _)| state);
        if let Err(error) = result {
            log::warn!(event = "not_synced", error:%; "");
            self.has_failed = true;
            let Some(mut writer) = self.writer.take() else { return Some(Err(error)) };
            writer.move_after(error, directory);
            self.follow(writer);
            return None;
        }
        self.durable = state;
        let RunState { started, stop, ended, .. } = self.durable();
        Some(Ok(JournalFacts { started: started.is_some(), stopping: stop.is_some(), ended: ended.is_some() }))
    }
}
