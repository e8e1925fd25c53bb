//! rustls configured by the TLS settings of `libpq`. `verifier` verifies the server's certificate, `client` loads the
//! client's, `files` reads both, `x509` parses one. Must not connect, and must not choose a file.

mod client;
mod files;
mod verifier;
mod x509;

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::SingleCertAndKey;
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) use self::files::read_secret;
use self::files::{certificates, named, refused};
use self::verifier::{Roots, Verifier};
use crate::libpq::{PostgresTarget, Verification, tls_settings};
use crate::store::StoreError;

pub(super) fn connector(target: &PostgresTarget) -> Result<MakeRustlsConnect, StoreError> {
    let settings = tls_settings(target, &Path::exists);
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier {
        checks_name: settings.verification.as_ref().is_some_and(|verification| verification.checks_name),
        roots: settings.verification.map(|verification| roots(&verification, &provider)).transpose()?,
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("TLS cannot be set up", &error.to_string(), "report this as a bug"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match settings.client {
        Some(files) => {
            let key = client::certified_key(&files, &provider)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
        }
        None => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(verification: &Verification, provider: &Arc<CryptoProvider>) -> Result<Roots, StoreError> {
    let Some(path) = &verification.root_file else {
        return Roots::of_system(provider)
            .map_err(|error| refused("no root certificates", &error.to_string(), "give sslrootcert=FILE"));
    };
    let unusable = |cause: &str| refused(&named("sslrootcert", path), cause, "give a PEM file");
    let certificates = certificates(path, "sslrootcert")?;
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate"));
    }
    Roots::named(certificates, provider).map_err(|error| unusable(&error.to_string()))
}
