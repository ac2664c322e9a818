//! Writes DHCP packets: options stay in the order in which they are given, because boot ROMs were written against servers
//! that have option 53 first and the boot file late.
//!
//! **Invariant**: octets only; which options, and whether the packet fits its receiver, is the caller's matter.

use super::packet::{COOKIE, FILE, FILE_LEN_MAX, Header, Operation, REPLY_LEN_DEFAULT, REPLY_LEN_MIN, code};

/// Writes a packet: the header, then options in the order in which they are given.
#[derive(Debug)]
pub struct Writer {
    octets: Vec<u8>,
}

impl Writer {
    /// Begins a packet. `file` is cut at [`FILE_LEN_MAX`]; `sname` stays empty.
    pub fn new(header: &Header, file: &[u8]) -> Writer {
        let mut octets = Vec::with_capacity(REPLY_LEN_DEFAULT);
        octets.extend_from_slice(&[
            match header.op {
                Operation::Request => 1,
                Operation::Reply => 2,
            },
            header.htype,
            header.hlen,
            header.hops,
        ]);
        octets.extend_from_slice(&header.xid.to_be_bytes());
        octets.extend_from_slice(&header.secs.to_be_bytes());
        octets.extend_from_slice(&header.flags.to_be_bytes());
        for address in [header.ciaddr, header.yiaddr, header.siaddr, header.giaddr] {
            octets.extend_from_slice(&address.octets());
        }
        octets.extend_from_slice(&header.chaddr);
        octets.resize(FILE.start, 0);
        octets.extend_from_slice(file.get(..FILE_LEN_MAX).unwrap_or(file));
        octets.resize(FILE.end, 0);
        octets.extend_from_slice(&COOKIE);
        Writer { octets }
    }

    /// Adds an option. Boot clients read only the first fragment, so that a value above 255 octets is for servers.
    pub fn option(&mut self, code: u8, value: &[u8]) -> &mut Writer {
        let (first, rest) = value.split_at(value.len().min(usize::from(u8::MAX)));
        for fragment in std::iter::once(first).chain(rest.chunks(usize::from(u8::MAX))) {
            self.octets.extend_from_slice(&[code, fragment.len() as u8]);
            self.octets.extend_from_slice(fragment);
        }
        self
    }

    /// Adds a pad octet.
    pub fn pad(&mut self) -> &mut Writer {
        self.octets.push(code::PAD);
        self
    }

    /// The octets, with END and padded to [`REPLY_LEN_MIN`].
    pub fn finish(mut self) -> Vec<u8> {
        self.octets.push(code::END);
        if self.octets.len() < REPLY_LEN_MIN {
            self.octets.resize(REPLY_LEN_MIN, 0);
        }
        self.octets
    }
}
