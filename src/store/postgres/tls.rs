//! TLS as libpq does it: which certificates are trusted under which `sslmode`. Owns the verifiers; must not connect.
//! Called by `connect`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{PostgresTarget, SslMode};
use crate::store::StoreError;

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
        .with_custom_certificate_verifier(verifier(trust, roots.as_deref(), &provider)?);
    let config = match (&target.sslcert, &target.sslkey) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert, "sslcert")?, private_key(key)?)
            .map_err(|error| refused(&named("sslkey", key), &error.to_string(), "give the key of the certificate"))?,
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) | (None, Some(_)) => {
            return Err(refused("only one of sslcert and sslkey is given", "a client needs both", "give both or none"));
        }
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

fn verifier(
    trust: Trust,
    roots: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, StoreError> {
    if trust == Trust::Anybody {
        return Ok(Arc::new(Lenient { authority: None, provider: provider.clone() }));
    }
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let (_added, ignored) = store.add_parsable_certificates(certificates(path, "sslrootcert")?);
            if ignored > 0 || store.is_empty() {
                return Err(refused(&named("sslrootcert", path), "it holds no usable certificate", "give a PEM file"));
            }
        }
        None => {
            let (_added, _ignored) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let authority = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|error| refused("no root certificates", &error.to_string(), "give sslrootcert=FILE"))?;
    Ok(match trust {
        Trust::AuthorityAndName => authority,
        Trust::Authority | Trust::Anybody => {
            Arc::new(Lenient { authority: Some(authority), provider: provider.clone() })
        }
    })
}

fn certificates(path: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| refused(&named(option, path), &error.to_string(), "give a readable PEM file"))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, StoreError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        refused(&named("sslkey", path), &error.to_string(), "give a readable PEM file without a password")
    })
}

fn named(option: &str, path: &Path) -> String {
    format!("cannot use {option} {}", path.display())
}

fn refused(what: &str, cause: &str, hint: &str) -> StoreError {
    StoreError::Permanent { message: format!("{what}: {cause}"), hint: hint.into() }
}

/// Checks the authority at most, never the name. The handshake's own signatures are checked all the same.
#[derive(Debug)]
struct Lenient {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: by then the authority has been found good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
