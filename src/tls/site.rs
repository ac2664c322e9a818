//! Certificates of site servers: what a site asks for, and what the private CA issues.
//!
//! **Invariant**: of a request only the public key is used, and only where the request is signed with its key. The name,
//! the purpose and the dates are ours.

use aws_lc_rs::rand;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PKCS_RSA_SHA384, PKCS_RSA_SHA512, PublicKeyData, SerialNumber,
    date_time_ymd,
};

use super::authority::{VALID_FROM, VALID_TO};
use super::{Authority, TlsError, fingerprint};

/// The certificate of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedSite {
    /// The certificate and the CA's, in PEM.
    pub chain_pem: String,
    /// The certificate's fingerprint: SHA-256 of the DER form, 64 hexadecimal digits.
    pub fingerprint: String,
}

/// What a site asks with, and what it keeps.
#[derive(Clone)]
pub struct SiteRequest {
    /// The certificate signing request (PKCS #10), in PEM.
    pub request_pem: String,
    /// The key (PKCS #8), in PEM.
    pub key_pem: String,
}

/// The longest request that is read, in octets.
const REQUEST_LEN_MAX: usize = 16 << 10;
/// For how long a certificate is good.
const YEARS: i64 = 10;
/// An uncompressed point of P-256, in octets.
const P256_LEN: usize = 65;

/// A new key and the request for its certificate.
///
/// # Errors
/// When the system has no random numbers.
pub fn site_request() -> Result<SiteRequest, TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "pointsman site");
    Ok(SiteRequest { request_pem: params.serialize_request(&key)?.pem()?, key_pem: key.serialize_pem() })
}

impl Authority {
    /// The certificate of this site for the key of this request: for TLS clients, good for ten years.
    ///
    /// # Errors
    /// When the request is none, is not signed by its key, or has another key than RSA of 2048 bits or more, or P-256.
    pub fn issue_site(&self, site: &str, request_pem: &str) -> Result<IssuedSite, TlsError> {
        let key = public_key(request_pem)?;
        let issued = site_params(site, Timestamp::now())?.signed_by(&key, &self.issuer)?;
        Ok(IssuedSite { chain_pem: format!("{}{}", issued.pem(), self.pem()), fingerprint: fingerprint(issued.der()) })
    }
}

fn public_key(request_pem: &str) -> Result<rcgen::PublicKey, TlsError> {
    let wrong = |why: &str| TlsError::Request(why.to_owned());
    if request_pem.len() > REQUEST_LEN_MAX {
        return Err(wrong("it is longer than 16 kB"));
    }
    // The signature is checked there, and RSA keys of less than 2048 bits are refused with it.
    let request = CertificateSigningRequestParams::from_pem(request_pem).map_err(|error| wrong(&error.to_string()))?;
    let key = request.public_key;
    let is_rsa = [&PKCS_RSA_SHA256, &PKCS_RSA_SHA384, &PKCS_RSA_SHA512].contains(&key.algorithm());
    let is_p256 = key.algorithm() == &PKCS_ECDSA_P256_SHA256 && key.der_bytes().len() == P256_LEN;
    if is_rsa || is_p256 { Ok(key) } else { Err(wrong("its key is neither RSA nor P-256")) }
}

fn site_params(site: &str, now: Timestamp) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, site);
    // From before any dead clock shows: what ends a certificate is that it is revoked.
    params.not_before = date_time_ymd(VALID_FROM.0, VALID_FROM.1, VALID_FROM.2);
    let (year, month, day) = last_day(now);
    params.not_after = date_time_ymd(year, month, day);
    params.serial_number = Some(serial()?);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Ten years from now, or the CA's end.
fn last_day(now: Timestamp) -> (i32, u8, u8) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let last: Option<Date> = today.checked_add(Span::new().years(YEARS)).ok();
    let last = last.and_then(|date| {
        Some((i32::from(date.year()), u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?))
    });
    last.map_or(VALID_TO, |last| last.min(VALID_TO))
}

/// A number that no other certificate has: two for one key have two fingerprints.
fn serial() -> Result<SerialNumber, TlsError> {
    let mut octets = [0; 16];
    rand::fill(&mut octets).map_err(|_| rcgen::Error::KeyGenerationUnavailable)?;
    octets[0] = octets[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&octets))
}
