//! The client's own certificate and key, which only a server that asks for the certificate receives.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::{CertifiedKey, SigningKey};

use super::files::{certificates, named, read_secret, refused};
use super::x509::Certificate;
use crate::libpq::{ClientCertificate, is_key_exposed};
use crate::store::StoreError;

pub(super) fn certified_key(files: &ClientCertificate, provider: &CryptoProvider) -> Result<CertifiedKey, StoreError> {
    let unusable = |cause: &str, hint: &str| refused(&named("sslcert", &files.certificate), cause, hint);
    let Some(key_path) = &files.key else {
        return Err(unusable("it has no key", "give its key with sslkey=FILE"));
    };
    let chain = certificates(&files.certificate, "sslcert")?;
    let Some(certificate) = chain.first() else {
        return Err(unusable("it holds no certificate", "give a PEM file"));
    };
    let key = private_key(key_path, provider)?;
    // rustls refuses a certificate of version 1 here. A certificate that cannot be parsed is left to the server.
    let of_certificate = Certificate::read(certificate).and_then(|certificate| certificate.public_key());
    if key.public_key().zip(of_certificate).is_some_and(|(of_key, of_certificate)| of_key != of_certificate) {
        let cause = format!("it is not the key of {}", files.certificate.display());
        return Err(refused(&named("sslkey", key_path), &cause, "give the key of the certificate"));
    }
    Ok(CertifiedKey::new(chain, key))
}

fn private_key(path: &Path, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, StoreError> {
    let unusable = |cause: &str, hint: &str| refused(&named("sslkey", path), cause, hint);
    let file = read_secret(path).map_err(|error| {
        unusable(&error.to_string(), "a client's certificate needs its key: give a readable file with sslkey=FILE")
    })?;
    if is_key_exposed(file.mode, file.owner) {
        return Err(unusable("others may read or change it", "chmod 600 it (640 if root owns it)"));
    }
    let key = PrivateKeyDer::from_pem_slice(&file.content)
        .map_err(|error| unusable(&error.to_string(), "give a PEM file without a password"))?;
    provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| unusable(&error.to_string(), "give an RSA, ECDSA or Ed25519 key"))
}
