//! Messages as real clients send them.

use super::packet::{MessageType, Writer, code};

pub(super) const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x77, 0x00, 0x01];
/// What EDK2 (OVMF 2022.11) makes of its network card where the machine has no UUID: DUID-LLT.
pub(super) const EDK2_DUID: [u8; 14] = [0, 1, 0, 1, 0x31, 0xda, 0xec, 0xee, 0x52, 0x54, 0, 0x77, 0, 1];
/// `00112233-4455-6677-8899-aabbccddeeff` as SMBIOS has it.
pub(super) const SMBIOS_UUID: [u8; 16] =
    [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

/// Intel's vendor class with this text.
pub(super) fn vendor_class(text: &str) -> Vec<u8> {
    [&343_u32.to_be_bytes()[..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// EDK2's message of this type, with this DUID and vendor class.
pub(super) fn edk2(message_type: MessageType, duid: &[u8], class: &str, architecture: u8) -> Writer {
    let mut writer = Writer::new(message_type, 0x00a2_ea2a);
    writer.option(code::CLIENT_ID, duid);
    writer.option(code::ELAPSED_TIME, &[0, 0]);
    if message_type == MessageType::Solicit {
        writer.option(code::IA_NA, &[0x77, 0x2d, 0x7f, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255]);
    }
    writer.option(6, &[0, 59, 0, 60, 0, 23, 0, 16]);
    writer.option(code::NETWORK_INTERFACE, &[1, 3, 0]);
    writer.option(code::ARCHITECTURE, &[0, architecture]);
    writer.option(code::VENDOR_CLASS, &vendor_class(class));
    writer
}

/// The SOLICIT of UEFI PXE.
pub(super) fn edk2_solicit() -> Vec<u8> {
    edk2(MessageType::Solicit, &EDK2_DUID, "PXEClient:Arch:00007:UNDI:003000", 7).finish()
}

/// iPXE's message of this type.
pub(super) fn ipxe(message_type: MessageType) -> Vec<u8> {
    let uuid = [0, 4, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    let mut writer = Writer::new(message_type, 0x0001_0203);
    writer.option(code::CLIENT_ID, &uuid);
    if message_type == MessageType::Solicit {
        writer.option(code::IA_NA, &[0; 12]);
    }
    writer.option(6, &[0, 23, 0, 24, 0, 59, 0, 60]);
    writer.option(code::VENDOR_CLASS, &vendor_class("PXEClient:Arch:00007:UNDI:003010"));
    writer.option(code::ARCHITECTURE, &[0, 7]);
    writer.option(code::NETWORK_INTERFACE, &[1, 3, 16]);
    writer.option(code::USER_CLASS, &[0, 4, b'i', b'P', b'X', b'E']);
    writer.option(code::ELAPSED_TIME, &[0, 0]);
    writer.finish()
}
