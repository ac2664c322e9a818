//! Packets for the tests of this module, made option by option.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::packet::{Header, Message, MessageType, Operation, Writer, code};
use super::question::{Asked, Dropped, Port, ask};
use super::reply::{NoReply, Reply, ReplyContext, Styles, Told, Treatment, reply};

pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(super) const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
pub(super) const FILE: &str = "b/token/loader";
pub(super) const URL: &str = "http://10.0.0.2/b/token/boot.ipxe";
/// `00112233-4455-6677-8899-aabbccddeeff` as option 97 carries it.
pub(super) const MACHINE_ID: [u8; 17] =
    [0, 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

/// A client's packet.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) header: Header,
    pub(super) options: Vec<(u8, Vec<u8>)>,
    pub(super) port: Port,
    pub(super) peer: SocketAddrV4,
}

pub(super) fn sample(message_type: MessageType) -> Sample {
    let mut chaddr = [0; 16];
    chaddr[..6].copy_from_slice(&MAC);
    let zero = Ipv4Addr::UNSPECIFIED;
    let header = Header {
        op: Operation::Request,
        htype: 1,
        hlen: 6,
        hops: 3,
        xid: 0x1234_5678,
        secs: 4,
        flags: 0,
        ciaddr: zero,
        yiaddr: zero,
        siaddr: zero,
        giaddr: zero,
        chaddr,
    };
    let options = vec![(code::MESSAGE_TYPE, vec![message_type.code()])];
    Sample { header, options, port: Port::Dhcp, peer: SocketAddrV4::new(zero, 68) }
}

/// A DISCOVER of PXE firmware with this architecture.
pub(super) fn discover(architecture: u16) -> Sample {
    let class = format!("PXEClient:Arch:{architecture:05}:UNDI:003000");
    sample(MessageType::Discover)
        .with(code::VENDOR_CLASS, class.as_bytes())
        .with(code::ARCHITECTURE, &architecture.to_be_bytes())
        .with(code::MAXIMUM_MESSAGE_SIZE, &1472u16.to_be_bytes())
}

/// A DISCOVER of iPXE 2.0.0 for UEFI.
pub(super) fn ipxe_discover() -> Sample {
    discover(7).with(code::USER_CLASS, b"iPXE").with(code::IPXE, &[0xeb, 3, 2, 0, 0, 0x13, 1, 1, 0x14, 1, 1])
}

/// A REQUEST of UEFI PXE to the boot server.
pub(super) fn boot_server_request() -> Sample {
    let mut sample = discover(7).with(code::MESSAGE_TYPE, &[MessageType::Request.code()]);
    sample.header.ciaddr = Ipv4Addr::new(10, 0, 0, 50);
    sample.port = Port::BootServer;
    sample.peer = "10.0.0.50:4011".parse().unwrap();
    sample
}

impl Sample {
    /// Sets an option in place, or adds it.
    pub(super) fn with(mut self, code: u8, value: &[u8]) -> Sample {
        match self.options.iter_mut().find(|(known, _)| *known == code) {
            Some((_, old)) => *old = value.to_vec(),
            None => self.options.push((code, value.to_vec())),
        }
        self
    }

    pub(super) fn without(mut self, code: u8) -> Sample {
        self.options.retain(|(known, _)| *known != code);
        self
    }

    pub(super) fn header(mut self, change: impl FnOnce(&mut Header)) -> Sample {
        change(&mut self.header);
        self
    }

    pub(super) fn from(mut self, peer: &str) -> Sample {
        self.peer = peer.parse().unwrap();
        self
    }

    pub(super) fn octets(&self) -> Vec<u8> {
        let mut writer = Writer::new(&self.header, &[]);
        for (code, value) in &self.options {
            writer.option(*code, value);
        }
        writer.finish()
    }

    pub(super) fn message(&self) -> Message {
        Message::parse(&self.octets()).unwrap()
    }

    pub(super) fn ask(&self) -> Result<Asked, Dropped> {
        ask(self.message(), self.port, self.peer, |address| address == SERVER)
    }

    /// The answer with this file, as it would be sent.
    pub(super) fn try_answer(&self, file: &str) -> Result<Answered, NoReply> {
        self.answer_with(|context| context.told = Told::File(file))
    }

    pub(super) fn answer_with<'a>(&self, change: impl FnOnce(&mut ReplyContext<'a>)) -> Result<Answered, NoReply> {
        let asked = self.ask().unwrap();
        let style = Styles::default().of(asked.caller.client.architecture);
        let usual: &'static Treatment = Box::leak(Box::default());
        let mut context =
            ReplyContext { server: SERVER, next_server: None, told: Told::File(FILE), style, treatment: usual };
        change(&mut context);
        Ok(Answered::read(reply(&asked, &context)?))
    }

    pub(super) fn answer(&self, file: &str) -> Answered {
        self.try_answer(file).unwrap()
    }
}

/// A reply, read by a reader of its own: a walk that knows nothing of [`super::packet`].
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) options: Vec<(u8, Vec<u8>)>,
}

impl Answered {
    fn read(reply: Reply) -> Answered {
        let octets = &reply.octets;
        assert_eq!(octets[236..240], [0x63, 0x82, 0x53, 0x63], "magic cookie");
        let mut options = Vec::new();
        let mut at = 240;
        while octets[at] != 255 {
            if octets[at] == 0 {
                at += 1;
                continue;
            }
            let length = usize::from(octets[at + 1]);
            options.push((octets[at], octets[at + 2..at + 2 + length].to_vec()));
            at += 2 + length;
        }
        assert!(octets[at + 1..].iter().all(|octet| *octet == 0), "nothing but padding behind END");
        let mut codes: Vec<u8> = options.iter().map(|(code, _)| *code).collect();
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "no option twice");
        Answered { reply, options }
    }

    pub(super) fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    pub(super) fn codes(&self) -> Vec<u8> {
        self.options.iter().map(|(code, _)| *code).collect()
    }

    pub(super) fn octets(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.reply.octets[range]
    }

    /// `file`, up to its NUL.
    pub(super) fn file(&self) -> &str {
        let field = self.octets(108..236);
        let end = field.iter().position(|octet| *octet == 0).expect("a NUL in `file`");
        str::from_utf8(&field[..end]).unwrap()
    }

    pub(super) fn destination(&self) -> String {
        self.reply.destination.to_string()
    }
}
