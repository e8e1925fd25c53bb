//! The completion scripts, by clap_complete from the definition; for bash, zsh and fish with a part of their own that
//! completes the command after `--` as the shell would without runwrap. Must not run a program.

use clap::Command;
use clap_complete::Shell;

use super::definition;

const NAME: &str = "runwrap";

/// The script for `shell`.
pub(super) fn script(shell: Shell) -> String {
    let script = generated(shell, definition::without_trainer());
    match shell {
        Shell::Bash => script + include_str!("completions/after.bash"),
        Shell::Fish => script + include_str!("completions/after.fish"),
        // Here the function is called at the end of the file.
        Shell::Zsh => script.replacen("_runwrap() {\n", include_str!("completions/start.zsh"), 1),
        Shell::Elvish | Shell::PowerShell | _ => script,
    }
}

fn generated(shell: Shell, mut program: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
