//! The DHCPv6 codec: octets to a [`Packet`], with the relay agents around it, and back (RFC 8415 sections 8, 9, 21).
//!
//! The options are walked here rather than by `dhcproto`: its lists end at the first option that it cannot read, it
//! reads values that are of no interest here, and it goes as deep into nested relay messages as they go.
//!
//! **Invariant**: no socket, no clock, no decision; any octets give a [`Packet`] or a [`PacketError`], never a panic,
//! and memory of at most a few times the packet.

use std::net::Ipv6Addr;
use std::ops::Range;

/// The longest packet that is read. Boot clients send below 300 octets; each relay agent adds some.
pub const PACKET_LEN_MAX: usize = 2_048;
/// The longest reply to a client: what goes through every IPv6 network in one piece, 1,280 octets with their headers.
pub const REPLY_LEN_MAX: usize = 1_232;
/// Relay agents that a packet may have passed (`HOP_COUNT_LIMIT`, RFC 8415 section 7.6).
pub const RELAYS_MAX: usize = 8;
/// Options of one message; boot clients send nine.
const OPTIONS_MAX: usize = 64;

/// Option codes, by the names of RFC 8415 and its kin.
pub mod code {
    #![expect(missing_docs, reason = "the names are the RFCs' own")]
    pub const CLIENT_ID: u16 = 1;
    pub const SERVER_ID: u16 = 2;
    pub const IA_NA: u16 = 3;
    pub const IA_TA: u16 = 4;
    pub const IAADDR: u16 = 5;
    pub const OPTION_REQUEST: u16 = 6;
    pub const PREFERENCE: u16 = 7;
    pub const ELAPSED_TIME: u16 = 8;
    pub const RELAY_MSG: u16 = 9;
    pub const STATUS_CODE: u16 = 13;
    pub const USER_CLASS: u16 = 15;
    pub const VENDOR_CLASS: u16 = 16;
    pub const INTERFACE_ID: u16 = 18;
    /// RFC 3646.
    pub const DNS_SERVERS: u16 = 23;
    pub const IA_PD: u16 = 25;
    /// RFC 5970.
    pub const BOOT_FILE_URL: u16 = 59;
    /// RFC 5970.
    pub const BOOT_FILE_PARAMETERS: u16 = 60;
    /// RFC 5970.
    pub const ARCHITECTURE: u16 = 61;
    /// RFC 5970.
    pub const NETWORK_INTERFACE: u16 = 62;
    /// RFC 6939.
    pub const CLIENT_LINK_LAYER_ADDRESS: u16 = 79;
    /// RFC 8357.
    pub const RELAY_PORT: u16 = 135;
}

/// Why octets are not a DHCPv6 packet that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than the fixed part, or longer than [`PACKET_LEN_MAX`].
    #[error("the message has {0} octets; DHCPv6 needs 4 to {PACKET_LEN_MAX}, a relayed message 34")]
    Length(usize),
    /// An option runs past the end.
    #[error("option {0} runs past the end of its message")]
    OptionLength(u16),
    /// More options than any client sends.
    #[error("the message has more than {OPTIONS_MAX} options")]
    Options,
    /// More relay agents than RFC 8415 allows.
    #[error("the message passed more than {RELAYS_MAX} relay agents")]
    Relays,
    /// A relay agent's message without the one that it carries.
    #[error("the relay agent's message carries none (option 9)")]
    NothingRelayed,
}

/// Message types (RFC 8415 section 7.3) that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// SOLICIT.
    Solicit,
    /// ADVERTISE.
    Advertise,
    /// REQUEST.
    Request,
    /// REPLY.
    Reply,
    /// INFORMATION-REQUEST.
    InformationRequest,
    /// Every other type.
    Other(u8),
}

const RELAY_FORW: u8 = 12;
const RELAY_REPL: u8 = 13;

impl MessageType {
    fn from_code(code: u8) -> MessageType {
        match code {
            1 => MessageType::Solicit,
            2 => MessageType::Advertise,
            3 => MessageType::Request,
            7 => MessageType::Reply,
            11 => MessageType::InformationRequest,
            code => MessageType::Other(code),
        }
    }

    /// The octet on the wire.
    pub fn code(self) -> u8 {
        match self {
            MessageType::Solicit => 1,
            MessageType::Advertise => 2,
            MessageType::Request => 3,
            MessageType::Reply => 7,
            MessageType::InformationRequest => 11,
            MessageType::Other(code) => code,
        }
    }
}

/// The options of one message, as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    octets: Vec<u8>,
    /// In the order of the packet.
    index: Vec<(u16, Range<usize>)>,
}

impl Options {
    pub(super) fn parse(octets: &[u8]) -> Result<Options, PacketError> {
        let mut index = Vec::with_capacity(12);
        let mut at = 0;
        while let Some(&[c0, c1, l0, l1]) = octets.get(at..).and_then(<[u8]>::first_chunk) {
            let code = u16::from_be_bytes([c0, c1]);
            let value = at + 4..at + 4 + usize::from(u16::from_be_bytes([l0, l1]));
            if value.end > octets.len() {
                return Err(PacketError::OptionLength(code));
            }
            if index.len() == OPTIONS_MAX {
                return Err(PacketError::Options);
            }
            at = value.end;
            index.push((code, value));
        }
        match octets.get(at..) {
            None | Some([]) => Ok(Options { octets: octets.to_vec(), index }),
            Some([first, rest @ ..]) => {
                let second = rest.first().copied().unwrap_or(0);
                Err(PacketError::OptionLength(u16::from_be_bytes([*first, second])))
            }
        }
    }

