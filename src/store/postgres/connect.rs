//! One connection to one host, by the rules of `libpq`. Owns the configuration of the client, and which errors permit
//! the next channel. Must not retry or try a second host: the caller counts the attempts.

use std::time::Duration;

use tokio_postgres::{Config, NoTls, config};

use super::client::{Client, ConnectError, Endpoint};
use super::errors::Server;
use super::metered::{Meter, Metering};
use super::tls::{self, Connector};
use crate::libpq::{self, Channel, ChannelBinding, PostgresHost, PostgresTarget};
use crate::store::StoreError;

/// Connects to the host of this attempt. The third result is the protocol and the cipher of TLS.
pub(super) fn connect(
    target: &PostgresTarget,
    attempt: usize,
    answer_bytes_max: usize,
) -> Result<(Client, Server, Option<String>), StoreError> {
    let Some(host) = target.hosts.get(attempt % target.hosts.len().max(1)) else {
        return Err(StoreError::Permanent {
            message: "the database URL names no host".into(),
            hint: "give one, such as postgres://db.example.org/training".into(),
        });
    };
    let server = Server::new(target, host);
    let config = configure(target, host)?;
    let (mut client, encryption) = open(target, host, config, &server, &Meter::new(answer_bytes_max))?;
    check_role(target, attempt, &mut client, &server)?;
    Ok((client, server, encryption))
}

fn configure(target: &PostgresTarget, host: &PostgresHost) -> Result<Config, StoreError> {
    let mut config = Config::new();
    config.user(&target.user).dbname(&target.dbname);
    config.channel_binding(match target.channel_binding {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    });
    config.application_name(&target.application_name);
    let unreadable = |error: std::io::Error| StoreError::Permanent {
        message: error.to_string(),
        hint: "make it readable for this user, or name another with passfile= or PGPASSFILE".into(),
    };
    if let Some(password) = libpq::password(target, host, &tls::read_secret).map_err(unreadable)? {
        config.password(password.reveal());
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    Ok(config)
}

fn open(
    target: &PostgresTarget,
    host: &PostgresHost,
    mut config: Config,
    server: &Server,
    meter: &Meter,
) -> Result<(Client, Option<String>), StoreError> {
    let endpoint = Endpoint {
        host: &host.host,
        address: host.hostaddr,
        port: host.port,
        timeout: target.connect_timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds))),
    };
    let mut refusal = None;
    for channel in libpq::channels(target.sslmode, host) {
        config.ssl_mode(match channel {
            Channel::Plain => config::SslMode::Disable,
            Channel::TlsIfOffered => config::SslMode::Prefer,
            Channel::Tls => config::SslMode::Require,
        });
        let connected = match channel {
            Channel::Plain => Client::connect(&endpoint, &config, NoTls, (meter.clone(), Metering::Always))
                .map(|client| (client, None)),
            Channel::TlsIfOffered | Channel::Tls => match Connector::new(target) {
                Ok(connector) => {
                    let connector = connector.metered(meter.clone());
                    let encryption = connector.encryption();
                    Client::connect(&endpoint, &config, connector, (meter.clone(), Metering::UnlessEncrypted))
                        .map(|client| (client, encryption.get().cloned()))
                }
                // libpq's rule: if a file for TLS cannot be used, sslmode=prefer connects without TLS.
                Err(error) if *channel == Channel::TlsIfOffered => {
                    log::warn!(event = "tls_unusable", cause:% = error;
                        "TLS cannot be used, and is not required: {error}");
                    refusal = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        match connected {
            Ok(connected) => return Ok(connected),
            // The error of the encrypted channel is the one to repair.
            Err(ConnectError::Socket(error)) => {
                return Err(server.transient(&format!("error connecting to server: {error}")));
            }
            Err(ConnectError::Postgres(error)) if refuses_channel(&error) => {
                if refusal.is_none() || *channel != Channel::Plain {
                    refusal = Some(server.sort(&error));
                }
            }
            Err(ConnectError::Postgres(error)) => return Err(server.sort(&error)),
        }
    }
    Err(refusal.unwrap_or_else(|| server.transient("no channel is left to try")))
}

/// pg_hba.conf refused the channel, or TLS itself failed: libpq then tries the next channel.
fn refuses_channel(error: &postgres::Error) -> bool {
    match error.code() {
        Some(code) => code.code() == "28000",
        None => error.to_string().contains("TLS"),
    }
}

/// Checks `target_session_attrs`.
fn check_role(target: &PostgresTarget, attempt: usize, client: &mut Client, server: &Server) -> Result<(), StoreError> {
    const ROLE: &str = include_str!("../../../sql/postgres/role.sql");
    let wanted = target.target_session_attrs;
    if !wanted.needs_state(attempt < target.hosts.len()) {
        return Ok(());
    }
    let rows = client.query(ROLE, &[]).map_err(|error| server.sort(&error))?;
    let row = rows.first().ok_or_else(|| server.transient("the server does not report its role"))?;
    let word = |column: usize| row.try_get::<_, String>(column).map_err(|error| server.sort(&error));
    if wanted.accepts(word(0)? == "true", word(1)? == "on") {
        return Ok(());
    }
    Err(server.transient(&format!("the server does not satisfy target_session_attrs={wanted}")))
}
