//! Where the service listens.

use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use runwrap::sys::socket::connect_now;

use super::client::Reply;
use crate::support::site::{Running, Site, output, start};

/// A service on a socket, once it listens.
#[track_caller]
fn listening(site: &Site, path: &str) -> Running {
    let mut running = start(site.runwrap(&["serve", "--listen", path]).stdout(Stdio::piped()));
    assert_eq!(running.line(), path);
    running
}

#[track_caller]
fn refused(site: &Site, arguments: &[&str], parts: &[&str]) {
    let output = output(&mut site.runwrap(&[&["serve"], arguments].concat()));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{errors}");
    for part in parts {
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn socket_is_private_and_replaced_only_if_it_is_stale() {
    let site = Site::sqlite();
    let path = site.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let mut service = listening(&site, &listen);
    let file = fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(Reply::read(&mut BufReader::new(stream), true).status, 200);

    refused(&site, &["--listen", &listen], &["cannot listen on unix:", "another process listens there", "--listen"]);
    service.signal("KILL");
    service.end();
    assert!(path.exists(), "a killed process leaves its socket");
    let mut service = listening(&site, &listen);
    service.signal("TERM");
    assert_eq!(service.end().code(), Some(0));
    assert!(!path.exists(), "the socket is removed at the end");
}

/// The bug: the start waited for a process that listens there and accepts nothing.
#[test]
fn socket_of_a_hanging_process_is_refused_at_once() {
    let site = Site::sqlite();
    let path = site.path().join("socket");
    let _hanging = UnixListener::bind(&path).unwrap();
    let _waiting: Vec<UnixStream> = std::iter::from_fn(|| connect_now(&path).ok()).collect();
    refused(&site, &["--listen", &format!("unix:{}", path.display())], &["another process listens there"]);
}

#[test]
fn other_files_are_never_replaced() {
    let site = Site::sqlite();
    let path = site.path().join("file");
    let listen = format!("unix:{}", path.display());
    fs::write(&path, "kept").unwrap();
    refused(&site, &["--listen", &listen], &["there is a file that is no socket"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    fs::remove_file(&path).unwrap();
    let target = site.path().join("target");
    let _living = UnixListener::bind(&target).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    refused(&site, &["--listen", &listen], &["no socket"]);
    refused(&site, &["--listen", &format!("unix:{}/none/x", site.path().display())], &["cannot listen on"]);
    // A service whose socket was replaced meanwhile leaves the new one.
    fs::remove_file(&path).unwrap();
    let mut service = listening(&site, &listen);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    service.signal("TERM");
    assert_eq!(service.end().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn bad_address_and_an_open_one_without_names_are_refused() {
    let site = Site::sqlite();
    for text in ["8477", "example.org:80", "127.0.0.1", "127.0.0.1:99999", "unix:", "[::1]"] {
        refused(&site, &["--listen", text], &["--listen"]);
    }
    refused(&site, &["--listen", "192.0.2.1:8477", "--allow-host", "x"], &["cannot listen on 192.0.2.1:8477"]);
    for text in ["0.0.0.0:0", "[::]:0", "10.0.0.1:80"] {
        refused(&site, &["--listen", text], &["is reachable from other hosts", "--allow-host"]);
    }
    for name in ["a:80", "http://a", "", "*"] {
        refused(&site, &["--allow-host", name], &["--allow-host"]);
    }
    refused(&site, &["--stuck-after", "24h"], &["--recover"]);
    let mut open = start(
        site.runwrap(&["serve", "--listen", "0.0.0.0:0", "--allow-host", "runs.example.org"]).stdout(Stdio::piped()),
    );
    assert!(open.line().starts_with("http://0.0.0.0:"));
    open.signal("TERM");
    assert_eq!(open.end().code(), Some(0));
}
