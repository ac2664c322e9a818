use proptest::prelude::*;

use super::*;

const MAKES: [Make; 4] = [Make::Isc, Make::Kea, Make::Dnsmasq, Make::Windows];

fn plan(option_175: Option175) -> Plan {
    let loaders = [(Architecture::X86_BIOS, "undionly.kpxe"), (Architecture::X64_UEFI, "snponly.efi")];
    Plan::new(("10.0.0.2".parse().unwrap(), 80), loaders.into_iter(), option_175).unwrap()
}

#[test]
fn each_make_is_told_the_same() {
    for make in MAKES {
        let text = plan(Option175::Encapsulated).text(make, &["hello".into()]);
        let (loader, http) = ("loaders/snponly.efi", "http://10.0.0.2/loaders/snponly.efi");
        for part in ["hello\n", "http://10.0.0.2/boot", "loaders/undionly.kpxe", loader, http, "HTTPClient", "iPXE"] {
            assert!(text.contains(part), "{make:?} lacks {part}\n{text}");
        }
        assert!(!text.contains("Raspberry") && !text.contains("B827EB"), "{text}");
        let pi = plan(Option175::Encapsulated).with_raspberry_pi(true).text(make, &[]).to_lowercase();
        assert!(pi.contains("b827eb") || pi.contains("b8:27:eb"), "{pi}");
    }
}

#[test]
fn option_60_is_answered_to_http_boot_only() {
    for make in MAKES {
        let text = plan(Option175::Encapsulated).text(make, &[]);
        let sends = |line: &&str| line.contains("PXEClient") && !line.contains("elsif") && !line.contains("test");
        let sent: Vec<_> = text.lines().filter(sends).filter(|line| !line.contains("-Type Vendor")).collect();
        assert!(sent.is_empty(), "{make:?}: {sent:?}");
    }
}

#[test]
fn both_x64_types_and_the_http_variants_are_named() {
    let all = plan(Option175::Encapsulated);
    let codes: Vec<_> = all.choices.iter().map(|choice| (choice.name.as_str(), choice.codes.as_slice())).collect();
    assert_eq!(codes, [("x86-bios", &[0][..]), ("x64-uefi", &[7, 9]), ("x64-uefi-http", &[16, 17])]);
}

#[test]
fn option_175_has_one_of_two_forms() {
    let url = Plan::url_for_2pint("Boot.Example.COM", 8443).unwrap();
    assert_eq!(url, "https://boot.example.com:8443/");
    for make in MAKES {
        let as_url = plan(Option175::Url(url.clone())).text(make, &[]).to_lowercase();
        let as_options = plan(Option175::Encapsulated).text(make, &[]).to_lowercase();
        let octets = ["b0:01:01", "b00101", "encap:175,176,1b", "0xb0,0x01,0x01"];
        let has_octets = |text: &str| octets.iter().any(|octets| text.contains(octets));
        assert!(as_url.contains(&url) && !has_octets(&as_url), "{as_url}");
        assert!(!as_options.contains("https://") && has_octets(&as_options), "{as_options}");
    }
    assert!(Plan::url_for_2pint("a b", 1).is_err() && Plan::url_for_2pint("", 1).is_err());
}

#[test]
fn what_cannot_be_written_is_refused() {
    let http = ("10.0.0.2".parse().unwrap(), 80);
    let plan = |name| Plan::new(http, [(Architecture::X64_UEFI, name)].into_iter(), Option175::Encapsulated);
    assert_eq!(plan("a\"b.efi"), Err(Unfit::Loader("a\"b.efi".into())));
    assert_eq!(Plan::new(http, std::iter::empty(), Option175::Encapsulated), Err(Unfit::NoLoader));
}

proptest! {
    /// A name that is let through is found whole in every text, and quotes are still in pairs.
    #[test]
    fn no_name_leaves_its_string(name in "\\PC{1,20}", port in 1_u16..) {
        let loaders = [(Architecture::X64_UEFI, name.as_str())];
        let made = Plan::new(("10.0.0.2".parse().unwrap(), port), loaders.into_iter(), Option175::Encapsulated);
        for make in MAKES {
            let Ok(plan) = &made else { continue };
            let text = plan.text(make, &[]);
            let has_name = text.contains(&format!("loaders/{name}"));
            prop_assert!(has_name && text.matches('"').count() % 2 == 0);
        }
    }
}
