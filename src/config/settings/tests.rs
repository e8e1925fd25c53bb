//! The precedence of the layers, the defaults, and what is said of a value that cannot be used.

use super::*;
use crate::config::env::world::World;
use crate::config::file;
use crate::config::layers::Layer;
use crate::config::options::OptionKind;
use std::path::Path;

const FILE: &str = "/etc/c.toml";

/// The layers of these flags, of the world's environment, and of a file with this content.
fn layers(world: &World, flags: &[(&'static OptionRow, &str)], content: &str) -> Layers {
    let mut layer = Layer::default();
    for (row, text) in flags {
        layer.add(row, OsString::from(text), Origin::Flag(row.flag.unwrap()));
    }
    let environment = world.look(|around| Layer::of_environment(around.variable));
    Layers { flags: layer, environment, file: file::parse(Path::new(FILE), content).unwrap() }
}

fn resolved(world: &World, flags: &[(&'static OptionRow, &str)], content: &str) -> Result<Settings, ConfigError> {
    world.look(|around| resolve(&layers(world, flags, content), around))
}

#[track_caller]
fn refused(world: &World, flags: &[(&'static OptionRow, &str)], content: &str, said: &str) {
    let error = resolved(world, flags, content).unwrap_err();
    let got = format!("{error}; {}", error.hint());
    assert!(got.contains(said), "no \"{said}\" in: {got}");
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = resolved(&World::new(&[]), &[], "").unwrap();
    let seconds = |seconds| Duration::from_secs(seconds);
    let expected = Settings {
        name: None,
        model_version: None,
        database: DatabaseTarget::Sqlite("/home/ml/.local/share/runwrap/runwrap.db".into()),
        table: "training_records".to_owned(),
        record_id: None,
        set: Vec::new(),
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
        state_dir: "/home/ml/.local/state/runwrap".into(),
        log_file: "/home/ml/.local/state/runwrap/runwrap.log".into(),
        migrate: true,
        verbosity: Verbosity::Normal,
        origins: OPTIONS.into_iter().map(|row| (row.key, Origin::Default)).collect(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn a_flag_counts_before_a_variable_before_the_file_before_the_default() {
    let content = "heartbeat = \"4s\"";
    let world = World::new(&[("RUNWRAP_HEARTBEAT", "3s")]);
    let heartbeat = |world: &World, flags: &[(&'static OptionRow, &str)], content: &str| {
        let settings = resolved(world, flags, content).unwrap();
        (settings.heartbeat.as_secs(), settings.origins[options::HEARTBEAT.key].clone())
    };
    let flag = [(&options::HEARTBEAT, "2s")];
    assert_eq!(heartbeat(&world, &flag, content), (2, Origin::Flag("--heartbeat")));
    assert_eq!(heartbeat(&world, &[], content), (3, Origin::Environment("RUNWRAP_HEARTBEAT")));
    let in_file = Origin::File { path: FILE.into(), key: "heartbeat".to_owned() };
    assert_eq!(heartbeat(&World::new(&[("RUNWRAP_HEARTBEAT", "")]), &[], content), (4, in_file));
    assert_eq!(heartbeat(&World::new(&[]), &[], ""), (30, Origin::Default));
}

/// Three values of each kind, that no default has and that differ once they are read.
fn three_values(row: &OptionRow) -> [&'static str; 3] {
    match row.kind {
        // Enough to tell the layers apart that a switch has: on in one, off in the next.
        OptionKind::Switch => ["true", "false", "true"],
        OptionKind::Duration if row.key == "heartbeat" => ["41s", "42s", "43s"],
        OptionKind::Duration => ["11m", "12m", "13m"],
        OptionKind::Bytes => ["11", "12", "13"],
        OptionKind::Secret if row.key == "database_url" => ["sqlite:/1", "sqlite:/2", "sqlite:/3"],
        OptionKind::Text if row.key == "table" => ["one", "two", "three"],
        OptionKind::Secret | OptionKind::Text | OptionKind::Path | OptionKind::Repeated => ["/1", "/2", "/3"],
    }
}

/// What of the settings `row` decides, as one text: all of it but the origins.
fn decided(
    world: &World,
    flags: &[(&'static OptionRow, &str)],
    content: &str,
) -> (String, BTreeMap<&'static str, Origin>) {
    let settings = resolved(world, flags, content).unwrap();
    (format!("{:?}", Settings { origins: BTreeMap::new(), ..settings.clone() }), settings.origins)
}

#[test]
fn every_option_is_taken_from_its_flag_before_its_variable_before_the_file_before_the_default() {
    for row in OPTIONS.into_iter().filter(|row| row.key != options::CONFIG.key) {
        let [by_flag, by_variable, by_file] = three_values(row);
        let url_files = |world: World| {
            ["/1", "/2", "/3"].iter().fold(world, |world, path| world.with_file(path, &format!("sqlite:{path}")))
        };
        let nothing = url_files(World::new(&[]));
        let set = row.variable.map(|variable| url_files(World::new(&[(variable, by_variable)])));
        let quoted = if matches!(row.kind, OptionKind::Switch | OptionKind::Bytes) {
            by_file.to_owned()
        } else {
            format!("\"{by_file}\"")
        };
        let content = if row.in_file { format!("{} = {quoted}", row.key) } else { String::new() };
        let flags: Vec<(&'static OptionRow, &str)> =
            row.flag.map(|_| (row, by_flag)).into_iter().filter(|_| row.kind != OptionKind::Repeated).collect();

        let alone = |world: &World, flags: &[(&'static OptionRow, &str)], content: &str| {
            let (text, origins) = decided(world, flags, content);
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
        if let Some(world) = &set {
            let expected = alone(world, &[], "");
            assert_eq!(expected.1, Origin::Environment(row.variable.unwrap()));
            assert_eq!(alone(world, &[], &content), expected, "{}", row.key);
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
fn every_value_is_refused_with_the_place_where_it_was_given() {
    let nothing = World::new(&[]);
    refused(&nothing, &[(&options::LEASE, "5")], "", "cannot use --lease 5: a duration needs a unit");
    refused(&World::new(&[("RUNWRAP_LEASE", "5")]), &[], "", "cannot use RUNWRAP_LEASE=5: a duration");
    refused(&nothing, &[], "lease = \"5\"", "cannot use lease = 5 in /etc/c.toml: a duration");
    refused(&nothing, &[(&options::SET, "a=1"), (&options::SET, "a=2")], "", "--set a=2: a is set twice");
    refused(&nothing, &[(&options::NAME, "a\nb")], "", "control character");
    refused(&nothing, &[], "name = \"a\\u0000\"", "name = a\u{fffd} in /etc/c.toml: it holds a control character");
    refused(&nothing, &[(&options::TABLE, "a;b")], "", "--table a;b: it is not the name of a table");
    refused(&nothing, &[(&options::STDERR_TAIL, "99999999999999999999")], "", "too many bytes");
    refused(&nothing, &[(&options::STATE_DIR, "")], "", "--state-dir \"\": it is empty");
    refused(&World::new(&[("RUNWRAP_QUIET", "2")]), &[], "", "RUNWRAP_QUIET=2: it is neither yes nor no");
}

#[test]
fn a_duration_has_a_unit_and_a_sensible_length() {
    for (text, said) in [
        ("30", "needs a unit"),
        ("1.5", "needs a unit"),
        ("0", "needs a unit"),
        ("-5s", "cannot be negative"),
        ("0s", "the least is 100ms"),
        ("2days", "the most is 24 hours"),
        ("5m30", "a number in it has no unit"),
        ("5 parsecs", "\"parsecs\" is not a unit"),
        ("soon", "not a duration"),
        ("", "not a duration"),
        ("99999999999999999999s", "too large"),
    ] {
        refused(&World::new(&[]), &[(&options::HEARTBEAT, text)], "", said);
    }
    for (text, millis) in [("250ms", 250), ("1.5s", 1500), ("1m 30s", 90_000), (" 2s ", 2000), ("1h", 3_600_000)] {
        let flags = [(&options::HEARTBEAT, text), (&options::LEASE, "2h")];
        let settings = resolved(&World::new(&[]), &flags, "").unwrap();
        assert_eq!(settings.heartbeat, Duration::from_millis(millis), "{text}");
    }
}

#[test]
fn a_lease_is_longer_than_a_heartbeat_and_in_whole_seconds() {
    let nothing = World::new(&[]);
    let flags = [(&options::HEARTBEAT, "200ms"), (&options::LEASE, "1500ms")];
    assert_eq!(resolved(&nothing, &flags, "").unwrap().lease, Duration::from_secs(2));
    refused(
        &nothing,
        &[(&options::LEASE, "30s")],
        "",
        "--lease 30s: a lease of 30s runs out before the next heartbeat",
    );
    refused(&nothing, &[(&options::HEARTBEAT, "5m")], "", "--heartbeat 5m: a lease of 5m");
    refused(&World::new(&[("RUNWRAP_HEARTBEAT", "1h")]), &[(&options::LEASE, "10m")], "", "--lease 10m");
}

#[test]
fn paths_are_absolute_and_urls_stay_as_they_are() {
    let flags =
        [(&options::STATE_DIR, "state"), (&options::METRICS_FILE, "./m.json"), (&options::MODEL_PATH, "out/./m.pt")];
    let settings = resolved(&World::new(&[]), &flags, "").unwrap();
    assert_eq!(settings.log_file, Path::new("/here/state/runwrap.log"));
    assert_eq!(settings.metrics_file, Some("/here/m.json".into()));
    assert_eq!(settings.model_path, Some("/here/out/m.pt".into()));
    let settings = resolved(&World::new(&[("RUNWRAP_MODEL_PATH", "s3://bucket/m.pt")]), &[], "").unwrap();
    assert_eq!(settings.model_path, Some("s3://bucket/m.pt".into()));
}

#[test]
fn the_strongest_layer_that_speaks_of_verbosity_decides() {
    let verbosity = |variables: &[(&str, &str)], flags: &[(&'static OptionRow, &str)], content: &str| {
        resolved(&World::new(variables), flags, content).unwrap().verbosity
    };
    assert_eq!(verbosity(&[("RUNWRAP_VERBOSE", "yes")], &[(&options::QUIET, "true")], ""), Verbosity::Quiet);
    assert_eq!(verbosity(&[("RUNWRAP_VERBOSE", "1")], &[], "quiet = true"), Verbosity::Verbose);
    assert_eq!(verbosity(&[("RUNWRAP_QUIET", "0")], &[], "quiet = true"), Verbosity::Normal);
    refused(&World::new(&[]), &[], "quiet = true\nverbose = true", "verbose is on in the same place");
}

#[test]
fn the_url_may_stand_in_a_file_of_its_own() {
    let world = World::new(&[("RUNWRAP_DATABASE_URL_FILE", "url")]).with_file("/here/url", "sqlite:a.db\r\n");
    let database = |world: &World, flags: &[(&'static OptionRow, &str)], content: &str| {
        resolved(world, flags, content).unwrap().database.identity()
    };
    assert_eq!(database(&world, &[], "database_url = \"sqlite:c.db\""), "sqlite:/here/a.db");
    assert_eq!(database(&world, &[(&options::DATABASE_URL, "sqlite:b.db")], ""), "sqlite:/here/b.db");
    let world = World::new(&[]).with_file("/run/url", "postgres://u:hunter2@h/db");
    assert_eq!(database(&world, &[], "database-url-file = \"/run/url\""), "postgres://h:5432/db");
    let world = World::new(&[("RUNWRAP_DATABASE_URL_FILE", "url")]).with_file("/here/url", "sqlite:a\nsqlite:b\n");
    refused(&world, &[], "", "more than one line");
}
