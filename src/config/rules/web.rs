//! What `[https]` says of UEFI HTTP Boot must be possible.

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
    let Some(name) = &https.http_boot_name else { return };
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if name.len() > NAME_LEN_MAX || !name.split('.').all(is_label) {
        let what = format!("https.http_boot_name: `{}` is no host name", crate::nearest::cut(name));
        broken.push((what, "write it like boot.example.com, without a scheme and without a port".to_owned()));
    } else if is_https
        && https.certificate.is_none()
        && !https.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    {
        let what = format!("https.http_boot_name: the certificate will not be for {name}");
        broken.push((what, format!("add it: names = [\"{name}\"]")));
    }
}

/// Leaves room for the token and the loader's name in option 67.
const NAME_LEN_MAX: usize = 100;
