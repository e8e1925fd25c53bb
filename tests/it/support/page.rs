//! The fenced blocks of a document. Must not assert anything about runwrap.

use std::fs;
use std::path::Path;

pub(crate) const RECIPES: &str = "docs/recipes.md";

/// A block: the words behind its fence, and its text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    /// All words behind the language.
    pub(crate) name: String,
    pub(crate) text: String,
}

pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let (language, name) = info.split_once(' ').unwrap_or((info, ""));
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(Block { language: language.to_owned(), name: name.to_owned(), text: text.join("\n") + "\n" });
    }
    blocks
}

/// The text of the block of the recipes with this name.
#[track_caller]
pub(crate) fn block(name: &str) -> String {
    let found = blocks(RECIPES).into_iter().find(|block| block.name == name);
    found.unwrap_or_else(|| panic!("no block {name} in {RECIPES}")).text
}
