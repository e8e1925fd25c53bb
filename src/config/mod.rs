//! The settings, merged from four layers: flag > environment > file > default. Owns the table of options, the merging,
//! every check that needs no database, and the shape of their errors. Must not touch the system outside `gather`.

mod choose_database;
mod database;
mod default_name;
mod env;
mod error;
mod file;
mod gather;
mod layers;
pub mod options;
mod settings;
mod table_name;
mod values;

pub use database::DatabaseTarget;
pub use default_name::default_name;
pub use env::{Env, UserAccount};
pub use error::{ConfigError, InvalidValue, nearest};
pub use gather::load;
pub use layers::{Layer, Layers, Origin, RawValue};
pub use settings::{Settings, Verbosity, resolve};
pub use table_name::{TABLE_NAME_HINT, parse_table_name};
pub use values::read_duration;

pub use crate::libpq::{ChannelBinding, PostgresHost, PostgresTarget, Secret, SslMode, TargetSessionAttrs, any_path};
