//! What the user asked for, from four layers: flag > environment > file > default.

mod database;

pub use database::{DatabaseTarget, PostgresHost, PostgresTarget, Secret, SslMode, TargetSessionAttrs};
