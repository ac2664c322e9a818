//! The DHCP codec: octets to a [`Message`]; [`Writer`] is the way back.
//!
//! Header fields and value types come from `dhcproto`; the options are walked here. The crate would stop silently at
//! the first malformed option and hide the good ones behind it, join only neighboring fragments (RFC 3396), not look
//! into overloaded fields (option 52), and panic on a `hlen` above 16. So the raw octets are checked before it sees
//! them, and it sees only the 240 octets of the header. It would write options by number and without padding, so that
//! the writer is our own too.
//!
//! **Invariant**: the only file that names `dhcproto`. No socket, no clock, no decision; any octets give a `Message`
//! or a [`PacketError`], never a panic, and memory of at most twice the packet.

use std::net::Ipv4Addr;
use std::ops::Range;

use dhcproto::v4;
use dhcproto::{Decodable, Decoder};

pub use super::writer::Writer;

/// The longest packet that is read: one Ethernet frame's worth. Boot clients send at most 1472 octets.
pub const PACKET_LEN_MAX: usize = 1500;
/// The longest reply: what one unfragmented datagram holds, and EDK2's packet buffer.
pub const REPLY_LEN_MAX: usize = 1472;
/// The reply's limit for a client that says nothing: 576 octets of IP datagram without its headers (RFC 2131 section 2).
pub const REPLY_LEN_DEFAULT: usize = 548;
/// The BOOTP minimum (RFC 1542 section 2.1); shorter packets are padded, since relays and ROMs drop them.
pub const REPLY_LEN_MIN: usize = 300;

const HEADER_LEN: usize = 240;
pub(super) const COOKIE: [u8; 4] = v4::MAGIC;
const SNAME: Range<usize> = 44..108;
pub(super) const FILE: Range<usize> = 108..236;
/// The longest boot file name that fits `file` with its NUL.
pub const FILE_LEN_MAX: usize = 127;

/// Option codes, by the names of RFC 2132 and its successors.
pub mod code {
    #![expect(missing_docs, reason = "the names are the RFCs' own")]
    pub const PAD: u8 = 0;
    pub const HOST_NAME: u8 = 12;
    pub const BOOT_FILE_SIZE: u8 = 13;
    pub const VENDOR_OPTIONS: u8 = 43;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_IDENTIFIER: u8 = 54;
    pub const MAXIMUM_MESSAGE_SIZE: u8 = 57;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_IDENTIFIER: u8 = 61;
    pub const BOOT_FILE: u8 = 67;
    pub const USER_CLASS: u8 = 77;
    pub const RELAY_INFORMATION: u8 = 82;
    pub const ARCHITECTURE: u8 = 93;
    pub const NETWORK_INTERFACE: u8 = 94;
    pub const MACHINE_ID: u8 = 97;
    pub const IPXE: u8 = 175;
    /// What Windows' boot programs send to 4011 (WDS).
    pub const WDS: u8 = 250;
    pub const END: u8 = 255;
}

/// Why octets are not a DHCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than the fixed part, or longer than [`PACKET_LEN_MAX`].
    #[error("the packet has {0} octets; DHCP needs 240 to {PACKET_LEN_MAX}")]
    Length(usize),
    /// Neither BOOTREQUEST nor BOOTREPLY.
    #[error("`op` is {0}, neither request nor reply")]
    Operation(u8),
    /// Not the cookie of RFC 2131 section 3: plain BOOTP with vendor data, or no DHCP at all.
    #[error("the magic cookie is missing")]
    Cookie,
    /// More octets of hardware address than `chaddr` has.
    #[error("`hlen` is {0}, but `chaddr` has 16 octets")]
    HardwareLength(u8),
    /// An option runs past the end of its field.
    #[error("option {0} runs past the end of its field")]
    OptionLength(u8),
}

/// `op` of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// BOOTREQUEST, from a client or its relay.
    Request,
    /// BOOTREPLY, from a server.
    Reply,
}

/// DHCP message types (option 53) that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// DHCPDISCOVER.
    Discover,
    /// DHCPOFFER.
    Offer,
    /// DHCPREQUEST.
    Request,
    /// DHCPACK.
    Ack,
    /// DHCPINFORM.
    Inform,
    /// Every other type.
    Other(u8),
}

