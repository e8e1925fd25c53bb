//! This process's own command line, as others see it in `ps`: the words that nobody else should read are taken out.
//! The kernel shows the very memory that the words were passed in; others may have looked before, so a password
//! belongs in a file or a variable all the same.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// Covers each of `secrets` in the command line with asterisks, wherever it stands in it.
pub fn redact(secrets: &[OsString]) -> io::Result<()> {
    let (start, end) = address_range().ok_or_else(|| io::Error::other("/proc/self/stat does not tell where it is"))?;
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let mut line = vec![0; usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?];
    memory.read_exact_at(&mut line, start)?;
    for secret in secrets {
        redact_in(&mut line, secret);
    }
    memory.write_all_at(&line, start)
}

fn redact_in(line: &mut [u8], secret: &OsStr) {
    let secret = secret.as_bytes();
    if secret.is_empty() {
        return;
    }
    for from in 0..line.len() {
        if let Some(found) = line.get_mut(from..from + secret.len()).filter(|found| *found == secret) {
            found.fill(b'*');
        }
    }
}

/// The addresses of the first byte of the command line and of the one behind its last.
fn address_range() -> Option<(u64, u64)> {
    let [start, end, ..] = addresses()?;
    Some((start, end))
}

/// Where command line and environment lie, which stand one behind the other in the memory that the kernel shows of this
/// process: the addresses of the first byte and of the one behind the last.
pub(super) fn address_range_with_environment() -> Option<(u64, u64)> {
    let [start, _, _, end] = addresses()?;
    Some((start, end))
}

/// Start and end of the command line, start and end of the environment.
fn addresses() -> Option<[u64; 4]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold blanks. What follows it begins with field 3 of proc(5).
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(48 - 3);
    let addresses: Vec<u64> = fields.take(4).map(|field| field.parse().ok()).collect::<Option<_>>()?;
    addresses.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_is_covered_and_nothing_else() {
        let mut line = b"runwrap\0-d\0pg://u:p\0--set\0a=pg://u:p\0".to_vec();
        redact_in(&mut line, OsStr::new("pg://u:p"));
        assert_eq!(line, b"runwrap\0-d\0********\0--set\0a=********\0");
        redact_in(&mut line, OsStr::new(""));
        redact_in(&mut line, OsStr::new(&"x".repeat(100)));
        assert_eq!(line, b"runwrap\0-d\0********\0--set\0a=********\0");
    }

    #[test]
    fn the_place_is_this_process_own_command_line() {
        let (start, end) = address_range().unwrap();
        let shown = fs::read("/proc/self/cmdline").unwrap();
        assert_eq!(usize::try_from(end - start).unwrap(), shown.len());
    }
}
