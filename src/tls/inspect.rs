//! What a certificate says of itself, as far as boot clients care.
//!
//! **Invariant**: any octets give facts or an error; nothing is trusted because of them.

use std::fmt;
use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::TlsError;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with its length in bits.
    Rsa(usize),
    /// An elliptic curve, with its length in bits.
    Ec(usize),
    /// Anything else, by its object identifier.
    Other(String),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::Rsa(bits) => write!(f, "an RSA key of {bits} bits"),
            KeyKind::Ec(bits) => write!(f, "an EC key of {bits} bits"),
            KeyKind::Other(name) => write!(f, "a key of another kind ({name})"),
        }
    }
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whose it is, in words.
    pub subject: String,
    /// The same, as it is compared.
    pub subject_der: Vec<u8>,
    /// Who issued it, as it is compared.
    pub issuer_der: Vec<u8>,
    /// Its key.
    pub key: KeyKind,
    /// The algorithm of its signature, by object identifier.
    pub signature: String,
    /// Whether that is one which boot clients know: RSA or ECDSA with SHA-2, not RSA-PSS.
    pub is_common_signature: bool,
    /// When it begins, in Unix seconds.
    pub not_before: i64,
    /// When it ends, in Unix seconds.
    pub not_after: i64,
    /// Host names (subjectAltName).
    pub names: Vec<String>,
    /// Addresses (subjectAltName).
    pub addresses: Vec<IpAddr>,
    /// Whether it is a CA's (basicConstraints).
    pub is_ca: bool,
    /// Whether its key may sign certificates (keyUsage).
    pub signs_certificates: bool,
    /// Whether it names an OCSP server (authorityInfoAccess).
    pub has_ocsp: bool,
    /// Critical extensions that iPXE does not know, by object identifier.
    pub unusual_critical: Vec<String>,
}

/// sha256, sha384 and sha512WithRSAEncryption, ecdsa-with-SHA256 and -SHA384.
const COMMON_SIGNATURES: [&str; 5] = [
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
];
/// keyUsage, subjectAltName, basicConstraints, extKeyUsage: critical or not, iPXE reads them.
const KNOWN_EXTENSIONS: [&str; 4] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"];
const OCSP: &str = "1.3.6.1.5.5.7.48.1";

/// Reads a certificate in DER form.
///
/// # Errors
/// When it is none.
pub fn inspect(der: &[u8]) -> Result<CertificateFacts, TlsError> {
    let (_, read) = X509Certificate::from_der(der).map_err(|error| TlsError::Trust(error.to_string()))?;
    let signature = read.signature_algorithm.algorithm.to_id_string();
    let mut facts = CertificateFacts {
        subject: read.subject().to_string(),
        subject_der: read.subject().as_raw().to_vec(),
        issuer_der: read.issuer().as_raw().to_vec(),
        key: key(&read),
        is_common_signature: COMMON_SIGNATURES.contains(&signature.as_str()),
        signature,
        not_before: read.validity().not_before.timestamp(),
        not_after: read.validity().not_after.timestamp(),
        names: Vec::new(),
        addresses: Vec::new(),
        is_ca: false,
        signs_certificates: false,
        has_ocsp: false,
        unusual_critical: Vec::new(),
    };
    for extension in read.extensions() {
        let oid = extension.oid.to_id_string();
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => facts.is_ca = constraints.ca,
            ParsedExtension::KeyUsage(usage) => facts.signs_certificates = usage.key_cert_sign(),
            ParsedExtension::SubjectAlternativeName(names) => {
                names.general_names.iter().for_each(|name| facts.take_name(name));
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                facts.has_ocsp = access.accessdescs.iter().any(|access| access.access_method.to_id_string() == OCSP);
            }
            _ => {}
        }
        if extension.critical && !KNOWN_EXTENSIONS.contains(&oid.as_str()) {
            facts.unusual_critical.push(oid);
        }
    }
    Ok(facts)
}

impl CertificateFacts {
    fn take_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.names.push((*name).to_owned()),
            GeneralName::IPAddress(octets) => {
                let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
                self.addresses.extend(address);
            }
            _ => {}
        }
    }
}

fn key(certificate: &X509Certificate<'_>) -> KeyKind {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => KeyKind::Rsa(key.key_size()),
        Ok(PublicKey::EC(point)) => KeyKind::Ec(point.key_size()),
        _ => KeyKind::Other(certificate.public_key().algorithm.algorithm.to_id_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn what_the_private_ca_made_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let authority = crate::tls::ensure_ca(folder.path()).unwrap();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        let identity = authority.identity(&["boot.example".to_owned()], &[address], jiff::Timestamp::now()).unwrap();
        let chain: Vec<_> = identity.chain().map(|der| inspect(der).unwrap()).collect();
        let [leaf, root] = chain.as_slice() else { panic!("{chain:?}") };
        assert_eq!((&leaf.key, &root.key), (&KeyKind::Rsa(2048), &KeyKind::Rsa(3072)));
        assert_eq!(
            (leaf.names.as_slice(), leaf.addresses.as_slice()),
            (&["boot.example".to_owned()][..], &[address][..])
        );
        assert!(leaf.is_common_signature && !leaf.has_ocsp && leaf.unusual_critical.is_empty() && !leaf.is_ca);
        assert!(root.is_ca && root.signs_certificates && root.subject_der == root.issuer_der);
        assert_eq!(leaf.issuer_der, root.subject_der);
        assert!(leaf.not_before < 946_684_800 && leaf.not_after > 2_000_000_000);
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(0u8..=255, 0..300)) {
            let _ = inspect(&octets);
        }
    }
}
