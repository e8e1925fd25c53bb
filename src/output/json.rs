//! JSON that is safe on a terminal, printed whole or as an array element by element.

use std::io;

use serde_json::Value;

use super::printable::printable_json;
use super::streams::print;

/// `value` as indented JSON that is safe on a terminal, with a final line feed.
pub(crate) fn json(value: &Value) -> String {
    format!("{}\n", printable_json(&format!("{value:#}")))
}

/// A JSON array printed element by element, if it may be too large for memory. Call `end` also after an error: the output
/// is then still valid JSON.
#[derive(Debug, Default)]
pub(crate) struct JsonArray {
    elements: u64,
}

impl JsonArray {
    /// Prints one more element.
    ///
    /// # Errors
    /// Those of stdout.
    pub(crate) fn element(&mut self, value: &Value) -> io::Result<()> {
        print(&self.format_element(value))
    }

    /// Prints the end of the array.
    ///
    /// # Errors
    /// Those of stdout.
    pub(crate) fn end(self) -> io::Result<()> {
        print(if self.elements == 0 { "[]\n" } else { "\n]\n" })
    }

    fn format_element(&mut self, value: &Value) -> String {
        let separator = if self.elements == 0 { "[\n" } else { ",\n" };
        self.elements += 1;
        let lines: Vec<String> = json(value).lines().map(|line| format!("  {line}")).collect();
        format!("{separator}{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::JsonArray;

    #[test]
    fn json_is_indented_and_escaped() {
        assert_eq!(super::json(&json!([{"a": "\u{9b}"}])), "[\n  {\n    \"a\": \"\\u009b\"\n  }\n]\n");
        assert_eq!(super::json(&json!([])), "[]\n");
    }

    #[test]
    fn an_array_by_elements_equals_the_whole_array() {
        let values = [json!({"a": 1, "b": "x\n"}), json!({})];
        let mut array = JsonArray::default();
        let parts: String = values.iter().map(|value| array.format_element(value)).collect();
        assert_eq!(format!("{parts}\n]\n"), super::json(&json!(values)));
    }
}