impl MessageType {
    fn from_code(code: u8) -> MessageType {
        match v4::MessageType::from(code) {
            v4::MessageType::Discover => MessageType::Discover,
            v4::MessageType::Offer => MessageType::Offer,
            v4::MessageType::Request => MessageType::Request,
            v4::MessageType::Ack => MessageType::Ack,
            v4::MessageType::Inform => MessageType::Inform,
            _ => MessageType::Other(code),
        }
    }

    /// The octet of option 53.
    pub fn code(self) -> u8 {
        match self {
            MessageType::Discover => v4::MessageType::Discover.into(),
            MessageType::Offer => v4::MessageType::Offer.into(),
            MessageType::Request => v4::MessageType::Request.into(),
            MessageType::Ack => v4::MessageType::Ack.into(),
            MessageType::Inform => v4::MessageType::Inform.into(),
            MessageType::Other(code) => code,
        }
    }
}

/// The fixed part of a packet (RFC 2131 section 2), without `sname` and `file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Request or reply.
    pub op: Operation,
    /// Hardware type; 1 is Ethernet, 32 InfiniBand.
    pub htype: u8,
    /// Octets of `chaddr` in use, at most 16.
    pub hlen: u8,
    /// Relay agents passed.
    pub hops: u8,
    /// Transaction id.
    pub xid: u32,
    /// Seconds since the client began; iPXE puts other things here.
    pub secs: u16,
    /// Bit 15 asks for a broadcast reply.
    pub flags: u16,
    /// The client's address, if it has one.
    pub ciaddr: Ipv4Addr,
    /// The address that a DHCP server gives; a proxy gives none.
    pub yiaddr: Ipv4Addr,
    /// The next server: TFTP and, for EDK2, port 4011.
    pub siaddr: Ipv4Addr,
    /// The relay agent.
    pub giaddr: Ipv4Addr,
    /// The client's hardware address, all 16 octets: some clients fill more than `hlen` says.
    pub chaddr: [u8; 16],
}

impl Header {
    /// The flag that asks for, or tells a relay of, a broadcast reply.
    pub const BROADCAST: u16 = 0x8000;
}

/// A packet that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The fixed part.
    pub header: Header,
    /// NUL-terminated `file`; empty when the field holds options.
    file: Vec<u8>,
    /// Values of all options, one behind the other.
    values: Vec<u8>,
    /// Sorted by code, each code once.
    index: Vec<(u8, Range<usize>)>,
}

impl Message {
    /// Reads a packet.
    ///
    /// # Errors
    /// When the octets are no DHCP packet, or an option is cut off. A missing END is tolerated.
    pub fn parse(octets: &[u8]) -> Result<Message, PacketError> {
        let fixed = guard(octets)?;
        let header = header_of(fixed)?;
        let mut fragments = Vec::with_capacity(24);
        walk(octets, HEADER_LEN..octets.len(), &mut fragments)?;
        let overload = fragments.iter().find(|(code, _)| *code == code::OVERLOAD);
        let overload = overload.and_then(|(_, at)| octets.get(at.clone())?.first().copied()).unwrap_or(0);
        // RFC 2131 section 4.1: options, then file, then sname.
        let file_has_options = overload & 1 != 0;
        if file_has_options {
            walk(octets, FILE, &mut fragments)?;
        }
        if overload & 2 != 0 {
            walk(octets, SNAME, &mut fragments)?;
        }
        let file = if file_has_options { &[] } else { octets.get(FILE).unwrap_or_default() };
        let file = file.split(|octet| *octet == 0).next().unwrap_or_default().to_vec();
        let (values, index) = join(octets, fragments);
        Ok(Message { header, file, values, index })
    }

    /// The value of an option; fragments are joined (RFC 3396). The first option is the one that is asked for.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        let at = self.index.binary_search_by_key(&code, |(code, _)| *code).ok()?;
        self.values.get(self.index.get(at)?.1.clone())
    }

    /// All options, by code.
    pub fn options(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.index.iter().filter_map(|(code, at)| Some((*code, self.values.get(at.clone())?)))
    }

    /// The message type; none for BOOTP.
    pub fn message_type(&self) -> Option<MessageType> {
        match self.option(code::MESSAGE_TYPE) {
            Some([code]) => Some(MessageType::from_code(*code)),
            _ => None,
        }
    }

    /// An option that holds one address.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.option(code)?.try_into().ok()?;
        Some(octets.into())
    }

    /// The header's boot file name, up to its NUL.
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// The octets of DHCP that a reply may have: option 57 counts the whole IP datagram (RFC 2132 section 9.10).
    pub fn reply_len_max(&self) -> usize {
        const IP_AND_UDP_HEADERS: usize = 28;
        match self.option(code::MAXIMUM_MESSAGE_SIZE) {
            Some(&[high, low]) => {
                let said = usize::from(u16::from_be_bytes([high, low])).saturating_sub(IP_AND_UDP_HEADERS);
                said.clamp(REPLY_LEN_DEFAULT, REPLY_LEN_MAX)
            }
            _ => REPLY_LEN_DEFAULT,
        }
    }
}

