//! TLS by OpenSSL, libpq's library, so that a certificate gets libpq's answer. `libpq` decides on files, versions and names;
//! this file loads the files and makes the handshake. Must not connect, and must not choose a file. Loads no default roots
//! (`SslConnector` and so `postgres-openssl` would, in 10 ms), no configuration file, and no engine.

use std::error::Error;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    self, Ssl, SslCipherRef, SslContext, SslContextBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509Ref, X509VerifyResult};
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_openssl::SslStream;

use super::metered::{Meter, Metered, Metering};
use crate::libpq::{
    self, AlternativeName, ClientCertificate, PostgresTarget, Roots, Secret, SecretFile, TlsVersion, Verification,
};
use crate::store::StoreError;
use crate::sys::fs::open_plain;
use crate::sys::openssl::start;

const SECRET_BYTES_MAX: u64 = 1024 * 1024;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the server's certificate was refused: {0}")]
    Certificate(X509VerifyResult),
    #[error("the server's certificate does not name the host {0}")]
    Name(String),
    #[error("{}", reason(.0))]
    Protocol(ssl::Error),
}

/// The first error without its place in OpenSSL's source.
fn reason(error: &ssl::Error) -> String {
    error.ssl_error().map_or_else(|| error.to_string(), words)
}

/// The same for an error of OpenSSL under an I/O error, such as the server's answer to the client's certificate.
pub(super) fn reason_of_io(error: &(dyn Error + 'static)) -> Option<String> {
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    inner.downcast_ref::<ssl::Error>().map(reason)
}

#[derive(Clone)]
pub(super) struct Connector {
    context: SslContext,
    sends_name: bool,
    checks_name: bool,
    meter: Meter,
    encryption: Encryption,
}

/// The protocol and the cipher, once a handshake has succeeded.
type Encryption = Arc<OnceLock<String>>;

impl Connector {
    pub(super) fn new(target: &PostgresTarget) -> Result<Self, StoreError> {
        let settings = libpq::tls_settings(target, &may_exist)
            .map_err(|error| StoreError::Permanent { message: error.cause, hint: error.hint })?;
        start();
        let broken = |error| refused("TLS cannot be set up", &words(&error), "check the versions of TLS in the URL");
        let mut builder = context(target).map_err(broken)?;
        if let Some(verification) = &settings.verification {
            load_roots(&mut builder, verification)?;
            builder.set_verify(SslVerifyMode::PEER);
        }
        if let Some(client) = &settings.client {
            load_client(&mut builder, client, target.sslpassword.as_ref())?;
        }
        Ok(Self {
            context: builder.build(),
            sends_name: target.sslsni,
            checks_name: settings.verification.is_some_and(|verification| verification.checks_name),
            meter: Meter::new(usize::MAX),
            encryption: Encryption::default(),
        })
    }

    /// The protocol and the cipher of the handshake to come.
    pub(super) fn encryption(&self) -> Encryption {
        Arc::clone(&self.encryption)
    }

    /// Counts the bytes of the server.
    pub(super) fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }
}

fn context(target: &PostgresTarget) -> Result<SslContextBuilder, ErrorStack> {
    let version = |version| match version {
        TlsVersion::V1_0 => SslVersion::TLS1,
        TlsVersion::V1_1 => SslVersion::TLS1_1,
        TlsVersion::V1_2 => SslVersion::TLS1_2,
        TlsVersion::V1_3 => SslVersion::TLS1_3,
    };
    let mut builder = SslContextBuilder::new(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(version(target.ssl_min_protocol_version)))?;
    builder.set_max_proto_version(target.ssl_max_protocol_version.map(version))?;
    builder.set_options(SslOptions::NO_COMPRESSION);
    builder.set_mode(ssl::SslMode::ACCEPT_MOVING_WRITE_BUFFER | ssl::SslMode::ENABLE_PARTIAL_WRITE);
    builder.set_read_ahead(true);
    builder.set_verify(SslVerifyMode::NONE);
    Ok(builder)
}

