//! Reads the files of a connection, with bounds: PEM certificates, and plain files that hold a secret.

use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::libpq::SecretFile;
use crate::store::StoreError;
use crate::sys::fs::{open_plain, read_small};

const SECRET_BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn certificates(path: &Path, parameter: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let unusable = |cause: &str| refused(&named(parameter, path), cause, "give a readable PEM file");
    let text = read_small(path).map_err(|error| unusable(&error.to_string()))?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&error.to_string()))
}

pub(in crate::store::postgres) fn read_secret(path: &Path) -> io::Result<SecretFile> {
    let file = open_plain(path)?;
    let metadata = file.metadata()?;
    let mut content = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {SECRET_BYTES_MAX} bytes")));
    }
    Ok(SecretFile { mode: metadata.mode(), owner: metadata.uid(), content })
}

pub(super) fn named(parameter: &str, path: &Path) -> String {
    format!("cannot use {parameter} {}", path.display())
}

pub(super) fn refused(subject: &str, cause: &str, hint: &str) -> StoreError {
    StoreError::Permanent { message: format!("{subject}: {cause}"), hint: hint.into() }
}
