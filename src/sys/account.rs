//! The user that this process runs as, from the password database.

use std::path::PathBuf;

use nix::unistd::{Uid, User};

/// The number, and the name and home directory where the system knows them.
#[must_use]
pub fn account() -> (u32, Option<(String, PathBuf)>) {
    let uid = Uid::effective();
    let entry = User::from_uid(uid).ok().flatten();
    (uid.as_raw(), entry.map(|user| (user.name, user.dir)))
}
