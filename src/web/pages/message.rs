//! The pages that only say why there is no other page.

use askama::Template;

use super::frame::Frame;
use super::labels::Labels;

/// Why a request gets no other page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No page has this address.
    NotFound,
    /// The address has a mistake.
    BadRequest,
    /// The service cannot answer.
    Failure,
}

#[derive(Template)]
#[template(path = "message.html", config = "src/web/pages/askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    l: &'static Labels,
    title: &'static str,
    detail: &'a str,
    explanation: Option<&'static str>,
    home: String,
}

/// A page about `problem`. `detail` is a sentence in English, or empty.
pub(crate) fn message(frame: &Frame, problem: Problem, detail: &str) -> String {
    let l = frame.labels();
    let (title, explanation) = match problem {
        Problem::NotFound => (l.not_found, detail.is_empty().then_some(l.not_found_page)),
        Problem::BadRequest => (l.bad_request, None),
        Problem::Failure => (l.failure, None),
    };
    rendered(&Page { frame, l, title, detail, explanation, home: frame.link("/", "") })
}

/// The text of a page. A template fails only if a value in it cannot be formatted, which no value here does.
pub(super) fn rendered(page: &impl Template) -> String {
    page.render().unwrap_or_else(|error| {
        log::error!(event = "page_not_rendered", error:%; "a page cannot be made: {error}");
        String::new()
    })
}
