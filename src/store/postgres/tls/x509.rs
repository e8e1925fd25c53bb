//! The parts of a certificate that webpki ignores: version 1, the common name, the limits of a root. Pure. A part that
//! cannot be parsed counts against the certificate.

use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use x509_cert::Version;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use x509_cert::der::{Decode, Encode, EncodeValue};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// A parsed certificate.
#[derive(Debug)]
pub(super) struct Certificate(x509_cert::Certificate);

impl Certificate {
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        x509_cert::Certificate::from_der(der).ok().map(Self)
    }

    /// webpki refuses version 1. It has no extensions: the common name is its only name, and every use is allowed.
    pub(super) fn is_version_1(&self) -> bool {
        self.0.tbs_certificate.version == Version::V1 && self.0.tbs_certificate.extensions.is_none()
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.0.tbs_certificate.issuer == self.0.tbs_certificate.subject
    }

    pub(super) fn check_validity(&self, now: UnixTime) -> Result<(), CertificateError> {
        let now = Duration::from_secs(now.as_secs());
        let validity = &self.0.tbs_certificate.validity;
        if now < validity.not_before.to_unix_duration() {
            return Err(CertificateError::NotValidYet);
        }
        if now > validity.not_after.to_unix_duration() {
            return Err(CertificateError::Expired);
        }
        Ok(())
    }

    /// Whether OpenSSL accepts it as the issuer of a server certificate.
    pub(super) fn may_sign(&self) -> bool {
        if self.is_version_1() {
            return self.is_self_issued();
        }
        let tbs = &self.0.tbs_certificate;
        let (Ok(basic), Ok(usage)) = (tbs.get::<BasicConstraints>(), tbs.get::<KeyUsage>()) else { return false };
        let signs = usage.map(|(_, usage)| usage.key_cert_sign());
        let is_authority = match basic {
            Some((_, basic)) => basic.ca && signs.unwrap_or(true),
            None => signs.unwrap_or(false),
        };
        is_authority && self.is_for_servers()
    }

    /// Whether OpenSSL accepts it as a server certificate.
    pub(super) fn may_serve(&self) -> bool {
        let Ok(usage) = self.0.tbs_certificate.get::<KeyUsage>() else { return false };
        let speaks = |usage: KeyUsage| usage.digital_signature() || usage.key_encipherment() || usage.key_agreement();
        usage.is_none_or(|(_, usage)| speaks(usage)) && self.is_for_servers()
    }

    fn is_for_servers(&self) -> bool {
        let Ok(purposes) = self.0.tbs_certificate.get::<ExtendedKeyUsage>() else { return false };
        let serving = [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE];
        purposes.is_none_or(|(_, purposes)| purposes.0.iter().any(|purpose| serving.contains(purpose)))
    }

    /// Whether it constrains the names of the certificates that it signs.
    pub(super) fn constrains_names(&self) -> bool {
        !matches!(self.0.tbs_certificate.get::<NameConstraints>(), Ok(None))
    }

    pub(super) fn is_signed_by(&self, issuer: &Self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        let tbs = &self.0.tbs_certificate;
        if tbs.issuer != issuer.0.tbs_certificate.subject || tbs.signature != self.0.signature_algorithm {
            return false;
        }
        // Encoded again, so that the signature covers exactly the parsed fields.
        let (Ok(message), Some(signature)) = (tbs.to_der(), self.0.signature.as_bytes()) else { return false };
        let Some(wanted) = identifier(&self.0.signature_algorithm) else { return false };
        let fitting = algorithms.iter().copied().filter(|algorithm| algorithm.signature_alg_id().as_ref() == wanted);
        issuer.has_signed(&message, signature, fitting)
    }

    /// Whether `signature` is of its key, by one of `algorithms`.
    pub(super) fn has_signed<'a>(
        &self,
        message: &[u8],
        signature: &[u8],
        algorithms: impl IntoIterator<Item = &'a dyn SignatureVerificationAlgorithm>,
    ) -> bool {
        let SubjectPublicKeyInfoOwned { algorithm: kind, subject_public_key } =
            &self.0.tbs_certificate.subject_public_key_info;
        let (Some(kind), Some(key)) = (identifier(kind), subject_public_key.as_bytes()) else { return false };
        algorithms.into_iter().any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == kind
                && algorithm.verify_signature(key, message, signature).is_ok()
        })
    }

    pub(super) fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'static>> {
        self.0.tbs_certificate.subject_public_key_info.to_der().ok().map(SubjectPublicKeyInfoDer::from)
    }

    /// Whether its common name is the server's. That counts only if it has no alternative name of the same kind.
    pub(super) fn is_commonly_named(&self, server: &ServerName<'_>) -> bool {
        let Ok(names) = self.0.tbs_certificate.get::<SubjectAltName>() else { return false };
        let rules_out = |name: &GeneralName| match name {
            GeneralName::DnsName(_) => true,
            GeneralName::IpAddress(_) => matches!(server, ServerName::IpAddress(_)),
            GeneralName::OtherName(_)
            | GeneralName::Rfc822Name(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::UniformResourceIdentifier(_)
            | GeneralName::RegisteredId(_) => false,
        };
        if names.is_some_and(|(_, names)| names.0.iter().any(rules_out)) {
            return false;
        }
        let Some(name) = self.common_name() else { return false };
        match server {
            ServerName::DnsName(host) => fits(&name, host.as_ref()),
            ServerName::IpAddress(address) => name.parse() == Ok(std::net::IpAddr::from(*address)),
            _ => false,
        }
    }

    /// `None` if there is none, or more than one.
    fn common_name(&self) -> Option<String> {
        let parts = self.0.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
        let mut names = parts.filter(|part| part.oid == COMMON_NAME);
        let name = names.next().filter(|_| names.next().is_none())?;
        let text = name.value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned());
        text.or_else(|_| name.value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned())).ok()
    }
}

/// An algorithm's identifier as webpki compares it: without the header of the sequence.
fn identifier(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    algorithm.encode_value(&mut bytes).ok().map(|()| bytes)
}

/// Whether `name` is `host`, or `*.` and the parent domain of `host`.
fn fits(name: &str, host: &str) -> bool {
    let by_wildcard = || {
        let (first, parent) = host.split_once('.')?;
        Some(!first.is_empty() && parent.contains('.') && name.strip_prefix("*.")?.eq_ignore_ascii_case(parent))
    };
    name.eq_ignore_ascii_case(host) || by_wildcard().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_matches_one_label_below_a_domain() {
        for name in ["db.example.org", "DB.Example.org", "*.example.org"] {
            assert!(fits(name, "db.example.org"), "{name}");
        }
        for name in
            ["", "*", "*.org", "*.*.org", "*.db.example.org", "d*.example.org", "b.example.org", "db.example.org\0"]
        {
            assert!(!fits(name, "db.example.org"), "{name}");
        }
        assert!(!fits("*.example.org", "a.db.example.org") && !fits("*.example.org", ".example.org"));
        assert!(!fits("*.org", "example.org") && !fits("*.", "db."));
    }
}
