//! The client's own certificate, which only a server that asks for it gets to see. Owns where it lies, by libpq's
//! conventions, and who may read its key. Called by `connector`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::{CertifiedKey, SigningKey};

use super::x509::Certificate;
use super::{certificates, named, refused};
use crate::config::PostgresTarget;
use crate::store::StoreError;
use crate::store::postgres::passfile::read_plain;

/// `None` where the target names none and libpq's own place has none.
pub(super) fn certified_key(
    target: &PostgresTarget,
    home: Option<&Path>,
    provider: &CryptoProvider,
) -> Result<Option<CertifiedKey>, StoreError> {
    let by_default = |name: &str| home.map(|home| home.join(".postgresql").join(name));
    let default_certificate = || by_default("postgresql.crt").filter(|path| path.exists());
    let Some(path) = target.sslcert.clone().or_else(default_certificate) else { return Ok(None) };
    let Some(key_path) = target.sslkey.clone().or_else(|| by_default("postgresql.key")) else {
        return Err(refused(&named("sslcert", &path), "it has no key", "give its key with sslkey=FILE"));
    };
    let chain = certificates(&path, "sslcert")?;
    let Some(certificate) = chain.first() else {
        return Err(refused(&named("sslcert", &path), "it holds no certificate", "give a PEM file"));
    };
    let key = private_key(&key_path, provider)?;
    // Not left to rustls, which takes no certificate of version 1. One that cannot be read is the server's to judge.
    let of_certificate = Certificate::read(certificate).and_then(|certificate| certificate.public_key());
    if key.public_key().zip(of_certificate).is_some_and(|(of_key, of_certificate)| of_key != of_certificate) {
        let cause = format!("it is not the key of {}", path.display());
        return Err(refused(&named("sslkey", &key_path), &cause, "give the key of the certificate"));
    }
    Ok(Some(CertifiedKey::new(chain, key)))
}

fn private_key(path: &Path, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, StoreError> {
    let unusable = |cause: &str, hint: &str| refused(&named("sslkey", path), cause, hint);
    let (metadata, text) = read_plain(path).map_err(|error| {
        unusable(&error.to_string(), "a client's certificate needs its key: give a readable file with sslkey=FILE")
    })?;
    if is_open_to_others(metadata.mode(), metadata.uid()) {
        return Err(unusable("others may read or change it", "chmod 600 it (640 where it belongs to root)"));
    }
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| unusable(&error.to_string(), "give a PEM file without a password"))?;
    provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| unusable(&error.to_string(), "give an RSA, ECDSA or Ed25519 key"))
}

/// libpq's rule: a key of root's may be readable for a group.
const fn is_open_to_others(mode: u32, owner: u32) -> bool {
    mode & if owner == 0 { 0o037 } else { 0o077 } != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_and_a_group_may_read_one_of_roots() {
        assert!(
            [(0o600, 1000), (0o400, 1000), (0o640, 0), (0o600, 0)]
                .iter()
                .all(|(mode, owner)| !is_open_to_others(*mode, *owner))
        );
        for (mode, owner) in [(0o640, 1000), (0o604, 1000), (0o620, 0), (0o644, 0), (0o601, 0)] {
            assert!(is_open_to_others(mode, owner), "{mode:o} of {owner}");
        }
    }
}
