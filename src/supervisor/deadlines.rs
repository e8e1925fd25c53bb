//! The limits and deadlines of a run: of its present phase, and of a trainer that was asked to stop. They pause while the job is
//! stopped. Pure.

use std::time::Duration;

/// The time limits of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunLimits {
    pub start_timeout: Duration,
    pub finish_timeout: Duration,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--kill-after`
    pub kill_after: Duration,
    /// `--kill-after` was given explicitly: it also bounds the wait after a relayed stop.
    pub kill_after_stop: bool,
    /// `--require-database`, or an option that includes it.
    pub require_database: bool,
    /// The exit status if another run of the name has no end (`--unless-running`).
    pub exit_if_running: u8,
    /// Whether a keeper can be started. Otherwise the trainer starts at once and the caller delivers the end.
    pub has_keeper: bool,
}

/// Points of boot time.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// The end of the present phase.
    phase: Option<Duration>,
    kill: Option<Duration>,
    /// Since when the job has been stopped.
    paused_at: Option<Duration>,
}

impl Deadlines {
    /// The deadlines of a new phase.
    pub(super) const fn of_phase(end: Option<Duration>) -> Self {
        Self { phase: end, kill: None, paused_at: None }
    }

    /// Sets the time at which the trainer is killed.
    pub(super) const fn kill_at(&mut self, moment: Duration) {
        self.kill = Some(moment);
    }

    /// Sets the time at which the trainer is killed, unless one is set: a second stop request does not extend the
    /// first.
    pub(super) fn kill_at_the_latest(&mut self, moment: Duration) {
        self.kill.get_or_insert(moment);
    }

    /// The job was stopped.
    pub(super) fn pause(&mut self, now: Duration) {
        self.paused_at.get_or_insert(now);
    }

    /// The job was continued: moves the deadlines by the time that it was stopped.
    pub(super) fn resume(&mut self, now: Duration) {
        let Some(since) = self.paused_at.take() else { return };
        for moment in [&mut self.phase, &mut self.kill].into_iter().flatten() {
            *moment += now.saturating_sub(since);
        }
    }

    /// The earliest deadline; `None` while the job is stopped.
    pub(super) fn next(&self) -> Option<Duration> {
        let running = [self.phase, self.kill].into_iter().flatten().min();
        running.filter(|_| self.paused_at.is_none())
    }

    /// Whether the phase has expired. True once.
    pub(super) fn phase_expired(&mut self, now: Duration) -> bool {
        self.paused_at.is_none() && take_due(&mut self.phase, now)
    }

    /// Whether the trainer must be killed. True once.
    pub(super) fn kill_due(&mut self, now: Duration) -> bool {
        self.paused_at.is_none() && take_due(&mut self.kill, now)
    }
}

/// Clears and reports a deadline that has passed.
pub(super) fn take_due(moment: &mut Option<Duration>, now: Duration) -> bool {
    moment.take_if(|moment| *moment <= now).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn stopped_time_extends_all_deadlines() {
        let mut deadlines = Deadlines::of_phase(Some(10 * SECOND));
        deadlines.kill_at(12 * SECOND);
        assert_eq!(deadlines.next(), Some(10 * SECOND));
        deadlines.pause(4 * SECOND);
        // Stopped again before the continue was seen.
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
    fn second_stop_request_does_not_extend_the_first() {
        let mut deadlines = Deadlines::of_phase(Some(10 * SECOND));
        deadlines.kill_at_the_latest(5 * SECOND);
        deadlines.kill_at_the_latest(7 * SECOND);
        assert!(deadlines.kill_due(5 * SECOND));
    }

    #[test]
    fn new_phase_clears_earlier_deadlines() {
        let mut deadlines = Deadlines::of_phase(Some(10 * SECOND));
        deadlines.kill_at(5 * SECOND);
        deadlines.pause(SECOND);
        deadlines = Deadlines::of_phase(Some(30 * SECOND));
        assert_eq!(deadlines.next(), Some(30 * SECOND));
        assert!(!deadlines.kill_due(29 * SECOND));
    }
}
