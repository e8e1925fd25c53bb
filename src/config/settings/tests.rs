//! The precedence of the layers, the defaults, and the errors about values.

use super::*;
use crate::config::file;
use crate::config::layers::Layer;
use crate::config::options::OptionKind;
use crate::libpq::fake::FakeEnv;
use std::path::Path;

const FILE: &str = "/etc/c.toml";

/// The layers of these flags, of the environment, and of a file with this content.
fn layers(env: &FakeEnv, flags: &[(&'static OptionRow, &str)], content: &str) -> Layers {
    let mut layer = Layer::default();
    for (row, text) in flags {
        layer.add(row, text.into(), Origin::Flag(row.flag.unwrap()));
    }
    let environment = env.with(|env| Layer::of_environment(env.variable));
    Layers(vec![layer, environment, file::parse(Path::new(FILE), content).unwrap()])
}

fn resolved(env: &FakeEnv, flags: &[(&'static OptionRow, &str)], content: &str) -> Result<Settings, ConfigError> {
    env.with(|real| resolve(&layers(env, flags, content), real))
}

#[track_caller]
fn refused(env: &FakeEnv, flags: &[(&'static OptionRow, &str)], content: &str, part: &str) {
    let error = resolved(env, flags, content).unwrap_err();
    let got = format!("{error}; {}", error.hint);
    assert!(got.contains(part), "no \"{part}\" in: {got}");
}

#[test]
fn defaults_are_the_documented_ones() {
    let settings = resolved(&FakeEnv::new(&[]), &[], "").unwrap();
    let seconds = |seconds| Duration::from_secs(seconds);
    let expected = Settings {
        name: None,
        model_version: None,
        database: DatabaseTarget::Sqlite("/home/ml/.local/share/runwrap/runwrap.db".into()),
        database_url_file: None,
        table: "training_records".to_owned(),
        record_id: None,
        set: Vec::new(),
        tags: BTreeMap::new(),
        job: None,
        only_rank: None,
        unless_running: None,
        metrics_file: None,
        model_path: None,
        timeout: None,
        kill_after: seconds(30),
        kill_after_given: false,
        heartbeat: seconds(30),
        lease: seconds(300),
        start_timeout: seconds(5),
        finish_timeout: seconds(30),
        linger: seconds(24 * 3600),
        require_database: false,
        stderr_tail_bytes: 4096,
        curves: 64,
        state_dir: "/home/ml/.local/state/runwrap".into(),
        log_file: "/home/ml/.local/state/runwrap/runwrap.log".into(),
        homeless: Vec::new(),
        migrate: true,
        verbosity: Verbosity::Normal,
        origins: OPTIONS.into_iter().map(|row| (row.key, Origin::Default)).collect(),
        given: Vec::new(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn a_flag_overrides_a_variable_overrides_the_file() {
    let content = "heartbeat = \"4s\"";
    let env = FakeEnv::new(&[("RUNWRAP_HEARTBEAT", "3s")]);
    let heartbeat = |env: &FakeEnv, flags: &[(&'static OptionRow, &str)], content: &str| {
        let settings = resolved(env, flags, content).unwrap();
        (settings.heartbeat.as_secs(), settings.origins[options::HEARTBEAT.key].clone())
    };
    let flag = [(&options::HEARTBEAT, "2s")];
    assert_eq!(heartbeat(&env, &flag, content), (2, Origin::Flag("--heartbeat")));
    assert_eq!(heartbeat(&env, &[], content), (3, Origin::Environment("RUNWRAP_HEARTBEAT")));
    let in_file = Origin::File { path: FILE.into(), key: "heartbeat".to_owned() };
    assert_eq!(heartbeat(&FakeEnv::new(&[("RUNWRAP_HEARTBEAT", "")]), &[], content), (4, in_file));
    assert_eq!(heartbeat(&FakeEnv::new(&[]), &[], ""), (30, Origin::Default));
}

/// An inner run was recorded under the name and version of the outer one, and its model overwrote the outer one's path.
#[test]
fn variables_that_describe_the_outer_run_are_no_options_of_an_inner_one() {
    let set = [
        ("RUNWRAP_NAME", "outer"),
        ("RUNWRAP_MODEL_VERSION", "v7"),
        ("RUNWRAP_MODEL_PATH", "/m.pt"),
        ("RUNWRAP_METRICS_FILE", "/m.json"),
        ("RUNWRAP_HEARTBEAT", "3s"),
    ];
    let described = |id: &'static str, flags: &[(&'static OptionRow, &str)], content: &str| {
        let env = FakeEnv::new(&[&set[..], &[("RUNWRAP_RUN_ID", id)]].concat());
        let Settings { name, model_version, model_path, metrics_file, heartbeat, .. } =
            resolved(&env, flags, content).unwrap();
        assert_eq!(heartbeat, Duration::from_secs(3));
        let paths = [model_path, metrics_file].map(|path| path.map(|path| path.display().to_string()));
        [name, model_version].into_iter().chain(paths).map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(described("", &[], ""), "outer v7 /m.pt /m.json");
    assert_eq!(described("0198f3c1", &[], ""), "   ");
    assert_eq!(described("0198f3c1", &[(&options::NAME, "inner")], "model_path = \"/i.pt\""), "inner  /i.pt ");
}

/// Three different values of each kind, none of them a default.
fn three_values(row: &OptionRow) -> [&'static str; 3] {
    match row.kind {
        // A switch has two values: neighbouring layers differ.
        OptionKind::Switch => ["true", "false", "true"],
        OptionKind::Duration if row.key == "heartbeat" => ["41s", "42s", "43s"],
        OptionKind::Duration => ["11m", "12m", "13m"],
        OptionKind::Count => ["11", "12", "13"],
        OptionKind::Bytes => ["11", "12", "13"],
        OptionKind::Secret if row.key == "database_url" => ["sqlite:/1", "sqlite:/2", "sqlite:/3"],
        OptionKind::Text if row.key == "table" => ["one", "two", "three"],
        OptionKind::Text if row.key == "only_rank" => ["1", "2", "3"],
        OptionKind::Choice => ["fail", "skip", "fail"],
        OptionKind::Secret | OptionKind::Text | OptionKind::Path | OptionKind::Repeated => ["/1", "/2", "/3"],
    }
}

/// The settings as text without their origins, and the origins.
fn decided(
    env: &FakeEnv,
    flags: &[(&'static OptionRow, &str)],
    content: &str,
) -> (String, BTreeMap<&'static str, Origin>) {
    let settings = resolved(env, flags, content).unwrap();
    (format!("{:?}", Settings { origins: BTreeMap::new(), given: Vec::new(), ..settings.clone() }), settings.origins)
}

#[test]
fn every_option_follows_the_precedence_of_the_layers() {
    for row in OPTIONS.into_iter().filter(|row| row.key != options::CONFIG.key) {
        let [by_flag, by_variable, by_file] = three_values(row);
        let url_files = |env: FakeEnv| {
            [("/1", "sqlite:/1"), ("/2", "sqlite:/2"), ("/3", "sqlite:/3")]
                .into_iter()
                .fold(env, |env, (path, url)| env.with_file(path, url))
        };
        let nothing = url_files(FakeEnv::new(&[]));
        let set = row.variable.map(|variable| url_files(FakeEnv::new(&[(variable, by_variable)])));
        let quoted = if matches!(row.kind, OptionKind::Switch | OptionKind::Bytes | OptionKind::Count) {
            by_file.to_owned()
        } else {
            format!("\"{by_file}\"")
        };
        let content = if row.in_file { format!("{} = {quoted}", row.key) } else { String::new() };
        let flags: Vec<(&'static OptionRow, &str)> =
            row.flag.map(|_| (row, by_flag)).into_iter().filter(|_| row.kind != OptionKind::Repeated).collect();

        let alone = |env: &FakeEnv, flags: &[(&'static OptionRow, &str)], content: &str| {
            let (text, origins) = decided(env, flags, content);
            (text, origins[row.key].clone())
        };
        let (default, origin) = alone(&nothing, &[], "");
        assert_eq!(origin, Origin::Default, "{}", row.key);
        let mut layers = Vec::new();
        if !flags.is_empty() {
            let expected = alone(&nothing, &flags, "");
            assert_eq!(expected.1, Origin::Flag(row.flag.unwrap()));
            assert_eq!(alone(set.as_ref().unwrap_or(&nothing), &flags, &content), expected, "{}", row.key);
            layers.push(expected.0);
        }
        if let Some(env) = &set {
            let expected = alone(env, &[], "");
            assert_eq!(expected.1, Origin::Environment(row.variable.unwrap()));
            assert_eq!(alone(env, &[], &content), expected, "{}", row.key);
            layers.push(expected.0);
        }
        if row.in_file {
            let (text, origin) = alone(&nothing, &[], &content);
            assert_eq!(origin, Origin::File { path: FILE.into(), key: row.key.to_owned() });
            layers.push(text);
        }
        layers.push(default);
        let differ = |pair: &[String]| pair[0] != pair[1];
        assert!(layers.windows(2).all(differ), "{}: a value changes nothing: {layers:?}", row.key);
    }
}

#[test]
fn errors_name_the_origin_of_the_value() {
    let nothing = FakeEnv::new(&[]);
    refused(&nothing, &[(&options::LEASE, "5")], "", "cannot use --lease 5: a duration needs a unit");
    refused(&FakeEnv::new(&[("RUNWRAP_LEASE", "5")]), &[], "", "cannot use RUNWRAP_LEASE=5: a duration");
    refused(&nothing, &[], "lease = \"5\"", "cannot use lease = 5 in /etc/c.toml: a duration");
    refused(&nothing, &[(&options::SET, "a=1"), (&options::SET, "a=2")], "", "--set a=2: a is set twice");
    refused(&nothing, &[(&options::NAME, "a\nb")], "", "control character");
    refused(&nothing, &[], "name = \"a\\u0000\"", "name = a\u{fffd} in /etc/c.toml: it contains a control character");
    refused(&nothing, &[(&options::TABLE, "a;b")], "", "--table a;b: it is not the name of a table");
    refused(&nothing, &[(&options::STDERR_TAIL, "99999999999999999999")], "", "number too large");
    refused(&nothing, &[(&options::STATE_DIR, "")], "", "--state-dir \"\": it is empty");
    refused(&FakeEnv::new(&[("RUNWRAP_QUIET", "2")]), &[], "", "RUNWRAP_QUIET=2: it is neither yes nor no");
}

#[test]
fn a_duration_has_a_unit_and_a_range() {
    for (text, part) in [
        ("30", "needs a unit"),
        ("1.5", "needs a unit"),
        ("0", "needs a unit"),
        ("-5s", "expected number"),
        ("0s", "from 100ms"),
        ("2days", "to 1day"),
        ("5m30", "time unit needed"),
        ("5 parsecs", "unknown time unit \"parsecs\""),
        ("soon", "not a duration"),
        ("", "not a duration"),
        ("99999999999999999999s", "too large"),
    ] {
        refused(&FakeEnv::new(&[]), &[(&options::HEARTBEAT, text)], "", part);
    }
    for (text, millis) in [("250ms", 250), ("1.5s", 1500), ("1m 30s", 90_000), (" 2s ", 2000), ("1h", 3_600_000)] {
        let flags = [(&options::HEARTBEAT, text), (&options::LEASE, "2h")];
        let settings = resolved(&FakeEnv::new(&[]), &flags, "").unwrap();
        assert_eq!(settings.heartbeat, Duration::from_millis(millis), "{text}");
    }
}

#[test]
fn a_lease_is_whole_seconds_and_exceeds_the_heartbeat() {
    let nothing = FakeEnv::new(&[]);
    let flags = [(&options::HEARTBEAT, "200ms"), (&options::LEASE, "1500ms")];
    assert_eq!(resolved(&nothing, &flags, "").unwrap().lease, Duration::from_secs(2));
    refused(
        &nothing,
        &[(&options::LEASE, "30s")],
        "",
        "--lease 30s: a lease of 30s runs out before the next heartbeat",
    );
    refused(&nothing, &[(&options::HEARTBEAT, "5m")], "", "--heartbeat 5m: a lease of 5m");
    refused(&FakeEnv::new(&[("RUNWRAP_HEARTBEAT", "1h")]), &[(&options::LEASE, "10m")], "", "--lease 10m");
}

#[test]
fn paths_become_absolute_and_urls_stay() {
    let flags =
        [(&options::STATE_DIR, "state"), (&options::METRICS_FILE, "./m.json"), (&options::MODEL_PATH, "out/./m.pt")];
    let settings = resolved(&FakeEnv::new(&[]), &flags, "").unwrap();
    assert_eq!(settings.log_file, Path::new("/here/state/runwrap.log"));
    assert_eq!(settings.metrics_file, Some("/here/m.json".into()));
    assert_eq!(settings.model_path, Some("/here/out/m.pt".into()));
    let settings = resolved(&FakeEnv::new(&[("RUNWRAP_MODEL_PATH", "s3://bucket/m.pt")]), &[], "").unwrap();
    assert_eq!(settings.model_path, Some("s3://bucket/m.pt".into()));
}

/// No shell expands `--state-dir=~/st`: a directory called `~` was made in the current one.
#[test]
fn tilde_is_expanded_in_each_path_of_each_layer() {
    let flags = [(&options::STATE_DIR, "~/st"), (&options::METRICS_FILE, "~/m.json"), (&options::LOG_FILE, "~/x.log")];
    let env = FakeEnv::new(&[("RUNWRAP_MODEL_PATH", "~/m.pt"), ("HOME", "/h")]);
    let settings = resolved(&env, &flags, "database_url = \"sqlite:~/runs.db\"").unwrap();
    assert_eq!((settings.state_dir, settings.log_file), ("/h/st".into(), "/h/x.log".into()));
    assert_eq!((settings.metrics_file, settings.model_path), (Some("/h/m.json".into()), Some("/h/m.pt".into())));
    assert_eq!(settings.database.identity(), "sqlite:/h/runs.db");
    let env = FakeEnv::new(&[]).with_file("/home/ml/url", "sqlite:~/a.db");
    let settings = resolved(&env, &[], "state_dir = \"~/s\"\ndatabase_url_file = \"~/url\"").unwrap();
    assert_eq!(
        (settings.state_dir, settings.database.identity()),
        ("/home/ml/s".into(), "sqlite:/home/ml/a.db".into())
    );
    let mut homeless = FakeEnv::new(&[]);
    homeless.user_home = None;
    refused(&homeless, &flags, "", "--state-dir ~/st: there is no home directory for ~; set HOME");
}

/// SQLite was used, without a message.
#[test]
fn variables_of_libpq_alone_name_the_database() {
    let database = |variables: &[(&'static str, &'static str)], flags: &[(&'static OptionRow, &str)]| {
        resolved(&FakeEnv::new(variables), flags, "").unwrap().database.identity()
    };
    assert_eq!(database(&[("PGHOST", "db"), ("PGDATABASE", "train")], &[]), "postgres://db:5432/train");
    assert_eq!(database(&[("PGDATABASE", "train")], &[]), "postgres:///var/run/postgresql:5432/train");
    assert_eq!(database(&[("PGHOSTADDR", "10.0.0.1"), ("PGUSER", "u")], &[]), "postgres://10.0.0.1:5432/u");
    let file = "sqlite:/home/ml/.local/share/runwrap/runwrap.db";
    let others = [("PGUSER", "u"), ("PGPORT", "6000"), ("PGPASSWORD", "p"), ("PGSSLMODE", "require"), ("PGHOST", "")];
    assert_eq!(database(&others, &[]), file);
    assert_eq!(database(&[("PGHOST", "db")], &[(&options::DATABASE_URL, "sqlite:")]), file);
    let service = FakeEnv::new(&[("PGSERVICE", "t")]).with_file("/home/ml/.pg_service.conf", "[t]\nhost=s\n");
    assert_eq!(resolved(&service, &[], "").unwrap().database.identity(), "postgres://s:5432/ml");
}

#[test]
fn places_are_homeless_only_by_default_and_without_a_home() {
    let homeless = |user_home, variables: &[(&'static str, &'static str)], flags: &[(&'static OptionRow, &str)]| {
        let mut env = FakeEnv::new(variables);
        env.user_home = user_home;
        let homeless = resolved(&env, flags, "").unwrap().homeless;
        homeless
            .iter()
            .map(|path| path.strip_prefix("/tmp/runwrap-1000").unwrap().display().to_string())
            .collect::<Vec<_>>()
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(homeless(Some("/h"), &[], &[]), none);
    assert_eq!(homeless(None, &[("HOME", "/tmp/runwrap-1000")], &[]), none);
    assert_eq!(homeless(None, &[], &[]), [".local/state/runwrap", ".local/share/runwrap/runwrap.db"]);
    assert_eq!(homeless(None, &[], &[(&options::STATE_DIR, "/tmp/s")]), [".local/share/runwrap/runwrap.db"]);
    assert_eq!(homeless(None, &[], &[(&options::DATABASE_URL, "postgres://u@h/d")]), [".local/state/runwrap"]);
    let xdg = [("XDG_STATE_HOME", "/tmp/x"), ("XDG_DATA_HOME", "/data")];
    assert_eq!(homeless(None, &xdg, &[]), none);
}

#[test]
fn the_strongest_layer_with_verbose_or_quiet_decides() {
    let verbosity =
        |variables: &[(&'static str, &'static str)], flags: &[(&'static OptionRow, &str)], content: &str| {
            resolved(&FakeEnv::new(variables), flags, content).unwrap().verbosity
        };
    assert_eq!(verbosity(&[("RUNWRAP_VERBOSE", "yes")], &[(&options::QUIET, "true")], ""), Verbosity::Quiet);
    assert_eq!(verbosity(&[("RUNWRAP_VERBOSE", "1")], &[], "quiet = true"), Verbosity::Verbose);
    assert_eq!(verbosity(&[("RUNWRAP_QUIET", "0")], &[], "quiet = true"), Verbosity::Normal);
    refused(&FakeEnv::new(&[]), &[], "quiet = true\nverbose = true", "verbose is on in the same layer");
}

#[test]
fn the_database_url_may_be_in_a_file() {
    let env = FakeEnv::new(&[("RUNWRAP_DATABASE_URL_FILE", "url")]).with_file("/here/url", "sqlite:a.db\r\n");
    let database = |env: &FakeEnv, flags: &[(&'static OptionRow, &str)], content: &str| {
        resolved(env, flags, content).unwrap().database.identity()
    };
    assert_eq!(database(&env, &[], "database_url = \"sqlite:c.db\""), "sqlite:/here/a.db");
    assert_eq!(database(&env, &[(&options::DATABASE_URL, "sqlite:b.db")], ""), "sqlite:/here/b.db");
    let env = FakeEnv::new(&[]).with_file("/run/url", "postgres://u:hunter2@h/db");
    assert_eq!(database(&env, &[], "database-url-file = \"/run/url\""), "postgres://h:5432/db");
    let env = FakeEnv::new(&[("RUNWRAP_DATABASE_URL_FILE", "url")]).with_file("/here/url", "sqlite:a\nsqlite:b\n");
    refused(&env, &[], "", "more than one line");
}

#[test]
fn tags_of_a_variable_are_separated_by_commas_and_those_of_flags_repeated() {
    let tags = |variables: &[(&'static str, &'static str)], flags: &[(&'static OptionRow, &str)]| {
        let tags = resolved(&FakeEnv::new(variables), flags, "")?.tags;
        Ok::<_, ConfigError>(tags.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>())
    };
    assert_eq!(tags(&[("RUNWRAP_TAG", "team=a b, gpu,x=1=2")], &[]).unwrap(), ["gpu=", "team=a b", "x=1=2"]);
    let flags = [(&options::TAG, "note=a, b"), (&options::TAG, "gpu")];
    assert_eq!(tags(&[("RUNWRAP_TAG", "team=x")], &flags).unwrap(), ["gpu=", "note=a, b"]);
    for wrong in ["=x", "", "a,a=1", "a,,b"] {
        assert!(tags(&[], &[(&options::TAG, wrong)]).is_err() || wrong.contains(','), "{wrong}");
        let error = tags(&[("RUNWRAP_TAG", wrong)], &[]);
        assert!(error.is_err() || wrong.is_empty(), "{wrong}");
    }
    let twice = tags(&[], &[(&options::TAG, "a=1"), (&options::TAG, "a=2")]).unwrap_err();
    assert!(twice.to_string().contains("--tag a=2") && twice.to_string().contains("twice"), "{twice}");
}

#[test]
fn given_values_are_named_with_their_origin_and_without_secrets() {
    let env = FakeEnv::new(&[
        ("RUNWRAP_DATABASE_URL_FILE", "/url"),
        ("RUNWRAP_HEARTBEAT", "10s"),
        ("RUNWRAP_TABLE", "weaker"),
    ]);
    let flags = [(&options::DATABASE_URL, "postgres://u:hunter2@h/d"), (&options::TABLE, "ml.runs")];
    let given = resolved(&env, &flags, "linger = \"1h\"\nheartbeat = \"9s\"\n").unwrap().given;
    let expected = [
        ("database_url", "--database-url"),
        ("table", "--table ml.runs"),
        ("heartbeat", "RUNWRAP_HEARTBEAT=10s"),
        ("linger", "linger = 1h in /etc/c.toml"),
    ];
    assert_eq!(given, expected.map(|(key, value)| (key, value.to_owned())));
}
