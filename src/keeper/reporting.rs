//! The reports of the trainer, as the keeper delivers them: everything so far with each attempt, the history at growing distances.
//! Must not write the report file.

use std::time::Duration;

use crate::delivery::{History, REPORT_WAIT_ALONE_MAX, REPORT_WAIT_LIVING_MAX, REPORT_WAIT_MAX, series_are_due};
use crate::journal::{ReportReader, RunState, Sight};
use crate::link::KeeperConfig;
use crate::record::Report;

pub(super) struct Reporting {
    /// None without a report file.
    reader: Option<ReportReader>,
    /// When the history was last given to an attempt, since the beginning of the run.
    given_at: Option<Duration>,
}

impl Reporting {
    pub(super) fn new(config: &KeeperConfig, state: &RunState) -> Self {
        let reader = config.report_path.as_deref().map(|path| ReportReader::new(path, &state.begin));
        Self { reader, given_at: None }
    }

    /// Everything that the trainer has reported until `seen_us` after the beginning of the run, and its history, if that is due.
    /// `alone`: the supervisor has gone.
    pub(super) fn read(&mut self, state: &RunState, seen_us: u64, alone: bool) -> (Report, Option<History>) {
        let ended = state.ended.is_some();
        let sight = if ended { state.finished() } else { Sight::Living { us: seen_us } };
        let limit = match (ended, alone) {
            (false, _) => REPORT_WAIT_LIVING_MAX,
            (true, true) => REPORT_WAIT_ALONE_MAX,
            (true, false) => REPORT_WAIT_MAX,
        };
        if let Some(reader) = &mut self.reader
            && let Err(error) = reader.read_on(sight, limit)
        {
            log::warn!(event = "report_unreadable", error:%; "");
        }
        let mut report = self.reader.as_ref().and_then(ReportReader::report).cloned().unwrap_or_default();
        if !ended
            && let Some(metrics) = state.metrics_file()
            && let Err(error) = report.absorb(Report { metrics: Some(metrics), ..Report::default() })
        {
            log::warn!(event = "metrics_refused", error:%; "");
        }
        (report, self.history(ended, seen_us))
    }

    /// More of the report is to be read: at the end of the run, for the curves.
    pub(super) fn is_cut(&self) -> bool {
        self.reader.as_ref().is_some_and(ReportReader::is_cut)
    }

    fn history(&mut self, ended: bool, seen_us: u64) -> Option<History> {
        let elapsed = Duration::from_micros(seen_us);
        if !ended && !series_are_due(elapsed, self.given_at) {
            return None;
        }
        // The whole file gives the last revision.
        let history = History::of(self.reader.as_ref()?.series(), seen_us, ended && !self.is_cut())?;
        self.given_at = Some(elapsed);
        Some(history)
    }
}
