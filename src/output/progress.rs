//! A progress bar on stderr; prints nothing if stderr is not a terminal.

use std::io::{self, IsTerminal, Write};

/// A bar on the last line of a terminal.
#[derive(Debug)]
pub(crate) struct ProgressBar {
    total: Option<u64>,
    visible: bool,
}

impl ProgressBar {
    /// A bar for about `total` records if `wanted`. Calls `total` only if the bar is visible.
    ///
    /// # Errors
    /// Those of `total`.
    pub(crate) fn start<E>(wanted: bool, total: impl FnOnce() -> Result<Option<u64>, E>) -> Result<Self, E> {
        let visible = wanted && io::stderr().is_terminal();
        let total = if visible { total()? } else { None };
        Ok(Self { total, visible })
    }

    /// Draws the bar after `done` records.
    pub(crate) fn show(&self, done: u64) {
        self.draw(&bar(done, self.total));
    }

    /// Clears the line for other output.
    pub(crate) fn clear(&self) {
        self.draw("");
    }

    fn draw(&self, text: &str) {
        if self.visible {
            // Progress on a closed terminal needs no error.
            io::stderr().lock().write_all(format!("\r\x1b[K{text}").as_bytes()).ok();
        }
    }
}

fn bar(done: u64, total: Option<u64>) -> String {
    // An estimate may be too low, or 0.
    let Some(total) = total.filter(|total| *total > 0).map(|total| total.max(done)) else {
        return format!("{done} records");
    };
    let filled = usize::try_from(done.saturating_mul(30) / total).unwrap_or_default();
    format!("[{:-<30}] {}% of {total} records", "#".repeat(filled), done.saturating_mul(100) / total)
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_grows_to_its_end_and_not_beyond() {
        assert_eq!(bar(0, Some(4)), "[------------------------------] 0% of 4 records");
        assert_eq!(bar(1, Some(2)), "[###############---------------] 50% of 2 records");
        assert_eq!(bar(9, Some(4)), "[##############################] 100% of 9 records");
        assert_eq!(bar(9, Some(0)), "9 records");
        assert_eq!(bar(9, None), "9 records");
    }
}
