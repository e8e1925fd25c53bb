//! A JSON array that is printed as it comes to be, for what may be more than memory should hold. Called by `commands`.

use std::io;

use serde_json::Value;

use super::{json, print};

/// An array under way. What was begun must be ended, also after an error: a reader has a whole array then.
#[derive(Debug, Default)]
pub struct Array {
    elements: u64,
}

impl Array {
    /// Prints one element more.
    ///
    /// # Errors
    /// stdout's.
    pub fn element(&mut self, value: &Value) -> io::Result<()> {
        print(&self.text_before(value))
    }

    /// Prints the end.
    ///
    /// # Errors
    /// stdout's.
    pub fn end(self) -> io::Result<()> {
        print(if self.elements == 0 { "[]\n" } else { "\n]\n" })
    }

    fn text_before(&mut self, value: &Value) -> String {
        let separator = if self.elements == 0 { "[\n" } else { ",\n" };
        self.elements += 1;
        let lines: Vec<String> = json(value).lines().map(|line| format!("  {line}")).collect();
        format!("{separator}{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_parts_together_are_what_is_printed_at_once() {
        let values = [json!({"a": 1, "b": "x\n"}), json!({})];
        let mut array = Array::default();
        let parts: String = values.iter().map(|value| array.text_before(value)).collect();
        assert_eq!(format!("{parts}\n]\n"), super::json(&json!(values)));
    }
}
