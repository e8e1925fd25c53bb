//! The service of `runwrap serve`: pages, API and metrics over HTTP. Reads records and changes none; the recovery beside it is the
//! caller's.

mod allowed;
mod answer;
mod api;
mod cache;
mod connections;
mod guard;
mod lane;
mod listen;
pub mod look;
mod metrics;
mod page;
mod pages;
mod questions;
mod router;
mod site;
mod state;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use allowed::without_port;
pub use listen::{Listen, Opened};
pub use metrics::{Figures, MetricsFormat, render};
pub use questions::waiting_journals;
pub use state::{Events, Round};

use self::look::Check;
use crate::config::DatabaseTarget;

/// What to serve.
#[derive(Clone)]
pub struct Options {
    pub database: DatabaseTarget,
    /// As typed.
    pub table: String,
    /// Names besides those of loopback that a Host header may have.
    pub allowed_hosts: Vec<String>,
    /// For one look at the database.
    pub look_limit: Duration,
    pub state_dir: PathBuf,
    /// An unwatched record in training is stuck after this time without a sign of life.
    pub stuck_after: Duration,
    /// What `doctor` reports of the database.
    pub checks: Arc<dyn Fn() -> Vec<Check> + Send + Sync>,
}

/// Serves on `opened` until the future that `stop` makes is ready, and returns its result.
///
/// # Errors
/// The system refuses a thread or a descriptor.
pub fn serve<T, F: Future<Output = io::Result<T>>>(
    opened: Opened,
    options: Options,
    events: &Events,
    stop: impl FnOnce() -> F,
) -> io::Result<T> {
    let host = opened.listen().host();
    let site = Rc::new(site::Site::new(options, host.as_deref(), events)?);
    connections::block_on(async move {
        let (bound, _file) = opened.bound()?;
        let handler: connections::Handler =
            Rc::new(move |request| Box::pin(router::respond(Rc::clone(&site), request)));
        connections::serve(&bound, handler, stop()).await
    })?
}
