//! The chain of HTTPS, by the rules of the firmware and iPXE builds that are to accept it.
//!
//! | rule | who needs it |
//! |---|---|
//! | the key is RSA of 2048 bits or more, with SHA-256 | iPXE before 2025-12-19 knows no EC; OpenSSL 3 refuses less |
//! | the root is sent | iPXE knows its root by fingerprint only |
//! | names and addresses of all URLs | everybody |
//! | no OCSP address, no critical extensions but the usual | iPXE asks OCSP, and refuses what it does not know |
//! | begins long ago | machines with a dead clock |
//!
//! **Invariant**: facts of certificates in, findings out; files are read, none is made.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{Found, Patient, shown};
use crate::config::Config;
use crate::net::interfaces::Interfaces;
use crate::tls::{CertificateFacts, KeyKind, inspect};

/// A certificate that ends this soon needs care, in seconds: 30 days.
const SOON_S: i64 = 30 * 24 * 3600;
/// Clocks that lost their battery say a year not long before this; in Unix seconds: 2000-01-01.
const DEAD_CLOCK_S: i64 = 946_684_800;

/// The chain that the server sends, and the file that it comes from.
pub(super) fn chain(config: &Config) -> Result<Vec<CertificateFacts>, String> {
    let file = config.https.certificate.clone().unwrap_or_else(|| config.server.state.join("server.pem"));
    let read =
        |file: &std::path::Path| std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", shown(file)));
    let mut pem = read(&file)?;
    // The private CA's own certificate is sent behind the server's.
    if config.https.certificate.is_none() && pem.matches("BEGIN CERTIFICATE").count() == 1 {
        pem.push_str(&read(&config.server.state.join("ca.pem"))?);
    }
    let certificates = crate::tls::certificates(&pem).map_err(|error| format!("{}: {error}", shown(&file)))?;
    certificates.iter().map(|der| inspect(der).map_err(|error| format!("{}: {error}", shown(&file)))).collect()
}

pub(super) fn certificate(patient: &Patient) -> Found {
    let mut found = Found::default();
    let config = &patient.config;
    if !config.https.enabled {
        found.skipped("[https] is off");
        return found;
    }
    if config.https.certificate.is_none() && !config.server.state.join("server.pem").exists() {
        found.skipped("the certificate is made at the first start of the server");
        return found;
    }
    match chain(config) {
        Ok(chain) => judge(&chain, &own_addresses(config), &names(config), Timestamp::now().as_second(), &mut found),
        Err(error) => found.fail(error, "see `https.certificate` and `server.state`; `pointsman check` says more"),
    }
    found
}

/// The host names that the certificate must have: those of URLs are among them.
fn names(config: &Config) -> Vec<String> {
    let mut names = config.https.certificate_names(&config.server);
    names.extend(config.https.http_boot_name.clone().filter(|name| !names.contains(name)));
    names
}

/// The addresses that URLs name.
fn own_addresses(config: &Config) -> Vec<IpAddr> {
    if let Some(address) = config.server.address {
        return vec![address];
    }
    let named = &config.server.interfaces;
    let interfaces = Interfaces::read().unwrap_or_default();
    let serves = |name: &String| named.is_empty() || named.contains(name);
    let served = interfaces.list.iter().filter(|interface| !interface.is_loopback && serves(&interface.name));
    served.flat_map(|interface| &interface.addresses).map(ipnet::IpNet::addr).filter(IpAddr::is_ipv4).collect()
}

fn judge(chain: &[CertificateFacts], addresses: &[IpAddr], names: &[String], now: i64, found: &mut Found) {
    let Some(leaf) = chain.first() else { return found.fail("there is no certificate", "") };
    let before = found.len();
    for (at, certificate) in chain.iter().enumerate() {
        judge_one(certificate, at > 0, now, found);
    }
    judge_order(chain, found);
    judge_names(leaf, addresses, names, found);
    if found.len() == before {
        found.ok(format!(
            "{} certificates, {}, names and addresses of this server, until {}",
            chain.len(),
            leaf.key,
            date(leaf.not_after)
        ));
    }
}

