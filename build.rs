//! Names the commit, the target and the C library for `runwrap --version`, and links the program at a fixed address. Runs again only
//! if the program is compiled anyway: a commit that changes no source makes no new build. Must not fail where there is no git.

use std::env;
use std::path::Path;
use std::process::Command;

/// The inputs of the program.
const SOURCES: [&str; 5] = ["src", "sql", "Cargo.toml", "Cargo.lock", "build.rs"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed=RUNWRAP_COMMIT");
    println!("cargo::rustc-env=RUNWRAP_BUILD_COMMIT={}", commit());
    println!("cargo::rustc-env=RUNWRAP_BUILD_TARGET={}", variable("TARGET"));
    let libc = libc();
    println!("cargo::rustc-env=RUNWRAP_BUILD_LIBC={libc}");
    // At a fixed address nothing is relocated at the start: OpenSSL's tables have 30,000 pointers, which take half a millisecond
    // in each of the two processes of a run. A static program of glibc relocates itself: with this flag it would crash as it starts.
    if libc == "glibc, dynamic" && variable("CARGO_FEATURE_PIE").is_empty() {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The value of `RUNWRAP_COMMIT`, for a source tree without git, or the commit of the source tree.
fn commit() -> String {
    match variable("RUNWRAP_COMMIT") {
        given if given.is_empty() => commit_of_tree().unwrap_or_else(|| "unknown".to_owned()),
        given => given,
    }
}

fn commit_of_tree() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&[&["status", "--porcelain", "--untracked-files=no", "--"], &SOURCES[..]].concat())?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-modified") })
}

/// The output of git for the repository whose top is this folder; a copy of the sources inside another repository has none.
fn git(arguments: &[&str]) -> Option<String> {
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").args(arguments).current_dir(&folder);
    command.env("GIT_CEILING_DIRECTORIES", folder.parent()?).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn libc() -> String {
    let library = match variable("CARGO_CFG_TARGET_ENV") {
        library if library == "gnu" => "glibc".to_owned(),
        library => library,
    };
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    format!("{library}, {}", if is_static { "static" } else { "dynamic" })
}
