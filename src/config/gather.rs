//! Reads the environment, the configuration file and the current directory. The only part of `config` that touches the
//! system. Must not decide anything: `settings` does.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::database::DatabaseTarget;
use super::layers::{ConfigError, Layer, Layers, RawValue};
use super::settings::{Settings, database_in_file, resolve};
use super::{file, options, values};
use crate::libpq::{Env, PostgresTarget, UserAccount};
use crate::sys::host;

/// This user, as the password database has it.
pub fn user_account() -> UserAccount {
    let (uid, entry) = &*host::ACCOUNT;
    let (name, home) = entry.clone().unzip();
    UserAccount { uid: *uid, name, home }
}

/// The home directory of this user.
pub fn home() -> Option<PathBuf> {
    let no_file = |_: &Path| Err(ErrorKind::NotFound.into());
    let variable = |name: &str| std::env::var_os(name);
    Env { variable: &variable, read: &no_file, is_dir: &Path::is_dir, cwd: Path::new("/"), account: &user_account }
        .home()
}

/// The settings of flags, environment and configuration file. `read` must be bounded in size and time: a value may name
/// an endless device, or a pipe without a writer.
///
/// # Errors
/// The first value that cannot be used.
pub fn load(
    flags: Layer,
    account: &dyn Fn() -> UserAccount,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Settings, ConfigError> {
    // If the current directory was removed, a program still runs; $PWD names its former place.
    let former = || std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let cwd = std::env::current_dir().or_else(|error| former().ok_or(error)).map_err(|error| {
        ConfigError::new("the current directory", format!("it cannot be read: {error}"), "change to one that exists")
    })?;
    let env = Env { variable: &|name| std::env::var_os(name), read, is_dir: &Path::is_dir, cwd: &cwd, account };
    let mut layers = Layers(vec![flags, Layer::of_environment(env.variable)]);
    layers.0.push(file_layer(&layers, &env)?);
    resolve(&layers, &env)
}

/// The database whose URL is in `file` now, if it differs from `target` only in its password: a secret may be rotated during a run.
pub fn reread_database(
    file: &Path,
    target: &DatabaseTarget,
    account: &dyn Fn() -> UserAccount,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Option<DatabaseTarget> {
    let env =
        Env { variable: &|name| std::env::var_os(name), read, is_dir: &Path::is_dir, cwd: Path::new("/"), account };
    match (database_in_file(file, &env).ok()?, target) {
        (DatabaseTarget::Postgres(now), DatabaseTarget::Postgres(target)) => {
            let is_same = (&now.hosts, &now.user, &now.dbname) == (&target.hosts, &target.user, &target.dbname);
            let is_new = now.password != target.password;
            (is_same && is_new).then(|| {
                DatabaseTarget::Postgres(Box::new(PostgresTarget { password: now.password, ..(**target).clone() }))
            })
        }
        (DatabaseTarget::Postgres(_) | DatabaseTarget::Sqlite(_), _) => None,
    }
}

/// The layer of the configuration file. A named file must exist; the default one need not.
fn file_layer(layers: &Layers, env: &Env<'_>) -> Result<Layer, ConfigError> {
    let named = layers.value(&options::CONFIG)?;
    let path = match named {
        Some(raw) => raw.read(&|text| values::path(text, env))?,
        None => env.xdg("XDG_CONFIG_HOME", ".config").join("config.toml"),
    };
    match (env.read)(&path) {
        Ok(content) => file::parse(&path, &content),
        Err(error) if named.is_none() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Layer::default())
        }
        Err(error) => {
            let subject = named.map_or_else(|| path.display().to_string(), RawValue::subject);
            let hint = "make the file readable, or name another with --config";
            Err(ConfigError::new(subject, format!("cannot read the configuration file: {error}"), hint))
        }
    }
}
