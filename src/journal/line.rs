//! Encodes and decodes journal lines, and validates a whole file of them. Pure.

use serde_json::Value;
use thiserror::Error;

use super::{FORMAT, JournalEntry, RunEvent};

/// Why a journal is unusable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    #[error("line {line} is damaged: {cause}")]
    Line { line: usize, cause: String },
    #[error("it was written by a newer runwrap (journal format {format}; this program reads {FORMAT})")]
    NewerFormat { format: u64 },
    #[error("it has no beginning")]
    Empty,
}

/// A line with its checksum and newline.
pub(super) fn encode(entry: &JournalEntry) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.pop();
    let crc = crc32fast::hash(&line);
    line.extend_from_slice(format!(",\"crc\":\"{crc:08x}\"}}\n").as_bytes());
    Ok(line)
}

/// The entries of a journal, at least a beginning, and their total size in bytes. A last line without newline is not
/// included.
pub(super) fn read_lines(bytes: &[u8]) -> Result<(Vec<JournalEntry>, usize), Damage> {
    let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let mut entries = Vec::new();
    for (index, line) in bytes[..complete].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let entry = decode(line, index)?;
        if u64::try_from(index) != Ok(entry.seq) || (index == 0) != matches!(entry.event, RunEvent::Begin(_)) {
            let cause = "wrong sequence number or a misplaced beginning".to_owned();
            return Err(Damage::Line { line: index + 1, cause });
        }
        entries.push(entry);
    }
    if entries.is_empty() { Err(Damage::Empty) } else { Ok((entries, complete)) }
}

fn decode(line: &[u8], index: usize) -> Result<JournalEntry, Damage> {
    const CRC_BYTES: usize = ",\"crc\":\"00000000\"}\n".len();
    let damaged = |cause: String| Damage::Line { line: index + 1, cause };
    let body = line.len().checked_sub(CRC_BYTES).map(|end| &line[..end]);
    let body = body.ok_or_else(|| damaged("too short".to_owned()))?;
    let expected = format!(",\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body));
    if line[body.len()..] != *expected.as_bytes() {
        return Err(damaged("wrong checksum".to_owned()));
    }
    // By way of a value: the buffer of an internally tagged enum takes no number of arbitrary precision from the text itself.
    let value: Value = serde_json::from_slice(&[body, b"}"].concat()).map_err(|error| damaged(error.to_string()))?;
    // A newer format may have changed every other field.
    match value.get("format").and_then(Value::as_u64) {
        Some(format) if index == 0 && format > u64::from(FORMAT) => Err(Damage::NewerFormat { format }),
        Some(_) | None => serde_json::from_value(value).map_err(|error| damaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::run_state::tests::sample_entries;

    fn file() -> Vec<u8> {
        sample_entries().iter().flat_map(|entry| encode(entry).unwrap()).collect()
    }

    #[test]
    fn encoded_lines_decode_to_the_same_entries() {
        let bytes = file();
        assert_eq!(read_lines(&bytes), Ok((sample_entries(), bytes.len())));
    }

    // Holds: failures/journal-torn
    #[test]
    fn a_cut_at_every_byte_leaves_the_whole_lines_before_it() {
        let (bytes, entries) = (file(), sample_entries());
        for cut in 0..bytes.len() {
            let lines = bytes[..cut].split(|byte| *byte == b'\n').count() - 1;
            match read_lines(&bytes[..cut]) {
                Ok((read, _)) => assert_eq!(read, entries[..lines], "cut at {cut}"),
                Err(damage) => assert_eq!((damage, lines), (Damage::Empty, 0), "cut at {cut}"),
            }
        }
    }

    // Holds: failures/journal-damage
    #[test]
    fn a_changed_byte_anywhere_is_damage_and_never_another_story() {
        let bytes = file();
        for at in 0..bytes.len() - 1 {
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                assert!(matches!(read_lines(&changed), Err(Damage::Line { .. })), "byte {at} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn missing_or_repeated_line_is_damage() {
        let lines: Vec<Vec<u8>> = sample_entries().iter().map(|entry| encode(entry).unwrap()).collect();
        for missing in 0..lines.len() - 1 {
            let rest: Vec<u8> =
                lines.iter().enumerate().filter(|(at, _)| *at != missing).flat_map(|(_, l)| l.clone()).collect();
            assert!(read_lines(&rest).is_err(), "without line {missing}");
        }
        assert!(read_lines(&[file(), lines[1].clone()].concat()).is_err());
    }

    #[test]
    fn newer_format_is_reported_and_is_no_damage() {
        let line = String::from_utf8(encode(&sample_entries()[0]).unwrap()).unwrap();
        let body = line.split_once(",\"crc\"").unwrap().0.replace("\"format\":1", "\"format\":2,\"new\":[]");
        let line = format!("{body},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()));
        assert_eq!(read_lines(line.as_bytes()), Err(Damage::NewerFormat { format: 2 }));
    }
}
