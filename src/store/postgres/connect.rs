//! One connection to one host, by libpq's conventions. Owns the order in which TLS and plain are tried and the check
//! of `target_session_attrs`. Must not wait for a bound of its own, or try a second host: whoever makes the attempts
//! decides. Called by `PostgresStore::open`.

use std::time::Duration;

use postgres::{Client, Config, NoTls, config};

use super::errors::Server;
use super::{passfile, tls};
use crate::config::{ChannelBinding, PostgresHost, PostgresTarget, SslMode, TargetSessionAttrs};
use crate::store::StoreError;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Plain,
    /// TLS; plain where the server offers none.
    TlsIfOffered,
    Tls,
}

/// Connects to the host that this attempt is for.
pub(super) fn connect(target: &PostgresTarget, attempt: usize) -> Result<(Client, Server), StoreError> {
    let Some(host) = target.hosts.get(attempt % target.hosts.len().max(1)) else {
        return Err(StoreError::Permanent {
            message: "the database URL names no host".into(),
            hint: "give one, such as postgres://db.example.org/training".into(),
        });
    };
    let server = Server::new(target, host);
    let config = configure(target, host)?;
    let mut client = open(target, host, config, &server)?;
    check_role(target, attempt, &mut client, &server)?;
    Ok((client, server))
}

fn configure(target: &PostgresTarget, host: &PostgresHost) -> Result<Config, StoreError> {
    let mut config = Config::new();
    config.host(&host.host).port(host.port).user(&target.user).dbname(&target.dbname);
    if let Some(address) = host.hostaddr {
        config.hostaddr(address);
    }
    config.channel_binding(match target.channel_binding {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    });
    config.application_name(&target.application_name);
    if let Some(password) = &target.password {
        config.password(password.reveal());
    } else if let Some(password) = passfile::password(target, host)? {
        config.password(password.reveal());
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    if let Some(seconds) = target.connect_timeout_seconds.filter(|seconds| *seconds > 0) {
        config.connect_timeout(Duration::from_secs(u64::from(seconds)));
    }
    Ok(config)
}

/// The channels that `sslmode` allows, in libpq's order.
const fn channels(sslmode: SslMode, is_socket: bool) -> &'static [Channel] {
    match sslmode {
        _ if is_socket => &[Channel::Plain],
        SslMode::Disable => &[Channel::Plain],
        SslMode::Allow => &[Channel::Plain, Channel::Tls],
        SslMode::Prefer => &[Channel::TlsIfOffered, Channel::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Channel::Tls],
    }
}

fn open(
    target: &PostgresTarget,
    host: &PostgresHost,
    mut config: Config,
    server: &Server,
) -> Result<Client, StoreError> {
    let mut first_error = None;
    for channel in channels(target.sslmode, host.host.starts_with('/')) {
        config.ssl_mode(match channel {
            Channel::Plain => config::SslMode::Disable,
            Channel::TlsIfOffered => config::SslMode::Prefer,
            Channel::Tls => config::SslMode::Require,
        });
        let connected = match channel {
            Channel::Plain => config.connect(NoTls),
            Channel::TlsIfOffered | Channel::Tls => match tls::connector(target) {
                Ok(connector) => config.connect(connector),
                // As in libpq: who only prefers TLS goes without where a file for it is unusable.
                Err(error) if *channel == Channel::TlsIfOffered => {
                    log::warn!(event = "tls_unusable", cause:% = error; "");
                    first_error = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        match connected {
            Ok(client) => return Ok(client),
            // Only a server that refuses this kind of channel may like the other one better.
            Err(error) if may_like_another_channel(&error) => first_error = first_error.or(Some(server.sort(&error))),
            Err(error) => return Err(server.sort(&error)),
        }
    }
    Err(first_error.unwrap_or_else(|| server.transient("no way to connect is left")))
}

/// pg_hba refused the channel, or TLS itself failed: libpq then tries the other one.
fn may_like_another_channel(error: &postgres::Error) -> bool {
    match error.code() {
        Some(code) => code.code() == "28000",
        None => error.to_string().contains("TLS"),
    }
}

fn check_role(target: &PostgresTarget, attempt: usize, client: &mut Client, server: &Server) -> Result<(), StoreError> {
    const ROLE: &str = include_str!("../../../sql/postgres/role.sql");
    // A standby is preferred for one round over all hosts, then anything will do.
    let wanted = match target.target_session_attrs {
        TargetSessionAttrs::PreferStandby if attempt < target.hosts.len() => TargetSessionAttrs::Standby,
        TargetSessionAttrs::PreferStandby | TargetSessionAttrs::Any => return Ok(()),
        strict @ (TargetSessionAttrs::ReadWrite
        | TargetSessionAttrs::ReadOnly
        | TargetSessionAttrs::Primary
        | TargetSessionAttrs::Standby) => strict,
    };
    let row = client.query_typed_one(ROLE, &[]).map_err(|error| server.sort(&error))?;
    let word = |column: usize| row.try_get::<_, String>(column).map_err(|error| server.sort(&error));
    let (recovering, read_only) = (word(0)? == "true", word(1)? == "on");
    let (fits, wants) = match wanted {
        TargetSessionAttrs::Any | TargetSessionAttrs::PreferStandby => (true, "any"),
        TargetSessionAttrs::ReadWrite => (!recovering && !read_only, "read-write"),
        TargetSessionAttrs::ReadOnly => (recovering || read_only, "read-only"),
        TargetSessionAttrs::Primary => (!recovering, "primary"),
        TargetSessionAttrs::Standby => (recovering, "standby"),
    };
    if fits { Ok(()) } else { Err(server.transient(&format!("it is not {wants} (target_session_attrs)"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_follow_libpq() {
        assert_eq!(channels(SslMode::VerifyFull, true), [Channel::Plain]);
        assert_eq!(channels(SslMode::Prefer, false), [Channel::TlsIfOffered, Channel::Plain]);
        assert_eq!(channels(SslMode::Allow, false), [Channel::Plain, Channel::Tls]);
        for strict in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
            assert_eq!(channels(strict, false), [Channel::Tls]);
        }
    }
}
