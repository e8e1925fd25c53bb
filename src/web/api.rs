//! The API: the JSON of `list --json`, `show --json` and `show --points`. Its errors are JSON too.

use hyper::StatusCode;
use hyper::header::{AGE, HeaderName, LINK};
use serde_json::{Value, json};

use super::answer::{Answer, JSON};
use super::look::{Away, Looked, RunPage, RunsQuery, Seen, encoded};
use super::questions::{RunLook, RunsLook};
use super::site::{Asked, Refusal, Site};
use crate::output;
use crate::record::points;
use crate::sys::clock::wall_time;

/// On an answer that is old: since when the database is away.
const AWAY_SINCE: HeaderName = HeaderName::from_static("runwrap-away-since");

/// The answer to a request below `/api`.
///
/// # Errors
/// The address is wrong, or the database is away and was never asked this.
pub(super) async fn answer(site: &Site, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    match asked.parts()[..] {
        ["api", "runs"] => runs(site, asked).await,
        ["api", "runs", id] => {
            asked.query.check(&[], &[])?;
            let seen = run(site, id).await?;
            let record = seen.value.as_ref().as_ref().map(|run| run.record.0.clone());
            Ok(json_answer(&Value::Object(record.unwrap_or_default()), &seen))
        }
        ["api", "runs", id, "points"] => series(site, asked, id).await,
        _ => Err(Refusal::not_found("There is /api/runs, /api/runs/ID and /api/runs/ID/points?metric=NAME.")),
    }
}

/// The refusal as JSON.
pub(super) fn refusal(refusal: &Refusal) -> Answer {
    let answer = Answer::new(refusal.status, JSON, output::json(&json!({"error": refusal.sentence})));
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE { answer.retrying() } else { answer }
}

async fn runs(site: &Site, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let query = RunsQuery::parse(&asked.query)?;
    let seen = looked(site.runs.look(&RunsLook { query: query.clone(), is_whole: true }).await)?;
    let page = seen.value.as_ref().as_ref().map_err(|bad| Refusal::from(bad.clone()))?;
    let records = page.runs.iter().map(|run| Value::Object(run.record.0.clone()));
    let answer = json_answer(&Value::Array(records.collect()), &seen);
    let Some(next) = &page.next else { return Ok(answer) };
    let next = RunsQuery { before: Some(next.clone()), ..query };
    Ok(answer.with(LINK, &format!("</api/runs?{}>; rel=\"next\"", next.to_query())))
}

/// The record `id`, which exists.
async fn run(site: &Site, id: &str) -> Result<Seen<Option<RunPage>>, Refusal> {
    let seen = looked(site.run.look(&RunLook(id.to_owned())).await)?;
    if seen.value.is_none() {
        return Err(Refusal::not_found(format!("There is no record {id}.")));
    }
    Ok(seen)
}

async fn series(site: &Site, asked: &Asked<'_>, id: &str) -> Result<Answer, Refusal> {
    asked.query.check(&["metric"], &[])?;
    let seen = run(site, id).await?;
    let all = seen.value.as_ref().as_ref().map_or(&[][..], |run| &run.series);
    let metric = asked.query.get("metric").unwrap_or_default();
    let Some(series) = all.iter().find(|series| series.name == metric) else {
        let names: Vec<String> = all.iter().take(20).map(|series| encoded(&series.name)).collect();
        let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let sentence = if metric.is_empty() {
            format!("Name a curve of record {id}: ?metric=NAME; {known}.")
        } else {
            format!("Record {id} has no curve {metric}; {known}.")
        };
        let status = if metric.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
        return Err(Refusal { status, sentence });
    };
    let points = points(series).into_iter().map(Value::Object);
    Ok(json_answer(&Value::Array(points.collect()), &seen))
}

/// The answer of the database, if there is one.
pub(super) fn looked<T>(looked: Looked<T>) -> Result<Seen<T>, Refusal> {
    looked.map_err(|Away { since, error, hint }| {
        let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
        let since = since.format("%Y-%m-%d %H:%M:%S UTC");
        let sentence = format!("The database does not answer since {since}: {error}{hint}.");
        Refusal { status: StatusCode::SERVICE_UNAVAILABLE, sentence }
    })
}

fn json_answer<T>(value: &Value, seen: &Seen<T>) -> Answer {
    let age = (wall_time() - seen.at).num_seconds().max(0);
    let answer = Answer::new(StatusCode::OK, JSON, output::json(value)).with(AGE, &age.to_string());
    match &seen.away {
        Some(away) => answer.with(AWAY_SINCE, &away.since.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        None => answer,
    }
}
