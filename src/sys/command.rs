//! Runs a shell command of the user's beside the work of this process: in a process group of its own, with files for its input and its
//! output, and with a limit.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};

use super::clock::boot_time;
use super::descriptors::{close_on_exec_in_child, unmarked_descriptors};
use super::memory_file::memory_file;
use super::pidfd::PidFd;
use super::poll::readable;
use super::signals;

/// Between two looks at a process on a kernel without pidfds.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// So much of the output is kept.
const OUTPUT_BYTES_MAX: usize = 4096;

/// Reads of a piece between two looks at the clock.
const READS_MAX: usize = 512;

/// How a command ended.
#[derive(Debug)]
pub struct CommandEnd {
    /// None: it was killed after the limit.
    pub status: Option<ExitStatus>,
    /// The beginning of its stdout and stderr.
    pub output: String,
}

/// Executes `line` by `sh -c` in `directory`, or where this process is if that is gone, with further environment variables and `input`
/// as its stdin. Waits for its end, and after `limit` kills its process group. Output beyond the kept bytes is discarded; after the
/// end it is not read.
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
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).envs(variables.iter().map(|(name, value)| (name, value))).process_group(0);
    command.stdin(Stdio::from(memory_file(c"runwrap-input", input)?));
    command.stdout(Stdio::from(write.try_clone()?)).stderr(Stdio::from(write));
    if directory.is_dir() {
        command.current_dir(directory);
    }
    let open = unmarked_descriptors();
    let prepare = move || {
        // A keeper's link, journal and lock outlive an exec, and mean that the keeper lives.
        close_on_exec_in_child(3, &open);
        for number in (1..=31).filter(|number| ![libc::SIGKILL, libc::SIGSTOP].contains(number)) {
            signals::set_action(number, libc::SIG_DFL)?;
        }
        Ok(())
    };
    // SAFETY: only system calls, which touch no memory that another thread may hold.
    unsafe { command.pre_exec(prepare) };
    let mut child = command.spawn()?;
    // The last copies of the writing end in this process.
    drop(command);
    let mut output = Output { pipe: Some(File::from(read)), kept: Vec::new() };
    let status = ended_within(&mut child, &mut output, limit)?;
    if status.is_none() {
        killpg(Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?), Signal::SIGKILL)?;
        child.wait()?;
    }
    output.read()?;
    Ok(CommandEnd { status, output: String::from_utf8_lossy(&output.kept).into_owned() })
}

/// The output of a command so far.
struct Output {
    /// None once every writer has closed it.
    pipe: Option<File>,
    kept: Vec<u8>,
}

impl Output {
    /// Takes what has been written, at most so much that the caller's limit holds.
    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 8192];
        for _ in 0..READS_MAX {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            match pipe.read(&mut piece) {
                Ok(0) => self.pipe = None,
                Ok(length) => {
                    let room = OUTPUT_BYTES_MAX.saturating_sub(self.kept.len()).min(length);
                    self.kept.extend_from_slice(&piece[..room]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn ended_within(child: &mut Child, output: &mut Output, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = boot_time() + limit;
    let pidfd = PidFd::open(i32::try_from(child.id()).map_err(io::Error::other)?).ok().flatten();
    loop {
        output.read()?;
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if boot_time() >= deadline {
            return Ok(None);
        }
        let next = if pidfd.is_some() { deadline } else { deadline.min(boot_time() + LOOK_PAUSE) };
        let pipe = output.pipe.as_ref().map(AsFd::as_fd);
        readable([pidfd.as_ref().map(AsFd::as_fd), pipe], Some(next))?;
    }
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
        let end = run("head -c 100000000 /dev/zero | tr '\\0' x", Duration::from_mins(1));
        assert!(end.status.is_some_and(|status| status.success()));
        assert_eq!(end.output.len(), OUTPUT_BYTES_MAX);
    }

    /// A daemon of the command kept the lock of the run: it counted as alive.
    #[test]
    fn command_has_no_descriptor_of_this_process_and_no_ignored_signal() {
        let kept = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: clears a flag of an owned descriptor.
        assert_eq!(unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&kept), libc::F_SETFD, 0) }, 0);
        let end =
            run("exec 9>&-; ls /proc/self/fd | tr '\\n' ' '; grep SigIgn /proc/self/status", Duration::from_mins(1));
        // `ls` reads the directory by one more.
        assert!(end.output.starts_with("0 1 2 3 "), "{}", end.output);
        // The C library's own signals, 32 and 33, are above these.
        let ignored = end.output.trim_end().rsplit('\t').next().and_then(|mask| u64::from_str_radix(mask, 16).ok());
        assert_eq!(ignored.map(|mask| mask & 0x7fff_ffff), Some(0), "{}", end.output);
    }

    #[test]
    fn endless_output_ends_with_the_limit() {
        let end = run("yes", Duration::from_millis(300));
        assert!(end.status.is_none());
        assert_eq!(end.output.len(), OUTPUT_BYTES_MAX);
    }
}
