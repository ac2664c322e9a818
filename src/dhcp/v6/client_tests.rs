use super::super::packet::{MessageType, by_relay};
use super::super::sample::{self, MAC, SMBIOS_UUID};
use super::*;
use crate::boot::Architecture;

const LINK_LOCAL: &str = "fe80::5054:ff:fe77:1";
const LEASED: &str = "fd77::1be";

fn read(octets: &[u8], peer: &str) -> Result<Caller, NotACaller> {
    caller(&Packet::parse(octets).unwrap(), peer.parse().unwrap(), |_| None)
}

#[test]
fn edk2_is_known_by_its_address_class_and_architecture() {
    let caller = read(&sample::edk2_solicit(), LINK_LOCAL).unwrap();
    assert_eq!(caller.speaker, Speaker::Firmware);
    let client = caller.client;
    assert_eq!((client.hardware, client.architecture), (MAC.into(), Architecture::X64_UEFI));
    assert_eq!((client.undi, client.ipxe, client.machine_id), (Some((3, 0)), None, None));
    assert_eq!(client.vendor_class, "PXEClient:Arch:00007:UNDI:003000");
    let http = sample::edk2(MessageType::Solicit, &sample::EDK2_DUID, "HTTPClient:Arch:00016:UNDI:003000", 16);
    let caller = read(&http.finish(), LINK_LOCAL).unwrap();
    assert_eq!(caller.speaker, Speaker::HttpBoot);
    assert!(caller.client.is_http_boot());
    assert_eq!(caller.client.architecture, Architecture::X64_UEFI_HTTP);
}

#[test]
fn uuids_come_in_the_order_of_each_client() {
    let duid = [&[0, 4][..], &SMBIOS_UUID].concat();
    let edk2 = sample::edk2(MessageType::Solicit, &duid, "PXEClient:Arch:00007:UNDI:003000", 7).finish();
    let canonical = "00112233-4455-6677-8899-aabbccddeeff";
    for octets in [edk2, sample::ipxe(MessageType::InformationRequest)] {
        let caller = read(&octets, LINK_LOCAL).unwrap();
        assert_eq!(caller.client.uuid().unwrap().to_string(), canonical);
        assert_eq!(caller.client.hardware, MAC.into());
    }
}

#[test]
fn the_hardware_address_has_its_sources_in_order() {
    let uuid = [&[0, 4][..], &SMBIOS_UUID].concat();
    let solicit = sample::edk2(MessageType::Solicit, &uuid, "PXEClient:Arch:00007", 7).finish();
    let seen = [2, 0, 0, 0, 0, 9];
    let of = |octets: &[u8], peer: &str, remembered: Option<[u8; 6]>| {
        let packet = Packet::parse(octets).unwrap();
        let remembered = remembered.map(HardwareAddress::from);
        caller(&packet, peer.parse().unwrap(), |_| remembered).unwrap().client.hardware
    };
    // The relay agent's word is better than an address that the client made.
    let (link, peer) = ("fd01::1".parse().unwrap(), LINK_LOCAL.parse().unwrap());
    let option = [&[0, 1][..], &seen].concat();
    let relayed = by_relay(link, peer, &[(code::CLIENT_LINK_LAYER_ADDRESS, &option)], &solicit);
    assert_eq!(of(&relayed, "fd01::1", None), seen.into());
    // Without it the client's address that the agent saw, not the agent's own.
    let relayed = by_relay(link, peer, &[], &solicit);
    assert_eq!(of(&relayed, "fe80::ff:fe00:5", None), MAC.into());
    // On 4011 the address was given by a server: only memory knows the machine of a UUID.
    assert_eq!(of(&solicit, LEASED, Some(MAC)), MAC.into());
    assert_eq!(of(&solicit, LEASED, None), HardwareAddress::new(&SMBIOS_UUID).unwrap());
    // The DUID of a card, which may be another one than that which boots.
    assert_eq!(of(&sample::edk2_solicit(), LEASED, None), MAC.into());
    assert_eq!(of(&sample::edk2_solicit(), "fe80::ff:fe00:5", None), [2, 0, 0, 0, 0, 5].into());
}

#[test]
fn ipxe_is_known_by_its_user_class() {
    for list in [&b"\0\x04iPXE"[..], b"iPXE", b"\0\x04gPXE\0\x01x"] {
        assert!(matches!(user_class(list), b"iPXE" | b"gPXE"), "{list:?}");
    }
    let caller = read(&sample::ipxe(MessageType::Solicit), LINK_LOCAL).unwrap();
    assert_eq!(caller.speaker, Speaker::Ipxe);
    assert_eq!(caller.client.user_class, "iPXE");
    assert!(caller.client.is_ipxe());
}

#[test]
fn others_are_no_boot_clients() {
    let other = |class: &str| sample::edk2(MessageType::Solicit, &sample::EDK2_DUID, class, 7).finish();
    assert_eq!(read(&other("MSFT 5.0"), LINK_LOCAL).err(), Some(NotACaller::VendorClass));
    // EDK2's own network stack asks for an address before anybody boots.
    let mut plain = super::super::packet::Writer::new(MessageType::Solicit, 1);
    plain.option(code::CLIENT_ID, &sample::EDK2_DUID);
    assert_eq!(read(&plain.finish(), LINK_LOCAL).err(), Some(NotACaller::VendorClass));
    for duid in [&[][..], &[0, 4], &[1; 131]] {
        let octets = sample::edk2(MessageType::Solicit, duid, "PXEClient", 7).finish();
        assert_eq!(read(&octets, LINK_LOCAL).err(), Some(NotACaller::Identity), "{duid:?}");
    }
}

#[test]
fn the_enterprise_is_intel() {
    let mut writer = super::super::packet::Writer::new(MessageType::Solicit, 1);
    writer.option(code::CLIENT_ID, &sample::EDK2_DUID);
    writer.option(code::VENDOR_CLASS, &[&9_u32.to_be_bytes()[..], &[0, 9], b"PXEClient"].concat());
    assert_eq!(read(&writer.finish(), LINK_LOCAL).err(), Some(NotACaller::VendorClass));
}
