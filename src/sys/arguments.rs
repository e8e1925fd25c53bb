//! This process's command line as `ps` shows it. Overwrites secrets in it, and the command that it runs. Other processes may
//! have read `/proc/PID/cmdline` before that: a password belongs in a file or an environment variable.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

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

/// Overwrites the last `words` words of the command line, a command that runs as the process `pid` now, with that id: a pattern
/// (`pkill -f`) then finds that process and not this one.
pub fn hide_command(words: usize, pid: i32) -> io::Result<()> {
    let [start, end, ..] = addresses()?;
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let mut line = vec![0; end.saturating_sub(start)];
    memory.read_exact_at(&mut line, start as u64)?;
    hide_last(&mut line, words, pid);
    memory.write_all_at(&line, start as u64)
}

/// The id is left out if the words are shorter. The line keeps its length.
fn hide_last(line: &mut [u8], words: usize, pid: i32) {
    let ends = line.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(place, _)| place + 1).collect::<Vec<_>>();
    let kept = ends.len().checked_sub(words + 1).and_then(|last| ends.get(last)).copied();
    let Some(rest) = kept.and_then(|kept| line.get_mut(kept..)) else { return };
    rest.fill(0);
    // A NUL must remain behind it: without one, the kernel shows the environment too.
    let id = format!("{pid}\0");
    if let Some(room) = rest.get_mut(..id.len()) {
        room.copy_from_slice(id.as_bytes());
    }
}

/// Overwrites the memory from `start` to `end`, which is the command line's, also that of the environment behind it, with `line` and
/// zeroes. Call it in a forked child that does not read that memory. Async-signal-safe.
pub(super) fn overwrite((start, end): (usize, usize), line: &[u8]) {
    let (memory, length) = (std::ptr::with_exposed_provenance_mut::<u8>(start), end.saturating_sub(start));
    // SAFETY: the kernel placed the strings there, at the end of the stack. The pages are the child's own copy.
    unsafe { memory.write_bytes(0, length) };
    // SAFETY: as above; not more than the length.
    unsafe { memory.copy_from_nonoverlapping(line.as_ptr(), line.len().min(length)) };
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
/// which follows it in memory. Read once: a run needs them for its keeper, its witness and itself.
pub(super) fn addresses() -> io::Result<[usize; 4]> {
    static KNOWN: OnceLock<[usize; 4]> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The program name, in parentheses, may contain blanks. Field 3 of proc(5) follows it.
    let fields = stat.rsplit_once(')').into_iter().flat_map(|(_, fields)| fields.split_whitespace()).skip(48 - 3);
    let addresses: Vec<usize> = fields.take(4).map_while(|field| field.parse().ok()).collect();
    let read = addresses.try_into();
    let read = read.map_err(|_| io::Error::other("/proc/self/stat has no addresses of the command line"))?;
    Ok(*KNOWN.get_or_init(|| read))
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
    fn hides_the_last_words_and_keeps_the_length() {
        let hidden = |line: &[u8], words, pid| {
            let mut line = line.to_vec();
            hide_last(&mut line, words, pid);
            line
        };
        assert_eq!(hidden(b"runwrap\0-n\0x\0--\0python\0a.py\0", 2, 9711), b"runwrap\0-n\0x\0--\09711\0\0\0\0\0\0\0\0");
        assert_eq!(hidden(b"runwrap\0--\0sh\0", 1, 4711), b"runwrap\0--\0\0\0\0", "no room");
        assert_eq!(hidden(b"runwrap\0--\0\0sh\0\0", 3, 9), b"runwrap\0--\09\0\0\0\0", "empty words");
        assert_eq!(hidden(b"runwrap\0sh\0", 2, 47), b"runwrap\0sh\0", "no word of its own");
        assert_eq!(hidden(b"", 1, 7), b"");
    }

    #[test]
    fn addresses_span_the_command_line_that_proc_shows() {
        let [start, end, ..] = addresses().unwrap();
        let shown = fs::read("/proc/self/cmdline").unwrap();
        assert_eq!(end - start, shown.len());
    }
}
