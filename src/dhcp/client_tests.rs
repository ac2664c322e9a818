use super::super::sample::*;
use super::*;

fn client_of(sample: &Sample) -> Client {
    caller(&sample.message()).unwrap().client
}

#[test]
fn without_option_93_the_architecture_is_that_of_option_60() {
    assert_eq!(client_of(&discover(7).without(93)).architecture, Architecture::X64_UEFI);
    assert_eq!(client_of(&discover(7).without(93).with(60, b"PXEClient")).architecture, Architecture::X86_BIOS);
    for class in ["PXEClient:Arch:", "PXEClient:Arch:x", "PXEClient:Arch:70000:UNDI", "PXEClient:Arch"] {
        assert_eq!(client_of(&discover(7).without(93).with(60, class.as_bytes())).architecture.code(), 0, "{class}");
    }
}

#[test]
fn an_option_93_of_wrong_length_is_left_out_and_hides_nothing() {
    for value in [&[][..], &[0], &[0, 9, 0]] {
        let client = client_of(&discover(11).with(93, value).with(94, &[1, 3, 0]));
        assert_eq!(client.architecture, Architecture::ARM64_UEFI, "{value:?}");
        assert_eq!(client.undi, Some((3, 0)));
        assert!(client.vendor_class.starts_with("PXEClient:Arch:00011"));
    }
}

#[test]
fn the_first_of_several_architectures_counts() {
    assert_eq!(client_of(&discover(0).with(93, &[0, 7, 0, 9])).architecture, Architecture::X64_UEFI);
}

#[test]
fn architecture_9_runs_x64_files() {
    assert_eq!(client_of(&discover(9)).architecture.machine(), Architecture::X64_UEFI);
}

#[test]
fn a_user_class_is_read_in_both_forms() {
    for value in [&b"iPXE"[..], b"\x04iPXE", b"gPXE", b"\x04iPXE\x03lab"] {
        assert_eq!(caller(&discover(7).with(77, value).message()).unwrap().speaker, Speaker::Ipxe, "{value:?}");
    }
    for value in [&b""[..], b"\x00", b"\x05iPXE", b"iPX", b"\x03lab\x04iPXE"] {
        assert_eq!(caller(&discover(7).with(77, value).message()).unwrap().speaker, Speaker::Firmware, "{value:?}");
    }
    assert_eq!(client_of(&discover(7).with(77, b"\x03lab")).user_class, "lab");
    assert_eq!(client_of(&discover(7).with(77, b"lab")).user_class, "lab");
}

#[test]
fn option_175_tells_ipxe_without_a_user_class() {
    let build = client_of(&ipxe_discover().without(77)).ipxe.unwrap();
    assert_eq!(build.version, Some((2, 0, 0)));
    assert!(build.has("http") && build.has("https") && !build.has("nfs"));
    let priority_only = discover(7).with(175, &[1, 1, 1]);
    assert_eq!(caller(&priority_only.message()).unwrap().speaker, Speaker::Firmware);
}

#[test]
fn text_becomes_printable() {
    let client = client_of(&discover(7).with(60, b"PXEClient\x00\n${x}\xff").with(12, b"lab-\x1b[31m07\r\n"));
    assert_eq!(client.vendor_class, "PXEClient${x}");
    assert_eq!(client.hostname, "lab-[31m07");
}

#[test]
fn relay_information_needs_a_relay() {
    assert_eq!(relay(&discover(7).with(82, &[1, 1, 7]).message()), None);
    assert!(relay_names_its_port(&discover(7).with(82, &[1, 1, 7, 19, 0]).message()));
    assert!(!relay_names_its_port(&discover(7).with(82, &[1, 2, 19, 0]).message()));
}
