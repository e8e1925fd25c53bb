//! The user that this process runs as, from the password database.

use std::path::PathBuf;
use std::sync::OnceLock;

use nix::unistd::{Uid, User};

/// Looked up once: the lookup may query a directory server (LDAP).
static ACCOUNT: OnceLock<(u32, Option<(String, PathBuf)>)> = OnceLock::new();

/// The user id, with name and home directory if the password database has the user.
pub fn account() -> &'static (u32, Option<(String, PathBuf)>) {
    ACCOUNT.get_or_init(|| {
        let uid = Uid::effective();
        let entry = User::from_uid(uid).ok().flatten();
        (uid.as_raw(), entry.map(|user| (user.name, user.dir)))
    })
}

/// The user's name, or the user id if the password database has no such user.
pub fn user_name() -> String {
    let (uid, entry) = account();
    entry.as_ref().map_or_else(|| uid.to_string(), |(name, _)| name.clone())
}
