//! Examples of each proof, and a small model of processes: no history makes a stranger a member.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const TRAINER: ProcessId = ProcessId { pid: 10, start_ticks: 100 };
/// The user's shell, whose group and session the trainer inherits.
const SHELL: i32 = 5;

fn process(pid: i32, start_ticks: u64, parent: i32, group: i32, session: i32) -> ProcessFacts {
    let id = ProcessId { pid, start_ticks };
    ProcessFacts { id, parent, group, session, has_ended: false, is_marked: false }
}

fn known(own: Own) -> Known {
    Known::from([(TRAINER, own)])
}

#[track_caller]
fn check(processes: &[ProcessFacts], known: &Known, trainer_group: Option<i32>, expected: &[(i32, Proof)]) {
    let found = members(processes, known, trainer_group);
    let found: Vec<(i32, Proof)> = found.iter().map(|member| (member.facts.id.pid, member.proof)).collect();
    assert_eq!(found, expected);
}

#[test]
fn descendants_are_members_and_the_shells_group_is_not() {
    let processes = [
        process(SHELL, 1, 1, SHELL, SHELL),
        process(10, 100, 9, SHELL, SHELL),
        process(11, 101, 10, SHELL, SHELL),
        process(12, 102, 11, 12, 12),
        process(13, 103, SHELL, SHELL, SHELL),
        // Its parent's id belonged to another process when it was started.
        process(14, 99, 10, SHELL, SHELL),
    ];
    let child = |pid, start_ticks| Proof::Child(ProcessId { pid, start_ticks });
    let expected = [(10, Proof::Known), (11, child(10, 100)), (12, child(11, 101))];
    check(&processes, &known(Own::default()), None, &expected);
}

#[test]
fn group_and_session_of_a_member_that_leads_are_its_own() {
    let leader = ProcessFacts { has_ended: true, ..process(10, 100, 1, 10, 10) };
    let processes = [leader, process(20, 150, 1, 10, 10), process(21, 151, 1, 21, 10), process(22, 152, 1, 22, 22)];
    let expected = [(10, Proof::Known), (20, Proof::Group(TRAINER)), (21, Proof::Session(TRAINER))];
    check(&processes, &known(Own::default()), None, &expected);
}

#[test]
fn group_without_its_leader_needs_a_noted_member() {
    let noted = ProcessId { pid: 20, start_ticks: 150 };
    let processes = [process(20, 150, 1, 10, 10), process(21, 151, 1, 10, 10), process(22, 152, 1, 22, 10)];
    let own = Own { group: Some(10), session: Some(10) };
    let expected = [(20, Proof::Known), (21, Proof::Group(noted)), (22, Proof::Session(noted))];
    check(&processes, &Known::from([(noted, own)]), None, &expected);
    check(&processes, &Known::from([(noted, Own::default())]), None, &[(20, Proof::Known)]);
    // It has moved to another group meanwhile.
    check(&processes, &Known::from([(noted, Own { group: Some(11), session: None })]), None, &[(20, Proof::Known)]);
    check(&processes, &Known::new(), None, &[]);
}

#[test]
fn held_group_of_the_trainer_proves_its_members() {
    let processes = [process(20, 150, 1, 10, 10), process(21, 151, 1, 21, 10)];
    check(&processes, &Known::new(), Some(10), &[(20, Proof::TrainerGroup)]);
}

#[test]
fn marked_process_proves_itself_and_its_children() {
    let marked = ProcessFacts { is_marked: true, ..process(20, 150, 1, 7, 7) };
    let processes = [marked, process(21, 151, 20, 7, 7), process(22, 152, 1, 7, 7)];
    check(&processes, &Known::new(), None, &[(20, Proof::Marked), (21, Proof::Child(marked.id))]);
}

#[test]
fn process_that_has_a_members_id_again_is_a_stranger() {
    let own = Own { group: Some(10), session: Some(10) };
    let processes = [process(10, 900, 1, 10, 10), process(11, 901, 10, 10, 10)];
    check(&processes, &known(own), None, &[]);
}

