//! The XDG directories in the environment. Must not touch the system: `gather` fills the environment.

use std::path::PathBuf;

use crate::libpq::Env;

impl Env<'_> {
    /// runwrap's directory of the kind that `variable` sets, such as `XDG_STATE_HOME`; the default is `below_home`.
    /// Without a home directory, below `/tmp/runwrap-UID`: any user can create that; check its owner before writing to it.
    pub(super) fn xdg(&self, variable: &str, below_home: &str) -> PathBuf {
        let shared = || PathBuf::from(format!("/tmp/runwrap-{}", (self.account)().uid));
        let default = || self.home().unwrap_or_else(shared).join(below_home);
        self.directory(variable).unwrap_or_else(default).join("runwrap")
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
}
