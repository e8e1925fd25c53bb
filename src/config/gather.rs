//! The one place where configuration meets the real world: environment, files, current directory.
//! Must not decide anything: `settings` does. Called by `commands`.

use std::path::{Path, PathBuf};
use std::{env, io};

use super::env::{Env, UserAccount};
use super::error::ConfigError;
use super::layers::{Layer, Layers};
use super::settings::{Settings, resolve};
use super::{file, options, values};

/// The settings that the flags, this process's environment and the configuration file give together. `read` reads a small
/// file, with bounds: a value may name a device that never ends, or a pipe that nobody writes to.
///
/// # Errors
/// The first value that cannot be used.
pub fn load(
    flags: Layer,
    account: &dyn Fn() -> UserAccount,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Settings, ConfigError> {
    // A directory that was removed meanwhile does not keep a program from running, so it must not keep a run from it.
    let from_shell = || env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let cwd = env::current_dir().or_else(|error| from_shell().ok_or(error)).map_err(|error| {
        ConfigError::new("the current directory", format!("it cannot be read: {error}"), "change to one that exists")
    })?;
    let around = Env { variable: &|name| env::var_os(name), read, is_dir: &Path::is_dir, cwd: &cwd, account };
    let environment = Layer::of_environment(around.variable);
    let mut layers = Layers { flags, environment, file: Layer::default() };
    layers.file = file_layer(&layers, &around)?;
    resolve(&layers, &around)
}

/// The layer of the configuration file: the one that is named, which must exist, or the one that may be there.
fn file_layer(layers: &Layers, around: &Env<'_>) -> Result<Layer, ConfigError> {
    let row = &options::CONFIG;
    let named = layers.value(row)?;
    let path: PathBuf = match named {
        Some(raw) => values::path(row, raw, around.cwd)?,
        None => around.config_dir().join("config.toml"),
    };
    match (around.read)(&path) {
        Ok(content) => file::parse(&path, &content),
        Err(error) if named.is_none() && is_absent(&error) => Ok(Layer::default()),
        Err(error) => {
            let subject = named.map_or_else(|| path.display().to_string(), |raw| raw.subject(row));
            let hint = "make the file readable, or name another with --config";
            Err(ConfigError::new(subject, format!("cannot read the configuration file: {error}"), hint))
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