/// A step of the model. Numbers choose among the processes that can take it.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Fork(usize),
    NewGroup(usize),
    NewSession(usize),
    Exit(usize),
    Reap(usize),
    Note,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0usize..64).prop_map(Deed::Fork),
        1 => (0usize..64).prop_map(Deed::NewGroup),
        2 => (0usize..64).prop_map(Deed::NewSession),
        3 => (0usize..64).prop_map(Deed::Exit),
        3 => (0usize..64).prop_map(Deed::Reap),
        2 => Just(Deed::Note),
    ]
}

/// Few ids, so that they are used again at once, as soon as the kernel would.
struct World {
    processes: Vec<ProcessFacts>,
    truth: BTreeSet<ProcessId>,
    clock: u64,
}

impl World {
    const PIDS: std::ops::Range<i32> = 2..14;

    fn new() -> Self {
        let processes =
            vec![process(1, 0, 0, 1, 1), process(SHELL, 1, 1, SHELL, SHELL), process(10, 100, SHELL, SHELL, SHELL)];
        Self { processes, truth: BTreeSet::from([TRAINER]), clock: 100 }
    }

    fn free_pid(&self) -> Option<i32> {
        let is_used =
            |pid: i32| self.processes.iter().any(|facts| [facts.id.pid, facts.group, facts.session].contains(&pid));
        Self::PIDS.into_iter().find(|pid| !is_used(*pid))
    }

    /// The index of a living process other than the first.
    fn choose(&self, number: usize) -> Option<usize> {
        let alive: Vec<usize> = (1..self.processes.len()).filter(|at| !self.processes[*at].has_ended).collect();
        alive.get(number % alive.len().max(1)).copied()
    }

    fn perform(&mut self, deed: Deed, known: &mut Known) {
        self.clock += 1;
        match deed {
            Deed::Fork(number) => {
                if let (Some(at), Some(pid)) = (self.choose(number), self.free_pid()) {
                    let parent = self.processes[at];
                    let child = process(pid, self.clock, parent.id.pid, parent.group, parent.session);
                    self.processes.push(child);
                    if self.truth.contains(&parent.id) {
                        self.truth.insert(child.id);
                    }
                }
            }
            Deed::NewGroup(number) | Deed::NewSession(number) => {
                if let Some(at) = self.choose(number) {
                    let pid = self.processes[at].id.pid;
                    let leads = self.processes.iter().any(|facts| facts.group == pid || facts.session == pid);
                    if !leads {
                        self.processes[at].group = pid;
                        if matches!(deed, Deed::NewSession(_)) {
                            self.processes[at].session = pid;
                        }
                    }
                }
            }
            Deed::Exit(number) => {
                if let Some(at) = self.choose(number) {
                    let pid = self.processes[at].id.pid;
                    self.processes[at].has_ended = true;
                    self.processes.iter_mut().filter(|facts| facts.parent == pid).for_each(|facts| facts.parent = 1);
                }
            }
            Deed::Reap(number) => {
                let ended: Vec<usize> = (1..self.processes.len()).filter(|at| self.processes[*at].has_ended).collect();
                if let Some(at) = ended.get(number % ended.len().max(1)) {
                    self.processes.remove(*at);
                }
            }
            Deed::Note => {
                let found = members(&self.processes, known, None);
                *known = found.iter().map(|member| (member.facts.id, member.own)).collect();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_stranger_is_a_member(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut world = World::new();
        let mut known = known(Own::default());
        for deed in deeds {
            world.perform(deed, &mut known);
            for member in members(&world.processes, &known, None) {
                prop_assert!(world.truth.contains(&member.facts.id), "{member:?} of {:?}", world.processes);
            }
        }
    }

    /// As long as every fork is followed by a note.
    #[test]
    fn no_noted_process_is_forgotten(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut world = World::new();
        let mut known = known(Own::default());
        for deed in deeds {
            world.perform(deed, &mut known);
            world.perform(Deed::Note, &mut known);
            let alive: BTreeSet<ProcessId> = world.processes.iter().map(|facts| facts.id).collect();
            let expected: BTreeSet<ProcessId> = world.truth.intersection(&alive).copied().collect();
            prop_assert_eq!(known.keys().copied().collect::<BTreeSet<_>>(), expected);
        }
    }
}
