//! The settings, merged from four layers: flag > environment > file > default. Owns the table of options, the merging,
//! every check that needs no database, and the shape of their errors. Must not touch the system outside `gather`.

mod database;
mod default_name;
mod file;
mod gather;
mod layers;
pub mod options;
mod settings;
mod table_name;
mod values;

pub use database::DatabaseTarget;
pub use default_name::default_name;
pub use gather::{home, load, reread_database, user_account};
pub use layers::{ConfigError, Layer, Origin, RawValue};
pub use settings::{Settings, Verbosity};
pub use table_name::{TABLE_NAME_HINT, parse_table_name};
pub use values::{UnlessRunning, read_duration, read_tags};

pub use crate::libpq::{
    ChannelBinding, InvalidValue, PostgresHost, PostgresTarget, Secret, SslMode, TargetSessionAttrs, UserAccount,
    any_path, nearest,
};
