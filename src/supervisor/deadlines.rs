//! The deadlines of a run: of its present phase, and of a trainer that was notified to stop. They stand still while the user
//! has stopped the job. Pure. Called by `machine`.

use std::time::Duration;

/// Moments of boot time.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// When the present phase is over at the latest.
    phase: Option<Duration>,
    kill: Option<Duration>,
    /// Since when the job is paused_at.
    paused_at: Option<Duration>,
}

impl Deadlines {
    pub(super) const fn new(phase: Duration) -> Self {
        Self { phase: Some(phase), kill: None, paused_at: None }
    }

    /// A phase begins: nothing is left of the one before.
    pub(super) const fn begin_phase(&mut self, end: Option<Duration>) {
        *self = Self { phase: end, kill: None, paused_at: None };
    }

    /// The trainer was notified to stop, and is killed at `moment`.
    pub(super) const fn kill_at(&mut self, moment: Duration) {
        self.kill = Some(moment);
    }

    /// As [`Self::kill_at`], but a second request does not prolong the first.
    pub(super) fn kill_at_the_latest(&mut self, moment: Duration) {
        self.kill.get_or_insert(moment);
    }

    /// The user has stopped the job.
    pub(super) fn pause(&mut self, now: Duration) {
        self.paused_at.get_or_insert(now);
    }

    /// The job goes on: it has as much time left as when it was paused_at.
    pub(super) fn resume(&mut self, now: Duration) {
        let Some(since) = self.paused_at.take() else { return };
        for moment in [&mut self.phase, &mut self.kill].into_iter().flatten() {
            *moment += now.saturating_sub(since);
        }
    }

    /// The next of them.
    pub(super) fn next(&self) -> Option<Duration> {
        let running = [self.phase, self.kill].into_iter().flatten().min();
        running.filter(|_| self.paused_at.is_none())
    }

    /// Whether the phase has taken too long; true once.
    pub(super) fn phase_expired(&mut self, now: Duration) -> bool {
        self.paused_at.is_none() && take_due(&mut self.phase, now)
    }

    /// Whether the trainer is to be killed; true once.
    pub(super) fn kill_due(&mut self, now: Duration) -> bool {
        self.paused_at.is_none() && take_due(&mut self.kill, now)
    }
}

/// Whether `moment` has come; it is forgotten then.
pub(super) fn take_due(moment: &mut Option<Duration>, now: Duration) -> bool {
    moment.take_if(|moment| *moment <= now).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_that_the_job_was_stopped_does_not_count() {
        let mut deadlines = Deadlines::new(10 * SECOND);
        deadlines.kill_at(12 * SECOND);
        assert_eq!(deadlines.next(), Some(10 * SECOND));
        deadlines.pause(4 * SECOND);
        // It stopped again before anybody saw that it went on.
        deadlines.pause(5 * SECOND);
        assert_eq!((deadlines.next(), deadlines.phase_expired(20 * SECOND)), (None, false));
        assert!(!deadlines.kill_due(20 * SECOND));
        deadlines.resume(104 * SECOND);
        deadlines.resume(105 * SECOND);
        assert_eq!(deadlines.next(), Some(110 * SECOND));
        assert!(!deadlines.phase_expired(109 * SECOND) && deadlines.phase_expired(110 * SECOND));
        assert!(!deadlines.phase_expired(110 * SECOND));
        assert!(!deadlines.kill_due(111 * SECOND) && deadlines.kill_due(112 * SECOND));
    }

    #[test]
    fn a_second_request_to_stop_does_not_prolong_the_first() {
        let mut deadlines = Deadlines::new(10 * SECOND);
        deadlines.kill_at_the_latest(5 * SECOND);
        deadlines.kill_at_the_latest(7 * SECOND);
        assert!(deadlines.kill_due(5 * SECOND));
    }

    #[test]
    fn a_new_phase_forgets_the_one_before() {
        let mut deadlines = Deadlines::new(10 * SECOND);
        deadlines.kill_at(5 * SECOND);
        deadlines.pause(SECOND);
        deadlines.begin_phase(Some(30 * SECOND));
        assert_eq!(deadlines.next(), Some(30 * SECOND));
        assert!(!deadlines.kill_due(29 * SECOND));
    }
}
