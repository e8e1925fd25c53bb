//! `runwrap serve`: pages, API and metrics, with a recovery beside them on demand. Owns the start and the end of the service; the
//! answers are `web`'s, and the recovery is that of `recover`.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::doctor::database_lines;
use super::recover::recover_beside;
use super::service::ServiceManager;
use super::{CommandError, RecoverArgs, ServeArgs};
use crate::config::Settings;
use crate::output;
use crate::sys::clock::boot_time;
use crate::sys::poll::pause;
use crate::sys::process::{ENDING, SignalPipe, share_one_heap};
use crate::web::{self, Events, Listen, Opened, Options};

/// Without `--stuck-after`, pages count a record as stuck after this time.
const STUCK_AFTER: Duration = Duration::from_hours(24);

/// At the end, an attempt of the recovery gets so long. It can be repeated.
const RECOVERY_END_MAX: Duration = Duration::from_secs(5);
const RECOVERY_END_PAUSE: Duration = Duration::from_millis(20);

/// The result of the recovery beside the pages.
type Recovered = Result<(), CommandError>;

/// A recovery beside the pages; nothing without `--recover`.
#[derive(Default)]
struct Beside {
    thread: Option<JoinHandle<()>>,
    result: Option<oneshot::Receiver<Recovered>>,
}

/// Serves until a signal ends it.
///
/// # Errors
/// It cannot listen, or the first round of the recovery failed in a way that no retry heals.
pub(super) fn serve(settings: &Settings, args: &ServeArgs) -> Result<(), CommandError> {
    if !args.listen.is_local() && args.allowed_hosts.is_empty() {
        return Err(CommandError::NotLocal { listen: args.listen.clone() });
    }
    share_one_heap();
    // Before any thread: the signals must find their pipe, and the umask is the process's.
    let signals = SignalPipe::new(&ENDING)?;
    let cannot_listen = |cause| CommandError::Listen { listen: args.listen.clone(), cause };
    let opened = Opened::at(&args.listen).map_err(cannot_listen)?;
    let manager = ServiceManager::find().map_err(CommandError::Service)?;
    let events = Events::new(args.recover);
    let recovery = start_recovery(settings, args, &events)?;
    let listen = opened.listen().clone();
    output::print(&format!("{}\n", address(&listen)))?;
    log::info!(event = "serving", listen:%; "listening on {listen}");
    let (own, writes) = (settings.clone(), args.recover.is_some());
    let options = Options {
        database: settings.database.clone(),
        table: settings.table.clone(),
        allowed_hosts: args.allowed_hosts.clone(),
        look_limit: settings.start_timeout,
        state_dir: settings.state_dir.clone(),
        stuck_after: args.stuck_after.unwrap_or(STUCK_AFTER),
        checks: Arc::new(move || database_lines(&own, writes)),
    };
    let result = web::serve(opened, options, &events, || {
        manager.notify("READY=1");
        until_the_end(signals, &manager, recovery.result)
    });
    manager.notify("STOPPING=1");
    log::info!(event = "serve_ended"; "serve ends");
    let failure = result.map_err(CommandError::Serve)?;
    if failure.is_ok() {
        end(recovery.thread.as_ref());
    }
    failure
}

/// The place for a person: to click on, if it is one for a browser.
fn address(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => format!("http://{address}/"),
        Listen::Unix(_) => listen.to_string(),
    }
}

/// Starts the recovery on a thread of its own.
fn start_recovery(settings: &Settings, args: &ServeArgs, events: &Events) -> Result<Beside, CommandError> {
    let Some(every) = args.recover else { return Ok(Beside::default()) };
    let recover = RecoverArgs {
        json: false,
        dry_run: false,
        stuck_after: args.stuck_after,
        assume_now: false,
        from: None,
        every: Some(every),
        textfile: None,
    };
    let (sender, receiver) = oneshot::channel();
    let (settings, events) = (settings.clone(), events.clone());
    let work = move || {
        // The receiver has gone only if the service ends.
        sender.send(recover_beside(&settings, &recover, events)).ok();
    };
    let thread = thread::Builder::new().name("recovery".to_owned()).spawn(work).map_err(CommandError::Serve)?;
    Ok(Beside { thread: Some(thread), result: Some(receiver) })
}

/// Waits for a signal, or for the failure of the recovery, and notifies the watchdog meanwhile.
async fn until_the_end(
    signals: SignalPipe,
    manager: &ServiceManager,
    mut recovered: Option<oneshot::Receiver<Recovered>>,
) -> io::Result<Recovered> {
    let signals = UnixStream::from_std(signals.into_stream())?;
    let mut signalled = pin!(signals.readable());
    loop {
        let over = poll_fn(|context| {
            if signalled.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let Some(receiver) = &mut recovered else { return Poll::Pending };
            // It ends without an error only after a signal.
            let lost = |_panicked| Err(CommandError::Serve(io::Error::other("the recovery failed unexpectedly")));
            pin!(receiver).poll(context).map(|result| result.unwrap_or_else(lost))
        });
        match tokio::time::timeout(manager.watchdog_interval(), over).await {
            Ok(result) => return Ok(result),
            Err(_interval) => manager.notify("WATCHDOG=1"),
        }
    }
}

/// Waits for the recovery, which the same signal ends.
fn end(recovery: Option<&JoinHandle<()>>) {
    let deadline = boot_time() + RECOVERY_END_MAX;
    while recovery.is_some_and(|thread| !thread.is_finished()) && boot_time() < deadline {
        if pause(RECOVERY_END_PAUSE).is_err() {
            break;
        }
    }
}
