//! Reads the text of one value into its type, whichever layer it came from. Owns the syntax of durations, sizes, switches,
//! names and paths, and the default places of files. Pure.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table_name::{TABLE_NAME_HINT, parse_table_name};
use crate::libpq::{Env, InvalidValue, refuse};

/// The reaction of a run to another run of its name without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlessRunning {
    /// Exits 75.
    Fail,
    /// Exits 0.
    Skip,
}

/// A duration in humantime's syntax, always with a unit.
///
/// # Errors
/// Why `text` is not one.
pub fn read_duration(text: &str) -> Result<Duration, InvalidValue> {
    const HINT: &str = "write 30s, 5m or 1h30m";
    let text = text.trim();
    // humantime accepts 0 without a unit.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return refuse("a duration needs a unit", HINT);
    }
    humantime::parse_duration(text).or_else(|error| refuse(format!("it is not a duration: {error}"), HINT))
}

pub(super) fn duration(text: &OsStr, range: &RangeInclusive<Duration>) -> Result<Duration, InvalidValue> {
    let duration = read_duration(utf8(text)?)?;
    let cause = match duration {
        _ if duration < *range.start() => "it is too short",
        _ if duration > *range.end() => "it is too long",
        _ => return Ok(duration),
    };
    let [min, max] = [*range.start(), *range.end()].map(humantime::format_duration);
    refuse(cause, format!("write a duration from {min} to {max}"))
}

/// A whole number of bytes up to `max`.
pub(super) fn bytes(text: &OsStr, max: u64) -> Result<u64, InvalidValue> {
    whole(text, max, "whole number of bytes", 4096)
}

/// A whole number up to `max`.
pub(super) fn count(text: &OsStr, max: u64) -> Result<u64, InvalidValue> {
    whole(text, max, "whole number", 64)
}

fn whole(text: &OsStr, max: u64, kind: &str, example: u64) -> Result<u64, InvalidValue> {
    let hint = format!("write a {kind} from 0 to {max}, as {example}");
    match utf8(text)?.trim().parse::<u64>() {
        Ok(number) if number <= max => Ok(number),
        Ok(_) => refuse("it is too large", hint),
        Err(error) => refuse(format!("it is not a {kind}: {error}"), hint),
    }
}

pub(super) fn switch(text: &OsStr) -> Result<bool, InvalidValue> {
    match utf8(text)?.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => refuse("it is neither yes nor no", "write 1, true, yes or on; or write 0, false, no or off"),
    }
}

/// `KEY` or `KEY=VALUE`, in a list several of them with commas between.
///
/// # Errors
/// Why `text` is not one.
pub fn read_tags(text: &OsStr, is_list: bool) -> Result<Vec<(String, String)>, InvalidValue> {
    let text = utf8(text)?;
    let parts: Vec<&str> = if is_list { text.split(',').map(str::trim).collect() } else { vec![text] };
    let tag = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let key = label(OsStr::new(key))?;
        let value = if value.is_empty() { String::new() } else { label(OsStr::new(value))? };
        Ok((key, value))
    };
    parts.into_iter().map(tag).collect()
}

/// The number of a process among those of a launcher.
pub(super) fn rank(text: &OsStr) -> Result<u32, InvalidValue> {
    let hint = "write the number of a rank, as 0";
    utf8(text)?.trim().parse().or_else(|error| refuse(format!("it is not a rank: {error}"), hint))
}

/// A command line for a shell.
pub(super) fn command(text: &OsStr) -> Result<String, InvalidValue> {
    let text = utf8(text)?;
    if text.trim().is_empty() {
        return refuse("it is empty", "write a command line for sh, or leave it out");
    }
    Ok(text.to_owned())
}

/// `None`: another run does not matter.
pub(super) fn unless_running(text: &OsStr) -> Result<Option<UnlessRunning>, InvalidValue> {
    match utf8(text)?.trim().to_ascii_lowercase().as_str() {
        "skip" => Ok(Some(UnlessRunning::Skip)),
        "fail" | "1" | "true" | "yes" | "on" => Ok(Some(UnlessRunning::Fail)),
        "0" | "false" | "no" | "off" => Ok(None),
        _ => refuse("it is neither fail nor skip", "write fail, skip or off"),
    }
}

/// Text for a column of the record, on one line.
pub(super) fn label(text: &OsStr) -> Result<String, InvalidValue> {
    const CHARACTERS_MAX: usize = 255;
    let text = utf8(text)?;
    let cause = if text.trim().is_empty() {
        "it is empty"
    } else if text.chars().any(char::is_control) {
        "it contains a control character"
    } else if text.chars().count() > CHARACTERS_MAX {
        "it is longer than 255 characters"
    } else {
        return Ok(text.to_owned());
    };
    refuse(cause, "write a short text on one line")
}

/// The name of a table: `NAME` or `SCHEMA.NAME`, each with or without double quotes.
pub(super) fn table(text: &OsStr) -> Result<String, InvalidValue> {
    let name = label(text)?;
    match parse_table_name(&name) {
        Ok(_) => Ok(name),
        Err(why) => refuse(format!("it is not the name of a table: {why}"), TABLE_NAME_HINT),
    }
}

