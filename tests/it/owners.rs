//! Homes and owners: paths below the home directory, users without one, and places that another user owns or may replace.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::postgres::{is_root, server_user};
use crate::support::site::{Site, output};
use crate::support::skipped;

/// Each made a directory called `~` in the current one.
#[test]
fn tilde_in_a_path_is_the_home_directory() {
    let site = Site::sqlite();
    let work = site.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(site.path().join("c.toml"), "state_dir = \"~/in-file\"").unwrap();
    for (options, made) in [
        (["--state-dir=~/st", "--database-url=sqlite:~/other.db"], ["st/runs", "other.db"]),
        (["--log-file=~/logs/x.log", "--database-url=sqlite:///~/sub/r.db"], ["logs/x.log", "sub/r.db"]),
        (["--config=~/c.toml", "--model-path=~/m.pt"], ["in-file/runs", "in-file/runwrap.log"]),
    ] {
        let script = format!("{} report --model-path '~/r.pt'", env!("CARGO_BIN_EXE_runwrap"));
        let ended = output(site.shell(&options, &script).current_dir(&work));
        assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
        assert!(made.iter().all(|path| site.path().join(path).exists()), "{options:?}");
    }
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    assert_eq!(site.record()["model_path"], site.path().join("r.pt").to_str().unwrap());
}

/// No distribution gives this id to a user.
const USER: &str = "2718281";

/// runwrap as that user, who may not read the directory of the build.
fn as_user(site: &Site) -> Command {
    let binary = site.path().join("runwrap");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_runwrap"), &binary).unwrap();
    }
    let mut command = site.program("setpriv");
    command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]).arg(&binary);
    command
}

/// A container with an arbitrary user id lost its records with its `/tmp`. No message named the place.
// Holds: failures/no-home
#[test]
fn run_without_a_home_directory_names_its_place_once() {
    if !is_root() {
        return skipped("only root can become a user without a password entry");
    }
    let shared = PathBuf::from(format!("/tmp/runwrap-{USER}"));
    let removed = |path: &Path| !path.exists() || fs::remove_dir_all(path).is_ok();
    assert!(removed(&shared));
    let site = Site::sqlite();
    fs::set_permissions(site.path(), Permissions::from_mode(0o1777)).unwrap();
    let run = |options: &[&str], verb: &[&str]| {
        let mut command = as_user(&site);
        command.env_remove("HOME").env_remove("RUNWRAP_DATABASE_URL");
        let ended = output(command.args(options).args(verb));
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    let messages = run(&[], &["--", "true"]);
    let place =
        format!("kept in {0}/.local/state/runwrap and in {0}/.local/share/runwrap/runwrap.db", shared.display());
    assert_eq!(messages.matches(&place).count(), 1, "{messages}");
    assert_eq!(messages.lines().count(), 2, "{messages}");
    assert_eq!(run(&[], &["list"]), "");
    assert_eq!(run(&["--state-dir=st", "--database-url=sqlite:r.db"], &["--", "true"]), "");
    site.quiet();
    assert!(removed(&shared));
}

/// A volume whose root belongs to root, as Kubernetes mounts it: the message names the next step.
#[test]
fn root_of_a_volume_is_left_alone_and_a_subdirectory_is_named() {
    if !is_root() {
        return skipped("only root can mount a volume for another user");
    }
    let site = Site::sqlite();
    let volume = site.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(site.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("chown").arg(format!("root:{USER}")).arg(&volume).status().unwrap().success());
    fs::set_permissions(&volume, Permissions::from_mode(0o2770)).unwrap();
    let run = |state_dir: &Path| {
        let mut command = as_user(&site);
        command.env("HOME", &volume).env("RUNWRAP_DATABASE_URL", format!("sqlite:{}/r.db", volume.display()));
        let ended = output(command.arg("--state-dir").arg(state_dir).args(["--", "true"]));
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    let messages = run(&volume);
    assert!(messages.contains(&format!("--state-dir {}/runwrap", volume.display())), "{messages}");
    assert_eq!(fs::metadata(&volume).unwrap().permissions().mode() & 0o7777, 0o2770);
    // The subdirectory that it names works, although the group may write to the volume.
    let messages = run(&volume.join("runwrap"));
    assert!(!messages.contains("journal"), "{messages}");
    assert!(volume.join("runwrap/runs").is_dir());
}

/// The directory itself was checked, and any user could have put another one in its place.
// Holds: failures/state-replaceable
#[test]
fn state_directory_that_another_user_may_replace_is_not_used() {
    let site = Site::sqlite();
    let above = site.path().join("above");
    let inner = above.join("inner");
    fs::create_dir_all(&inner).unwrap();
    symlink(&inner, site.path().join("link")).unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let run = |state_dir: &str| {
        let ended = site.run(&["--state-dir", state_dir], "exit 3");
        assert_eq!(ended.status.code(), Some(3));
        String::from_utf8(ended.stderr).unwrap()
    };
    for (name, mode, state_dir, is_used) in [
        ("above/inner", 0o777, "above/inner/state", false),
        ("above", 0o777, "above/inner/deeper/state", false),
        ("above", 0o777, "link/state", false),
        ("above/inner", 0o1777, "above/inner/sticky", true),
        ("above/inner", 0o775, "above/inner/group", true),
    ] {
        let path = site.path().join(name);
        set(&path, mode);
        let messages = run(state_dir);
        let hint = format!("(chmod +t {}, or chmod o-w, fixes it)", path.display());
        assert_eq!(
            (messages.matches(&hint).count(), messages.is_empty()),
            (usize::from(!is_used), is_used),
            "{messages}"
        );
        assert_eq!(site.path().join(state_dir).join("runs").exists(), is_used, "{state_dir}");
        set(&path, 0o755);
    }
    if is_root() {
        assert!(Command::new("chown").arg(server_user()).arg(&above).status().unwrap().success());
        let messages = run("above/inner/owned");
        assert!(messages.contains(&format!("{} belongs to user", above.display())), "{messages}");
    }
    assert!(site.records().iter().all(|record| record["exit_code"] == 3));
}

/// A log that another user had planted received the messages.
#[test]
fn log_file_of_another_user_is_not_written() {
    if !is_root() {
        return skipped("only root can give a file away");
    }
    let site = Site::sqlite();
    let log = site.path().join("x.log");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, Permissions::from_mode(0o666)).unwrap();
    assert!(Command::new("chown").arg(server_user()).arg(&log).status().unwrap().success());
    let messages = String::from_utf8(site.run(&["--log-file", "x.log"], "exit 3").stderr).unwrap();
    assert_eq!(messages.matches("x.log: it belongs to user").count(), 1, "{messages}");
    assert!(messages.contains("hint: name another file with --log-file"), "{messages}");
    assert_eq!((fs::read(&log).unwrap().len(), &site.record()["exit_code"]), (0, &json!(3)));
    assert_eq!(site.run(&["--log-file", "/dev/null"], "true").stderr, b"");
}
