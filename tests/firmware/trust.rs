//! Certificates in the form that firmware takes them.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// `EFI_CERT_X509_GUID` (UEFI 2.10 section 32.4.1), as it lies in memory.
const X509: [u8; 16] = [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];
/// Who enrolled the certificate: any GUID will do.
const OWNER: [u8; 16] = *b"pointsman's lab!";

/// Writes an `EFI_SIGNATURE_LIST` of the certificate in `pem`, for QEMU's `etc/edk2/https/cacerts`.
pub(crate) fn signature_list(pem: &Path, folder: &Path) -> PathBuf {
    const LIST_HEADER: usize = 16 + 3 * 4;
    let certificate = CertificateDer::from_pem_file(pem)
        .unwrap_or_else(|error| panic!("no certificate in {}: {error}", pem.display()));
    let signature_size = OWNER.len() + certificate.len();
    let length = |octets: usize| u32::try_from(octets).expect("a certificate is small").to_le_bytes();
    let list =
        [&X509[..], &length(LIST_HEADER + signature_size), &length(0), &length(signature_size), &OWNER, &certificate]
            .concat();
    let path = folder.join("trusted.esl");
    fs::write(&path, list).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    path
}
