//! TLS towards an upstream: whom we trust, and what we show.
//!
//! **Invariant**: an upstream is trusted by one CA that was named, never by the system's list. Its certificate is checked
//! for the name or address that was connected to.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, version,
};

use super::{Identity, TlsError, digest_of};

/// The SHA-256 digest of a certificate in DER form.
pub type Fingerprint = [u8; 32];

/// Whom a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// These CA certificates in PEM, and nobody else.
    Ca(String),
    /// The CA with this fingerprint, which the server sends with its chain: for enrollment, when nothing else is known.
    Fingerprint(Fingerprint),
}

/// The configuration of a client that trusts this, and shows this certificate where it is asked for one: TLS 1.2 and
/// 1.3.
///
/// # Errors
/// When there is no CA certificate, or the identity's certificate and key do not fit.
pub fn client_config(trust: Trust, identity: Option<Identity>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(TlsError::Config)?;
    let builder = match trust {
        Trust::Ca(pem) => builder.with_root_certificates(roots(&pem)?),
        Trust::Fingerprint(fingerprint) => {
            let verifier = Arc::new(ByFingerprint { fingerprint, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key).map_err(TlsError::Unfit),
        None => Ok(builder.with_no_client_auth()),
    }
}

pub(super) fn roots(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| TlsError::Trust(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::Trust(error.to_string()))?;
    }
    if roots.is_empty() { Err(TlsError::Trust("it holds none".into())) } else { Ok(roots) }
}

/// Trusts the one CA of the chain that has the fingerprint; the rest is checked as ever.
#[derive(Debug)]
struct ByFingerprint {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_named = |certificate: &&CertificateDer<'_>| digest_of(certificate) == self.fingerprint;
        let authority = intermediates.iter().find(is_named).ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a connection to a server failed, as far as an administrator can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerFailure {
    /// Its certificate does not come from the CA that is trusted: another server, or somebody in between.
    Untrusted,
    /// Its certificate is not for the name or address that was connected to.
    WrongName,
    /// Its certificate is not good yet, or not any more, by the clock here.
    OutOfTime,
    /// It does not take our certificate.
    Refused,
    /// What answers there speaks no TLS.
    NotTls,
}

/// Why a connection failed, where it was TLS: looks through what the error came from.
pub fn server_failure(error: &(dyn Error + 'static)) -> Option<ServerFailure> {
    let mut error = Some(error);
    while let Some(found) = error {
        if let Some(rustls) = found.downcast_ref::<rustls::Error>() {
            return kind_of(rustls);
        }
        // What an I/O error wraps is not what it says it came from.
        error = match found.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => found.source(),
        };
    }
    None
}

fn kind_of(error: &rustls::Error) -> Option<ServerFailure> {
    match error {
        rustls::Error::InvalidCertificate(why) => Some(match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ServerFailure::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => ServerFailure::OutOfTime,
            _ => ServerFailure::Untrusted,
        }),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            // A certificate of another CA of ours: all have one name, so that it is the signature that does not fit.
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => Some(ServerFailure::Refused),
        rustls::Error::InvalidMessage(_) => Some(ServerFailure::NotTls),
        _ => None,
    }
}
