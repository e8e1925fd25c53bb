//! Version labels: `v1`, `v2`, … per name. Pure; the stores apply the same rule in SQL under their own lock.

/// The label after the highest `vN` among `labels`. Labels of another form do not count;
/// more than nine digits is another form.
#[must_use]
pub fn next_version<'a>(labels: impl IntoIterator<Item = &'a str>) -> String {
    let highest = labels.into_iter().filter_map(number).max().unwrap_or(0);
    format!("v{}", highest + 1)
}

fn number(label: &str) -> Option<u64> {
    let digits = label.strip_prefix('v')?;
    let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::next_version;

    #[test]
    fn the_next_label_is_one_above_the_highest() {
        assert_eq!(next_version([]), "v1");
        assert_eq!(next_version(["v1", "v12", "v9"]), "v13");
        assert_eq!(next_version(["best", "v", "v1.5", "V7", "v-3", "v1234567890", "v2"]), "v3");
        assert_eq!(next_version(["v999999999"]), "v1000000000");
    }
}
