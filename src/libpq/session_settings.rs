//! The settings in `options=` that choose the schema of a table without one: `search_path` and `role`. Pure.

/// The settings, in this order.
const NAMES: [&str; 2] = ["search_path", "role"];

/// `search_path=…` and `role=…` as the server reads them from `options`, the last of each. Any other setting may hold a secret.
pub(super) fn schema_settings(options: &str) -> Vec<String> {
    let words = words(options);
    let mut settings: [Option<&str>; 2] = [None; 2];
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => rest.next().map(String::as_str),
            setting => setting,
        };
        let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) else { continue };
        let name = name.to_ascii_lowercase().replace('-', "_");
        if let Some(at) = NAMES.iter().position(|known| *known == name) {
            settings[at] = Some(value);
        }
    }
    let set = NAMES.iter().zip(settings);
    set.filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect()
}

/// The words of `options`: whitespace separates them, a backslash keeps the next character.
fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next()),
            space if space.is_ascii_whitespace() => words.extend(Some(std::mem::take(&mut word))),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_choose_a_schema_are_read_as_the_server_reads_them() {
        for (options, settings) in [
            ("", &[][..]),
            ("-c search_path=ml", &["search_path=ml"]),
            ("-csearch_path=ml,public", &["search_path=ml,public"]),
            ("--search-path=ml", &["search_path=ml"]),
            ("-c Search_Path=a -c role=ann -c search_path=b", &["search_path=b", "role=ann"]),
            (r"-c search_path=ml,\ public  -c statement_timeout=5s", &["search_path=ml, public"]),
            ("-c app.token=hunter2 -e", &[]),
            ("-c", &[]),
            ("search_path=x", &[]),
        ] {
            assert_eq!(schema_settings(options), settings, "{options}");
        }
    }
}
