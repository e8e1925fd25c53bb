//! Threads that a preloaded library (LD_PRELOAD, `/etc/ld.so.preload`) started before `main`. The kernel would deliver signals to
//! them, and their default action would end runwrap. Must run before this process changes or opens anything.
//!
//! This process blocks all signals and executes itself again: the library's threads inherit the mask. The inherited mask is
//! carried to the new image in a variable that names this process by its id, so it is done once and no other process takes it.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::SigSet;
use nix::unistd::execve;

use super::inherited::{self, CARRIED_MASK};
use super::spawn::{SELF_EXE, own_path};
use super::{host, signals};

/// `/proc/self/task` has an entry for each thread, and two more links.
const LINKS: u64 = 2;

/// Executes this process again, with all signals blocked, if it has more than one thread. Returns if it has not, or if it was
/// executed again already. If the exec fails, the threads stay.
pub fn restart_with_blocked_signals() {
    if count() <= 1 || inherited_mask().is_some() {
        return;
    }
    let Ok(inherited) = SigSet::thread_get_mask() else { return };
    let carried = format!("{CARRIED_MASK}={}:{:x}", host::own_pid(), signals::mask_bits(&inherited));
    let arguments = std::env::args_os().map(|word| CString::new(word.into_vec()));
    let (Ok(arguments), Ok(carried)) = (arguments.collect::<Result<Vec<_>, _>>(), CString::new(carried)) else {
        return;
    };
    let mut environment = inherited::environment();
    environment.push(carried);
    inherited::restore().ok();
    SigSet::all().thread_set_mask().ok();
    // The path first: the kernel names the process by it, and `pkill runwrap` must find it.
    for program in [own_path().as_deref(), Some(SELF_EXE)].into_iter().flatten() {
        let Err(_errno) = execve(program, &arguments, &environment);
    }
    inherited.thread_set_mask().ok();
    inherited::ignore_again().ok();
}

/// Whether a preloaded library has threads in this process, which has one itself, or had some before it was executed again.
pub(super) fn has_foreign() -> bool {
    count() > 1 || inherited_mask().is_some()
}

fn count() -> u64 {
    std::fs::metadata("/proc/self/task").map_or(1, |tasks| tasks.nlink().saturating_sub(LINKS))
}

/// The signal mask at the start of this process, if an earlier image has carried it.
pub fn inherited_mask() -> Option<SigSet> {
    let carried = std::env::var(CARRIED_MASK).ok()?;
    let (pid, bits) = carried.split_once(':')?;
    (pid == host::own_pid().to_string()).then_some(())?;
    u64::from_str_radix(bits, 16).ok().map(signals::mask_of_bits)
}
