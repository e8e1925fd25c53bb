//! The check of the Host header: a page of another site must not reach this service by a name that it has pointed at this address
//! (DNS rebinding). Pure.

use hyper::header::{HOST, HeaderMap};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has no Host header, or several, or one that is no name.
    Malformed,
    NotAllowed,
}

/// The names by which a browser of this host reaches a service on loopback.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names under which the service may be called, in lower case and without ports.
#[derive(Clone, Debug, Default)]
pub(super) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// The names of loopback, the address that is listened on as a URL has it, and `names`.
    pub(super) fn new(address: Option<&str>, names: &[String]) -> Self {
        let given = names.iter().map(String::as_str);
        Self(LOOPBACK.into_iter().chain(address).chain(given).map(str::to_ascii_lowercase).collect())
    }

    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refused::Malformed) };
        self.check_host(host.to_str().map_err(|_| Refused::Malformed)?)
    }

    /// The same for the authority of a request target.
    pub(super) fn check_host(&self, host: &str) -> Result<(), Refused> {
        let name = without_port(host).ok_or(Refused::Malformed)?.to_ascii_lowercase();
        if self.0.contains(&name) { Ok(()) } else { Err(Refused::NotAllowed) }
    }
}

/// The name before the port; an address of IPv6 with its brackets. `None` for anything else.
pub(crate) fn without_port(host: &str) -> Option<&str> {
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at(end);
    let is_port = |text: &str| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    (has_port && !name.is_empty() && name.bytes().all(is_name_byte)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_stripped_and_the_name_compared() {
        let allowed = AllowedHosts::new(Some("10.0.0.7"), &["Runs.Example.org".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8477",
            "[::1]",
            "[::1]:80",
            "10.0.0.7:65535",
            "runs.example.org:",
            "RUNS.example.ORG",
        ] {
            assert_eq!(allowed.check_host(host), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8477", "127.0.0.2", "[::2]", "runs.example.org.", "::1"] {
            assert!(allowed.check_host(host).is_err(), "{host}");
        }
        for host in
            ["", ":80", "a b", "localhost:80:80", "localhost:x", "user@localhost", "[::1", "localhost:123456", "lö"]
        {
            assert_eq!(allowed.check_host(host), Err(Refused::Malformed), "{host}");
        }
    }

    #[test]
    fn missing_and_doubled_host_is_refused() {
        let allowed = AllowedHosts::new(None, &[]);
        let mut headers = HeaderMap::new();
        assert_eq!(allowed.check(&headers), Err(Refused::Malformed));
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(allowed.check(&headers), Ok(()));
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(allowed.check(&headers), Err(Refused::Malformed));
    }
}
