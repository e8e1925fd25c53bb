//! A recipe: read the command line, do what it says, end with its exit status.

use std::process::ExitCode;

use runwrap::{cli, commands};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(invocation) => commands::perform(invocation),
        Err(cli::Reply::Text(text)) => commands::print(&text),
        Err(cli::Reply::Misuse(misuse)) => commands::refuse(&misuse.message, &misuse.hint),
    }
}
