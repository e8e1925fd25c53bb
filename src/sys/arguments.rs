//! This process's command line as `ps` shows it. Overwrites secrets in it. Other processes may have read
//! `/proc/PID/cmdline` before that: a password belongs in a file or an environment variable.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// Overwrites every occurrence of each of `secrets` in the command line with asterisks.
pub fn redact(secrets: &[OsString]) -> io::Result<()> {
    let [start, end, ..] = addresses()?;
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let mut line = vec![0; end.saturating_sub(start)];
    memory.read_exact_at(&mut line, start as u64)?;
    for secret in secrets {
        redact_in(&mut line, secret);
    }
    memory.write_all_at(&line, start as u64)
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

/// The addresses of the command line's first byte and of the byte after its last, then the same of the environment,
/// which follows it in memory.
pub(super) fn addresses() -> io::Result<[usize; 4]> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The program name, in parentheses, may contain blanks. Field 3 of proc(5) follows it.
    let fields = stat.rsplit_once(')').into_iter().flat_map(|(_, fields)| fields.split_whitespace()).skip(48 - 3);
    let addresses: Vec<usize> = fields.take(4).map_while(|field| field.parse().ok()).collect();
    addresses.try_into().map_err(|_| io::Error::other("/proc/self/stat has no addresses of the command line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacts_every_occurrence_and_nothing_else() {
        let mut line = b"runwrap\0-d\0pg://u:p\0--set\0a=pg://u:p\0".to_vec();
        redact_in(&mut line, OsStr::new("pg://u:p"));
        assert_eq!(line, b"runwrap\0-d\0********\0--set\0a=********\0");
        redact_in(&mut line, OsStr::new(""));
        redact_in(&mut line, OsStr::new(&"x".repeat(100)));
        assert_eq!(line, b"runwrap\0-d\0********\0--set\0a=********\0");
    }

    #[test]
    fn addresses_span_the_command_line_that_proc_shows() {
        let [start, end, ..] = addresses().unwrap();
        let shown = fs::read("/proc/self/cmdline").unwrap();
        assert_eq!(end - start, shown.len());
    }
}
