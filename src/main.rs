//! Parses the command line, executes it and ends with its exit status.

use std::process::ExitCode;

use runwrap::{cli, commands};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(invocation) => commands::execute(invocation),
        Err(cli::EarlyExit::Output(text)) => commands::print(&text),
        Err(cli::EarlyExit::Usage { message, hint }) => commands::fail_usage(&message, &hint),
    }
}