fn judge_one(certificate: &CertificateFacts, is_authority: bool, now: i64, found: &mut Found) {
    let who = &certificate.subject;
    match &certificate.key {
        KeyKind::Rsa(bits) if *bits < 2048 => {
            found.fail(format!("{who}: an RSA key of {bits} bits"), "2048 bits at least: firmware refuses less");
        }
        KeyKind::Rsa(_) => {}
        KeyKind::Ec(_) => found.warn(
            format!("{who}: {}", certificate.key),
            "only iPXE from 2025-12-19 on and UEFI with elliptic curves take it; RSA of 2048 bits reaches more machines",
        ),
        KeyKind::Other(_) => found.fail(format!("{who}: {}", certificate.key), "no firmware knows it: use RSA of 2048 bits"),
    }
    if !certificate.is_common_signature {
        found.fail(
            format!("{who}: signed with {}", certificate.signature),
            "use sha256WithRSAEncryption: no RSA-PSS and no SHA-1",
        );
    }
    if certificate.has_ocsp {
        found.fail(
            format!("{who}: has an OCSP address"),
            "iPXE asks it, and refuses the certificate without an answer (0216e9)",
        );
    }
    for extension in &certificate.unusual_critical {
        found.fail(format!("{who}: critical extension {extension}"), "iPXE refuses what it does not know (3c16e2)");
    }
    if is_authority && !(certificate.is_ca && certificate.signs_certificates) {
        found.fail(
            format!("{who}: is no CA that may sign certificates"),
            "the chain is the server's own first, its root last",
        );
    }
    judge_dates(certificate, now, found);
}

fn judge_dates(certificate: &CertificateFacts, now: i64, found: &mut Found) {
    let CertificateFacts { subject, not_before, not_after, .. } = certificate;
    if *not_after <= now {
        found.fail(format!("{subject}: ended {}", date(*not_after)), "renew it; a reload takes the new one");
    } else if *not_after - now < SOON_S {
        found.warn(format!("{subject}: ends {}", date(*not_after)), "renew it; a reload takes the new one");
    }
    if *not_before > now {
        found.fail(format!("{subject}: begins {}", date(*not_before)), "look at this host's clock");
    } else if *not_before > DEAD_CLOCK_S {
        found.warn(
            format!("{subject}: begins {}", date(*not_before)),
            "machines whose clock lost its battery refuse it (0216e4); a certificate of the private CA begins in 1990",
        );
    }
}

fn judge_order(chain: &[CertificateFacts], found: &mut Found) {
    for pair in chain.windows(2) {
        if let [certificate, issuer] = pair
            && certificate.issuer_der != issuer.subject_der
        {
            found.fail(
                format!("{} is not issued by the next in the chain, {}", certificate.subject, issuer.subject),
                "the server's own first, then what issued it, its root last (0216e1)",
            );
        }
    }
    let ends_in_root = chain.last().is_some_and(|last| last.issuer_der == last.subject_der && last.is_ca);
    if !ends_in_root {
        found.fail(
            "the chain ends before its root",
            "put the root's certificate at the end of the chain: iPXE knows it by fingerprint only (0216eb)",
        );
    }
}

fn judge_names(leaf: &CertificateFacts, addresses: &[IpAddr], names: &[String], found: &mut Found) {
    let lacking: Vec<String> =
        addresses.iter().filter(|own| !leaf.addresses.contains(own)).map(IpAddr::to_string).collect();
    if !lacking.is_empty() {
        found.warn(
            format!("{}: does not name {}", leaf.subject, lacking.join(", ")),
            "machines are told the server's address: it must be a subjectAltName of type IP (0216ea); a private certificate is \
             made anew at the next start",
        );
    }
    let has = |name: &&String| leaf.names.iter().any(|known| known.eq_ignore_ascii_case(name));
    for name in names.iter().filter(|name| !has(name)) {
        found.fail(
            format!("{}: does not name {name}", leaf.subject),
            "it is in `https.names`, or the name of URLs: restart the server, or get another certificate",
        );
    }
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "?".into(), |time| time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
