//! A short round of `scripts/chaos` on the release binary: many runs and random kills, each fault of the database at least once, then
//! the records are checked.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::release::release_binary;

/// The same seed plans the same deeds. For a longer round run `scripts/chaos --minutes 10`.
const ROUND: [&str; 4] = ["--seed", "20251127", "--minutes", "0.2"];

// Holds: failures/chaos
#[test]
fn chaos_round_leaves_every_record_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut chaos = Command::new(root.join("scripts/chaos"));
    chaos.args(ROUND).arg("--binary").arg(release_binary()).stdin(Stdio::null());
    let said = chaos.output().unwrap();
    let [stdout, stderr] = [said.stdout, said.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(said.status.success(), "{stdout}{stderr}");
}
