//! The supervisor's keeper process, one at a time: starting it with its descriptors, notifying it, receiving its
//! messages, killing it. Must not decide when: `machine` does.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::journal::{JournalFile, RunDirectory};
use crate::link::{KeeperConfig, Link, Message, ToKeeper, ToSupervisor};
use crate::sys::keeper::{self, Keep};
use crate::sys::{clock, failpoint, poll, process, wait};

/// The limit for a killed keeper to end and for the kernel to release its lock.
const DEATH_WAIT: Duration = Duration::from_secs(2);
/// The limit for a keeper to end after its last message. It takes about a millisecond, and longer on busy cores.
const END_WAIT: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(5);
/// The limit for a keeper to have its own session, which takes some 0.1 ms.
const SESSION_WAIT: Duration = Duration::from_millis(500);
const SESSION_STEP: Duration = Duration::from_micros(200);

/// The present keeper, if there is one.
pub(super) struct KeeperProcess {
    pub(super) config: KeeperConfig,
    /// False while a keeper would take a process or descriptors that the trainer needs. Then none is started.
    pub(super) has_room: bool,
    keep: Keep,
    present: Option<(i32, Link)>,
}

impl KeeperProcess {
    pub(super) const fn new(config: KeeperConfig, has_room: bool, keep: Keep) -> Self {
        Self { config, has_room, keep, present: None }
    }

    pub(super) fn link_fd(&self) -> Option<BorrowedFd<'_>> {
        self.present.as_ref().map(|(_, link)| link.as_fd())
    }

    /// Starts a keeper for `journal`. The journal may still be empty: the keeper reads it only after the first
    /// notification. Does nothing without room.
    pub(super) fn start(&mut self, journal: &JournalFile, directory: Option<&RunDirectory>) -> io::Result<()> {
        self.present = None;
        if !self.has_room {
            return Ok(());
        }
        failpoint::may_fail("keeper-start")?;
        self.config.journal_number = journal.number_on_disk();
        let config = self.config.write()?;
        let file = journal.file().ok_or_else(|| io::Error::other("no keeper can read the journal"))?;
        let lock = directory.map(keeper_lock).transpose()?;
        let (own, keepers) = Link::pair()?;
        let mut fds = vec![keepers.as_fd(), config.as_fd(), file.as_fd()];
        fds.extend(lock.as_ref().map(File::as_fd));
        let pid = keeper::start(&fds, self.keep)?;
        log::info!(event = "keeper_forked", run_id:% = self.config.run_id, keeper_pid = pid;
            "the keeper is process {pid}");
        self.present = Some((pid, own));
        Ok(())
    }

    /// Waits until the keeper has left this process's group, or has ended: a SIGKILL of the group must not end both once the run has
    /// begun. A keeper that is stopped delays the run by [`SESSION_WAIT`].
    pub(super) fn await_session(&self) -> io::Result<()> {
        let Some((pid, _link)) = &self.present else { return Ok(()) };
        let deadline = clock::boot_time() + SESSION_WAIT;
        while !process::leads_session(*pid) && !wait::has_ended(*pid)? {
            if clock::boot_time() >= deadline {
                log::info!(event = "keeper_without_session", keeper_pid = pid;
                    "the keeper, process {pid}, has no session of its own yet");
                break;
            }
            poll::pause(SESSION_STEP)?;
        }
        Ok(())
    }

    /// Notifies the keeper that the journal has grown.
    pub(super) fn notify(&self) -> io::Result<()> {
        self.present.as_ref().map_or(Ok(()), |(_, link)| link.send(&ToKeeper::Look).map(drop))
    }

    /// Receives the keeper's next message.
    pub(super) fn recv(&mut self) -> io::Result<Message<ToSupervisor>> {
        let Some((_, link)) = &self.present else { return Ok(Message::Nothing) };
        let message = link.recv()?;
        if message == Message::Closed {
            self.present = None;
        }
        Ok(message)
    }

    /// Waits for the end of a keeper that has sent its last message, and reaps it. Where the first process reaps only its own
    /// children (`sleep infinity` in a pod), the keeper would stay a zombie.
    pub(super) fn reap(&self) -> io::Result<()> {
        let Some((pid, _link)) = &self.present else { return Ok(()) };
        if wait::ends_within(*pid, END_WAIT)? {
            return wait::reap(*pid);
        }
        log::info!(event = "keeper_not_reaped", keeper_pid = pid; "the keeper, process {pid}, has not ended in time");
        Ok(())
    }

    /// Kills the keeper and waits for its end.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        // The link stays open until the keeper is dead: on end-of-file it would take the run over.
        let Some((pid, _link)) = self.present.take() else { return Ok(()) };
        wait::kill(pid, DEATH_WAIT)?;
        wait::reap(pid)
    }
}

/// Takes the keeper's lock. A keeper that has just died may still hold it while the kernel closes its descriptors.
fn keeper_lock(directory: &RunDirectory) -> io::Result<File> {
    let deadline = clock::boot_time() + DEATH_WAIT;
    let mut lock = directory.lock_for_keeper();
    while lock.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) && clock::boot_time() < deadline {
        poll::pause(STEP)?;
        lock = directory.lock_for_keeper();
    }
    lock
}
