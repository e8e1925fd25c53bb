//! TLS as libpq does it: which certificates are trusted under which `sslmode`. Owns the files that are named for it;
//! `verifier` judges the server's certificate, `client` has our own, `x509` reads one. Must not connect. Called by `connect`.

mod client;
mod verifier;
mod x509;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use tokio_postgres_rustls::MakeRustlsConnect;

use self::verifier::{Roots, Verifier};
use crate::config::{PostgresTarget, SslMode};
use crate::store::StoreError;
use crate::sys::fs::read_small;

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Nothing: the channel is private, the server may be anybody.
    Anybody,
    /// A known authority has signed it.
    Authority,
    /// And it is for this host.
    AuthorityAndName,
}

pub(super) fn connector(target: &PostgresTarget) -> Result<MakeRustlsConnect, StoreError> {
    let roots = roots_file(target);
    let trust = match target.sslmode {
        SslMode::VerifyFull => Trust::AuthorityAndName,
        SslMode::VerifyCa => Trust::Authority,
        // As libpq does, for those who gave a root certificate and relied on it.
        SslMode::Require if roots.is_some() => Trust::Authority,
        SslMode::Require | SslMode::Prefer | SslMode::Allow | SslMode::Disable => Trust::Anybody,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("TLS cannot be set up", &error.to_string(), "report this as a bug"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier(trust, roots.as_deref(), &provider)?));
    let home = std::env::home_dir();
    let config = match client::certified_key(target, home.as_deref(), &provider)? {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// `sslrootcert`, or libpq's own place for it. `system` stands for the system's roots.
fn roots_file(target: &PostgresTarget) -> Option<PathBuf> {
    match &target.sslrootcert {
        Some(path) if path.as_os_str() == "system" => None,
        Some(path) => Some(path.clone()),
        None => std::env::home_dir().map(|home| home.join(".postgresql/root.crt")).filter(|path| path.exists()),
    }
}

fn verifier(trust: Trust, file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Verifier, StoreError> {
    let roots = match (trust, file) {
        (Trust::Anybody, _) => None,
        (Trust::Authority | Trust::AuthorityAndName, Some(path)) => {
            let unusable = |cause: &str| refused(&named("sslrootcert", path), cause, "give a PEM file");
            let certificates = certificates(path, "sslrootcert")?;
            if certificates.is_empty() {
                return Err(unusable("it holds no certificate"));
            }
            Some(Roots::named(certificates, provider).map_err(|error| unusable(&error.to_string()))?)
        }
        (Trust::Authority | Trust::AuthorityAndName, None) => {
            let missing =
                |error: rustls::Error| refused("no root certificates", &error.to_string(), "give sslrootcert=FILE");
            Some(Roots::of_system(provider).map_err(missing)?)
        }
    };
    Ok(Verifier { roots, checks_name: trust == Trust::AuthorityAndName, provider: provider.clone() })
}

fn certificates(path: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let unusable = |cause: &str| refused(&named(option, path), cause, "give a readable PEM file");
    let text = read_small(path).map_err(|error| unusable(&error.to_string()))?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&error.to_string()))
}

fn named(option: &str, path: &Path) -> String {
    format!("cannot use {option} {}", path.display())
}

fn refused(what: &str, cause: &str, hint: &str) -> StoreError {
    StoreError::Permanent { message: format!("{what}: {cause}"), hint: hint.into() }
}
