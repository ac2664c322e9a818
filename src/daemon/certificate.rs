//! The certificate of HTTPS: the site's own files, or one of the private CA for this host's names and addresses.

use std::net::IpAddr;

use anyhow::Context;
use bytes::Bytes;
use jiff::Timestamp;

use crate::config::Config;
use crate::net::interfaces::Interfaces;
use crate::tls::{Authority, Identity, ensure_ca};

/// The certificate to serve, and the private CA's own certificate (PEM) when it signed.
pub struct Certificate {
    /// Chain and key.
    pub identity: Identity,
    /// The CA's certificate, in PEM.
    pub authority: Option<Bytes>,
    /// The CA's SHA-256 fingerprint.
    pub fingerprint: Option<String>,
}

/// Reads or issues the certificate of a configuration. Blocks on the disk, and on making keys the first time.
///
/// # Errors
/// When files cannot be read or written; the error names the key of the configuration.
pub fn certificate(config: &Config, now: Timestamp) -> anyhow::Result<Certificate> {
    if let (Some(certificate), Some(key)) = (&config.https.certificate, &config.https.key) {
        let identity = Identity::from_files(certificate, key).context("https.certificate, https.key")?;
        return Ok(Certificate { identity, authority: None, fingerprint: None });
    }
    let (identity, ca) = private(config, now)?;
    let authority = Some(Bytes::from(ca.pem().to_owned()));
    Ok(Certificate { identity, authority, fingerprint: Some(ca.fingerprint()) })
}

/// The certificate that the private CA issues to this host, with the CA: what site servers are shown, whatever HTTPS has.
/// Blocks on the disk, and on making keys the first time.
///
/// # Errors
/// As [`certificate`].
pub(super) fn private(config: &Config, now: Timestamp) -> anyhow::Result<(Identity, Authority)> {
    let ca = ensure_ca(&config.server.state).context("server.state")?;
    let mut addresses = match config.server.address {
        Some(address) => vec![address],
        None => host_addresses()?,
    };
    addresses.extend(config.server.advertise.iter().map(|rule| rule.address));
    addresses.sort();
    addresses.dedup();
    let identity =
        ca.identity(&config.https.certificate_names(&config.server), &addresses, now).context("https.names")?;
    Ok((identity, ca))
}

/// Every address that a client may reach this host by, in a stable order.
fn host_addresses() -> anyhow::Result<Vec<IpAddr>> {
    let interfaces = Interfaces::read().context("cannot read this host's addresses")?;
    let mut addresses: Vec<IpAddr> =
        interfaces.list.iter().flat_map(|interface| interface.addresses.iter().map(ipnet::IpNet::addr)).collect();
    addresses.retain(|address| !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()));
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}
