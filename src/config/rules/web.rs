//! Names in URLs must be names, and what `[https]` says of UEFI HTTP Boot must be possible.

use super::Broken;
use crate::config::{Config, IpxeScheme};

/// The rules that it breaks.
pub(super) fn check(config: &Config, broken: &mut Vec<Broken>) {
    let https = &config.https;
    let is_https = https.http_boot == IpxeScheme::Https;
    if is_https && !https.enabled {
        let what = "https.http_boot is \"https\", and [https] is off".to_owned();
        broken.push((what, "write enabled = true, or http_boot = \"http\"".to_owned()));
    }
    if let Some(name) = config.server.name.as_ref().filter(|name| !is_host_name(name)) {
        broken.push(no_name("server.name", name));
    }
    let Some(name) = &https.http_boot_name else { return };
    if !is_host_name(name) {
        broken.push(no_name("https.http_boot_name", name));
    } else if is_https
        && https.certificate.is_none()
        && !https.certificate_names(&config.server).iter().any(|known| known.eq_ignore_ascii_case(name))
    {
        let what = format!("https.http_boot_name: the certificate will not be for {name}");
        broken.push((what, format!("add it: names = [\"{name}\"]")));
    }
}

fn no_name(key: &str, name: &str) -> Broken {
    let what = format!("{key}: `{}` is no host name", crate::nearest::cut(name));
    (what, "write it like boot.example.com, without a scheme and without a port".to_owned())
}

/// Labels of letters, digits and hyphens (RFC 1123, section 2.1), and not an address: that needs no name.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        (1..=LABEL_LEN_MAX).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|octet| octet.is_ascii_digit());
    name.len() <= NAME_LEN_MAX && name.split('.').all(is_label) && !is_number
}

/// Leaves room for the token and the loader's name in option 67.
const NAME_LEN_MAX: usize = 100;
/// Of a part between two dots (RFC 1035, section 2.3.4).
const LABEL_LEN_MAX: usize = 63;
