//! The processes of the run that the keeper has proven to be the trainer's, and their end after the supervisor's death. Notes
//! them while the trainer lives; decides nothing about membership (see `membership`) and writes no journal.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::membership::{Known, Member, Own, Proof, members};
use crate::sys::leftovers::{self, ProcessFacts, ProcessId, Sent};
use crate::sys::pidfd::PidFd;
use crate::sys::{clock, failpoint, poll, signals};

/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// How long SIGKILL is repeated. With [`GRACE`] the record still has its end within 2 s.
const KILLING: Duration = Duration::from_millis(800);
/// How long a round of SIGKILL waits for the ends.
const KILL_ROUND: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(10);
/// Processes that multiply by more than this do not end by themselves: the wait for their ends is over.
const NEW_MAX: usize = 50;
/// A look misses a process that continues in a child of its own just then: on a busy machine every second look. This many in a row
/// do not.
const QUIET_LOOKS: u32 = 8;

/// A process that could not be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unstopped {
    pub(super) pid: i32,
    pub(super) name: String,
}

#[derive(Debug, Default)]
pub(super) struct Family {
    run_id: String,
    /// Held while it lives: the kernel still reports its end, and whether its group exists.
    trainer: Option<(i32, PidFd)>,
    known: Known,
    /// The ids of processes that were not members at the last look at all processes.
    strangers: BTreeSet<i32>,
    /// The members that this process may not signal.
    refused: BTreeSet<ProcessId>,
}

impl Family {
    pub(super) fn new(run_id: String) -> Self {
        Self { run_id, ..Self::default() }
    }

    /// Takes the trainer's identity from the journal: the supervisor read it while the trainer was its child.
    pub(super) fn hold(&mut self, trainer: ProcessId) {
        if self.known.contains_key(&trainer) || self.trainer.is_some() {
            return;
        }
        self.known.insert(trainer, Own::default());
        let pidfd = PidFd::open(trainer.pid).unwrap_or_else(|error| {
            // Without it, a takeover learns less of the trainer's end.
            log::info!(event = "trainer_not_held", error:%; "");
            None
        });
        // After the pidfd is open: from then on it refers to this process.
        let is_same = leftovers::facts(trainer.pid).is_some_and(|facts| facts.id == trainer);
        self.trainer = pidfd.filter(|_| is_same).map(|pidfd| (trainer.pid, pidfd));
    }

    /// The held trainer.
    pub(super) fn trainer(&self) -> Option<&PidFd> {
        self.trainer.as_ref().map(|(_, pidfd)| pidfd)
    }

    /// Notes the present descendants of the trainer. Reads only the run's own processes.
    pub(super) fn note(&mut self) {
        match leftovers::family(self.known.keys().copied()) {
            Ok(processes) => drop(self.learn(&processes)),
            Err(error) => log::info!(event = "family_not_noted", error:%; ""),
        }
    }

