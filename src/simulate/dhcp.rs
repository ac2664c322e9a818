//! A DHCP client as firmware and iPXE are: writes its packets, reads the replies.
//!
//! It knows nothing of the server's own codec, so that one does not agree with the other's mistakes.

use std::net::Ipv4Addr;

use super::Machine;

/// Which program on the machine asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Firmware,
    Ipxe,
}

/// Message types of RFC 2132 section 9.6 that a boot client sees.
pub(super) const DISCOVER: u8 = 1;
pub(super) const REQUEST: u8 = 3;

/// What of a reply a boot client looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) message_type: u8,
    pub(super) your_address: Option<Ipv4Addr>,
    pub(super) next_server: Option<Ipv4Addr>,
    pub(super) server_id: Option<Ipv4Addr>,
    pub(super) file: String,
    pub(super) vendor_class: String,
    /// Discovery control (option 43.6), when there is one.
    pub(super) discovery_control: Option<u8>,
    /// The boot menu (options 43.9 and 43.8); empty when there is none.
    pub(super) menu: Vec<MenuLine>,
    /// Seconds until its first line is taken (option 43.10).
    pub(super) menu_timeout: Option<u8>,
    /// The line of the menu that this answers (option 43.71).
    pub(super) boot_item: Option<u16>,
    /// Whether option 43 has the text that a Raspberry Pi looks for.
    pub(super) for_raspberry_pi: bool,
    /// Priority of the proxy's settings (option 175.1), when there is one.
    pub(super) priority: Option<u8>,
}

/// A line of a boot menu, and the boot servers to ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MenuLine {
    pub(super) kind: u16,
    pub(super) text: String,
    pub(super) addresses: Vec<Ipv4Addr>,
}

/// The same packet, asking a boot server for the first file of its type (option 43.71).
pub(super) fn with_boot_item(mut packet: Vec<u8>, kind: u16) -> Vec<u8> {
    packet.pop();
    let [high, low] = kind.to_be_bytes();
    option(&mut packet, 43, &[71, 4, high, low, 0, 0, 255]);
    packet.push(255);
    packet
}

/// A packet of the machine. `relay` puts it behind a relay agent at that address, which is how a program without
/// privileges may talk to a DHCP server: the reply comes back to the port that it was sent from (RFC 8357).
pub(super) fn packet(
    machine: &Machine,
    asker: Asker,
    message_type: u8,
    xid: u32,
    address: Option<Ipv4Addr>,
    relay: Option<Ipv4Addr>,
) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, u8::from(relay.is_some())];
    bytes.extend(xid.to_be_bytes());
    bytes.extend([0, 4, 0x80, 0]);
    for field in [address, None, None, relay] {
        bytes.extend(field.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    }
    let mut hardware = [0; 16];
    let octets = machine.mac.octets();
    hardware[..octets.len()].copy_from_slice(octets);
    bytes.extend(hardware);
    bytes.extend([0; 192]);
    bytes.extend([0x63, 0x82, 0x53, 0x63]);
    option(&mut bytes, 53, &[message_type]);
    option(&mut bytes, 57, &1472_u16.to_be_bytes());
    let architecture = machine.architecture.code();
    option(&mut bytes, 93, &architecture.to_be_bytes());
    option(&mut bytes, 94, &[1, 3, 0x10]);
    let class = if machine.architecture.is_http() { "HTTPClient" } else { "PXEClient" };
    option(&mut bytes, 60, format!("{class}:Arch:{architecture:05}:UNDI:003016").as_bytes());
    option(&mut bytes, 97, &[&[0][..], &machine.uuid.to_bytes_le()].concat());
    option(&mut bytes, 55, &[1, 3, 6, 12, 43, 60, 66, 67, 175]);
    if asker == Asker::Ipxe {
        option(&mut bytes, 77, b"iPXE");
        let efi: &[u8] = if machine.is_efi() { &[0x24, 1, 1] } else { &[] };
        // The first release whose HTTPS is of our time.
        let version: &[u8] = if machine.https { &[0x14, 1, 1, 0xeb, 3, 2, 0, 0] } else { &[0xeb, 3, 1, 21, 1] };
        let build = [&[0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0, 0x13, 1, 1, 0x15, 1, 1, 0x27, 1, 1], efi, version];
        option(&mut bytes, 175, &build.concat());
    }
    if relay.is_some() {
        option(&mut bytes, 82, &[1, 8, b's', b'i', b'm', b'u', b'l', b'a', b't', b'e', 19, 2, 0, 0]);
    }
    bytes.push(255);
    bytes
}

fn option(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    bytes.push(value.len() as u8);
    bytes.extend(value);
}

/// Reads a reply to `xid`; `None` for anything else.
pub(super) fn read(bytes: &[u8], xid: u32) -> Option<Reply> {
    let header = bytes.get(..240)?;
    if header[0] != 2 || header[4..8] != xid.to_be_bytes() || header[236..240] != [0x63, 0x82, 0x53, 0x63] {
        return None;
    }
    let address = |at: usize| {
        let octets: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets)).filter(|address| !address.is_unspecified())
    };
    let mut reply = Reply {
        your_address: address(16),
        next_server: address(20),
        file: text(&header[108..236]),
        ..Reply::default()
    };
    for (tag, value) in tlv(&bytes[240..]) {
        match tag {
            53 => reply.message_type = *value.first()?,
            54 => reply.server_id = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
            60 => reply.vendor_class = text(value),
            67 if reply.file.is_empty() => reply.file = text(value),
            43 => {
                let of = |wanted| tlv(value).find(|(tag, _)| *tag == wanted).map(|(_, value)| value);
                reply.discovery_control = of(6).and_then(|control| control.first().copied());
                reply.menu = menu(of(9).unwrap_or_default(), of(8).unwrap_or_default());
                reply.menu_timeout = of(10).and_then(|prompt| prompt.first().copied());
                reply.boot_item = of(71).and_then(|item| Some(u16::from_be_bytes(*item.first_chunk()?)));
                reply.for_raspberry_pi = value.windows(17).any(|part| part == b"Raspberry Pi Boot");
            }
            175 => reply.priority = tlv(value).find(|(tag, _)| *tag == 1)?.1.first().copied(),
            _ => {}
        }
    }
    Some(reply)
}

/// The lines of a menu, each with its servers.
fn menu(mut lines: &[u8], servers: &[u8]) -> Vec<MenuLine> {
    let mut menu = Vec::new();
    while let [high, low, length, rest @ ..] = lines {
        let Some((line, rest)) = rest.split_at_checked(usize::from(*length)) else { break };
        let kind = u16::from_be_bytes([*high, *low]);
        menu.push(MenuLine { kind, text: text(line), addresses: boot_servers(servers, kind) });
        lines = rest;
    }
    menu
}

fn boot_servers(mut list: &[u8], kind: u16) -> Vec<Ipv4Addr> {
    while let [high, low, count, rest @ ..] = list {
        let Some((addresses, rest)) = rest.split_at_checked(usize::from(*count) * 4) else { break };
        if u16::from_be_bytes([*high, *low]) == kind {
            return addresses.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets)).collect();
        }
        list = rest;
    }
    Vec::new()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn tlv(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            match bytes {
                [0, rest @ ..] => bytes = rest,
                [255, ..] | [] | [_] => return None,
                [tag, len, rest @ ..] => {
                    let value = rest.get(..usize::from(*len))?;
                    bytes = &rest[value.len()..];
                    return Some((*tag, value));
                }
            }
        }
    })
}
