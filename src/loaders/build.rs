//! What an iPXE build says of itself.
//!
//! **Invariant**: pure; a file that says nothing is no error.

/// Version and HTTPS of an iPXE build, from the strings in the file. Compressed builds (BIOS) do not tell.
pub(super) fn identify(octets: &[u8]) -> (Option<String>, Option<bool>) {
    let strings = || octets.split(|octet| *octet == 0);
    if !strings().any(|string| string == b"iPXE/%s") {
        return (None, None);
    }
    let version = strings().find(|string| is_version(string)).map(|string| String::from_utf8_lossy(string).into());
    (version, Some(strings().any(|string| string == b"https")))
}

/// `1.21.1`, `1.0.0+git-20190125.36a4c85-5.1`, `2.0.0 (ab12c)`.
fn is_version(string: &[u8]) -> bool {
    if string.len() < 5 || string.len() > 64 || !string.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ') {
        return false;
    }
    let end = string.iter().position(|octet| !octet.is_ascii_digit() && *octet != b'.').unwrap_or(string.len());
    let (number, rest) = string.split_at(end);
    let parts: Vec<_> = number.split(|octet| *octet == b'.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty()) && matches!(rest.first(), None | Some(b'+' | b' '))
}
