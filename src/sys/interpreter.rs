//! Explains an exec that failed although the program exists: the kernel then reports the error of the interpreter of a script,
//! or of the loader of a binary. Must not execute anything.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::fs::open_plain;

/// The kernel reads an interpreter line up to this length (BINPRM_BUF_SIZE).
const LINE_BYTES_MAX: usize = 256;

/// The program headers of a binary follow its file header.
const HEAD_BYTES_MAX: u64 = 4096;

/// The type of the program header that names the loader.
const PT_INTERP: u64 = 3;

/// Why the exec of `program` reported ENOENT; `None` if there is no such program.
pub fn missing_interpreter(program: &OsStr) -> Option<String> {
    let path = found(program)?;
    let mut head = Vec::new();
    open_plain(&path).ok()?.take(HEAD_BYTES_MAX).read_to_end(&mut head).ok()?;
    let (what, interpreter) = match interpreter_of_script(&head) {
        Some(interpreter) => ("interpreter", interpreter),
        None => ("loader", loader(&head)?),
    };
    if let Some(plain) = interpreter.as_bytes().strip_suffix(b"\r") {
        let shown = OsStr::from_bytes(plain).display();
        return Some(format!("its line #!{shown} ends with a carriage return; save it with Unix line ends"));
    }
    let is_missing = !Path::new(&interpreter).exists();
    is_missing.then(|| format!("its {what} {} does not exist", interpreter.display()))
}

/// The file that the exec takes: in PATH if the name has no slash.
fn found(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into()).filter(|path: &PathBuf| path.is_file());
    }
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The interpreter in the first line of a script. A carriage return is part of its name.
fn interpreter_of_script(head: &[u8]) -> Option<OsString> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let word = line.split(is_blank).find(|word| !word.is_empty())?;
    Some(OsString::from_vec(word.to_owned()))
}

/// The dynamic loader that a 64-bit ELF binary of this byte order names.
fn loader(head: &[u8]) -> Option<OsString> {
    const CLASS_64: u8 = 2;
    let byte_order = if cfg!(target_endian = "little") { 1 } else { 2 };
    if !head.starts_with(&[0x7F, b'E', b'L', b'F', CLASS_64, byte_order]) {
        return None;
    }
    let number = |at: usize, size: usize| {
        let mut bytes = [0; 8];
        let read = head.get(at..at.checked_add(size)?)?;
        let at = if cfg!(target_endian = "little") { 0 } else { 8 - size };
        bytes.get_mut(at..at + size)?.copy_from_slice(read);
        usize::try_from(u64::from_ne_bytes(bytes)).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let headers = (0..count).map_while(|index| table.checked_add(index.checked_mul(size)?));
    for header in headers {
        if number(header, 4)? as u64 == PT_INTERP {
            let (offset, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
            let name = head.get(offset..offset.checked_add(length)?)?;
            return Some(OsString::from_vec(name.split(|byte| *byte == 0).next()?.to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[track_caller]
    fn check(content: &[u8], expected: Option<&str>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        assert_eq!(missing_interpreter(file.path().as_os_str()).as_deref(), expected);
    }

    #[test]
    fn missing_interpreter_and_carriage_return_are_named() {
        check(b"#! \t/no/such/python3 -u\nprint()", Some("its interpreter /no/such/python3 does not exist"));
        check(b"#!/no/such", Some("its interpreter /no/such does not exist"));
        check(
            b"#!/bin/sh\r\nexit 3\r\n",
            Some("its line #!/bin/sh ends with a carriage return; save it with Unix line ends"),
        );
        for content in [&b"#!/bin/sh\n"[..], b"#!", b"#!\n", b"print()", b"", b"\x7FELF\x02\x01", b"\x7FELF"] {
            check(content, None);
        }
        assert_eq!(missing_interpreter(OsStr::new("/no/such/file")), None);
        assert_eq!(missing_interpreter(OsStr::new("no-such-command")), None);
        assert_eq!(missing_interpreter(OsStr::new("/")), None);
        assert_eq!(missing_interpreter(OsStr::new("sh")), None);
    }

    #[test]
    fn missing_loader_of_a_binary_is_named() {
        let mut program = std::fs::read("/bin/sh").unwrap();
        let Some(name) = loader(&program) else { return };
        let bytes = name.as_bytes();
        let at = program.windows(bytes.len()).position(|window| window == bytes).unwrap();
        program[at + bytes.len() - 1] = b'X';
        let shown = name.to_str().unwrap();
        check(&program, Some(&format!("its loader {}X does not exist", &shown[..shown.len() - 1])));
        // No part of a damaged binary may be trusted.
        for length in 0..512 {
            loader(&program[..length]);
            let mut damaged = program.clone();
            damaged[length] ^= 0xFF;
            loader(&damaged);
        }
    }
}
