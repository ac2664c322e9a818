use proptest::prelude::*;

use super::*;

fn menu(items: usize, text_len: usize) -> VendorOptions {
    let item = MenuItem { kind: 0x8000, text: "x".repeat(text_len) };
    VendorOptions {
        discovery_control: Some(DiscoveryControl(3)),
        boot_servers: vec![BootServers { kind: 0x8000, addresses: vec![Ipv4Addr::new(10, 0, 0, 2)] }],
        menu: vec![item; items],
        prompt: Some(MenuPrompt { timeout_s: 5, text: "Boot".to_owned() }),
        ..VendorOptions::default()
    }
}

fn control(bits: u8) -> VendorOptions {
    VendorOptions { discovery_control: Some(DiscoveryControl(bits)), ..VendorOptions::default() }
}

#[test]
fn discovery_without_bit_3_and_without_menu_is_refused() {
    for bits in [0, 1, 2, 3] {
        assert_eq!(control(bits).encode(), Err(VendorOptionsError::NoMenu(bits)));
    }
    assert_eq!(control(8).encode().as_deref(), Ok(&VendorOptions::USE_BOOT_FILE[..]));
}

#[test]
fn bit_2_without_a_server_list_is_refused() {
    for bits in [4, 7, 12, 15] {
        assert_eq!(control(bits).encode(), Err(VendorOptionsError::NoBootServers(bits)));
    }
}

#[test]
fn a_server_list_beside_bit_3_is_warned_of() {
    let mut options = menu(1, 4);
    assert_eq!(options.lint(), Ok(vec![]));
    options.discovery_control = Some(DiscoveryControl::USE_BOOT_FILE);
    let warning = VendorOptionsWarning::ListBecomesTftpServer(Ipv4Addr::new(10, 0, 0, 2));
    assert_eq!(options.lint(), Ok(vec![warning]));
}

#[test]
fn a_menu_that_fits_no_option_is_refused() {
    assert!(menu(24, 4).encode().is_ok());
    assert_eq!(menu(25, 4).encode(), Err(VendorOptionsError::Items(25)));
    assert_eq!(menu(24, 10).encode(), Err(VendorOptionsError::Length(9 + 2 + 24 * 13 + 7)));
    // 9 for the servers, 7 for the prompt, 2 + 3 before the text.
    assert!(menu(1, 253 - 21).encode().is_ok());
    assert_eq!(menu(1, 254 - 21).encode(), Err(VendorOptionsError::Length(254)));
}

#[test]
fn reads_a_menu_and_a_boot_item_of_the_wire() {
    let octets = [
        &[0, 6, 1, 3, 7, 4, 224, 0, 1, 2][..],
        &[8, 12, 0x80, 0, 1, 10, 0, 0, 2, 0x80, 1, 0, 0, 0],
        &[9, 8, 0x80, 0, 5, b'L', b'i', b'n', b'u', b'x'],
        &[10, 3, 255, b'O', b'K', 71, 4, 0x80, 1, 0x80, 0, 255, 6, 1, 99],
    ]
    .concat();
    let read = VendorOptions::decode(&octets);
    assert_eq!(read.discovery_control, Some(DiscoveryControl(3)));
    assert_eq!(read.multicast_address, Some(Ipv4Addr::new(224, 0, 1, 2)));
    assert_eq!(
        read.boot_servers,
        [
            BootServers { kind: 0x8000, addresses: vec![Ipv4Addr::new(10, 0, 0, 2)] },
            BootServers { kind: 0x8001, addresses: vec![] }
        ]
    );
    assert_eq!(read.menu, [MenuItem { kind: 0x8000, text: "Linux".to_owned() }]);
    assert_eq!(read.prompt, Some(MenuPrompt { timeout_s: 255, text: "OK".to_owned() }));
    assert_eq!(read.boot_item, Some(BootItem { kind: 0x8001, layer: 0x8000 }));
}

#[test]
fn reads_what_ipxe_says_of_itself() {
    let octets = [0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0x00, 0xeb, 3, 2, 0, 0, 0x17, 1, 1, 0x27, 1, 1, 0x14, 1, 0, 0x99, 1, 1];
    let build = decode_ipxe_build(&octets).unwrap();
    assert_eq!(build.nic, Some(NicBus { bus: 1, vendor: 0x1af4, device: 0x1000 }));
    assert_eq!(build.version, Some((2, 0, 0)));
    assert_eq!(build.features.iter().copied().collect::<Vec<_>>(), ["dns", "menu"]);
    assert_eq!(decode_ipxe_build(&[1, 1, 1]), None);
    assert_eq!(decode_ipxe_build(&[]), None);
}

#[test]
fn no_pxedhcp_is_seen() {
    assert!(says_no_pxedhcp(&[1, 1, 1, 176, 1, 1]));
    assert!(!says_no_pxedhcp(&[1, 1, 1, 176, 1, 0]));
    assert!(!says_no_pxedhcp(&[1, 2, 176, 1, 1]));
}

fn vendor_options() -> impl Strategy<Value = VendorOptions> {
    let servers = proptest::collection::vec(
        (any::<u16>(), proptest::collection::vec(any::<Ipv4Addr>(), 0..4))
            .prop_map(|(kind, addresses)| BootServers { kind, addresses }),
        0..4,
    );
    let item = (any::<u16>(), "[ -~]{0,12}").prop_map(|(kind, text)| MenuItem { kind, text });
    let prompt = (any::<u8>(), "[ -~]{0,20}").prop_map(|(timeout_s, text)| MenuPrompt { timeout_s, text });
    let boot_item = (any::<u16>(), any::<u16>()).prop_map(|(kind, layer)| BootItem { kind, layer });
    (
        proptest::option::of(any::<u8>().prop_map(DiscoveryControl)),
        proptest::option::of(any::<Ipv4Addr>()),
        servers,
        proptest::collection::vec(item, 0..8),
        proptest::option::of(prompt),
        proptest::option::of(boot_item),
    )
        .prop_map(|(discovery_control, multicast_address, boot_servers, menu, prompt, boot_item)| VendorOptions {
            discovery_control,
            multicast_address,
            boot_servers,
            menu,
            prompt,
            boot_item,
        })
}

proptest! {
    #[test]
    fn reads_what_it_writes(options in vendor_options()) {
        if let Ok(octets) = options.encode() {
            prop_assert_eq!(VendorOptions::decode(&octets), options);
        }
    }

    #[test]
    fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = VendorOptions::decode(&octets);
        let _ = decode_ipxe_build(&octets);
        let _ = says_no_pxedhcp(&octets);
    }
}