fn load_roots(builder: &mut SslContextBuilder, verification: &Verification) -> Result<(), StoreError> {
    match &verification.roots {
        Roots::File(path) => {
            let refuse = |cause: &str| unusable("sslrootcert", path, cause, "give a readable PEM file of certificates");
            open_plain(path).map_err(|error| refuse(&error.to_string()))?;
            builder.set_ca_file(path).map_err(|error| refuse(&words(&error)))?;
        }
        Roots::System => {
            let system = openssl_probe::probe();
            let directory = system.cert_dir.first().map(PathBuf::as_path);
            let loaded = builder.load_verify_locations(system.cert_file.as_deref(), directory);
            loaded.map_err(|error| refused("no root certificates", &words(&error), "give sslrootcert=FILE"))?;
        }
    }
    let (file, directory) = (verification.crl_file.as_deref(), verification.crl_directory.as_deref());
    let Some(named) = file.or(directory) else { return Ok(()) };
    let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
    let loaded = builder.load_verify_locations(file, directory);
    // libpq ignores a list that it cannot read: then it accepts a revoked certificate.
    loaded
        .and_then(|()| builder.cert_store_mut().set_flags(flags))
        .map_err(|error| unusable("sslcrl", named, &words(&error), "give a PEM file of revocation lists"))
}

fn load_client(
    builder: &mut SslContextBuilder,
    files: &ClientCertificate,
    password: Option<&Secret>,
) -> Result<(), StoreError> {
    let certificate = &files.certificate;
    let Some(path) = &files.key else {
        return Err(unusable("sslcert", certificate, "it has no key", "give its key with sslkey=FILE"));
    };
    builder
        .set_certificate_chain_file(certificate)
        .map_err(|error| unusable("sslcert", certificate, &words(&error), "give a readable PEM file"))?;
    let file = read_secret(path).map_err(|error| {
        let hint = "a client's certificate needs its key: give a readable file with sslkey=FILE";
        unusable("sslkey", path, &error.to_string(), hint)
    })?;
    if libpq::is_key_exposed(file.mode, file.owner) {
        let hint = "chmod 600 it (640 if root owns it)";
        return Err(unusable("sslkey", path, "others may read or change it", hint));
    }
    let key = private_key(&file.content, password).map_err(|error| {
        let hint = "give a key in PEM form, with the password of an encrypted one in sslpassword, or an unencrypted one in DER form";
        unusable("sslkey", path, &words(&error), hint)
    })?;
    builder.set_private_key(&key).and_then(|()| builder.check_private_key()).map_err(|_| {
        let cause = format!("it is not the key of {}", certificate.display());
        unusable("sslkey", path, &cause, "give the key of the certificate")
    })
}

/// Never prompts for a password, as OpenSSL would by itself.
fn private_key(content: &[u8], password: Option<&Secret>) -> Result<PKey<Private>, ErrorStack> {
    let password = password.map_or(&b""[..], |password| password.reveal().as_bytes());
    PKey::private_key_from_pem_passphrase(content, password)
        .or_else(|error| PKey::private_key_from_der(content).map_err(|_| error))
}

/// A file of which the kernel does not deny the existence: what cannot be read is an error, not absent.
fn may_exist(path: &Path) -> bool {
    let is_absent = |error: io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    !path.metadata().is_err_and(is_absent)
}

pub(super) fn read_secret(path: &Path) -> io::Result<SecretFile> {
    let file = open_plain(path)?;
    let metadata = file.metadata()?;
    let mut content = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {SECRET_BYTES_MAX} bytes")));
    }
    Ok(SecretFile { mode: metadata.mode(), owner: metadata.uid(), content })
}

fn words(error: &ErrorStack) -> String {
    error.errors().first().and_then(openssl::error::Error::reason).map_or_else(|| error.to_string(), str::to_owned)
}