/// An absolute path. Not resolved: it need not exist yet.
pub(super) fn path(text: &OsStr, env: &Env<'_>) -> Result<PathBuf, InvalidValue> {
    match text.as_encoded_bytes() {
        [] => refuse("it is empty", "write a path"),
        bytes if bytes.contains(&0) => refuse("it contains a NUL", "write a path"),
        _ => env.expanded(Path::new(text)),
    }
}

/// A path that the journal keeps as text: invalid UTF-8 would name another file.
pub(super) fn text_path(text: &OsStr, env: &Env<'_>) -> Result<PathBuf, InvalidValue> {
    let path = path(text, env)?;
    if path.to_str().is_some() { Ok(path) } else { refuse("its path is not valid UTF-8", "choose a path in UTF-8") }
}

/// A URL such as `s3://bucket/model.pt` stays as it is.
pub(super) fn path_or_url(text: &OsStr, env: &Env<'_>) -> Result<PathBuf, InvalidValue> {
    let is_url = text.to_str().is_some_and(|text| text.contains("://"));
    if is_url { Ok(PathBuf::from(text)) } else { path(text, env) }
}

pub(super) fn utf8(text: &OsStr) -> Result<&str, InvalidValue> {
    text.to_str().ok_or_else(|| InvalidValue::new("it is not valid UTF-8", "write it in UTF-8"))
}

impl Env<'_> {
    /// An absolute path. `~/` at its start is the home directory: no shell expands it in `--state-dir=~/x` or in a file.
    pub(super) fn expanded(&self, path: &Path) -> Result<PathBuf, InvalidValue> {
        let Ok(below_home) = path.strip_prefix("~") else { return Ok(self.absolute(path)) };
        match self.home() {
            Some(home) => Ok(self.absolute(home.join(below_home))),
            None => refuse("there is no home directory for ~", "set HOME, or write the path without ~"),
        }
    }

    /// runwrap's directory of the kind that `variable` sets, such as `XDG_STATE_HOME`; the default is `below_home`.
    /// Without a home directory, below [`Env::shared`].
    pub(super) fn xdg(&self, variable: &str, below_home: &str) -> PathBuf {
        let default = || self.home().unwrap_or_else(|| self.shared()).join(below_home);
        self.directory(variable).unwrap_or_else(default).join("runwrap")
    }

    /// `/tmp/runwrap-UID`, in place of a home directory. Any user can create it: check its owner before writing to it.
    fn shared(&self) -> PathBuf {
        PathBuf::from(format!("/tmp/runwrap-{}", (self.account)().uid))
    }

    /// Whether `path` is in [`Env::shared`] because there is no home directory.
    pub(super) fn lacks_home_for(&self, path: &Path) -> bool {
        // First: the password database may be a directory server's.
        path.starts_with("/tmp") && self.home().is_none() && path.starts_with(self.shared())
    }
}

#[cfg(test)]
mod tests {
    use crate::libpq::fake::FakeEnv;

    #[test]
    fn directories_follow_xdg_then_home_then_account_then_tmp() {
        let state_dir = |env: &FakeEnv| env.with(|env| env.xdg("XDG_STATE_HOME", ".local/state").display().to_string());
        let mut env = FakeEnv::new(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(state_dir(&env), "/x/runwrap");
        env.variables.insert("XDG_STATE_HOME", "relative");
        assert_eq!(state_dir(&env), "/h/.local/state/runwrap");
        env.variables.insert("HOME", "");
        assert_eq!(state_dir(&env), "/home/ml/.local/state/runwrap");
        env.user_home = None;
        assert_eq!(state_dir(&env), "/tmp/runwrap-1000/.local/state/runwrap");
    }

    #[test]
    fn switch_takes_the_usual_words_in_any_case() {
        for (text, expected) in [
            ("1", Some(true)),
            ("True", Some(true)),
            ("yes", Some(true)),
            (" on ", Some(true)),
            ("ON", Some(true)),
            ("0", Some(false)),
            ("false", Some(false)),
            ("No", Some(false)),
            ("off", Some(false)),
            ("", None),
            ("onn", None),
            ("2", None),
        ] {
            assert_eq!(super::switch(text.as_ref()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn tilde_at_the_start_of_a_path_is_the_home_directory() {
        let expanded = |env: &FakeEnv, path: &str| {
            let expanded = env.with(|env| env.expanded(path.as_ref()));
            expanded.map_or_else(|error| error.cause, |path| path.display().to_string())
        };
        let mut env = FakeEnv::new(&[]);
        for (path, absolute) in [
            ("~/st", "/home/ml/st"),
            ("~//a/./b", "/home/ml/a/b"),
            ("~", "/home/ml"),
            ("./~/st", "/here/~/st"),
            ("a/~/st", "/here/a/~/st"),
            ("~st", "/here/~st"),
            ("/~/st", "/~/st"),
        ] {
            assert_eq!(expanded(&env, path), absolute);
        }
        env.user_home = None;
        assert_eq!(expanded(&env, "~/st"), "there is no home directory for ~");
        assert_eq!(expanded(&env, "st"), "/here/st");
    }
}
