//! The release binary: `RUNWRAP_RELEASE_BINARY`, which `scripts/test` sets, or else built here, once. Must not be used where
//! failpoints are needed, which it lacks.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::building::building;

pub(crate) fn release_binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os("RUNWRAP_RELEASE_BINARY").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = building(&[env!("CARGO"), "build", "--release", "--quiet"]);
    cargo.env("CARGO_TARGET_DIR", root.join("target"));
    assert!(cargo.current_dir(root).status().unwrap().success(), "cargo build --release");
    root.join("target/release/runwrap")
}
