//! `runwrap -- COMMAND`: creates the run's directory, gathers the facts of the run and starts the supervisor. Delivers the
//! end itself if no keeper could be started. Must not open a database before the trainer has ended.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use uuid::Uuid;

use super::ask::ask;
use super::context;
use crate::config::{Settings, UnlessRunning, default_name};
use crate::delivery::{Delivered, Delivery, ON_FINISH_LIMIT, run_on_finish};
use crate::journal::{Begin, FORMAT, Home, RunDirectory, discard_temporary_report, snapshot, sync, temporary_report};
use crate::link::KeeperConfig;
use crate::record::{Circumstances, RecordId, Run, RunId, redact_command};
use crate::supervisor::{EXIT_RUNWRAP, RunLimits, SupervisorConfig, Undelivered, become_command, supervise};
use crate::sys::keeper::Keep;
use crate::sys::process::{self, EndAs};
use crate::sys::{clock, fs, host};
use crate::{keeper, logging, output};

/// The free descriptors that a run with a keeper takes at most.
pub(super) const KEEPER_DESCRIPTORS: usize = 15;
/// The same without a keeper: the journal, its directories and its lock, the signals, the witness and the trainer's exec.
const JOURNAL_DESCRIPTORS: usize = 10;

/// The exit status of `--unless-running`: EX_TEMPFAIL, to be tried again later.
const EXIT_RUNNING: u8 = 75;

/// The variables in which launchers number their processes, the innermost launcher first: Slurm sets its own also for the
/// processes that start other launchers.
const RANKS: [&str; 4] = ["RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"];

/// Whether a launcher started this process as another rank than `--only-rank`.
pub(super) fn is_other_rank(settings: &Settings) -> bool {
    let variable = |name: &str| std::env::var(name).ok();
    settings.only_rank.is_some_and(|wanted| rank(&variable).is_some_and(|own| own != wanted))
}

fn rank(variable: &dyn Fn(&str) -> Option<String>) -> Option<u32> {
    RANKS.into_iter().find_map(|name| variable(name)?.parse().ok())
}

/// Becomes the bare command. Returns the exit status if it cannot be executed.
pub(super) fn become_bare(command: &[OsString]) -> EndAs {
    let (exit_status, message) = become_command(command);
    // There is no log.
    output::report_error(&message, None);
    EndAs::Code(exit_status)
}

/// Runs `command` with a record, and returns how runwrap must end. Errors have been reported.
pub(super) fn run(settings: &Settings, command: &[OsString]) -> EndAs {
    std::panic::set_hook(Box::new(|panic| {
        log::error!(event = "panic", place:% = panic.location().map_or_else(String::new, ToString::to_string);
            "internal error: {}", panic.payload_as_str().unwrap_or("unknown"));
    }));
    let run_id = RunId(Uuid::now_v7());
    logging::set_run_id(&run_id);
    let name = settings.name.clone().unwrap_or_else(|| default_name(command));
    log::info!(event = "run", run_id:%, name, database = settings.database.identity(), table = settings.table;
        "run {run_id} of {name:?} begins; database {}", settings.database.identity());
    warn_homeless(settings);
    let room = Room::of(process::free_descriptors(KEEPER_DESCRIPTORS));
    room.warn();
    let supervision = supervision(settings, command, run_id, room);
    let report_path = supervision.config.report_path.clone();
    let gather = || begin(settings, command, run_id, name);
    // If the run has begun, the drop guard has finalized it before an error or a panic arrives here.
    match catch_unwind(AssertUnwindSafe(|| supervise(supervision, gather))) {
        Ok(Ok((end, undelivered))) => {
            if let Some(undelivered) = undelivered {
                deliver_alone(settings, &undelivered, report_path.as_deref());
            }
            end
        }
        Ok(Err(error)) => {
            log::error!(event = "run_failed"; "{error}");
            EndAs::Code(EXIT_RUNWRAP)
        }
        Err(_panic) => EndAs::Code(EXIT_RUNWRAP),
    }
}

/// The parts of a run that the limit of open descriptors leaves room for. The trainer runs in any case.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// A journal on disk.
    journal: bool,
    keeper: bool,
}

