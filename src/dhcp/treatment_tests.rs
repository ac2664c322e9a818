//! What is written for clients that are treated apart from the usual.

use super::super::sample::*;
use super::*;

fn treated(request: Sample, file: &str, treatment: &Treatment) -> Answered {
    let treatment: &'static Treatment = Box::leak(Box::new(treatment.clone()));
    let file: &'static str = Box::leak(file.to_owned().into_boxed_str());
    request.answer_with(|context| (context.told, context.treatment) = (Told::File(file), treatment)).unwrap()
}

#[test]
fn the_file_stands_in_option_67_too_with_a_nul() {
    let both = Treatment { file_option: true, ..Treatment::default() };
    let offer = treated(discover(0), FILE, &both);
    assert_eq!((offer.file(), offer.option(67)), (FILE, Some(&[FILE.as_bytes(), &[0]].concat()[..])));
    let acknowledged = treated(boot_server_request().with(82, &[1, 1, 7]), FILE, &both);
    assert_eq!(acknowledged.codes(), [53, 54, 60, 67, 82], "late, and before the relay's words");
    assert_eq!(treated(discover(0), FILE, &Treatment::default()).option(67), None);
}

/// Row A2 of the systems page: where port 4011 is not served, UEFI needs no second step, whatever its style.
#[test]
fn without_port_4011_the_answer_on_67_is_whole() {
    let whole = Treatment { is_whole: true, ..Treatment::default() };
    for code in [0, 6, 7, 9, 11] {
        let offer = treated(discover(code), FILE, &whole);
        assert_eq!((offer.file(), offer.option(43)), (FILE, Some(&[6, 1, 8, 255][..])), "{code}");
    }
    assert_eq!(treated(discover(7), FILE, &Treatment::default()).option(43), None);
}

#[test]
fn the_size_is_told_in_blocks_of_512_octets() {
    let sized = |len| Treatment { file_len: Some(len), ..Treatment::default() };
    for (len, blocks) in [(512, [0, 1]), (513, [0, 2]), (1_000_000, [0x07, 0xa2])] {
        assert_eq!(treated(discover(0), FILE, &sized(len)).option(13), Some(&blocks[..]));
    }
    assert_eq!(treated(discover(0), FILE, &sized(512 * 65_536)).option(13), None, "more than it can say");
}

#[test]
fn option_175_may_be_a_url() {
    let url = Treatment { ipxe_url: Some("http://10.0.0.2/".into()), ..Treatment::default() };
    for (request, file) in [(ipxe_discover(), URL), (discover(7), FILE)] {
        assert_eq!(treated(request, file, &url).option(175), Some(&b"http://10.0.0.2/"[..]));
    }
    assert_eq!(treated(ipxe_discover(), URL, &Treatment::default()).option(175), Some(&[1, 1, 1][..]));
}

/// Conformance case 93.
#[test]
fn a_raspberry_pi_gets_the_text_that_it_looks_for() {
    for prefix in [[0xb8, 0x27, 0xeb], [0xdc, 0xa6, 0x32], [0xd8, 0x3a, 0xdd]] {
        let request = discover(0)
            .with(code::VENDOR_CLASS, b"PXEClient:Arch:00000:UNDI:002001")
            .header(|header| header.chaddr[..3].copy_from_slice(&prefix));
        assert_eq!(request.ask().unwrap().caller.client.architecture, Architecture::ARM_RPIBOOT);
        let offer = request.answer("bootcode.bin");
        let expected = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff";
        assert_eq!(offer.option(43), Some(&expected[..]));
        assert_eq!(offer.codes(), [53, 54, 60, 43], "no option 66");
        assert_eq!((offer.option(60), offer.octets(20..24)), (Some(&b"PXEClient"[..]), &SERVER.octets()[..]));
        let with_uefi = request.with(93, &[0, 11]);
        assert_eq!(with_uefi.ask().unwrap().caller.client.architecture, Architecture::ARM64_UEFI);
    }
    let other = discover(0).header(|header| header.chaddr[..3].copy_from_slice(&[0xb8, 0x27, 0xec]));
    assert_eq!(other.ask().unwrap().caller.client.architecture, Architecture::X86_BIOS);
}
