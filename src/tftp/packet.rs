//! The six TFTP packets (RFC 1350 section 5, RFC 2347): bytes to types and back.
//!
//! **Invariant**: no socket, no clock, no decision. Any bytes give a packet or an error, never a panic,
//! and nothing is copied while parsing.

/// Opcodes (RFC 1350 section 5, RFC 2347).
mod opcode {
    pub(super) const RRQ: u16 = 1;
    pub(super) const WRQ: u16 = 2;
    pub(super) const DATA: u16 = 3;
    pub(super) const ACK: u16 = 4;
    pub(super) const ERROR: u16 = 5;
    pub(super) const OACK: u16 = 6;
}

/// Octets before the data of a DATA packet.
pub const DATA_HEADER_LENGTH: usize = 4;
/// Longest text that we put into an ERROR packet, in octets.
const ERROR_TEXT_MAX: usize = 511;
/// Options of a request that are looked at; real clients send four.
const OPTIONS_MAX: usize = 16;

/// A parsed packet; borrows the datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Read request.
    Read(Request<'a>),
    /// Write request.
    Write(Request<'a>),
    /// One block.
    Data {
        /// Its number, modulo 65,536.
        block: u16,
        /// Its octets.
        payload: &'a [u8],
    },
    /// All blocks up to this one have come.
    Ack {
        /// Its number, modulo 65,536.
        block: u16,
    },
    /// The transfer is over.
    Error {
        /// Code as sent, known or not.
        code: u16,
        /// Text without its terminator.
        text: &'a [u8],
    },
    /// The options that the server agrees to.
    OptionAck(Vec<RequestOption<'a>>),
}

/// RRQ or WRQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The file's name as sent.
    pub file_name: &'a [u8],
    /// Transfer mode.
    pub mode: Mode,
    /// In the client's order; of two with one name the first counts.
    pub options: Vec<RequestOption<'a>>,
}

/// Transfer mode (RFC 1350 section 1), compared without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes as they are; also assumed where a ROM sends no mode.
    Octet,
    /// Text with CR LF; boot files are sent as they are all the same.
    NetAscii,
    /// Obsolete, or unknown.
    Other,
}

/// An option with its value, as sent (RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOption<'a> {
    /// Name in the client's spelling.
    pub name: &'a [u8],
    /// Value, ASCII.
    pub value: &'a [u8],
}

/// Error codes (RFC 1350 appendix, RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// See the text.
    NotDefined = 0,
    /// File not found.
    NotFound = 1,
    /// Access violation.
    AccessViolation = 2,
    /// Disk full.
    DiskFull = 3,
    /// Illegal operation.
    IllegalOperation = 4,
    /// Unknown transfer id.
    UnknownTransferId = 5,
    /// Option negotiation refused; EDK2 ends every size probe with it.
    OptionRefused = 8,
}

/// Why bytes are no TFTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than its fixed fields.
    #[error("the packet is shorter than its header")]
    Short,
    /// An operation that no RFC knows.
    #[error("unknown operation {0}")]
    Opcode(u16),
}

impl<'a> Packet<'a> {
    /// Parses one datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let (operation, rest) = split_u16(bytes)?;
        match operation {
            opcode::RRQ => Ok(Self::Read(Request::parse(rest))),
            opcode::WRQ => Ok(Self::Write(Request::parse(rest))),
            opcode::DATA => split_u16(rest).map(|(block, payload)| Self::Data { block, payload }),
            // Some ROMs pad their ACKs: what follows the number is ignored.
            opcode::ACK => split_u16(rest).map(|(block, _)| Self::Ack { block }),
            opcode::ERROR => {
                let (code, text) = split_u16(rest)?;
                let text = text.split(|&b| b == 0).next().unwrap_or_default();
                Ok(Self::Error { code, text })
            }
            opcode::OACK => Ok(Self::OptionAck(options(rest))),
            other => Err(PacketError::Opcode(other)),
        }
    }
}

impl<'a> Request<'a> {
    /// A missing terminator behind the name (a Samsung ROM) makes all the rest the name, mode octet.
    fn parse(rest: &'a [u8]) -> Self {
        let Some((file_name, rest)) = split_string(rest) else {
            return Self { file_name: rest, mode: Mode::Octet, options: Vec::new() };
        };
        let (mode, rest) = split_string(rest).unwrap_or((rest, &[]));
        Self { file_name, mode: Mode::parse(mode), options: options(rest) }
    }
}

impl Mode {
    fn parse(text: &[u8]) -> Self {
        if text.is_empty() || text.eq_ignore_ascii_case(b"octet") {
            return Self::Octet;
        }
        if text.eq_ignore_ascii_case(b"netascii") {
            return Self::NetAscii;
        }
        Self::Other
    }
}

/// Pairs of strings; a name without value ends the list, and so does the padding of some ROMs.
fn options(mut rest: &[u8]) -> Vec<RequestOption<'_>> {
    let mut found: Vec<RequestOption<'_>> = Vec::new();
    while found.len() < OPTIONS_MAX {
        let Some((name, after)) = split_string(rest) else {
            break;
        };
        let Some((value, after)) = split_string(after) else {
            break;
        };
        if name.is_empty() {
            break;
        }
        if !found.iter().any(|o| o.name.eq_ignore_ascii_case(name)) {
            found.push(RequestOption { name, value });
        }
        rest = after;
    }
    found
}

