//! The user that this process runs as, from the password database.

use std::path::PathBuf;
use std::sync::OnceLock;

use nix::unistd::{Uid, User};

/// Asked once: the database may be a directory server's.
static ACCOUNT: OnceLock<(u32, Option<(String, PathBuf)>)> = OnceLock::new();

/// The number, and the name and home directory where the system knows them.
#[must_use]
pub fn account() -> &'static (u32, Option<(String, PathBuf)>) {
    ACCOUNT.get_or_init(|| {
        let uid = Uid::effective();
        let entry = User::from_uid(uid).ok().flatten();
        (uid.as_raw(), entry.map(|user| (user.name, user.dir)))
    })
}

/// The user's name, or the number where the system knows no name.
#[must_use]
pub fn user_name() -> String {
    let (uid, entry) = account();
    entry.as_ref().map_or_else(|| uid.to_string(), |(name, _)| name.clone())
}
