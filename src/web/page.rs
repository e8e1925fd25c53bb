//! The pages for a browser: which address is which page. Rendering is the pages' own.

use hyper::StatusCode;
use hyper::header::{ACCEPT_LANGUAGE, HeaderMap};
use hyper::http::request::Parts;

use super::answer::{Answer, HTML};
use super::look::{CompareQuery, Looked, RunsQuery, decoded, encoded};
use super::pages::{self, Frame, Problem};
use super::questions::{CompareLook, RunLook, RunsLook};
use super::site::{Asked, Refusal, Site};
use crate::sys::clock::wall_time;

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The answer to a request for a page.
///
/// # Errors
/// There is no such page, or its address is wrong.
pub(super) async fn answer(site: &Site, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let query = asked.target.split_once('?').map_or("", |(_, query)| query);
    let frame = || frame(&asked.path, query, asked.headers);
    match asked.parts()[..] {
        [] => runs(site, asked, frame).await,
        ["runs", id] => {
            asked.query.check(&["curve"], &[])?;
            let looked = site.run.look(&RunLook(id.to_owned())).await;
            let is_missing = looked.as_ref().is_ok_and(|seen| seen.value.is_none());
            let status = if is_missing { StatusCode::NOT_FOUND } else { status(&looked) };
            Ok(Answer::new(status, HTML, pages::run(&frame(), id, asked.query.get("curve"), &looked)))
        }
        ["compare"] => {
            let look = CompareLook(CompareQuery::parse(&asked.query)?);
            let looked = site.compare.look(&look).await;
            if let Ok(Err(bad)) = looked.as_ref().map(|seen| seen.value.as_ref()) {
                return Err(bad.clone().into());
            }
            Ok(Answer::new(status(&looked), HTML, pages::comparison(&frame(), &looked)))
        }
        ["health"] => {
            asked.query.check(&[], &[])?;
            let health = site.health().await;
            Ok(Answer::new(StatusCode::OK, HTML, pages::health(&frame(), &health)))
        }
        ["style.css"] => Ok(Answer::new(StatusCode::OK, STYLE, pages::STYLE)),
        ["script.js"] => Ok(Answer::new(StatusCode::OK, SCRIPT, pages::SCRIPT)),
        _ => Err(Refusal::not_found("")),
    }
}

async fn runs(site: &Site, asked: &Asked<'_>, frame: impl Fn() -> Frame) -> Result<Answer, Refusal> {
    let query = RunsQuery::parse(&asked.query)?;
    let looked = site.runs.look(&RunsLook { query: query.clone(), is_whole: false }).await;
    if let Ok(Err(bad)) = looked.as_ref().map(|seen| seen.value.as_ref()) {
        return Err(bad.clone().into());
    }
    Ok(Answer::new(status(&looked), HTML, pages::runs(&frame(), &query, &looked)))
}

/// A page without its content is no success.
fn status<T>(looked: &Looked<T>) -> StatusCode {
    if looked.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The refusal as a page.
pub(super) fn refusal(refusal: &Refusal, request: &Parts) -> Answer {
    let problem = match refusal.status {
        StatusCode::NOT_FOUND => Problem::NotFound,
        StatusCode::BAD_REQUEST => Problem::BadRequest,
        _ => Problem::Failure,
    };
    // An address with a mistake leads nowhere: its page links to the same page without it.
    let path = request.uri.path().split('/').filter(|part| !part.is_empty()).map(decoded);
    let path = path.collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let query = request.uri.query().unwrap_or_default();
    let frame = frame(&path, query, &request.headers);
    Answer::new(refusal.status, HTML, pages::message(&frame, problem, &refusal.sentence))
}

/// The path is written anew: as sent it may begin with two slashes, and a link to it would lead to another host.
fn frame(path: &[String], query: &str, headers: &HeaderMap) -> Frame {
    let path = format!("/{}", path.iter().map(|part| encoded(part)).collect::<Vec<_>>().join("/"));
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Frame::new(&path, query, accepted, wall_time())
}
