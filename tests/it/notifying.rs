//! The scripts of docs/recipes.md, as written, send to a local server what each service documents. `places` has the rest of the page.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use openssl::base64::{decode_block, encode_block};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::{Value, json};

use crate::readme::path_with_runwrap_and_python;
use crate::support::page::{RECIPES, block, blocks};
use crate::support::site::{Running, Site, start};
use crate::support::wait::wait_until;
use crate::support::web::{Request, Web};

/// A part of each secret: no argument of a process may have it.
const SECRET: &str = "sEcReT7";

/// What the trainer prints before it fails: quotes, backslashes, markup, several lines, Chinese.
const ERRORS: &str =
    "Traceback \"most recent\":\n\t'C:\\new' $HOME `id` <b>&amp;</b>\nRuntimeError: 显存不足，训练失败 €";

/// Saves a script under the name in its second line, and returns that name.
fn save(site: &Site, service: &str) -> String {
    let text = block(&format!("on-finish {service}"));
    let name = text.lines().nth(1).and_then(|line| line.strip_prefix("# ")).unwrap().to_owned();
    assert_eq!(name, format!("~/.config/runwrap/notify-{service}.sh"));
    let path = configuration(site).join(format!("notify-{service}.sh"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    name
}

/// The directory of the scripts and their secrets.
fn configuration(site: &Site) -> PathBuf {
    let directory = site.path().join(".config/runwrap");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Starts a run that fails with [`ERRORS`], or completes, and sends its end by the command.
fn run(site: &Site, on_finish: &str, variables: &[(&str, &str)], script: &str) -> Running {
    let mut command = site.shell(&["-n", "demo", "--on-finish", on_finish], script);
    command.envs(variables.iter().copied()).env("ERRORS", ERRORS);
    command.stderr(fs::File::create(site.path().join("stderr")).unwrap());
    start(&mut command)
}

const FAILING: &str = "printf '%s\\n' \"$ERRORS\" >&2; exit 3";

/// The line of the log with the end of the command.
#[track_caller]
fn logged(site: &Site) -> String {
    let find = || site.log().lines().find(|line| line.contains("event=on_finish_ended")).map(str::to_owned);
    wait_until("the end of the command in the log", || find().is_some());
    find().unwrap()
}

/// Lets a failing run send its end to the service, answers with `reply`, and returns the request.
#[track_caller]
fn sent(service: &str, path: &str, variables: &[(&str, &str)], reply: &str) -> (Request, String) {
    let (site, web) = (Site::sqlite(), Web::start());
    let url = format!("http://{}{path}", web.address());
    let name = format!("{}_URL", service.to_uppercase());
    let variables = [&[(&*name, &*url)], variables].concat();
    let mut running = run(&site, &save(&site, service), &variables, FAILING);
    let mut request = web.request();
    let arguments: Vec<String> = site.processes().into_iter().map(|process| process.command).collect();
    assert!(arguments.iter().any(|command| command.starts_with("curl ")), "{arguments:?}");
    assert!(!arguments.iter().any(|command| command.contains(SECRET)), "a secret is an argument: {arguments:?}");
    request.reply(reply);
    assert_eq!(running.end().code(), Some(3));
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/json"));
    (request, logged(&site))
}

/// The text of a message about the run of [`run`].
fn text() -> String {
    format!("exited with code 3\n{ERRORS}")
}

#[track_caller]
fn assert_text(found: &Value, expected: &str) {
    let (head, tail) = found.as_str().unwrap().split_once('\n').unwrap();
    assert!(head.starts_with("runwrap: demo v1 failed (exit) after ") && head.ends_with(", record 1"), "{head}");
    assert_eq!(tail, expected);
}

/// HMAC-SHA256 in base64.
fn signature(key: &str, data: &str) -> String {
    let key = PKey::hmac(key.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    encode_block(&signer.sign_oneshot_to_vec(data.as_bytes()).unwrap())
}

fn body(request: &Request) -> Value {
    serde_json::from_str(&request.body).unwrap()
}

#[test]
fn webhook_posts_the_whole_record() {
    let (request, log) = sent("webhook", &format!("/runs?token={SECRET}"), &[], "{}");
    assert_eq!(request.path, format!("/runs?token={SECRET}"));
    let record = body(&request);
    assert_eq!(
        (&record["status"], &record["exit_code"], &record["name"]),
        (&"failed".into(), &3.into(), &"demo".into())
    );
    assert_eq!(record["error_message"], text());
    assert!(log.contains("[INFO]"), "{log}");
}

#[test]
fn slack_receives_an_escaped_text() {
    let (request, _) = sent("slack", &format!("/services/T0/B0/{SECRET}"), &[], "ok");
    assert_eq!(request.path, format!("/services/T0/B0/{SECRET}"));
    let message = body(&request);
    assert_eq!(message.as_object().unwrap().len(), 1);
    assert_text(&message["text"], &text().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
}

#[test]
fn feishu_receives_a_text_with_and_without_signature() {
    let (request, log) =
        sent("feishu", &format!("/open-apis/bot/v2/hook/{SECRET}"), &[], r#"{"code":0,"msg":"success"}"#);
    assert_eq!(request.path, format!("/open-apis/bot/v2/hook/{SECRET}"));
    let message = body(&request);
    assert_eq!((message.as_object().unwrap().len(), &message["msg_type"]), (2, &"text".into()));
    assert_text(&message["content"]["text"], &text());
    assert!(log.contains("[INFO]"), "{log}");

    let variables = [("FEISHU_SECRET", SECRET)];
    let (request, log) = sent("feishu", "/hook", &variables, r#"{"code":19021,"msg":"sign match fail"}"#);
    let message = body(&request);
    let timestamp = message["timestamp"].as_str().unwrap();
    assert_eq!(timestamp.len(), 10);
    assert_eq!(message["sign"], signature(&format!("{timestamp}\n{SECRET}"), ""));
    assert!(log.contains("[WARN]") && log.contains("sign match fail"), "{log}");
}

#[test]
fn dingtalk_receives_a_text_with_and_without_signature() {
    let path = format!("/robot/send?access_token={SECRET}");
    let (request, log) = sent("dingtalk", &path, &[], r#"{"errcode":0,"errmsg":"ok"}"#);
    assert_eq!(request.path, path);
    let message = body(&request);
    assert_eq!((message.as_object().unwrap().len(), &message["msgtype"]), (2, &"text".into()));
    assert_text(&message["text"]["content"], &text());
    assert!(log.contains("[INFO]"), "{log}");

    let variables = [("DINGTALK_SECRET", SECRET)];
    let (request, log) = sent("dingtalk", &path, &variables, r#"{"errcode":310000,"errmsg":"sign not match"}"#);
    let query = request.path.strip_prefix(&format!("{path}&timestamp=")).unwrap();
    let (timestamp, sign) = query.split_once("&sign=").unwrap();
    assert_eq!(timestamp.len(), 13);
    let expected = signature(SECRET, &format!("{timestamp}\n{SECRET}"));
    assert_eq!(sign, expected.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    assert_text(&body(&request)["text"]["content"], &text());
    assert!(log.contains("[WARN]") && log.contains("sign not match"), "{log}");
}

#[test]
fn wecom_receives_a_text_of_2048_bytes_at_most() {
    let path = format!("/cgi-bin/webhook/send?key={SECRET}");
    let (request, log) = sent("wecom", &path, &[], r#"{"errcode": 0, "errmsg": "ok"}"#);
    assert_eq!(request.path, path);
    let message = body(&request);
    assert_eq!((message.as_object().unwrap().len(), &message["msgtype"]), (2, &"text".into()));
    assert_text(&message["text"]["content"], &text());
    assert!(log.contains("[INFO]"), "{log}");

    // Three bytes per character, and a long name.
    let (site, web) = (Site::sqlite(), Web::start());
    let mut record =
        json!({"id": 1, "name": "名".repeat(1000), "error_message": "错".repeat(1000)}).to_string().into_bytes();
    record.push(b'\n');
    let file = site.path().join("record");
    fs::write(&file, record).unwrap();
    let mut command = site.program("sh");
    command.args(["-c", &save(&site, "wecom")]).env("WECOM_URL", format!("http://{}", web.address()));
    let mut running = start(command.stdin(fs::File::open(file).unwrap()).stdout(Stdio::null()));
    let mut request = web.request();
    request.reply(r#"{"errcode":45033,"errmsg":"api concurrent out of limit"}"#);
    assert!(!running.end().success());
    let message = body(&request);
    let content = message["text"]["content"].as_str().unwrap();
    assert!((1024..=2048).contains(&content.len()) && content.ends_with('错'), "{}", content.len());
}

#[test]
fn healthchecks_distinguishes_success_and_failure() {
    let path = format!("/{SECRET}-8d3f-4c5e-9f1a-2b6c7d8e9f00");
    let (request, _) = sent("healthchecks", &path, &[], "OK");
    assert_eq!(request.path, format!("{path}/fail"));
    assert_eq!(body(&request)["error_message"], text());

    let (site, web) = (Site::sqlite(), Web::start());
    fs::write(configuration(&site).join("healthchecks-url"), format!("http://{}{path}\n", web.address())).unwrap();
    let mut running = run(&site, &save(&site, "healthchecks"), &[], "true");
    let mut request = web.request();
    request.reply("OK");
    assert!(running.end().success());
    assert_eq!((request.path.as_str(), &body(&request)["status"]), (path.as_str(), &"completed".into()));
}

#[test]
fn mail_has_its_addresses_its_subject_and_the_record() {
    let (site, web) = (Site::sqlite(), Web::start());
    let netrc = format!("machine 127.0.0.1 login ml@example.org password {SECRET}\n");
    fs::write(configuration(&site).join("mail-netrc"), netrc).unwrap();
    let url = format!("smtp://{}", web.address());
    let variables = [("MAIL_URL", &*url), ("MAIL_FROM", "ml@example.org"), ("MAIL_TO", "team@example.org")];
    let mut running = run(&site, &save(&site, "mail"), &variables, FAILING);
    let mail = web.mail();
    assert_eq!(running.end().code(), Some(3));
    let credentials = encode_block(format!("\0ml@example.org\0{SECRET}").as_bytes());
    assert_eq!(mail.credentials, credentials);
    assert!(mail.commands.iter().any(|command| command.starts_with("MAIL FROM:<ml@example.org>")), "{mail:?}");
    assert!(mail.commands.iter().any(|command| command.starts_with("RCPT TO:<team@example.org>")), "{mail:?}");
    let end = mail.lines.iter().position(String::is_empty).unwrap();
    let (head, body) = mail.lines.split_at(end);
    // A long subject is folded.
    let head = head.join("\n").replace("\n ", " ");
    assert!(
        head.contains("To: team@example.org") && head.contains("Subject: runwrap: demo v1 failed (exit) after "),
        "{head}"
    );
    let body = String::from_utf8(decode_block(&body.concat()).unwrap()).unwrap().replace("\r\n", "\n");
    assert!(body.starts_with(&text()) && body.contains("\"exit_code\": 3"), "{body}");
}

/// The commands of the page that save, try and configure a script, in their order.
#[test]
fn script_is_installed_tried_and_configured_as_written() {
    let (site, web) = (Site::sqlite(), Web::start());
    let path = path_with_runwrap_and_python(&site);
    save(&site, "slack");
    let shell = |text: &str| {
        let mut command = site.program("sh");
        command.args(["-euc", text]).env("PATH", &path).stderr(Stdio::inherit());
        command
    };
    let mut installing = shell(&block("install"));
    let mut installing = start(installing.stdin(Stdio::piped()));
    installing.say(&format!("http://{}/services/{SECRET}", web.address()));
    installing.close_stdin();
    assert!(installing.end().success());
    let mode = fs::metadata(configuration(&site).join("slack-url")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    assert_eq!(site.run(&["-n", "demo"], "exit 3").status.code(), Some(3));
    let mut trying = start(shell(&block("try")).stdout(Stdio::null()));
    let mut request = web.request();
    request.reply("ok");
    assert!(trying.end().success());
    assert_text(&body(&request)["text"], "exited with code 3");

    let [config] = &blocks(RECIPES).into_iter().filter(|block| block.language == "toml").collect::<Vec<_>>()[..] else {
        panic!("one configuration file")
    };
    fs::write(configuration(&site).join("config.toml"), &config.text).unwrap();
    let mut configured = start(&mut shell("runwrap -n demo -- false || exit 0"));
    let mut request = web.request();
    request.reply("ok");
    assert!(configured.end().success() && body(&request)["text"].as_str().unwrap().contains("record 2"));
}

#[test]
fn failed_only_sends_no_completed_and_no_cancelled_run() {
    let (site, web) = (Site::sqlite(), Web::start());
    let path = path_with_runwrap_and_python(&site);
    save(&site, "slack");
    let run = |script: &str| {
        let mut command = site.program("sh");
        command.args(["-uc", &format!("{}\nexec runwrap -n demo -- sh -c '{script}'", block("failed-only"))]);
        command.env("PATH", &path).env("SLACK_URL", format!("http://{}", web.address()));
        start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    };
    assert!(run("true").end().success());
    let mut cancelled = run("echo ready; read -r line");
    assert_eq!(cancelled.line(), "ready");
    cancelled.signal("TERM");
    assert!(!cancelled.end().success());
    site.quiet();
    assert_eq!(site.log().matches("event=on_finish_ended").count(), 2);
    assert!(!web.was_called());
    let mut failed = run("exit 3");
    web.request().reply("ok");
    assert_eq!(failed.end().code(), Some(3));
}
