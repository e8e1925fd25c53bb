//! `runwrap --version`, and the build script that names the commit in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::site::{Site, output};

#[test]
fn version_names_commit_target_and_c_library() {
    let site = Site::sqlite();
    let printed = |flag: &str| {
        let printed = output(&mut site.runwrap(&[flag]));
        assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
        String::from_utf8(printed.stdout).unwrap()
    };
    let first = format!("runwrap {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed("-V"), format!("{first}\n"));
    let long = printed("--version");
    let [version, commit, target, libc] = long.lines().collect::<Vec<_>>()[..] else { panic!("{long}") };
    assert_eq!(version, first);
    let commit = commit.strip_prefix("commit: ").unwrap();
    let digits = commit.trim_end_matches("-modified");
    assert!(commit == "unknown" || digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{long}");
    assert!(target.starts_with(&format!("target: {}-", std::env::consts::ARCH)), "{long}");
    assert!(["libc: glibc, dynamic", "libc: glibc, static", "libc: musl, static"].contains(&libc), "{long}");
}

/// The build script, compiled by itself.
struct Script {
    place: TempDir,
}

impl Script {
    fn compile() -> Self {
        let place = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "--cap-lints", "allow", "-o"]).arg(place.path().join("script")).arg(source);
        assert!(rustc.status().unwrap().success());
        Self { place }
    }

    /// The arguments that it gives the linker of a program for glibc.
    fn link_arguments(&self, environment: &[(&str, &str)]) -> Vec<String> {
        let mut command = Command::new(self.place.path().join("script"));
        command.env("CARGO_CFG_TARGET_ENV", "gnu").env_remove("CARGO_FEATURE_PIE").envs(environment.iter().copied());
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let arguments = text.lines().filter_map(|line| line.strip_prefix("cargo::rustc-link-arg-bins="));
        arguments.map(str::to_owned).collect()
    }

    /// The commit that it names for the sources in `folder`.
    fn commit(&self, folder: &Path, given: Option<&str>) -> String {
        let mut command = Command::new(self.place.path().join("script"));
        command.env("CARGO_MANIFEST_DIR", folder).env_remove("RUNWRAP_COMMIT").current_dir("/");
        command.envs(given.map(|commit| ("RUNWRAP_COMMIT", commit)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=RUNWRAP_BUILD_COMMIT="));
        line.unwrap().to_owned()
    }
}

/// A repository in `folder` with one commit, and that commit.
fn repository(folder: PathBuf) -> (PathBuf, String) {
    fs::create_dir_all(folder.join("src/inner")).unwrap();
    fs::write(folder.join("src/main.rs"), "").unwrap();
    fs::write(folder.join("README"), "").unwrap();
    let script =
        "git init -q && git add . && git -c user.name=n -c user.email=e commit -q -m first && git rev-parse HEAD";
    let made = Command::new("sh").args(["-c", script]).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    (folder, String::from_utf8(made.stdout).unwrap()[..12].to_owned())
}

#[test]
fn build_names_the_commit_of_its_own_repository_alone() {
    let script = Script::compile();
    let (folder, commit) = repository(script.place.path().join("repository"));
    assert_eq!(script.commit(&folder, None), commit);
    assert_eq!(script.commit(&folder, Some("0123456789ab")), "0123456789ab");
    // A file that is no part of the program.
    fs::write(folder.join("README"), "changed").unwrap();
    assert_eq!(script.commit(&folder, None), commit);
    fs::write(folder.join("src/main.rs"), "changed").unwrap();
    assert_eq!(script.commit(&folder, None), format!("{commit}-modified"));
    // A copy of the sources inside another repository, and one without any.
    assert_eq!(script.commit(&folder.join("src/inner"), None), "unknown");
    assert_eq!(script.commit(&script.place.path().join("nowhere"), None), "unknown");
}

/// The static program of docs/reference.md was linked without its relocations, and died at its start.
#[test]
fn program_linked_as_the_build_demands_starts() {
    let script = Script::compile();
    let [source, program] = ["hello.rs", "hello"].map(|name| script.place.path().join(name));
    fs::write(&source, "fn main() { println!(\"hello\"); }").unwrap();
    let start = |flags: &[&str], environment: &[(&str, &str)]| {
        let arguments = script.link_arguments(environment).into_iter().map(|argument| format!("-Clink-arg={argument}"));
        let mut rustc = Command::new("rustc");
        rustc.args(flags).args(arguments).arg("-o").arg(&program).arg(&source);
        assert!(rustc.status().unwrap().success());
        assert_eq!(Command::new(&program).output().unwrap().stdout, b"hello\n", "{flags:?}");
        // The type of an ELF file: 2 has a fixed address, 3 has none.
        fs::read(&program).unwrap()[16]
    };
    assert_eq!(start(&[], &[]), 2);
    assert_eq!(start(&[], &[("CARGO_FEATURE_PIE", "1")]), 3);
    assert_eq!(start(&["-Ctarget-feature=+crt-static"], &[("CARGO_CFG_TARGET_FEATURE", "crt-static,fxsr")]), 3);
}