impl Room {
    const fn of(free_descriptors: usize) -> Self {
        Self { journal: free_descriptors >= JOURNAL_DESCRIPTORS, keeper: free_descriptors >= KEEPER_DESCRIPTORS }
    }

    fn warn(self) {
        let lost = match self {
            Self { keeper: true, .. } => return,
            Self { journal: true, .. } => "there is no keeper, and the record is written at the end",
            Self { journal: false, .. } => {
                "there is no keeper and no journal, and the record is written at the end, if it can be"
            }
        };
        let hint = format!("raise the limit by {KEEPER_DESCRIPTORS}, with `ulimit -n`");
        log::warn!(event = "few_descriptors", hint; "too few files may be open: {lost}");
    }
}

/// A container loses `/tmp` with its end, and with it the journals and the records.
fn warn_homeless(settings: &Settings) {
    let places: Vec<String> = settings.homeless.iter().map(|path| path.display().to_string()).collect();
    if !places.is_empty() {
        let hint = "set HOME, or --state-dir and --database-url, to a place that is kept";
        log::warn!(event = "no_home", hint;
            "there is no home directory: the run is kept in {}", places.join(" and in "));
    }
}

/// Delivers the end from this process, which may open a database now that the trainer has ended.
fn deliver_alone(settings: &Settings, undelivered: &Undelivered, report_path: Option<&Path>) {
    let Undelivered { state, place, journal } = undelivered;
    let delivery = Delivery::of_ended(state, report_path).claiming(settings.on_finish.is_some());
    // At the exit, `--finish-timeout` is the limit.
    let settings = Settings { start_timeout: settings.finish_timeout, ..settings.clone() };
    let run_id = state.begin.run.run_id;
    let file = journal.clone();
    let delivered = ask(&settings, "deliver the run", move |store| {
        // On the thread of the attempt, which has a deadline.
        if let Some(Err(error)) = file.as_deref().map(|file| sync(file, None)) {
            log::warn!(event = "not_synced", run_id:%, error:%; "the journal is not synced: {error}");
        }
        delivery.deliver(store)
    });
    if let (Ok(Delivered { finished: Some(record), .. }), Some(command)) = (&delivered, &settings.on_finish) {
        let directory = std::env::current_dir().unwrap_or_default();
        run_on_finish(command, &directory, record, ON_FINISH_LIMIT.min(settings.finish_timeout));
    }
    if let Err(error) = &delivered {
        let hint = if journal.is_some() {
            "run `runwrap recover` to deliver it"
        } else {
            "end the record, if there is one, with `runwrap finalize`: its end is lost with the journal in memory"
        };
        log::error!(event = "not_delivered", run_id:%, hint; "{error}");
    }
    match place {
        Some((home, run)) if delivered.is_ok() => {
            if let Err(error) = home.remove_run(run) {
                log::warn!(event = "remove_failed", run_id:%, error:%;
                    "the directory of the run cannot be removed: {error}");
            }
        }
        Some(_) => {}
        None => report_path.into_iter().for_each(discard_temporary_report),
    }
}

fn supervision(settings: &Settings, command: &[OsString], run_id: RunId, room: Room) -> SupervisorConfig {
    let place = if room.journal { place(settings, run_id) } else { None };
    let report_path = match &place {
        Some((_, directory)) => Some(directory.report_path()),
        None => temporary_report(run_id)
            .inspect_err(|error| {
                let hint = "set --state-dir or TMPDIR to a writable directory";
                log::warn!(event = "no_report_file", hint; "the trainer cannot report: {error}");
            })
            .ok(),
    };
    let config = KeeperConfig {
        run_id,
        target: settings.database.clone(),
        url_file: settings.database_url_file.clone(),
        table: settings.table.clone(),
        migrate: settings.migrate,
        require_database: settings.require_database,
        state_dir: settings.state_dir.clone(),
        has_directory: place.is_some(),
        journal_number: None,
        report_path,
        log_file: settings.log_file.clone(),
        heartbeat: settings.heartbeat,
        linger: settings.linger,
        start_timeout: settings.start_timeout,
        finish_timeout: settings.finish_timeout,
        on_finish: settings.on_finish.clone(),
        directory: std::env::current_dir().unwrap_or_default(),
    };
    let limits = RunLimits {
        start_timeout: settings.start_timeout,
        finish_timeout: settings.finish_timeout,
        timeout: settings.timeout,
        kill_after: settings.kill_after,
        kill_after_stop: settings.kill_after_given,
        require_database: settings.require_database || settings.unless_running.is_some(),
        exit_if_running: if settings.unless_running == Some(UnlessRunning::Skip) { 0 } else { EXIT_RUNNING },
        has_keeper: room.keeper,
    };
    SupervisorConfig {
        command: command.to_vec(),
        config,
        limits,
        place,
        stderr_tail_bytes: settings.stderr_tail_bytes,
        keep: Keep { release: logging::release, run: || keeper::run(&[]).map_or(EXIT_RUNWRAP, |()| 0) },
    }
}

