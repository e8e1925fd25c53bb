//! The operating system: the only code that uses `unsafe`, `nix` and `libc`. Each file wraps one kernel facility in a
//! safe interface. Must not know records, journals or databases.

#![expect(unsafe_code, reason = "this is the one module that talks to the kernel; each use argues for itself")]

pub mod account;
pub mod arguments;
pub mod cgroup;
pub mod clock;
pub mod failpoint;
pub mod fs;
pub mod host;
pub mod inherited;
pub mod leftovers;
pub mod link;
pub mod lock;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod random;
pub mod service_manager;
pub mod signals;
pub mod spawn;
pub mod terminal;
pub mod wait;
pub mod witness;

// Links the unwinder statically. As libgcc_s.so it would be loaded at both process starts of a run, which costs as much
// as an fsync.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[link(name = "gcc_eh")]
unsafe extern "C" {}

/// The logarithm, by the C library's name. SQLite's full-text search is the only one to call it, and all of libm.so would
/// be loaded for it at each of our two starts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[unsafe(no_mangle)]
extern "C" fn log(number: f64) -> f64 {
    libm::log(number)
}
