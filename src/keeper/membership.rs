//! Decides which processes belong to a run. Pure: works on lists of processes. No process is a member without a proof, and each
//! proof names the process that must still be the same when the member is signalled.
//!
//! A group or session is the run's own if a member leads it: the trainer's inherited group may be the user's shell's. While it
//! has a member its id is not used again, so one proven process in it proves the others.

use std::collections::BTreeMap;

use crate::sys::leftovers::{ProcessFacts, ProcessId};

/// Why a process is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It was proven earlier.
    Known,
    /// Its environment has the run's id.
    Marked,
    /// This member is its parent.
    Child(ProcessId),
    /// This member is in the same group, which is the run's own.
    Group(ProcessId),
    /// It is in the group of the trainer, which is held by a pidfd.
    TrainerGroup,
    /// This member is in the same session, which is the run's own.
    Session(ProcessId),
}

/// The members proven so far, each with its own group and session.
pub(super) type Known = BTreeMap<ProcessId, Own>;

/// The group and session of a member, if they are the run's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) group: Option<i32>,
    pub(super) session: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) facts: ProcessFacts,
    pub(super) proof: Proof,
    pub(super) own: Own,
}

/// The members among `processes`, also those that have ended and are not reaped. `trainer_group` is the group of the trainer if it
/// certainly still exists.
pub(super) fn members(processes: &[ProcessFacts], known: &Known, trainer_group: Option<i32>) -> Vec<Member> {
    let mut proven: BTreeMap<i32, Member> = BTreeMap::new();
    // Each round but the last proves at least one process, so the loop ends.
    loop {
        let groups = owned(&proven, known, |facts| facts.group, |own| own.group);
        let sessions = owned(&proven, known, |facts| facts.session, |own| own.session);
        let own = |facts: &ProcessFacts| Own {
            group: (groups.contains_key(&facts.group) || trainer_group == Some(facts.group)).then_some(facts.group),
            session: sessions.contains_key(&facts.session).then_some(facts.session),
        };
        let proof = |facts: &ProcessFacts| {
            let parent = proven.get(&facts.parent).map(|parent| parent.facts.id);
            if known.contains_key(&facts.id) {
                Some(Proof::Known)
            } else if facts.is_marked {
                Some(Proof::Marked)
            } else if let Some(parent) = parent.filter(|parent| parent.start_ticks <= facts.id.start_ticks) {
                Some(Proof::Child(parent))
            } else if trainer_group == Some(facts.group) {
                Some(Proof::TrainerGroup)
            } else if let Some(partner) = groups.get(&facts.group) {
                Some(Proof::Group(*partner))
            } else {
                sessions.get(&facts.session).map(|partner| Proof::Session(*partner))
            }
        };
        let fresh = processes.iter().filter(|facts| !proven.contains_key(&facts.id.pid));
        let fresh: Vec<Member> = fresh
            .filter_map(|facts| proof(facts).map(|proof| Member { facts: *facts, proof, own: own(facts) }))
            .collect();
        let is_last = fresh.is_empty();
        for member in proven.values_mut() {
            member.own = own(&member.facts);
        }
        proven.extend(fresh.into_iter().map(|member| (member.facts.id.pid, member)));
        if is_last {
            return proven.into_values().collect();
        }
    }
}

/// The groups (or sessions) that are the run's own, each with a member that is in it or leads it.
fn owned(
    proven: &BTreeMap<i32, Member>,
    known: &Known,
    number: impl Fn(&ProcessFacts) -> i32,
    noted: impl Fn(&Own) -> Option<i32>,
) -> BTreeMap<i32, ProcessId> {
    let mut owned = BTreeMap::new();
    for Member { facts, .. } in proven.values() {
        let number = number(facts);
        if let Some(leader) = proven.get(&number) {
            owned.insert(number, leader.facts.id);
        } else if known.get(&facts.id).and_then(&noted) == Some(number) {
            owned.entry(number).or_insert(facts.id);
        }
    }
    owned
}

#[cfg(test)]
mod tests;
