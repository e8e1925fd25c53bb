//! From a request to its answer: checks every request first, then the address decides. Must not wait for a database without a bound,
//! nor change anything.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::allowed::Refused;
use super::answer::{Answer, JSON, Pieces, TEXT};
use super::look::{Query, decoded};
use super::metrics::render;
use super::site::{Asked, Refusal, Site};
use super::{api, page};

/// The answer to any request.
pub(super) async fn respond(site: Rc<Site>, request: Request<Incoming>) -> Response<Pieces> {
    let answer = answer(&site, &request.into_parts().0).await;
    answer.into_response(&site.budget)
}

async fn answer(site: &Site, request: &Parts) -> Answer {
    if let Some(refusal) = refused(site, request) {
        return refusal;
    }
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let path = request.uri.path().split('/').filter(|part| !part.is_empty()).map(decoded);
    let query = Query::parse(request.uri.query().unwrap_or_default());
    let is_of_api = request.uri.path().starts_with("/api/");
    let (path, query) = match (path.collect::<Result<Vec<_>, _>>(), query) {
        (Ok(path), Ok(query)) => (path, query),
        (Err(bad), _) | (_, Err(bad)) if is_of_api => return api::refusal(&bad.into()),
        (Err(bad), _) | (_, Err(bad)) => return page::refusal(&bad.into(), request),
    };
    let asked = Asked { path, query, headers: &request.headers, target };
    let key = asked.key();
    if let Some(answer) = site.rendered(&key) {
        return answer.tagged(&request.headers);
    }
    let answer = routed(site, &asked).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(refusal) if asked.is_of_api() => api::refusal(&refusal),
        Err(refusal) => page::refusal(&refusal, request),
    };
    if answer.status != StatusCode::OK {
        return answer;
    }
    site.keep(key, &answer);
    answer.tagged(&request.headers)
}

/// The refusal of a request that is none of a viewer's.
fn refused(site: &Site, request: &Parts) -> Option<Answer> {
    let refusal = |status, sentence: &str| Answer::new(status, TEXT, format!("{sentence}\n"));
    let authority = request.uri.authority().map(|authority| site.allowed.check_host(authority.as_str()));
    let host = site.allowed.check(&request.headers).and(authority.unwrap_or(Ok(())));
    match host {
        Ok(()) => {}
        Err(Refused::Malformed) => {
            return Some(refusal(StatusCode::BAD_REQUEST, "The request needs one Host header with a name.").closing());
        }
        Err(Refused::NotAllowed) => {
            let sentence = "This service does not answer to that host name. If the name is right, start `runwrap serve` with \
                --allow-host NAME.";
            return Some(refusal(StatusCode::FORBIDDEN, sentence).closing());
        }
    }
    let length = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.is_some_and(|length| length != "0") || request.headers.contains_key(TRANSFER_ENCODING) {
        return Some(refusal(StatusCode::PAYLOAD_TOO_LARGE, "A request has no body here.").closing());
    }
    if request.method != Method::GET && request.method != Method::HEAD {
        let sentence = "Only GET and HEAD: this service shows records and changes none.";
        return Some(refusal(StatusCode::METHOD_NOT_ALLOWED, sentence).allowing_reads());
    }
    None
}

async fn routed(site: &Site, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    match asked.parts()[..] {
        ["metrics"] => metrics(site, asked).await,
        ["healthz"] => Ok(healthz(site)),
        ["api", ..] => api::answer(site, asked).await,
        _ => page::answer(site, asked).await,
    }
}

/// Whether this process serves, for a supervisor: 200 also while the database is away, since a restart would not help.
fn healthz(site: &Site) -> Answer {
    let database = match site.events.is_up() {
        None => "unknown",
        Some(true) => "up",
        Some(false) => "away",
    };
    Answer::new(StatusCode::OK, JSON, format!("{{\"serving\": true, \"database\": \"{database}\"}}\n"))
}

async fn metrics(site: &Site, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    asked.query.check(&[], &[])?;
    let format = asked.metrics_format();
    let failed = |_| Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        sentence: "The metrics cannot be encoded.".to_owned(),
    };
    Ok(Answer::new(StatusCode::OK, format.content_type(), render(&site.figures().await, format).map_err(failed)?))
}
