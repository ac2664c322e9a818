//! The private CA: made once, kept for ever, and the server's certificate that it issues.
//!
//! Machines trust a CA by its fingerprint in their iPXE build or by a firmware variable, so that a new one means touching
//! every machine: [`ensure_ca`] never replaces what is there. The server's own certificate may change at any time.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RsaKeySize, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::identity::read;
use super::{Fingerprint, Identity, TlsError, digest_of};

/// Validity from long before any dead clock shows (1970 machines fail either way) to the last year that the
/// short form of a date in a certificate has, which every client reads.
pub(super) const VALID_FROM: (i32, u8, u8) = (1990, 1, 1);
pub(super) const VALID_TO: (i32, u8, u8) = (2049, 12, 31);
/// The same end, in Unix seconds.
const VALID_TO_S: i64 = 2_524_521_600;
/// A certificate that ends this soon is replaced, in seconds: 30 days.
const RENEW_BEFORE_S: i64 = 30 * 24 * 3600;

/// `EFI_CERT_X509_GUID` (UEFI specification, section 32.4.1), as it is written.
const EFI_CERT_X509: [u8; 16] =
    [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];
/// Who enrolled the certificate: a GUID of our own.
const OWNER: [u8; 16] =
    [0x6b, 0x21, 0x0f, 0x3e, 0x5c, 0x97, 0x1d, 0x4b, 0x9e, 0x44, 0x70, 0x6f, 0x69, 0x6e, 0x74, 0x73];

/// The private CA of a site.
pub struct Authority {
    folder: PathBuf,
    pem: String,
    der: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

/// The CA in this folder; makes one where there is none: `ca.pem`, `ca.der`, `ca.esl`, and `ca.key` for the server only.
///
/// # Errors
/// When files cannot be read or written, or a certificate is there without its key.
pub fn ensure_ca(folder: &Path) -> Result<Authority, TlsError> {
    let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
    std::fs::create_dir_all(folder).map_err(|error| TlsError::File {
        doing: "make the folder",
        path: folder.to_owned(),
        error,
    })?;
    match (certificate.exists(), key.exists()) {
        (true, false) => return Err(TlsError::KeyMissing { certificate, key }),
        (true, true) => return Authority::load(folder),
        (false, true) => {}
        (false, false) => create(&key, new_key(RsaKeySize::_3072)?.serialize_pem().as_bytes(), 0o600)?,
    }
    // A key without a certificate: what was interrupted here before goes on.
    let pem = ca_params()?.self_signed(&load_key(&key)?)?.pem();
    create(&certificate, pem.as_bytes(), 0o644)?;
    let authority = Authority::load(folder)?;
    replace(&folder.join("ca.der"), &authority.der, 0o644)?;
    replace(&folder.join("ca.esl"), &authority.esl(), 0o644)?;
    Ok(authority)
}

impl Authority {
    fn load(folder: &Path) -> Result<Authority, TlsError> {
        let path = folder.join("ca.pem");
        let pem = read(&path)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| TlsError::Pem {
            path,
            wanted: "certificate",
            why: error.to_string(),
        })?;
        let issuer = Issuer::from_ca_cert_pem(&pem, load_key(&folder.join("ca.key"))?)?;
        Ok(Authority { folder: folder.to_owned(), pem, der, issuer })
    }

    /// The certificate in PEM, for `make TRUST=ca.pem` of iPXE and for people.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 fingerprint of the certificate, as `openssl x509 -fingerprint` writes it.
    pub fn fingerprint(&self) -> String {
        self.digest().iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":")
    }

    /// The SHA-256 digest of the certificate.
    pub fn digest(&self) -> Fingerprint {
        digest_of(&self.der)
    }

    /// The certificate as an `EFI_SIGNATURE_LIST`, for the `TlsCaCertificate` variable of UEFI firmware.
    pub fn esl(&self) -> Vec<u8> {
        let signature_len = (OWNER.len() + self.der.len()) as u32;
        let list_len = EFI_CERT_X509.len() as u32 + 3 * 4 + signature_len;
        let lengths = [list_len, 0, signature_len].map(u32::to_le_bytes).concat();
        [&EFI_CERT_X509, lengths.as_slice(), &OWNER, &self.der].concat()
    }

    /// The server's certificate for these names and addresses: the one in `server.pem` while it fits, else a new one.
    ///
    /// # Errors
    /// When files cannot be read or written, or a name is none.
    pub fn identity(&self, names: &[String], addresses: &[IpAddr], now: Timestamp) -> Result<Identity, TlsError> {
        let (certificate, key) = (self.folder.join("server.pem"), self.folder.join("server.key"));
        let note = self.note(names, addresses);
        let fits = std::fs::read_to_string(&certificate).is_ok_and(|pem| pem.starts_with(&note));
        let lasts = now.as_second() < VALID_TO_S - RENEW_BEFORE_S;
        if fits
            && lasts
            && let Ok(identity) = Identity::from_files(&certificate, &key)
        {
            return Ok(identity);
        }
        let new = new_key(RsaKeySize::_2048)?;
        let issued = leaf_params(names, addresses)?.signed_by(&new, &self.issuer)?;
        replace(&key, new.serialize_pem().as_bytes(), 0o600)?;
        replace(&certificate, format!("{note}{}{}", issued.pem(), self.pem).as_bytes(), 0o644)?;
        Identity::from_files(&certificate, &key)
    }

    /// What a certificate was issued for, in front of it in its file; PEM readers skip it.
    fn note(&self, names: &[String], addresses: &[IpAddr]) -> String {
        let mut all: Vec<_> = names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string)).collect();
        all.sort();
        format!("for {}\nby {}\n", all.join(" "), self.fingerprint())
    }
}

fn ca_params() -> Result<CertificateParams, TlsError> {
    let mut params = params("Pointsman private CA")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// No AIA (iPXE would insist on OCSP) and no name constraints (iPXE refuses critical extensions that it does not know).
fn leaf_params(names: &[String], addresses: &[IpAddr]) -> Result<CertificateParams, TlsError> {
    let first = names.first().cloned().or_else(|| addresses.first().map(IpAddr::to_string));
    let mut params = params(&first.unwrap_or_else(|| "pointsman".into()))?;
    for name in names {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(common_name: &str) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(VALID_FROM.0, VALID_FROM.1, VALID_FROM.2);
    params.not_after = date_time_ymd(VALID_TO.0, VALID_TO.1, VALID_TO.2);
    Ok(params)
}

/// RSA, for iPXE before December 2025 and for its CA signatures.
fn new_key(size: RsaKeySize) -> Result<KeyPair, TlsError> {
    Ok(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)?)
}

fn load_key(path: &Path) -> Result<KeyPair, TlsError> {
    Ok(KeyPair::from_pem(&read(path)?)?)
}

/// Writes a file that must not be there yet.
fn create(path: &Path, octets: &[u8], mode: u32) -> Result<(), TlsError> {
    write(path, octets, mode).map_err(|error| TlsError::File { doing: "write", path: path.to_owned(), error })
}

/// Writes a file in the place of another, whole or not at all.
fn replace(path: &Path, octets: &[u8], mode: u32) -> Result<(), TlsError> {
    let new = path.with_added_extension("new");
    let replaced = std::fs::remove_file(&new)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .and_then(|()| write(&new, octets, mode))
        .and_then(|()| std::fs::rename(&new, path));
    replaced.map_err(|error| TlsError::File { doing: "write", path: path.to_owned(), error })
}

fn write(path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}
