//! Version labels: `v1`, `v2`, … per name. Pure.

/// A counter's name in `runwrap_versions` may have this many bytes; PostgreSQL limits an index entry to about 2,700.
const KEY_BYTES_MAX: usize = 500;

/// The label of a number.
pub(crate) fn version_label(number: u64) -> String {
    format!("v{number}")
}

/// The number of a label `vN`; `None` for any other form, or more than nine digits.
pub(crate) fn version_number(label: &str) -> Option<u64> {
    let digits = label.strip_prefix('v')?;
    let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// The key of a name's counter: the name, or for a long one its beginning and its checksum.
pub(crate) fn version_key(name: &str) -> String {
    if name.len() <= KEY_BYTES_MAX {
        return name.to_owned();
    }
    let start = &name[..name.floor_char_boundary(KEY_BYTES_MAX - 16)];
    format!("{start}…{:08x}", crc32fast::hash(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_v_and_up_to_nine_digits_is_a_number() {
        for (label, number) in [("v1", 1), ("v12", 12), ("v007", 7), ("v999999999", 999_999_999)] {
            assert_eq!(version_number(label), Some(number));
        }
        for label in ["best", "v", "v1.5", "V7", "v-3", "v1234567890", "", "v٣"] {
            assert_eq!(version_number(label), None, "{label}");
        }
        assert_eq!(version_label(13), "v13");
    }

    #[test]
    fn long_names_get_distinct_keys_of_bounded_length() {
        assert_eq!(version_key("cifar"), "cifar");
        let [first, second] = ["a", "b"].map(|end| version_key(&format!("{}{end}", "é".repeat(4000))));
        assert_ne!(first, second);
        assert!(first.len() <= KEY_BYTES_MAX);
    }
}