    /// The value of an option; the first one, where it came twice.
    pub fn get(&self, code: u16) -> Option<&[u8]> {
        let (_, at) = self.index.iter().find(|(named, _)| *named == code)?;
        self.octets.get(at.clone())
    }

    /// Whether the option is there.
    pub fn has(&self, code: u16) -> bool {
        self.index.iter().any(|(named, _)| *named == code)
    }
}

/// A client's or server's message (RFC 8415 section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub message_type: MessageType,
    /// Transaction id, 24 bits.
    pub xid: u32,
    /// Its options.
    pub options: Options,
}

/// One relay agent on the way (RFC 8415 section 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Relay agents before this one.
    pub hop_count: u8,
    /// An address of the client's link, or `::`.
    pub link: Ipv6Addr,
    /// Where this agent had it from: the client, or the agent before.
    pub peer: Ipv6Addr,
    /// What this agent says.
    pub options: Options,
}

/// A message with the relay agents that carried it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The agents, the one nearest to us first; empty when the client is on our link.
    pub relays: Vec<Hop>,
    /// The client's message.
    pub message: Message,
}

impl Packet {
    /// Reads a packet.
    ///
    /// # Errors
    /// When the octets are no DHCPv6 message, an option is cut off, or there is too much of something.
    pub fn parse(octets: &[u8]) -> Result<Packet, PacketError> {
        if octets.len() > PACKET_LEN_MAX {
            return Err(PacketError::Length(octets.len()));
        }
        let mut relays: Vec<Hop> = Vec::new();
        let mut octets = octets.to_vec();
        loop {
            let length = PacketError::Length(octets.len());
            let (&kind, _) = octets.split_first().ok_or(length)?;
            if kind != RELAY_FORW && kind != RELAY_REPL {
                return Ok(Packet { relays, message: message(&octets)? });
            }
            if relays.len() == RELAYS_MAX {
                return Err(PacketError::Relays);
            }
            let hop = hop(&octets)?;
            let inner = hop.options.get(code::RELAY_MSG).ok_or(PacketError::NothingRelayed)?.to_vec();
            relays.push(hop);
            octets = inner;
        }
    }
}

fn message(octets: &[u8]) -> Result<Message, PacketError> {
    let (&[kind, a, b, c], options) = octets.split_first_chunk().ok_or(PacketError::Length(octets.len()))?;
    let (message_type, xid) = (MessageType::from_code(kind), u32::from_be_bytes([0, a, b, c]));
    Ok(Message { message_type, xid, options: Options::parse(options)? })
}

fn hop(octets: &[u8]) -> Result<Hop, PacketError> {
    let length = PacketError::Length(octets.len());
    let (&[_, hop_count], rest) = octets.split_first_chunk().ok_or(length)?;
    let (link, rest) = rest.split_first_chunk::<16>().ok_or(length)?;
    let (peer, options) = rest.split_first_chunk::<16>().ok_or(length)?;
    Ok(Hop { hop_count, link: (*link).into(), peer: (*peer).into(), options: Options::parse(options)? })
}

/// A message that is being written.
#[derive(Debug)]
pub struct Writer {
    octets: Vec<u8>,
}

impl Writer {
    /// A message without options.
    pub fn new(message_type: MessageType, xid: u32) -> Writer {
        let [_, a, b, c] = xid.to_be_bytes();
        Writer { octets: vec![message_type.code(), a, b, c] }
    }

    /// Appends an option; one of more than 65,535 octets is left out.
    pub fn option(&mut self, code: u16, value: &[u8]) -> &mut Writer {
        push_option(&mut self.octets, code, value);
        self
    }

    /// The octets.
    pub fn finish(self) -> Vec<u8> {
        self.octets
    }
}

/// Wraps a reply for the relay agents that carried its question (RFC 8415 section 19.3): each gets back what it needs
/// to find the client.
pub fn for_relays(relays: &[Hop], mut reply: Vec<u8>) -> Vec<u8> {
    for hop in relays.iter().rev() {
        let mut octets = vec![RELAY_REPL, hop.hop_count];
        octets.extend(hop.link.octets());
        octets.extend(hop.peer.octets());
        for code in [code::INTERFACE_ID, code::RELAY_PORT] {
            if let Some(value) = hop.options.get(code) {
                push_option(&mut octets, code, value);
            }
        }
        push_option(&mut octets, code::RELAY_MSG, &reply);
        reply = octets;
    }
    reply
}

/// Wraps a client's message as a relay agent does, for tests and for `simulate`.
pub fn by_relay(link: Ipv6Addr, peer: Ipv6Addr, options: &[(u16, &[u8])], message: &[u8]) -> Vec<u8> {
    let mut octets = vec![RELAY_FORW, 0];
    octets.extend(link.octets());
    octets.extend(peer.octets());
    for (code, value) in options {
        push_option(&mut octets, *code, value);
    }
    push_option(&mut octets, code::RELAY_MSG, message);
    octets
}

fn push_option(octets: &mut Vec<u8>, code: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len()) else { return };
    octets.extend(code.to_be_bytes());
    octets.extend(length.to_be_bytes());
    octets.extend(value);
}

/// The entries of a list of texts, each behind its length (options 15 and 16). Ends at what is cut off.
pub(super) fn texts(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = list.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        list = rest;
        Some(text)
    })
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
