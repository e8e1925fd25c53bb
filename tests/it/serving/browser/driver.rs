//! The real browsers that the tests share, each of one test at a time. Must not know the pages.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};

use serde_json::{Value, json};

/// Debian's interpreter, for which Debian's selenium is installed.
const PYTHON: &str = "/usr/bin/python3";

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/serving/browser/driver.py");

/// Most of a test is waiting for a page: two browsers halve it.
const BROWSERS_MAX: usize = 2;

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), started: 0 });
static RETURNED: Condvar = Condvar::new();

struct Pool {
    free: Vec<Browser>,
    started: usize,
}

/// A browser until the end of a test. That of a test that fails ends with it.
pub(super) struct Lease(Option<Browser>);

impl Deref for Lease {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Browser {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        match self.0.take().filter(|_| !std::thread::panicking()) {
            Some(browser) => pool.free.push(browser),
            None => pool.started -= 1,
        }
        RETURNED.notify_one();
    }
}

/// Ends with this value or with this process: its input is closed then.
pub(super) struct Browser {
    _process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the next pages are shown with.
#[derive(Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) width: u32,
    pub(super) dark: bool,
    pub(super) scripts: bool,
    /// The header `Accept-Language`.
    pub(super) languages: &'static str,
    /// The timer of the page waits for [`Browser::tick`].
    pub(super) hold: bool,
}

pub(super) const DESK: Circumstances =
    Circumstances { width: 1200, dark: false, scripts: true, languages: "en", hold: true };

impl Browser {
    /// A browser for one test: one that another test has returned, or a new one. Waits if there are [`BROWSERS_MAX`].
    #[track_caller]
    pub(super) fn take(circumstances: Circumstances) -> Lease {
        let mut pool = POOL.lock().unwrap();
        while pool.free.is_empty() && pool.started == BROWSERS_MAX {
            pool = RETURNED.wait(pool).unwrap();
        }
        let free = pool.free.pop();
        pool.started += usize::from(free.is_none());
        drop(pool);
        let mut lease = Lease(free);
        if lease.0.is_none() {
            lease.0 = Some(Self::start());
        }
        lease.set_up(circumstances);
        lease
    }

    fn start() -> Self {
        let mut process = Command::new(PYTHON)
            .arg(DRIVER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("needs python3");
        let (commands, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { _process: process, commands, answers: BufReader::new(answers) }
    }

    #[track_caller]
    fn call(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").expect("the browser needs chromium, chromium-driver and python3-selenium");
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the browser has ended; it needs chromium, chromium-driver and python3-selenium");
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("error").is_none(), "{command}: {answer}");
        answer["ok"].clone()
    }

    #[track_caller]
    pub(super) fn set_up(&mut self, how: Circumstances) {
        self.call(&json!(["set_up", how.width, how.dark, how.scripts, how.languages, how.hold]));
    }

    #[track_caller]
    pub(super) fn open(&mut self, url: &str) {
        self.call(&json!(["open", url]));
    }

    /// The result of a script's `return`, awaited.
    #[track_caller]
    pub(super) fn run(&mut self, script: &str) -> Value {
        self.call(&json!(["run", script]))
    }

    #[track_caller]
    pub(super) fn click(&mut self, selector: &str) {
        self.call(&json!(["click", selector]));
    }

    /// Clicks on a link or a button that leads to another page, and waits for it.
    #[track_caller]
    pub(super) fn follow(&mut self, selector: &str) {
        self.call(&json!(["follow", selector]));
    }

    /// Enter in a field of a form; waits for the next page.
    #[track_caller]
    pub(super) fn submit(&mut self) {
        self.call(&json!(["submit"]));
    }

    #[track_caller]
    pub(super) fn enter(&mut self, selector: &str, text: &str) {
        self.call(&json!(["type", selector, text]));
    }

    /// A key, by its name in capitals, into the element that has the focus.
    #[track_caller]
    pub(super) fn press(&mut self, key: &str) {
        self.call(&json!(["press", key]));
    }

    /// The visible text of an element.
    #[track_caller]
    pub(super) fn text(&mut self, selector: &str) -> String {
        self.call(&json!(["text", selector])).as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(super) fn address(&mut self) -> String {
        self.call(&json!(["address"])).as_str().unwrap().to_owned()
    }

    /// Lets the time until the next update pass, and waits for its end.
    #[track_caller]
    pub(super) fn tick(&mut self) {
        self.call(&json!(["tick"]));
    }

    /// Updates the page until its content has `text`. Never loads it anew.
    #[track_caller]
    pub(super) fn ticks_until(&mut self, text: &str) {
        self.ticks(text, true);
    }

    /// Updates the page until its content has no `text`. Never loads it anew.
    #[track_caller]
    pub(super) fn ticks_while(&mut self, text: &str) {
        self.ticks(text, false);
    }

    #[track_caller]
    fn ticks(&mut self, text: &str, is_there: bool) {
        self.run("window.same = true");
        self.call(&json!(["ticks_until", text, is_there]));
        assert_eq!(self.run("return window.same"), true, "the page was loaded anew");
    }

    /// No message in the console, and no request to another place than `address` since the set-up.
    #[track_caller]
    pub(super) fn was_quiet(&mut self, address: &str) {
        assert_eq!(self.call(&json!(["messages"])), json!([]));
        assert_eq!(self.call(&json!(["hosts"])), json!([format!("http://{address}")]));
    }

    /// Keeps a picture of the page with the artefacts of the tests; of its whole height, if `height` is 0.
    #[track_caller]
    pub(super) fn picture(&mut self, name: &str, height: u32) -> PathBuf {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("{name}.png"));
        self.call(&json!(["picture", path, height]));
        path
    }
}
