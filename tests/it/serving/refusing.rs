//! What the service refuses: hosts, methods, bodies, heads and query strings; and the headers of every answer.

use super::client::{Reply, Served};
use crate::support::site::Site;

#[track_caller]
fn is_secured(reply: &Reply) {
    let policy = reply.header("content-security-policy").unwrap_or_else(|| panic!("{reply:?}"));
    for part in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{reply:?}");
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{reply:?}");
}

fn served() -> (Site, Served) {
    let site = Site::sqlite();
    assert!(site.run(&["-n", "a"], "true").status.success());
    let served = Served::start(&site, &[]);
    (site, served)
}

#[test]
fn every_answer_has_the_security_headers() {
    let (_site, served) = served();
    for (target, status) in [
        ("/", 200),
        ("/healthz", 200),
        ("/metrics", 200),
        ("/api/runs", 200),
        ("/api/runs/1", 200),
        ("/api/runs?limit=x", 400),
        ("/?status=x", 400),
        ("/api/runs/77", 404),
        ("/api", 404),
        ("/nowhere", 404),
        ("/%", 400),
    ] {
        let reply = served.get(target);
        assert_eq!(reply.status, status, "{target}: {reply:?}");
        is_secured(&reply);
    }
    let host = &served.address;
    let long = "x".repeat(9 << 10);
    for (request, status) in [
        (format!("POST / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 405),
        (format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"), 405),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello"), 413),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 413),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n"), 431),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nA B: c\r\n\r\n"), 400),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), 403),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 400),
    ] {
        let reply = served.send(request.as_bytes());
        let shown = &request[..request.len().min(60)];
        assert_eq!(reply.status, status, "{shown}: {reply:?}");
        is_secured(&reply);
    }
    assert_eq!(
        served.send(format!("DELETE /x HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).header("allow"),
        Some("GET, HEAD")
    );
    served.end("TERM");
}

#[test]
fn only_one_allowed_host_is_answered() {
    let site = Site::sqlite();
    let served = Served::start(&site, &["--allow-host", "runs.example.org"]);
    let status = |headers: &str| served.send(format!("GET /healthz HTTP/1.1\r\n{headers}\r\n").as_bytes()).status;
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:80", "runs.example.org", "Runs.Example.org:443"] {
        assert_eq!(status(&format!("Host: {host}\r\n")), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.2", "runs.example.org.evil.example:80", "0.0.0.0"] {
        assert_eq!(status(&format!("Host: {host}\r\n")), 403, "{host}");
    }
    for headers in ["", "Host:\r\n", "Host: localhost\r\nHost: localhost\r\n", "Host: a b\r\n", "Host: x@localhost\r\n"]
    {
        assert_eq!(status(headers), 400, "{headers}");
    }
    let absolute = |authority: &str| {
        served.send(format!("GET http://{authority}/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).status
    };
    assert_eq!((absolute("localhost"), absolute("evil.example")), (200, 403));
    served.end("TERM");
}

#[test]
fn every_mistake_in_an_address_is_explained() {
    let (_site, served) = served();
    for (query, part) in [
        ("status=running", "no status"),
        ("colour=red", "no parameter"),
        ("name=a&name=b", "occurs twice"),
        ("limit=0", "from 1 to 200"),
        ("name=%zz", "hexadecimal"),
        ("name=%C3%28", "UTF-8"),
        ("name=%00", "control character"),
        ("tag=%1b%5b31m", "control character"),
        ("before=x", "no page behind"),
        ("before=99", "no page behind"),
        ("name=a&before=1", "no page behind"),
        ("tag==x", "no key"),
    ] {
        let reply = served.get(&format!("/api/runs?{query}"));
        assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/json")), "{query}: {reply:?}");
        let error: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        let sentence = error["error"].as_str().unwrap();
        assert!(sentence.contains(part) && sentence.ends_with('.'), "{query}: {sentence}");
    }
    for target in ["/api/runs/1?x=1", "/metrics?x=1", "/api/runs/%ff", "/api/runs/1/points"] {
        assert_eq!(served.get(target).status, 400, "{target}");
    }
    for target in
        ["/api/runs/2", "/api/runs/x%27%20OR%201=1", "/api/runs/1/points?metric=none", "/api/runs/1/x", "/api/x"]
    {
        assert_eq!(served.get(target).status, 404, "{target}");
    }
    served.end("INT");
}

#[test]
fn head_is_a_get_without_a_body() {
    let (_site, served) = served();
    let get = served.get("/api/runs/1");
    let head = served.send(format!("HEAD /api/runs/1 HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).as_bytes());
    assert_eq!((head.status, head.header("content-length")), (200, get.header("content-length")));
    let tag = get.header("etag").unwrap();
    let known = served.get_with("/api/runs/1", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((known.status, known.body.as_str(), known.header("etag")), (304, "", Some(tag)));
    assert_eq!(served.get_with("/api/runs/1", "If-None-Match: \"x\"\r\n").status, 200);
    served.end("TERM");
}
