//! The operating system: the only code that uses `unsafe`, `nix` and `libc`. Each file wraps one kernel facility in a
//! safe interface. Must not know records, journals or databases.

#![expect(unsafe_code, reason = "this is the one module that talks to the kernel; each use argues for itself")]

pub mod arguments;
pub mod cgroup;
pub mod clock;
pub mod command;
pub mod core_dump;
mod descriptors;
pub mod failpoint;
pub mod file_system;
pub mod fs;
pub mod host;
pub mod inherited;
pub mod interpreter;
pub mod keeper;
pub mod kernel;
pub mod leftovers;
pub mod limits;
pub mod link;
pub mod lock;
pub mod lock_trial;
pub mod memory_file;
pub mod openssl;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod random;
pub mod replace;
mod shared_number;
pub mod signals;
pub mod socket;
pub mod spawn;
pub mod threads;
pub mod wait;
pub mod witness;

// Links the unwinder statically. As libgcc_s.so it would be loaded at each start, which costs as much as an fsync.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[link(name = "gcc_eh")]
unsafe extern "C" {}

/// Overrides the C library's `log`, which only SQLite's full-text search calls. Without it, libm.so is loaded at each start: 12 system
/// calls, 15 page faults and 0.15 ms.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[unsafe(no_mangle)]
extern "C" fn log(number: f64) -> f64 {
    libm::log(number)
}
