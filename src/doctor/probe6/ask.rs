//! The packets of the probe: as EDK2 and iPXE write theirs.
//!
//! **Invariant**: SOLICIT without rapid commit and INFORMATION-REQUEST to DHCPv6 servers, REQUEST to boot servers on port
//! 4011 only: nothing that takes an address.

use std::time::Duration;

use super::Probe6;
use crate::dhcp::offer::Taker;
use crate::dhcp::v6::client::ENTERPRISE;
use crate::dhcp::v6::packet::{MessageType, Writer, code};

/// What clients ask for: boot data and DNS servers.
const WANTED: [u16; 4] = [code::BOOT_FILE_URL, code::BOOT_FILE_PARAMETERS, code::VENDOR_CLASS, code::DNS_SERVERS];
/// The client has one address to ask for.
const IDENTITY: [u8; 12] = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

/// SOLICIT or INFORMATION-REQUEST, for which the client has been trying for `elapsed`.
pub(super) fn question(probe: &Probe6, question: MessageType, xid: u32, elapsed: Duration) -> Vec<u8> {
    let mut writer = Writer::new(question, xid);
    client_id(probe, &mut writer);
    if question == MessageType::Solicit {
        writer.option(code::IA_NA, &IDENTITY);
    }
    let hundredths = u16::try_from(elapsed.as_millis() / 10).unwrap_or(u16::MAX);
    writer.option(code::ELAPSED_TIME, &hundredths.to_be_bytes());
    client_options(probe, &mut writer);
    writer.finish()
}

/// The question to a boot server, whose DUID it repeats.
pub(super) fn boot_server_request(probe: &Probe6, xid: u32, server_id: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(MessageType::Request, xid);
    writer.option(code::SERVER_ID, server_id);
    client_id(probe, &mut writer);
    writer.option(code::ELAPSED_TIME, &[0, 0]);
    client_options(probe, &mut writer);
    writer.finish()
}

/// A DUID that is the machine's UUID (RFC 6355), in the order of each client.
fn client_id(probe: &Probe6, writer: &mut Writer) {
    let uuid = if probe.taker == Taker::Ipxe { *probe.uuid.as_bytes() } else { probe.uuid.to_bytes_le() };
    writer.option(code::CLIENT_ID, &[&[0, 4][..], &uuid].concat());
}

fn client_options(probe: &Probe6, writer: &mut Writer) {
    writer.option(code::OPTION_REQUEST, &WANTED.map(u16::to_be_bytes).concat());
    writer.option(code::NETWORK_INTERFACE, &[1, 3, 0]);
    let architecture = probe.architecture.code();
    writer.option(code::ARCHITECTURE, &architecture.to_be_bytes());
    let class = if probe.taker == Taker::Http { "HTTPClient" } else { "PXEClient" };
    let class = format!("{class}:Arch:{architecture:05}:UNDI:003000");
    let length = (class.len() as u16).to_be_bytes();
    writer.option(code::VENDOR_CLASS, &[&ENTERPRISE.to_be_bytes()[..], &length, class.as_bytes()].concat());
    if probe.taker == Taker::Ipxe {
        writer.option(code::USER_CLASS, b"\0\x04iPXE");
    }
}
