//! What a client is answered by DHCPv6 (RFC 5970).
//!
//! | who asks | ADVERTISE on 547 | REPLY on 4011 |
//! |---|---|---|
//! | UEFI PXE | `tftp://[server]/path` | the same |
//! | UEFI HTTP Boot | `http://[server]/path` | - |
//! | iPXE, by INFORMATION-REQUEST | - (a REPLY on 547 with the URL of its script) | - |
//!
//! * No IA_NA: for EDK2 that is what makes it a proxy's offer, which it takes together with the offer of the server that
//!   gives an address. Nor option 7 (preference): 255 would make the client take us and stop to listen.
//! * Option 16 says `PXEClient` or `HTTPClient` as the client did: EDK2 takes an offer without it for a DHCP server's.
//! * No option 60 (boot file parameters): EDK2 reads the file's size from it, and refuses what it cannot read so.
//! * Option 16 comes behind 59: EDK2's HTTP Boot reads the URL up to the next zero octet.
//!
//! **Invariant**: no socket and no clock. Addresses and answer are arguments.

use std::net::{Ipv6Addr, SocketAddrV6};

use super::super::client::{HTTP_CLIENT, PXE_CLIENT, Speaker};
use super::client::ENTERPRISE;
use super::packet::{MessageType, REPLY_LEN_MAX, Writer, code, for_relays};
use super::question::{Asked, Port, SERVER_PORT};

/// What [`reply`] needs besides the question.
#[derive(Debug, Clone, Copy)]
pub struct ReplyContext<'a> {
    /// Our DUID.
    pub server_id: &'a [u8],
    /// Our address, for the URL of a path.
    pub server: Ipv6Addr,
    /// TFTP path for firmware, URL for HTTP Boot and iPXE.
    pub file: &'a str,
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The octets of DHCPv6.
    pub octets: Vec<u8>,
    /// Where to.
    pub destination: SocketAddrV6,
    /// ADVERTISE or REPLY.
    pub message_type: MessageType,
}

/// Why there is no reply, although somebody decided that there be one. Each is a mistake of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// The loop guard.
    #[error("iPXE was to be given a boot loader, which would load iPXE again for ever; give it the URL of a script")]
    LoaderForIpxe,
    /// HTTP Boot loads http and https only.
    #[error("UEFI HTTP Boot was to be given something that is no http or https URL")]
    NoUrlForHttpBoot,
    /// PXE firmware loads by TFTP only.
    #[error("PXE firmware was to be given a URL, and it loads by TFTP only")]
    UrlForPxe,
    /// More than firmware takes.
    #[error("the reply would have {0} octets, and {REPLY_LEN_MAX} are sure to arrive; use a shorter file name")]
    TooLong(usize),
}

/// Writes the reply to a question.
///
/// # Errors
/// When this client could not use the answer.
pub fn reply(asked: &Asked, context: &ReplyContext<'_>) -> Result<Reply, NoReply> {
    let url = url(asked.caller.speaker, context)?;
    let message = &asked.arrived.packet.message;
    let message_type = match message.message_type {
        MessageType::Solicit => MessageType::Advertise,
        _ => MessageType::Reply,
    };
    let mut writer = Writer::new(message_type, message.xid);
    writer.option(code::CLIENT_ID, message.options.get(code::CLIENT_ID).unwrap_or_default());
    writer.option(code::SERVER_ID, context.server_id);
    writer.option(code::BOOT_FILE_URL, url.as_bytes());
    writer.option(code::VENDOR_CLASS, &vendor_class(&asked.caller.client.vendor_class));
    let octets = writer.finish();
    if octets.len() > REPLY_LEN_MAX {
        return Err(NoReply::TooLong(octets.len()));
    }
    let octets = for_relays(&asked.arrived.packet.relays, octets);
    Ok(Reply { octets, destination: destination(asked), message_type })
}

/// A client is answered where it sent from. So is a relay agent that says so (RFC 8357); others on their server port.
fn destination(asked: &Asked) -> SocketAddrV6 {
    let mut destination = asked.arrived.peer;
    if let (Some(nearest), Port::Dhcp) = (asked.arrived.packet.relays.first(), asked.arrived.port)
        && !nearest.options.has(code::RELAY_PORT)
    {
        destination.set_port(SERVER_PORT);
    }
    destination
}

fn url(speaker: Speaker, context: &ReplyContext<'_>) -> Result<String, NoReply> {
    let is_web = ["http://", "https://"].iter().any(|scheme| context.file.starts_with(scheme));
    match speaker {
        Speaker::Ipxe if is_web => Ok(context.file.to_owned()),
        Speaker::Ipxe => Err(NoReply::LoaderForIpxe),
        Speaker::HttpBoot if is_web => Ok(context.file.to_owned()),
        Speaker::HttpBoot => Err(NoReply::NoUrlForHttpBoot),
        Speaker::Firmware if context.file.starts_with("tftp://") => Ok(context.file.to_owned()),
        Speaker::Firmware if context.file.contains("://") => Err(NoReply::UrlForPxe),
        Speaker::Firmware => {
            Ok(format!("tftp://[{}]/{}", context.server, in_url(context.file.trim_start_matches('/'))))
        }
    }
}

/// A path as a URL has it: EDK2 decodes `%` and refuses a `;mode=` other than octet.
fn in_url(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for octet in path.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(octet)),
            octet => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}

fn vendor_class(said: &str) -> Vec<u8> {
    let (length, text) = match said.as_bytes().starts_with(HTTP_CLIENT) {
        true => (10_u16, HTTP_CLIENT),
        false => (9, PXE_CLIENT),
    };
    [&ENTERPRISE.to_be_bytes()[..], &length.to_be_bytes(), text].concat()
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
