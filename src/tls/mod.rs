//! TLS: the server's certificate, and the handshake.
//!
//! What firmware can do decides (measured with iPXE 1.20 to 2.0 and OVMF): TLS 1.2 must stay on; the certificate and its CA
//! are RSA, because iPXE before December 2025 knows nothing else; the root is sent with the chain, because iPXE that
//! was built with `TRUST=` knows its fingerprint only. iPXE before 2024 and EDK2 without elliptic curves cannot speak
//! to us at all, and are told apart in the log.
//!
//! **Invariant**: rustls, rcgen and x509-parser are named in this folder only.

mod authority;
mod client;
#[cfg(test)]
mod client_tests;
mod greet;
mod identity;
mod inspect;
mod site;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, RootCertStore, ServerConfig, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use authority::{Authority, ensure_ca};
pub use client::{Fingerprint, ServerFailure, Trust, client_config, server_failure};
pub use greet::greet;
pub use identity::{Identity, TlsError};
pub use inspect::{CertificateFacts, KeyKind, inspect};
pub use site::{IssuedSite, SiteRequest, site_request};

/// Takes TLS connections with the present certificate.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: TlsAcceptor,
    present: Arc<Present>,
}

/// The certificate of the moment: the same whatever name the client asks for, as iPXE and EDK2 ask for IP addresses
/// or for none.
#[derive(Debug)]
struct Present(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Acceptor {
    /// An acceptor with this certificate: TLS 1.2 and 1.3, no client certificates, no ALPN.
    ///
    /// # Errors
    /// When the certificate and its key do not fit.
    pub fn new(identity: &Identity) -> Result<Acceptor, TlsError> {
        Acceptor::verified_by(identity, provider::default_provider().into(), Arc::new(NoClientAuth))
    }

    /// The same for site servers, which are asked for a certificate of this CA. They may show none; one that another CA
    /// issued, or whose time is over, ends the handshake.
    ///
    /// # Errors
    /// As [`Acceptor::new`], and when the CA's certificate cannot be used.
    pub fn for_sites(identity: &Identity, authority: &Authority) -> Result<Acceptor, TlsError> {
        let provider: Arc<CryptoProvider> = provider::default_provider().into();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.der().to_vec())).map_err(TlsError::Config)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Config(rustls::Error::General(error.to_string())))?;
        Acceptor::verified_by(identity, provider, verifier)
    }

    fn verified_by(
        identity: &Identity,
        provider: Arc<CryptoProvider>,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Result<Acceptor, TlsError> {
        let certified = identity.certified(&provider)?;
        let present = Arc::new(Present(ArcSwap::from_pointee(certified)));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(TlsError::Config)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&present) as Arc<dyn ResolvesServerCert>);
        Ok(Acceptor { acceptor: TlsAcceptor::from(Arc::new(config)), present })
    }

    /// Takes another certificate for the handshakes from now on.
    ///
    /// # Errors
    /// When the certificate and its key do not fit; the present one stays.
    pub fn replace(&self, identity: &Identity) -> Result<(), TlsError> {
        let certified = identity.certified(&provider::default_provider())?;
        self.present.0.store(Arc::new(certified));
        Ok(())
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// When it fails; [`handshake_failure`] tells the kinds apart.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }
}

/// The fingerprint of the certificate that the client showed: SHA-256 of its DER form. The CA issued it; whether it is
/// still wanted, the handshake cannot know.
pub fn peer_fingerprint<S>(stream: &TlsStream<S>) -> Option<Fingerprint> {
    stream.get_ref().1.peer_certificates()?.first().map(|certificate| digest_of(certificate))
}

/// Why a handshake failed, as far as an administrator can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// No version, key exchange or cipher in common: iPXE before 2024, EDK2 without elliptic curves.
    TooOld,
    /// The client does not trust the certificate.
    Untrusted,
    /// The client's own certificate is none of the CA's, or its time is over.
    Stranger,
    /// Anything else: a port scan, plain HTTP on the HTTPS port, a lost connection.
    Other,
}

/// Why [`Acceptor::accept`] failed.
pub fn handshake_failure(error: &io::Error) -> HandshakeFailure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::PeerIncompatible(_)) => HandshakeFailure::TooOld,
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown,
        )) => HandshakeFailure::Untrusted,
        Some(rustls::Error::InvalidCertificate(_)) => HandshakeFailure::Stranger,
        _ => HandshakeFailure::Other,
    }
}

/// The fingerprint of a certificate in DER form: SHA-256, 64 hexadecimal digits in lower case.
pub fn fingerprint(der: &[u8]) -> String {
    crate::hex::digits(&digest_of(der))
}

/// The certificates of a text in PEM, in DER form, in order.
///
/// # Errors
/// When it holds none, or something that is none.
pub fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read.into_iter().map(|certificate| certificate.to_vec()).collect()),
        Ok(_) => Err(TlsError::Trust("it holds none".into())),
        Err(error) => Err(TlsError::Trust(error.to_string())),
    }
}

fn digest_of(der: &[u8]) -> Fingerprint {
    let mut octets = Fingerprint::default();
    octets.copy_from_slice(digest(&SHA256, der).as_ref());
    octets
}
