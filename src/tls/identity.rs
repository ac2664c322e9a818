//! A certificate chain with its key.

use std::io;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {error}", path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is there and has no certificate or key in it.
    #[error("{} has no {wanted} in PEM: {why}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A key and a certificate that do not fit, or that rustls cannot use.
    #[error("the certificate and its key do not work together: {0}")]
    Unfit(rustls::Error),
    /// rustls refuses the configuration.
    #[error("TLS cannot be set up: {0}")]
    Config(rustls::Error),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// A request for a certificate that is not granted.
    #[error("the certificate signing request is refused: {0}")]
    Request(String),
    /// A text that was to have certificates in it.
    #[error("no good certificate in PEM: {0}")]
    Trust(String),
    /// A text that was to have a key in it.
    #[error("no good private key in PEM: {0}")]
    Key(String),
    /// A CA certificate without its key.
    #[error("{} is there but its key {} is not; restore the key, or move the certificate away to get a new CA", certificate.display(), key.display())]
    KeyMissing {
        /// The certificate.
        certificate: PathBuf,
        /// Where the key should be.
        key: PathBuf,
    },
}

/// A certificate chain, the server's own first, with the key of the first.
#[derive(Debug)]
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the chain and the key from PEM files.
    ///
    /// # Errors
    /// When a file is missing or has something else in it.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
        let (chain_pem, key_pem) = (read(certificate)?, read(key)?);
        let pem = |path: &Path, wanted, why: String| TlsError::Pem { path: path.to_owned(), wanted, why };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
        let chain = chain.map_err(|error| pem(certificate, "certificate", error.to_string()))?;
        if chain.is_empty() {
            return Err(pem(certificate, "certificate", "the file holds none".into()));
        }
        let read = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
        let key = read.map_err(|error| pem(key, "private key", error.to_string()))?;
        Ok(Identity { chain, key })
    }

    /// The same from texts.
    ///
    /// # Errors
    /// When they have something else in them.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Identity, TlsError> {
        let chain = super::certificates(chain_pem)?.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
        Ok(Identity { chain, key: key.map_err(|error| TlsError::Key(error.to_string()))? })
    }

    /// The certificates, the server's own first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(|certificate| certificate.as_ref())
    }

    /// Whether the server's own certificate has an EC key.
    pub fn has_ec_key(&self) -> bool {
        let own = self.chain().next().and_then(|der| super::inspect(der).ok());
        own.is_some_and(|facts| matches!(facts.key, super::KeyKind::Ec(_)))
    }

    pub(super) fn certified(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), provider).map_err(TlsError::Unfit)
    }
}

pub(super) fn read(path: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|error| TlsError::File { doing: "read", path: path.to_owned(), error })
}
