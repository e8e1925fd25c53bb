//! Verifies the server's certificate. webpki decides, save in three cases that OpenSSL, and so libpq, accepts and webpki
//! refuses: the certificate is itself a root, a root signed a certificate of version 1, or only the common name matches.
//! All three need a root of the user's `sslrootcert`; a root of the system is not enough.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::x509::Certificate;

/// The trusted roots.
#[derive(Debug)]
pub(super) struct Roots {
    /// `None` if no root may sign.
    authority: Option<Arc<WebPkiServerVerifier>>,
    /// The roots of `sslrootcert`.
    named: Vec<CertificateDer<'static>>,
    /// A root constrains the names of the certificates that it signs. webpki does not apply that to common names.
    constrain_names: bool,
}

impl Roots {
    /// Every one of `named` must be a certificate.
    pub(super) fn named(named: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for root in &named {
            // webpki accepts every root as an authority, even if its extensions deny it.
            if Certificate::read(root).is_none_or(|root| root.may_sign()) {
                store.add(root.clone())?;
            }
        }
        let constrain_names = store.roots.iter().any(|root| root.name_constraints.is_some());
        let authority = if store.is_empty() { None } else { Some(authority(store, provider)?) };
        Ok(Self { authority, named, constrain_names })
    }

    pub(super) fn of_system(provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        let (_added, _ignored) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Ok(Self { authority: Some(authority(store, provider)?), named: Vec::new(), constrain_names: true })
    }
}

fn authority(store: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// Always verifies the signatures of the handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None`: any certificate is accepted.
    pub(super) roots: Option<Roots>,
    /// The certificate must name the host.
    pub(super) checks_name: bool,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// The verdict of the roots on a certificate that webpki would refuse, its name aside; `None` leaves it to webpki.
    fn vouched_for(
        &self,
        roots: &Roots,
        der: &CertificateDer<'_>,
        certificate: &Certificate,
        now: UnixTime,
    ) -> Option<Result<(), CertificateError>> {
        // If webpki cannot parse a certificate of version 3, it holds an unknown critical extension.
        let is_understood = certificate.is_version_1() || ParsedCertificate::try_from(der).is_ok();
        let is_root = certificate.is_self_issued() && roots.named.iter().any(|root| root.as_ref() == der.as_ref());
        if is_root && is_understood {
            let fit = if certificate.may_serve() { Ok(()) } else { Err(CertificateError::InvalidPurpose) };
            return Some(fit.and_then(|()| certificate.check_validity(now)));
        }
        if !certificate.is_version_1() {
            return None;
        }
        let algorithms = self.provider.signature_verification_algorithms.all;
        let has_signed = |root: &Certificate| {
            root.may_sign()
                && !root.constrains_names()
                && root.check_validity(now).is_ok()
                && certificate.is_signed_by(root, algorithms)
        };
        let is_signed = roots.named.iter().filter_map(Certificate::read).any(|root| has_signed(&root));
        Some(if is_signed { certificate.check_validity(now) } else { Err(CertificateError::UnknownIssuer) })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = Certificate::read(end_entity);
        let vouched = certificate.as_ref().and_then(|read| self.vouched_for(roots, end_entity, read, now));
        let by_common_name = |constrained: bool| {
            !constrained && certificate.as_ref().is_some_and(|read| read.is_commonly_named(server_name))
        };
        if let Some(vouched) = vouched {
            vouched?;
            // Its only issuer is a root without name constraints.
            if !self.checks_name || by_common_name(false) {
                return Ok(ServerCertVerified::assertion());
            }
            // webpki does not parse version 1, which has no other name.
            let parsed = ParsedCertificate::try_from(end_entity).map_err(|_| CertificateError::NotValidForName)?;
            return verify_server_name(&parsed, server_name).map(|()| ServerCertVerified::assertion());
        }
        let Some(authority) = &roots.authority else { return Err(CertificateError::UnknownIssuer.into()) };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki checks the name last: the chain is valid.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name || by_common_name(roots.constrain_names || any_constrains(intermediates)) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let Some(unparsable) = unparsable(cert) else {
            return verify_tls12_signature(message, cert, signature, algorithms);
        };
        let of_scheme = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let fitting = of_scheme.flat_map(|(_, algorithms)| algorithms.iter().copied());
        let holds = unparsable.has_signed(message, signature.signature(), fitting);
        if holds { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match unparsable(cert).and_then(|certificate| certificate.public_key()) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signature, algorithms),
            None => verify_tls13_signature(message, cert, signature, algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that webpki cannot parse, for its key: `verify_server_cert` has already decided on its trust.
fn unparsable(der: &CertificateDer<'_>) -> Option<Certificate> {
    if ParsedCertificate::try_from(der).is_ok() { None } else { Certificate::read(der) }
}

fn any_constrains(intermediates: &[CertificateDer<'_>]) -> bool {
    intermediates.iter().any(|der| Certificate::read(der).is_none_or(|read| read.constrains_names()))
}
