//! A number in memory that a process shares with the children that it forks.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

/// Zero at first.
pub(super) struct SharedNumber(NonNull<AtomicI32>);

impl SharedNumber {
    pub(super) fn new() -> io::Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<AtomicI32>(), access, kind, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        NonNull::new(address.cast()).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    pub(super) fn set(&self, number: i32) {
        self.number().store(number, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> i32 {
        self.number().load(Ordering::SeqCst)
    }

    const fn number(&self) -> &AtomicI32 {
        // SAFETY: the mapping begins with this number, zero bytes are a valid one, and `self` keeps it mapped.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedNumber {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`; no reference to it outlives `self`. An error leaves one page mapped.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}