    /// Stops every process of the run: SIGTERM, then SIGKILL. Returns the processes that are left.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub(super) fn stop(&mut self) -> io::Result<Vec<Unstopped>> {
        failpoint::may_fail("leftovers")?;
        let (_, mut left) = self.sweep(&[signals::SIGTERM, signals::SIGCONT], true, clock::boot_time() + GRACE)?;
        let deadline = clock::boot_time() + KILLING;
        while left.iter().any(|id| !self.refused.contains(id)) && clock::boot_time() < deadline {
            // A stopped process does not fork.
            let (frozen, _) = self.sweep(&[signals::SIGSTOP], false, deadline)?;
            for id in &frozen {
                self.send(*id, &[signals::SIGKILL]);
            }
            log::warn!(event = "leftovers_killed", run_id = self.run_id, processes = frozen.len(); "");
            let round = deadline.min(clock::boot_time() + KILL_ROUND);
            (_, left) = self.sweep(&[signals::SIGKILL], true, round)?;
        }
        Ok(left.into_iter().map(|id| Unstopped { pid: id.pid, name: leftovers::name(id.pid) }).collect())
    }

    /// Sends `signals` to each process once, until no process is left (`until_gone`) or no new one is found. Returns the
    /// processes that it signalled, and those that are left.
    fn sweep(
        &mut self,
        signals: &[i32],
        until_gone: bool,
        deadline: Duration,
    ) -> io::Result<(BTreeSet<ProcessId>, Vec<ProcessId>)> {
        let mut signalled = BTreeSet::new();
        let (mut quiet, mut first, mut last_alive) = (0, None, Vec::new());
        let mut thorough = true;
        loop {
            let known = signalled.len();
            let alive = self.look(thorough, |family, id| {
                if signalled.insert(id) {
                    family.send(id, signals);
                }
            })?;
            for id in alive.iter().filter(|id| !self.refused.contains(id)).copied().collect::<Vec<_>>() {
                if signalled.insert(id) {
                    self.send(id, signals);
                }
            }
            let has_more = signalled.len() > known;
            let is_busy = if until_gone { alive.iter().any(|id| !self.refused.contains(id)) } else { has_more };
            quiet = if is_busy { 0 } else { quiet + 1 };
            first.get_or_insert(signalled.len());
            let multiplies = until_gone && signalled.len() > first.unwrap_or_default() + NEW_MAX;
            if quiet >= QUIET_LOOKS {
                return Ok((signalled, alive));
            }
            if !alive.is_empty() {
                last_alive = alive;
            }
            if multiplies || clock::boot_time() >= deadline {
                // One look without a process proves nothing.
                return Ok((signalled, last_alive));
            }
            if is_busy && until_gone {
                poll::pause(STEP)?;
            }
            // The last look is at all processes: an id of a stranger may be used again.
            thorough = quiet + 1 >= QUIET_LOOKS;
        }
    }

    /// A process that cannot be signalled must not spare the others.
    fn send(&mut self, id: ProcessId, signals: &[i32]) {
        match leftovers::send(id, signals) {
            Ok(Sent::Yes | Sent::Gone) => {}
            Ok(Sent::Refused) => drop(self.refused.insert(id)),
            Err(error) => {
                log::info!(event = "not_signalled", pid = id.pid, error:%; "");
                self.refused.insert(id);
            }
        }
    }

    /// The living processes of the run: among all, or without the known strangers. Calls `marked` with each new process that has
    /// the mark, as soon as it is found.
    fn look(&mut self, thorough: bool, mut marked: impl FnMut(&mut Self, ProcessId)) -> io::Result<Vec<ProcessId>> {
        let strangers = std::mem::take(&mut self.strangers);
        let (run_id, known) = (self.run_id.clone(), self.known.clone());
        let is_new = |id: ProcessId| !known.contains_key(&id);
        let processes = leftovers::all(&run_id, &strangers, thorough, is_new, |id| marked(self, id))?;
        self.strangers = if thorough { BTreeSet::new() } else { strangers };
        let members = self.learn(&processes);
        let ids: BTreeSet<i32> = members.iter().map(|member| member.facts.id.pid).collect();
        self.strangers.extend(processes.iter().map(|facts| facts.id.pid).filter(|pid| !ids.contains(pid)));
        Ok(members.iter().filter(|member| !member.facts.has_ended).map(|member| member.facts.id).collect())
    }

    /// Takes the members of `processes` over into `known` and returns them.
    fn learn(&mut self, processes: &[ProcessFacts]) -> Vec<Member> {
        let group = self.trainer.as_ref().filter(|(_, pidfd)| pidfd.has_group()).map(|(pid, _)| *pid);
        let mut found = members(processes, &self.known, group);
        found.retain(|member| self.is_confirmed(member));
        self.known = found.iter().map(|member| (member.facts.id, member.own)).collect();
        found
    }

    /// Whether the proof still holds. A list of /proc is no snapshot: an id may have been used again within it. The process of
    /// the proof was seen before the member is read again here, and after it, so it was the same in between.
    fn is_confirmed(&self, member: &Member) -> bool {
        let is = |id: ProcessId| leftovers::facts(id.pid).filter(|facts| facts.id == id);
        if matches!(member.proof, Proof::Known | Proof::Marked) {
            return true;
        }
        let Some(now) = is(member.facts.id) else { return false };
        match member.proof {
            Proof::Known | Proof::Marked => true,
            Proof::Child(parent) => now.parent == parent.pid && is(parent).is_some(),
            Proof::TrainerGroup => now.group == member.facts.group && self.trainer().is_some_and(PidFd::has_group),
            Proof::Group(partner) => {
                now.group == member.facts.group
                    && is(partner).is_some_and(|facts| facts.group == now.group || partner.pid == now.group)
            }
            Proof::Session(partner) => {
                now.session == member.facts.session
                    && is(partner).is_some_and(|facts| facts.session == now.session || partner.pid == now.session)
            }
        }
    }
}
