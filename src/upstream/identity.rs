//! Who an upstream must be, and who this site is to it: the files that a section names.
//!
//! **Invariant**: nothing but these files is trusted; what is in a key or a token is in no message.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use reqwest::header::HeaderValue;

use crate::boot::Url;
use crate::config::{UpstreamKind, UpstreamSection};
use crate::tls::Identity;

/// The most octets of a file that is read.
const FILE_LEN_MAX: u64 = 256 * 1024;

/// Files of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    token: Option<PathBuf>,
}

/// What was in them.
pub(super) struct Credentials {
    /// The CA that its certificate must come from, in PEM; none where none is needed.
    pub(super) ca: Option<String>,
    /// This site's certificate and key.
    pub(super) identity: Option<Identity>,
    /// What is sent instead of a certificate.
    pub(super) token: Option<HeaderValue>,
}

/// What is wrong, and what to do.
pub(super) type Wrong = (String, String);

impl Files {
    /// The files of a section; those that `pointsman site enroll` stored where it names none.
    pub(super) fn of(name: &str, section: &UpstreamSection, state: &Path) -> Files {
        let stored = state.join("upstream").join(name);
        let or = |given: &Option<PathBuf>, stored: PathBuf| given.clone().unwrap_or(stored);
        Files {
            ca: or(&section.ca, stored.join("ca.pem")),
            certificate: or(&section.certificate, stored.join("site.pem")),
            key: or(&section.key, stored.join("site.key")),
            token: section.token_file.clone(),
        }
    }

    /// When they last changed: another certificate is another connection.
    pub(super) fn changed(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.ca), Some(&self.certificate), Some(&self.key), self.token.as_ref()];
        files.into_iter().map(|file| std::fs::metadata(file?).ok()?.modified().ok()).collect()
    }

    /// Reads what this upstream needs.
    ///
    /// # Errors
    /// What is missing or makes no sense, and what to do.
    pub(super) fn read(&self, name: &str, section: &UpstreamSection, url: &Url) -> Result<Credentials, Wrong> {
        let wrong = |what: String, remedy: &str| (format!("upstream.{name}: {what}"), remedy.to_owned());
        let is_https = url.as_str().starts_with("https://");
        let is_pointsman = section.kind == UpstreamKind::Pointsman;
        if !is_https && !(url.as_str().starts_with("http://") && (!is_pointsman || is_loopback(url))) {
            let remedy = "write url = \"https://HOST:4443\": what decides and who asks must not be read on the way";
            return Err(wrong(format!("`{url}` is no https URL"), remedy));
        }
        let enroll = format!(
            "run `pointsman site enroll` with the token that `pointsman site add` printed there, or name the files in [upstream.{name}]"
        );
        let read = |what: &str, path: &Path| {
            read(path).map_err(|error| wrong(format!("cannot read {what} {}: {error}", path.display()), &enroll))
        };
        let ca = match (is_https, is_pointsman || section.ca.is_some()) {
            (true, true) => Some(String::from_utf8_lossy(&read("the CA", &self.ca)?).into_owned()),
            _ => None,
        };
        let token = match &self.token {
            Some(path) => Some(token(&read("the token", path)?).ok_or_else(|| {
                wrong(format!("{} has no token in its first line", path.display()), "write the token into it")
            })?),
            None => None,
        };
        let has_certificate = section.certificate.is_some() || (is_pointsman && token.is_none());
        let identity = match is_https && has_certificate {
            true => {
                let read = Identity::from_files(&self.certificate, &self.key);
                Some(read.map_err(|error| wrong(error.to_string(), &enroll))?)
            }
            false => None,
        };
        Ok(Credentials { ca, identity, token })
    }
}

/// The beginning of a file.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut octets = Vec::new();
    std::fs::File::open(path)?.take(FILE_LEN_MAX).read_to_end(&mut octets)?;
    Ok(octets)
}

/// The header of a token: the first line of its file.
pub(super) fn token(octets: &[u8]) -> Option<HeaderValue> {
    let line = std::str::from_utf8(octets).ok()?.lines().next()?.trim();
    if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut header = HeaderValue::try_from(format!("Bearer {line}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Whether a URL names this machine by its address: what nobody else can read needs no TLS.
fn is_loopback(url: &Url) -> bool {
    let parsed = reqwest::Url::parse(url.as_str()).ok();
    let host = parsed.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_s_own_address_needs_no_tls() {
        for (url, expect) in [
            ("http://127.0.0.1:4443", true),
            ("http://[::1]/x", true),
            ("http://localhost:4443", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expect, "{url}");
        }
    }

    #[test]
    fn a_token_is_one_line_of_printable_characters() {
        assert_eq!(token(b" s3cret \nmore").unwrap(), "Bearer s3cret");
        assert!(token(b" s3cret \nmore").unwrap().is_sensitive());
        for text in [&b""[..], b"\n", b"a b", b"\xff", "ü".as_bytes()] {
            assert_eq!(token(text), None, "{text:?}");
        }
    }
}