fn begin(settings: &Settings, command: &[OsString], run_id: RunId, name: String) -> Begin {
    // Read together, before anything that may wait: an instant of the run is `begun_at` plus the boot time since `begun_boot`.
    let (begun_at, begun_boot) = (clock::wall_time(), clock::boot_time());
    let cwd = std::env::current_dir().unwrap_or_default();
    let run = Run {
        run_id,
        name,
        version: settings.model_version.clone(),
        adopt: settings.record_id.clone().map(RecordId),
        set: settings.set.clone(),
        begun_at,
        command: redact_command(command.iter().map(|word| word.to_string_lossy())),
        host: host::host_name(),
        username: host::user_name(),
        context: context::gather(&cwd),
        cwd: text(&cwd),
        model_path: settings.model_path.as_deref().map(text),
        lease_seconds: u32::try_from(settings.lease.as_secs()).unwrap_or(u32::MAX),
        circumstances: circumstances(settings),
        is_exclusive: settings.unless_running.is_some(),
    };
    Begin {
        format: FORMAT,
        run,
        database: settings.database.identity(),
        place: Some(settings.database.place()),
        sslmode: settings.database.demanded_protection(),
        table: settings.table.clone(),
        curves: usize::try_from(settings.curves).unwrap_or_default(),
        metrics_file: settings.metrics_file.as_deref().map(text),
        metrics_file_before: settings.metrics_file.as_deref().and_then(snapshot),
        begun_boot_us: u64::try_from(begun_boot.as_micros()).unwrap_or(u64::MAX),
    }
}

fn circumstances(settings: &Settings) -> Circumstances {
    let parent_run_id = std::env::var("RUNWRAP_RUN_ID").ok().and_then(|id| Uuid::try_parse(&id).ok()).map(RunId);
    let file = |fd| fs::path_of_standard(fd).as_deref().map(text);
    Circumstances {
        // A run in a run is no attempt of the job that the outer run is an attempt of.
        job: settings.job.clone().or_else(|| if parent_run_id.is_none() { context::slurm_job() } else { None }),
        parent_run_id,
        tags: settings.tags.clone(),
        stdout_path: file(std::io::stdout().as_fd()),
        stderr_path: file(std::io::stderr().as_fd()),
    }
}

fn place(settings: &Settings, run_id: RunId) -> Option<(Home, RunDirectory)> {
    let state_dir = &settings.state_dir;
    let identity = settings.database.identity();
    let made =
        Home::open(state_dir).and_then(|home| home.make_run(run_id, &identity, settings.lease).map(|run| (home, run)));
    made.inspect_err(|error| {
        let hint = "set --state-dir to a writable directory; without a journal, the end is lost if this machine fails";
        log::warn!(event = "no_journal", hint; "cannot keep a journal in {}: {error}", state_dir.display());
    })
    .ok()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_is_that_of_the_innermost_launcher() {
        let of = |set: &[(&str, &str)]| {
            rank(&|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("SLURM_PROCID", "3")]), Some(3));
        // mpirun and torchrun, started by a batch script of Slurm.
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("OMPI_COMM_WORLD_RANK", "5")]), Some(5));
        assert_eq!(of(&[("SLURM_PROCID", "1"), ("RANK", "9")]), Some(9));
        assert_eq!(of(&[("PMI_RANK", "2")]), Some(2));
        // A variable of another program.
        assert_eq!(of(&[("RANK", "captain"), ("SLURM_PROCID", "1")]), Some(1));
    }
}
