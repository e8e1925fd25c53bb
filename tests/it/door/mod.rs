//! Bad input, with the real binary: each misuse exits with 125 and a message that names the option and its source, and starts
//! nothing. Help and version work with any settings.

mod database;
mod values;
mod words;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A home for one call, and its environment variables.
struct Door {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Door {
    fn new() -> Self {
        Self { home: TempDir::new().unwrap(), variables: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn with_config(self, content: &str) -> Self {
        fs::create_dir_all(self.path(".config/runwrap")).unwrap();
        self.with_file(".config/runwrap/config.toml", content)
    }

    fn with_file(self, name: &str, content: &str) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn call(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_runwrap"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Asserts that `options` are refused with a message that has all `parts`. The trainer would make the file `mark`.
    #[track_caller]
    fn refuses(&self, options: &[&str], parts: &[&str]) {
        let arguments = [options, &["--", "touch", "mark"]].concat();
        self.refuses_call(&arguments, parts);
    }

    #[track_caller]
    fn refuses_call(&self, arguments: &[&str], parts: &[&str]) {
        self.refuses_after_asking(arguments, parts);
        assert!(!self.path(".local").exists(), "something was begun");
    }

    /// The same for an error that only the database finds, after the run has begun.
    #[track_caller]
    fn refuses_after_asking(&self, arguments: &[&str], parts: &[&str]) {
        let output = self.call(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?}: no \"{part}\" in: {said}");
        }
        assert!(said.lines().all(|line| line.starts_with("runwrap: ")), "{said}");
        assert!(said.contains("hint: "), "no hint in: {said}");
        assert!(!said.contains("hunter2"), "a password is shown: {said}");
        assert!(!self.path("mark").exists(), "the trainer was started");
    }
}
