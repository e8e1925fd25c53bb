//! The texts of each verb's manual page that are not in its definition.

use crate::cli::help::Rows;

pub(super) struct Manual {
    pub(super) verb: &'static str,
    /// Paragraphs after the one sentence of the help.
    pub(super) description: &'static [&'static str],
    pub(super) statuses: Rows,
    pub(super) examples: Rows,
    /// Other verbs.
    pub(super) see_also: &'static [&'static str],
    /// Beside those of the options.
    pub(super) variables: Rows,
    /// Only of a verb without options of the table.
    pub(super) files: Rows,
}

const FAILED: (&str, &str) = ("125", "The verb failed, the database did not answer, or the usage was wrong.");
const NO_RECORD: (&str, &str) = ("1", "There is no such record.");

/// Of a verb without an entry: the test of the pages refuses it.
pub(super) const UNKNOWN: Manual = Manual {
    verb: "",
    description: &[],
    statuses: &[("0", "Success."), FAILED],
    examples: &[],
    see_also: &[],
    variables: &[],
    files: &[],
};

pub(super) const VERBS: &[Manual] = &[
    Manual {
        verb: "list",
        description: &[
            "All times are in UTC. A running record shows the time elapsed and the age of its last heartbeat. A run inside a run is marked. \
             On a terminal the table fits its width: names are cut, and columns left out.",
            "--sort sorts the records that are listed, the newest ones. In JSON and CSV a metric that --metric adds has the key \
             train_metrics/NAME.",
        ],
        statuses: &[("0", "The records were printed, also if there are none."), FAILED],
        examples: &[
            ("runwrap list --status failed --name resnet --limit 20", "The newest failed runs of one name."),
            ("runwrap list --tag reviewed --json", "The records with a tag, as an array of JSON objects."),
            ("runwrap list --since 7days --metric loss --sort loss", "The losses of a week, the lowest first."),
        ],
        see_also: &["show", "diff"],
        ..UNKNOWN
    },
    Manual {
        verb: "show",
        description: &[
            "ID is the id of a record or of a run. The attempts of the same job and the runs inside this run are listed. On a terminal \
             the curves of up to four metrics are drawn, those with loss and acc in their names first.",
        ],
        statuses: &[("0", "The record was printed."), NO_RECORD, FAILED],
        examples: &[
            ("runwrap show 30", ""),
            ("runwrap show 30 --json", "One flat JSON object."),
            ("runwrap show 30 --points loss --format csv", "The points of one curve."),
        ],
        see_also: &["list", "diff"],
        ..UNKNOWN
    },
    Manual {
        verb: "diff",
        description: &[
            "Compares command, context, tags, metrics, duration, memory and further columns, without ids and times.",
        ],
        statuses: &[("0", "The differences were printed, also if there are none."), NO_RECORD, FAILED],
        examples: &[("runwrap diff 29 30", "")],
        see_also: &["list", "show"],
        ..UNKNOWN
    },
    Manual {
        verb: "note",
        description: &["Works for each record of the table, also for one that no run of runwrap watches."],
        statuses: &[("0", "The note was written."), NO_RECORD, FAILED],
        examples: &[(
            "runwrap note 30 \"diverged after the learning rate was raised\" --tag reviewed --untag todo",
            "Adds a text and a tag, and removes a tag.",
        )],
        see_also: &["show", "finalize"],
        ..UNKNOWN
    },
    Manual {
        verb: "check",
        description: &[
            "Reads each record, and the journals in the state directory. Prints each finding and its repair. With --fix it \
             repairs values that follow from the record itself: an end from start and duration, a duration from start and end.",
        ],
        statuses: &[("0", "There is no finding."), ("1", "There is at least one finding."), FAILED],
        examples: &[("runwrap check --live", "Reads only the runs without an end, and the journals.")],
        see_also: &["recover", "finalize", "migrate"],
        ..UNKNOWN
    },
    Manual {
        verb: "doctor",
        description: &[
            "Prints a line for each check: ok, warning or failure, with the next step. The rehearsed run begins and ends, and leaves \
             no row, no file and no used version. doctor takes the options of a run and examines a run with them.",
        ],
        statuses: &[
            ("0", "There is no failure. There may be warnings."),
            ("1", "There is at least one failure; a database that does not answer is one."),
            ("125", "The usage or the configuration was wrong."),
        ],
        examples: &[("runwrap doctor", "With the options of the environment and of the configuration file.")],
        see_also: &["check", "migrate"],
        ..UNKNOWN
    },
    Manual {
        verb: "recover",
        description: &[
            "Delivers the journals that earlier runs left in the state directory. Then it ends the records of runs on any host \
             that sent no heartbeat within their lease: failed, with the reason lost. If such a run is alive, or its journal is \
             found, the true state replaces the presumed one.",
            "With --stuck-after it also ends records in training that no runwrap watches and that showed no sign of life for this \
             time: failed, with the reason stuck.",
            "Any number of recoveries at once repair each record once. A journal is delivered only to its own database; if only \
             the address of the database has changed, --from names the former one.",
            "--textfile writes the metrics of `serve` in Prometheus' text format after each round, for the textfile collector of \
             node_exporter. The file is replaced as a whole.",
        ],
        statuses: &[
            ("0", "All that could be delivered or ended was; with --every, also after SIGTERM."),
            (
                "125",
                "A journal or record is left because of an error, the database did not answer, or the usage was wrong.",
            ),
        ],
        examples: &[
            ("runwrap recover --stuck-after 24h --dry-run", "Prints the changes and makes none."),
            ("runwrap recover --every 1m --stuck-after 24h", "As a service: repeats until SIGTERM."),
        ],
        see_also: &["check", "finalize", "serve"],
        variables: &[(
            "NOTIFY_SOCKET, WATCHDOG_USEC",
            "Set by systemd. With --every, readiness and each round are reported to it.",
        )],
        ..UNKNOWN
    },
    Manual {
        verb: "serve",
        description: &[
            "Prints its address and serves until SIGTERM or SIGINT: the records as pages for a browser, as JSON below /api, and metrics \
             for Prometheus at /metrics. No request changes a record. A role with the right to SELECT is enough.",
            "It listens on loopback. There is no password: for other hosts put a proxy with one in front, or use a tunnel of ssh. A \
             request must name an allowed host: localhost, 127.0.0.1, [::1], the address of --listen or an --allow-host, with any port. \
             An address that other hosts reach needs --allow-host. unix:PATH makes a socket that only this user may connect to.",
            "With --recover it also does what `runwrap recover --every` does, with the same rights and options; viewers never delay it.",
            "While the database is away it shows its last answers, marked as old. It starts without the database too.",
        ],
        statuses: &[
            ("0", "SIGTERM or SIGINT ended it."),
            ("125", "It cannot listen, the first round of the recovery failed for good, or the usage was wrong."),
        ],
        examples: &[
            ("runwrap serve", "On http://127.0.0.1:8477/."),
            ("runwrap serve --recover 1m --stuck-after 24h", "With the recovery in the same service."),
            ("runwrap serve --listen unix:$XDG_RUNTIME_DIR/runwrap.sock", "On a login node that many users share."),
        ],
        see_also: &["list", "show", "recover"],
        variables: &[(
            "NOTIFY_SOCKET, WATCHDOG_USEC",
            "Set by systemd. Readiness and the watchdog are reported to it.",
        )],
        ..UNKNOWN
    },
    Manual {
        verb: "finalize",
        description: &[
            "Works for each record of the table, also for one that no run of runwrap watches. Without --ended-at a known end \
             stays; if there is none, the last sign of life becomes the end. An end that is not presumed is changed only with \
             --force. The operator, the time and the previous values are kept in runwrap_runs (context, key finalized).",
        ],
        statuses: &[
            ("0", "The record has its end."),
            ("1", "There is no such record, or it has an end already."),
            FAILED,
        ],
        examples: &[(
            "runwrap finalize 30 --status completed --ended-at 2025-11-27T01:20:52Z --reason \"read from its log\"",
            "",
        )],
        see_also: &["show", "check", "recover"],
        ..UNKNOWN
    },
    Manual {
        verb: "report",
        description: &[
            "For programs that cannot append a line of JSON to the file themselves. The values reach the record at the next \
             heartbeat, and are kept whatever ends the run. For each metric the last value counts.",
        ],
        statuses: &[
            ("0", "The line was written."),
            ("125", "There is no run, the line was refused, or the usage was wrong."),
        ],
        examples: &[("runwrap report --metric loss=0.12 --step 120 --model-path out/model.pt", "")],
        see_also: &["show"],
        variables: &[("RUNWRAP_REPORT", "The path of the file. runwrap sets it for the command.")],
        files: &[("$RUNWRAP_REPORT", "The lines reported so far. The file is removed when the run has ended.")],
    },
    Manual {
        verb: "migrate",
        description: &[
            "A run does the same at its first use of a database, except with --no-migrate. The table of the records is never \
             altered: columns and rights that are missing there are named, with the SQL that adds them.",
        ],
        statuses: &[("0", "The tables are up to date, or the missing SQL was printed."), FAILED],
        examples: &[("runwrap migrate --print", "The SQL for an administrator.")],
        see_also: &["check"],
        ..UNKNOWN
    },
    Manual {
        verb: "completions",
        description: &["The packages install the scripts for bash, zsh and fish."],
        statuses: &[("0", "The script was printed."), ("125", "The usage was wrong.")],
        examples: &[
            ("source <(runwrap completions bash)", "For this bash."),
            ("runwrap completions fish > ~/.config/fish/completions/runwrap.fish", "For each fish of this user."),
        ],
        files: &[
            ("/usr/share/bash-completion/completions/runwrap", "The script for bash."),
            ("/usr/share/zsh/vendor-completions/_runwrap", "The script for zsh."),
            ("/usr/share/fish/vendor_completions.d/runwrap.fish", "The script for fish."),
        ],
        ..UNKNOWN
    },
];
