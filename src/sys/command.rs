//! Runs a shell command of the user's beside the work of this process: in a process group of its own, with files for its input and its
//! output, and with a limit.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::clock::boot_time;
use super::memory_file::memory_file;
use super::pidfd::PidFd;
use super::poll::{pause, readable_within};

/// Between two looks at a process on a kernel without pidfds.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// So much of the output is kept.
const OUTPUT_BYTES_MAX: usize = 4096;

/// How a command ended.
#[derive(Debug)]
pub struct CommandEnd {
    /// None: it was killed after the limit.
    pub status: Option<ExitStatus>,
    /// The beginning of its stdout and stderr.
    pub output: String,
}

/// Executes `line` by `sh -c` in `directory`, or where this process is if that is gone, with further environment variables and `input`
/// as its stdin. Waits for its end, and after `limit` kills its process group.
///
/// # Errors
/// It cannot be started or waited for.
pub fn run_shell(
    line: &OsStr,
    directory: &Path,
    variables: &[(&str, String)],
    input: &[u8],
    limit: Duration,
) -> io::Result<CommandEnd> {
    let output = memory_file(c"runwrap-output", &[])?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).envs(variables.iter().map(|(name, value)| (name, value))).process_group(0);
    command.stdin(Stdio::from(memory_file(c"runwrap-input", input)?));
    command.stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(output.try_clone()?));
    if directory.is_dir() {
        command.current_dir(directory);
    }
    let mut child = command.spawn()?;
    let status = ended_within(&mut child, limit)?;
    if status.is_none() {
        killpg(Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?), Signal::SIGKILL)?;
        child.wait()?;
    }
    Ok(CommandEnd { status, output: beginning(&output)? })
}

fn ended_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = boot_time() + limit;
    let pidfd = PidFd::open(i32::try_from(child.id()).map_err(io::Error::other)?).ok().flatten();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_sub(boot_time());
        if left.is_zero() {
            return Ok(None);
        }
        match &pidfd {
            Some(pidfd) => readable_within(pidfd, left).map(drop)?,
            None => pause(left.min(LOOK_PAUSE))?,
        }
    }
}

fn beginning(output: &File) -> io::Result<String> {
    let mut bytes = vec![0; OUTPUT_BYTES_MAX];
    let length = output.read_at(&mut bytes, 0)?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str, limit: Duration) -> CommandEnd {
        let variables = [("RUNWRAP_STATUS", "failed".to_owned())];
        run_shell(OsStr::new(line), Path::new("/"), &variables, b"{\"id\": 1}", limit).unwrap()
    }

    #[test]
    fn command_has_input_variables_directory_and_output() {
        let end = run("cat; echo \" $RUNWRAP_STATUS\" >&2; pwd; exit 3", Duration::from_mins(1));
        assert_eq!(end.status.and_then(|status| status.code()), Some(3));
        assert_eq!(end.output, "{\"id\": 1} failed\n/\n");
    }

    #[test]
    fn command_is_killed_with_its_children_after_the_limit() {
        let start = boot_time();
        let end = run("sleep 600 & echo begun; sleep 600", Duration::from_millis(300));
        assert!(end.status.is_none() && boot_time().saturating_sub(start) < Duration::from_mins(1));
        assert_eq!(end.output, "begun\n");
    }

    #[test]
    fn long_output_is_cut_and_hinders_nothing() {
        let end = run("head -c 10000000 /dev/zero | tr '\\0' x", Duration::from_mins(1));
        assert!(end.status.is_some_and(|status| status.success()));
        assert_eq!(end.output.len(), OUTPUT_BYTES_MAX);
    }
}