fn split_u16(bytes: &[u8]) -> Result<(u16, &[u8]), PacketError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(PacketError::Short)?;
    Ok((u16::from_be_bytes(*number), rest))
}

fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The four octets in front of a block's data.
pub fn data_header(block: u16) -> [u8; DATA_HEADER_LENGTH] {
    let ([a, b], [c, d]) = (opcode::DATA.to_be_bytes(), block.to_be_bytes());
    [a, b, c, d]
}

/// An ACK packet.
pub fn ack(block: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (opcode::ACK.to_be_bytes(), block.to_be_bytes());
    [a, b, c, d]
}

/// An ERROR packet; a long text is cut.
pub fn error(code: ErrorCode, text: &str) -> Vec<u8> {
    let mut packet = Vec::with_capacity(5 + text.len());
    packet.extend(opcode::ERROR.to_be_bytes());
    packet.extend((code as u16).to_be_bytes());
    packet.extend(text.bytes().filter(|&b| b != 0).take(ERROR_TEXT_MAX));
    packet.push(0);
    packet
}

/// An OACK packet with these options.
pub fn option_ack<'a>(options: impl IntoIterator<Item = (&'a [u8], u64)>) -> Vec<u8> {
    let mut packet = opcode::OACK.to_be_bytes().to_vec();
    for (name, value) in options {
        packet.extend(name);
        packet.push(0);
        packet.extend(value.to_string().bytes());
        packet.push(0);
    }
    packet
}

/// A read request, as `simulate` and the tests send it.
pub fn read_request(file_name: &str, options: &[(&str, &str)]) -> Vec<u8> {
    let mut packet = opcode::RRQ.to_be_bytes().to_vec();
    for text in [file_name, "octet"] {
        packet.extend(text.bytes());
        packet.push(0);
    }
    for (name, value) in options {
        for text in [name, value] {
            packet.extend(text.bytes());
            packet.push(0);
        }
    }
    packet
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(bytes: &[u8]) -> Request<'_> {
        match Packet::parse(bytes).unwrap() {
            Packet::Read(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_edk2s_request() {
        let bytes = b"\0\x01ipxe.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0";
        let request = request(bytes);
        assert_eq!(request.file_name, b"ipxe.efi");
        assert_eq!(request.mode, Mode::Octet);
        let pairs: Vec<_> = request.options.iter().map(|o| (o.name, o.value)).collect();
        assert_eq!(pairs, [(&b"tsize"[..], &b"0"[..]), (b"blksize", b"1468"), (b"windowsize", b"4")]);
    }

    #[test]
    fn tolerates_what_roms_send() {
        // No terminator behind the name: all of it is the name.
        let r = request(b"\0\x01pxelinux.0");
        assert_eq!((r.file_name, r.mode), (&b"pxelinux.0"[..], Mode::Octet));
        // No terminator behind the mode.
        assert_eq!(request(b"\0\x01a\0OCTET").mode, Mode::Octet);
        assert_eq!(request(b"\0\x01a\0NetASCII\0").mode, Mode::NetAscii);
        assert_eq!(request(b"\0\x01a\0mail\0").mode, Mode::Other);
        // Padding, a name without value, a second value.
        assert!(request(b"\0\x01a\0octet\0\0\0\0\0").options.is_empty());
        assert!(request(b"\0\x01a\0octet\0tsize\0").options.is_empty());
        let r = request(b"\0\x01a\0octet\0blksize\x00512\0BLKSIZE\x00600\0");
        assert_eq!(r.options.len(), 1);
        assert_eq!(r.options[0].value, b"512");
    }

    #[test]
    fn refuses_what_is_no_packet() {
        assert_eq!(Packet::parse(b""), Err(PacketError::Short));
        assert_eq!(Packet::parse(b"\0\x04\0"), Err(PacketError::Short));
        assert_eq!(Packet::parse(b"\0\x07\0\0"), Err(PacketError::Opcode(7)));
    }

    #[test]
    fn an_error_text_is_cut_and_terminated() {
        let packet = error(ErrorCode::NotFound, &"x".repeat(2000));
        assert_eq!(packet.len(), 516);
        let parsed = Packet::parse(&packet).unwrap();
        let Packet::Error { code: 1, text } = parsed else { panic!("{parsed:?}") };
        assert_eq!(text.len(), ERROR_TEXT_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Packet::parse(&bytes);
        }

        #[test]
        fn any_request_like_bytes_parse(operation in 0u8..8, tail in "[a-z0-9\\x00]{0,100}") {
            let mut bytes = vec![0, operation];
            bytes.extend(tail.bytes());
            if let Ok(Packet::Read(request) | Packet::Write(request)) = Packet::parse(&bytes) {
                prop_assert!(request.options.len() <= OPTIONS_MAX);
            }
        }

        #[test]
        fn what_is_written_is_read(block in any::<u16>(), name in "[a-z/]{1,40}", size in 8u32..65464) {
            let bytes = ack(block);
            prop_assert_eq!(Packet::parse(&bytes), Ok(Packet::Ack { block }));
            let size = size.to_string();
            let bytes = read_request(&name, &[("blksize", &size)]);
            let request = request(&bytes);
            prop_assert_eq!(request.file_name, name.as_bytes());
            prop_assert_eq!(request.options[0].value, size.as_bytes());
        }
    }
}
