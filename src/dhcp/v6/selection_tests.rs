use proptest::prelude::*;

use super::super::packet::{MessageType, Packet, Writer};
use super::super::sample::vendor_class;
use super::*;

const PROXY_URL: &str = "tftp://[fd77::2]/b/t/snponly.efi";

/// An ADVERTISE with these options.
fn offer(options: &[(u16, &[u8])]) -> Offer6 {
    let mut writer = Writer::new(MessageType::Advertise, 7);
    writer.option(code::SERVER_ID, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]);
    for (code, value) in options {
        writer.option(*code, value);
    }
    Offer6 { sender: "fe80::1".parse().unwrap(), message: Packet::parse(&writer.finish()).unwrap().message }
}

fn identity_association() -> Vec<u8> {
    let address: Ipv6Addr = "fd77::1be".parse().unwrap();
    [&[0; 12][..], &[0, 5, 0, 24], &address.octets(), &[0; 8]].concat()
}

fn lease(more: &[(u16, &[u8])]) -> Offer6 {
    let ia = identity_association();
    offer(&[&[(code::IA_NA, ia.as_slice())], more].concat())
}

fn proxy(class: &str, url: &str) -> Offer6 {
    offer(&[(code::BOOT_FILE_URL, url.as_bytes()), (code::VENDOR_CLASS, &vendor_class(class))])
}

fn load(url: &str) -> Step6 {
    Step6::Load { url: url.to_owned() }
}

#[test]
fn uefi_takes_the_address_of_one_and_asks_the_other() {
    let ask = Step6::AskBootServer { server: "fd77::2".parse().unwrap() };
    let both = [lease(&[]), proxy("PXEClient", PROXY_URL)];
    assert_eq!(select(Taker::Uefi, &both), Choice6 { lease: Some(0), boot: Some(1), step: ask.clone() });
    // A server that gives addresses and says `PXEClient` is asked itself, whoever else answers.
    let class = vendor_class("PXEClient:x");
    let whole = lease(&[(code::VENDOR_CLASS, &class), (code::BOOT_FILE_URL, PROXY_URL.as_bytes())]);
    let choice = select(Taker::Uefi, &[both[0].clone(), both[1].clone(), whole]);
    assert_eq!((choice.lease, choice.boot), (Some(2), Some(2)));
    // One that only names a URL is taken at its word, where nobody else says anything.
    let named = lease(&[(code::BOOT_FILE_URL, b"tftp://[fd77::9]/x.efi")]);
    assert_eq!(select(Taker::Uefi, &[named]).step, load("tftp://[fd77::9]/x.efi"));
    assert_eq!(select(Taker::Uefi, &[lease(&[])]).step, Step6::Fail { code: "PXE-E16" });
    assert_eq!(select(Taker::Uefi, &both[1..]).step, Step6::Fail { code: "PXE-E16" });
    assert_eq!(after_boot_server(both.get(1)), load(PROXY_URL));
    assert_eq!(after_boot_server(None), Step6::Fail { code: "PXE-E18" });
    let named = select(Taker::Uefi, &[lease(&[]), proxy("PXEClient", "tftp://boot.example/x")]);
    assert!(matches!(named.step, Step6::Fail { .. }), "{named:?}");
}

#[test]
fn a_preference_of_255_ends_the_listening() {
    let hasty = lease(&[(code::PREFERENCE, &[255])]);
    let choice = select(Taker::Uefi, &[hasty, proxy("PXEClient", PROXY_URL)]);
    assert_eq!((choice.lease, choice.boot), (Some(0), None));
}

#[test]
fn http_boot_takes_urls_that_say_so() {
    let url = "http://[fd77::2]/b/t/snponly.efi";
    let both = [lease(&[]), proxy("HTTPClient", url)];
    assert_eq!(select(Taker::Http, &both).step, load(url));
    assert_eq!(select(Taker::Http, &[lease(&[]), proxy("PXEClient", url)]).boot, None);
    // A host name needs a DNS server.
    let name = proxy("HTTPClient", "https://boot.example/x");
    assert_eq!(select(Taker::Http, &[lease(&[]), name.clone()]).boot, None);
    let dns = lease(&[(code::DNS_SERVERS, &[0; 16])]);
    assert_eq!(select(Taker::Http, &[dns, name]).boot, Some(1));
}

#[test]
fn ipxe_takes_everything_from_one() {
    let both = [proxy("PXEClient", PROXY_URL), lease(&[])];
    let choice = select(Taker::Ipxe, &both);
    assert_eq!((choice.lease, choice.boot), (Some(1), None));
    assert_eq!(select(Taker::Ipxe, &[lease(&[(code::BOOT_FILE_URL, b"http://x/")])]).step, load("http://x/"));
    // By INFORMATION-REQUEST nobody gives an address.
    let choice = select(Taker::Ipxe, &both[..1]);
    assert_eq!((choice.lease, choice.boot), (None, Some(0)));
    assert!(matches!(select(Taker::Ipxe, &[]).step, Step6::Fail { .. }));
}

#[test]
fn a_server_without_addresses_gives_none() {
    let ia = [&identity_association()[..], &[0, 13, 0, 6, 0, 2, b'n', b'o', b'n', b'e']].concat();
    let none = offer(&[(code::IA_NA, &ia)]);
    assert_eq!((none.address(), none.refusal()), (None, Some((2, "none".into()))));
    let whole = offer(&[(code::STATUS_CODE, &[0, 2])]);
    assert_eq!((whole.address(), whole.refusal()), (None, Some((2, String::new()))));
    assert_eq!(lease(&[]).refusal(), None);
    for ia in [&[][..], &[0; 12], &[0; 14]] {
        assert_eq!(offer(&[(code::IA_NA, ia)]).address(), None);
    }
}

proptest! {
    #[test]
    fn any_values_are_read_and_chosen_from(
        values in proptest::collection::vec((0_usize..6, proptest::collection::vec(any::<u8>(), 0..60)), 0..8),
    ) {
        let codes = [code::IA_NA, code::STATUS_CODE, code::BOOT_FILE_URL, code::VENDOR_CLASS, code::PREFERENCE, code::DNS_SERVERS];
        let options: Vec<(u16, &[u8])> = values.iter().map(|(at, value)| (codes[*at], value.as_slice())).collect();
        let offers: Vec<Offer6> = options.chunks(3).map(offer).collect();
        for offer in &offers {
            prop_assert!(offer.url().unwrap_or_default().bytes().all(|octet| matches!(octet, b' '..=b'~')));
            let _ = (offer.address(), offer.refusal());
        }
        for taker in [Taker::Uefi, Taker::Http, Taker::Ipxe] {
            let choice = select(taker, &offers);
            prop_assert!(choice.lease.into_iter().chain(choice.boot).all(|at| at < offers.len()));
        }
    }
}