fn unusable(parameter: &str, path: &Path, cause: &str, hint: &str) -> StoreError {
    refused(&format!("cannot use {parameter} {}", path.display()), cause, hint)
}

fn refused(subject: &str, cause: &str, hint: &str) -> StoreError {
    StoreError::Permanent { message: format!("{subject}: {cause}"), hint: hint.into() }
}

fn names_host(certificate: &X509Ref, host: &str) -> bool {
    let stack = certificate.subject_alt_names();
    let names = stack.iter().flatten().map(|name| {
        if let Some(address) = name.ipaddress() {
            AlternativeName::Ip(address)
        } else if name.email().is_some() || name.uri().is_some() || name.directory_name().is_some() {
            AlternativeName::Other
        } else {
            // The DNS name; an unreadable one, or of a rare kind, still rules out the common name.
            AlternativeName::Dns(name.dnsname().unwrap_or_default().as_bytes())
        }
    });
    let common_name = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    let common_name = common_name.map(|entry| entry.data().as_slice());
    libpq::names_host(host, &names.collect::<Vec<_>>(), common_name)
}

/// A handshake to come.
pub(super) struct Handshake {
    ssl: Ssl,
    /// The name that the certificate must have.
    host: Option<String>,
    meter: Meter,
    encryption: Encryption,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Metered<Encrypted<S>>;
    type TlsConnect = Handshake;
    type Error = ErrorStack;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        if self.sends_name && host.parse::<IpAddr>().is_err() {
            ssl.set_hostname(host)?;
        }
        let host = self.checks_name.then(|| host.to_owned());
        Ok(Handshake { ssl, host, meter: self.meter.clone(), encryption: self.encryption() })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Metered<Encrypted<S>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Metered<Encrypted<S>>, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let mut stream = SslStream::new(self.ssl, stream)?;
            if let Err(error) = Pin::new(&mut stream).connect().await {
                let verdict = stream.ssl().verify_result();
                let is_verified = stream.ssl().verify_mode() == SslVerifyMode::NONE || verdict == X509VerifyResult::OK;
                let refused = || HandshakeError::Certificate(verdict);
                return Err(if is_verified { HandshakeError::Protocol(error) } else { refused() }.into());
            }
            let cipher = stream.ssl().current_cipher().map_or("no cipher", SslCipherRef::name);
            self.encryption.set(format!("{} {cipher}", stream.ssl().version_str())).ok();
            let certificate = stream.ssl().peer_certificate();
            match self.host {
                Some(host) if !certificate.is_some_and(|certificate| names_host(&certificate, &host)) => {
                    Err(HandshakeError::Name(host).into())
                }
                Some(_) | None => Ok(Metered::new(Encrypted(stream), self.meter, Metering::Always)),
            }
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted<S>(SslStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Metered<Encrypted<S>> {
    fn channel_binding(&self) -> ChannelBinding {
        let end_point = self.inner().0.ssl().peer_certificate().and_then(|certificate| end_point(&certificate));
        end_point.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The hash of a server's certificate that `tls-server-end-point` of RFC 5929 demands.
fn end_point(certificate: &X509Ref) -> Option<Vec<u8>> {
    let algorithm = certificate.signature_algorithm().object().nid();
    let digest = match algorithm.signature_algorithms()?.digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        digest => MessageDigest::from_nid(digest)?,
    };
    certificate.digest(digest).ok().map(|digest| digest.to_vec())
}

impl<S: AsyncRead + AsyncWrite + Unpin> Encrypted<S> {
    /// The reason why the server closed. In TLS 1.3 it refuses the client's certificate after the handshake, and then the
    /// client's first write may fail before the alert is read.
    fn alert(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        match Pin::new(&mut self.0).poll_read(cx, &mut ReadBuf::new(&mut [0])) {
            Poll::Ready(Err(alert)) => Some(alert),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, bytes);
        match written {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.alert(cx).unwrap_or(error))),
            Poll::Ready(Ok(_)) | Poll::Pending => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