/// What must hold before anything reads the packet; gives the fixed part.
fn guard(octets: &[u8]) -> Result<&[u8; HEADER_LEN], PacketError> {
    let length = PacketError::Length(octets.len());
    if octets.len() > PACKET_LEN_MAX {
        return Err(length);
    }
    let fixed: &[u8; HEADER_LEN] = octets.first_chunk().ok_or(length)?;
    let [op, _, hlen, ..] = *fixed;
    if !matches!(op, 1 | 2) {
        return Err(PacketError::Operation(op));
    }
    if !fixed.ends_with(&COOKIE) {
        return Err(PacketError::Cookie);
    }
    if hlen > 16 {
        return Err(PacketError::HardwareLength(hlen));
    }
    Ok(fixed)
}

fn header_of(fixed: &[u8; HEADER_LEN]) -> Result<Header, PacketError> {
    let read = v4::Message::decode(&mut Decoder::new(fixed)).map_err(|_| PacketError::Length(fixed.len()))?;
    let mut chaddr = [0; 16];
    // Not `v4::Message::chaddr()`: it cuts at hlen, and what is behind must be copied back too.
    chaddr.copy_from_slice(&fixed[28..44]);
    let op = if read.opcode() == v4::Opcode::BootReply { Operation::Reply } else { Operation::Request };
    Ok(Header {
        op,
        htype: fixed[1],
        hlen: read.hlen(),
        hops: read.hops(),
        xid: read.xid(),
        secs: read.secs(),
        flags: read.flags().into(),
        ciaddr: read.ciaddr(),
        yiaddr: read.yiaddr(),
        siaddr: read.siaddr(),
        giaddr: read.giaddr(),
        chaddr,
    })
}

/// Where an option's value, or a fragment of it, stands in the packet.
type Fragment = (u8, Range<usize>);

fn walk(octets: &[u8], field: Range<usize>, fragments: &mut Vec<Fragment>) -> Result<(), PacketError> {
    let mut at = field.start;
    let octets = octets.get(..field.end).unwrap_or_default();
    while let Some(&code) = octets.get(at) {
        at += 1;
        match code {
            code::PAD => continue,
            code::END => break,
            _ => {}
        }
        let end = octets.get(at).map(|length| at + 1 + usize::from(*length)).filter(|end| *end <= octets.len());
        let end = end.ok_or(PacketError::OptionLength(code))?;
        fragments.push((code, at + 1..end));
        at = end;
    }
    Ok(())
}

/// Joins the fragments of each option in their order of appearance (RFC 3396 section 7).
fn join(octets: &[u8], mut fragments: Vec<Fragment>) -> (Vec<u8>, Vec<Fragment>) {
    fragments.sort_by_key(|(code, _)| *code);
    let mut values = Vec::with_capacity(fragments.iter().map(|(_, at)| at.len()).sum());
    let mut index: Vec<Fragment> = Vec::with_capacity(fragments.len());
    for (code, at) in fragments {
        let start = values.len();
        values.extend_from_slice(octets.get(at).unwrap_or_default());
        match index.last_mut() {
            Some((last, range)) if *last == code => range.end = values.len(),
            _ => index.push((code, start..values.len())),
        }
    }
    (values, index)
}

/// The entries of an encapsulated option (43, 82, 175): tag, length, value. Ends at what is cut off; `PAD` and `END`
/// are honored, which 82 does not have but no relay uses as sub-options either.
pub fn suboptions(mut octets: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let (tag, rest) = octets.split_first()?;
            octets = rest;
            match *tag {
                code::PAD => continue,
                code::END => return None,
                tag => {
                    let (length, rest) = octets.split_first()?;
                    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                    octets = rest;
                    return Some((tag, value));
                }
            }
        }
    })
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
