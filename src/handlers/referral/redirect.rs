//! The style `redirect`: what a machine is told that an upstream takes over.
//!
//! | `firmware` | PXE firmware | UEFI HTTP Boot |
//! |---|---|---|
//! | `loader` | our loader | our loader |
//! | `file` | `server` and the file of its architecture | the URL of its architecture's file, else silence |
//! | `boot-servers` | `server`, to be asked on port 4011 | silence |
//! | `silence` | silence | silence |
//!
//! iPXE, wherever it came from, is handed over by our script to `script`; without one it is left alone, so that the
//! upstream's own answer wins.
//!
//! **Invariant**: pure functions of the section and the request.

use std::net::Ipv4Addr;

use crate::boot::{BootImages, BootRequest, FirmwareHandOver, Line, Referral, ScriptHandOver, Url, Verdict};
use crate::config::{FirmwareReferral, UpstreamSection};
use crate::decision::HandlerError;

/// What this upstream's machines are told at *may I boot?*.
///
/// # Errors
/// When the section lacks what this machine needs; the error names the key.
pub(super) fn verdict(name: &str, section: &UpstreamSection, request: &BootRequest) -> Result<Verdict, HandlerError> {
    let script = section.script.clone().map(|url| ScriptHandOver { url, facts: section.facts });
    let client = &request.client;
    let firmware = match section.firmware {
        FirmwareReferral::Loader if script.is_none() => {
            let remedy = "write script = \"http://HOST/boot.ipxe\" for iPXE, or another firmware than \"loader\"";
            return Err(problem(name, "nothing says where machines go", remedy));
        }
        FirmwareReferral::Loader => FirmwareHandOver::Loader,
        FirmwareReferral::Silence => FirmwareHandOver::Silence,
        // Firmware had its turn; whether it had a file does not matter any more.
        FirmwareReferral::File | FirmwareReferral::BootServers if client.is_ipxe() => FirmwareHandOver::Silence,
        FirmwareReferral::File if client.is_http_boot() => match url(section, request) {
            Some(url) => FirmwareHandOver::Url(url),
            None => FirmwareHandOver::Silence,
        },
        FirmwareReferral::BootServers if client.is_http_boot() => FirmwareHandOver::Silence,
        FirmwareReferral::File => {
            FirmwareHandOver::File { server: server(name, section)?, file: file(name, section, request)? }
        }
        FirmwareReferral::BootServers => FirmwareHandOver::BootServers(vec![server(name, section)?]),
    };
    Ok(Verdict::Refer(Referral { upstream: Line::clean(name), firmware, script }))
}

/// What hands iPXE over to this upstream.
///
/// # Errors
/// When the section has no `script`.
pub(super) fn images(
    name: &str,
    section: &UpstreamSection,
    _request: &BootRequest,
) -> Result<BootImages, HandlerError> {
    let script = section.script.clone().map(|url| ScriptHandOver { url, facts: section.facts });
    let referral = Referral { upstream: Line::clean(name), firmware: FirmwareHandOver::Loader, script };
    let remedy = "write script = \"http://HOST/boot.ipxe\"";
    referral.images().ok_or_else(|| problem(name, "iPXE asks, and there is no script that it could go on with", remedy))
}

fn server(name: &str, section: &UpstreamSection) -> Result<Ipv4Addr, HandlerError> {
    section
        .server
        .ok_or_else(|| problem(name, "there is no server to refer firmware to", "write server = \"10.0.0.2\""))
}

/// The boot file of the machine's architecture.
fn file(name: &str, section: &UpstreamSection, request: &BootRequest) -> Result<Line, HandlerError> {
    let architecture = request.client.architecture;
    let files = &section.files;
    let Some(file) = files.get(&architecture).or_else(|| files.get(&architecture.machine())) else {
        let remedy = format!("write {architecture} = \"FILE\" in [upstream.{name}.files]");
        return Err(problem(name, &format!("there is no boot file for {architecture}"), &remedy));
    };
    Line::new(file.as_str()).map_err(|error| {
        problem(name, &format!("files.{architecture}: {error}"), "write the name that the server has for it")
    })
}

/// The boot file of an HTTP Boot architecture: a URL, or the name of a file at the host of `script`.
fn url(section: &UpstreamSection, request: &BootRequest) -> Option<Url> {
    let file = section.files.get(&request.client.architecture)?;
    if file.starts_with("http://") || file.starts_with("https://") {
        return file.parse().ok();
    }
    let script = section.script.as_ref()?.as_str();
    let (scheme, rest) = script.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    format!("{scheme}://{host}/{}", file.trim_start_matches('/')).parse().ok()
}

fn problem(name: &str, what: &str, remedy: &str) -> HandlerError {
    HandlerError::new(format!("upstream `{name}`: {what}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::boot::{Architecture, Client, FactsForm, ImageKind, IpxeBuild, SessionId, Stage};

    const SCRIPT: &str = "http://up.example.com:8050/2PXE/boot";

    fn request(architecture: Architecture, vendor_class: &str, ipxe: bool) -> BootRequest {
        let mut client = Client::new([2, 0, 0, 0, 0, 1].into(), architecture);
        client.vendor_class = vendor_class.into();
        client.ipxe = ipxe.then(IpxeBuild::default);
        BootRequest::new(SessionId([0; 6]), Stage::Discover, client, Timestamp::UNIX_EPOCH)
    }

    fn section(firmware: FirmwareReferral, script: bool) -> UpstreamSection {
        UpstreamSection {
            firmware,
            script: script.then(|| SCRIPT.parse().unwrap()),
            server: Some([10, 0, 0, 9].into()),
            files: [
                (Architecture::X64_UEFI, "boot\\x64\\wdsmgfw.efi".to_owned()),
                (Architecture::X64_UEFI_HTTP, "/ipxe.efi".to_owned()),
                (Architecture::ARM64_UEFI_HTTP, "https://arm.example.com/ipxe.efi".to_owned()),
            ]
            .into(),
            ..UpstreamSection::default()
        }
    }

    fn firmware(section: &UpstreamSection, request: &BootRequest) -> Result<FirmwareHandOver, String> {
        match verdict("main", section, request) {
            Ok(Verdict::Refer(referral)) => Ok(referral.firmware),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn firmware_is_told_what_the_section_says() {
        use FirmwareReferral as Told;
        let pxe = request(Architecture::X64_UEFI, "PXEClient:Arch:00007", false);
        let check = |told, expect| assert_eq!(firmware(&section(told, true), &pxe), Ok(expect));
        let file = FirmwareHandOver::File { server: [10, 0, 0, 9].into(), file: Line::clean("boot\\x64\\wdsmgfw.efi") };
        check(Told::Loader, FirmwareHandOver::Loader);
        check(Told::File, file.clone());
        check(Told::BootServers, FirmwareHandOver::BootServers(vec![[10, 0, 0, 9].into()]));
        check(Told::Silence, FirmwareHandOver::Silence);
        let odd = request(Architecture::EBC, "PXEClient", false);
        assert_eq!(firmware(&section(Told::File, true), &odd), Ok(file), "x64 firmware that calls itself EBC");
    }

    #[test]
    fn http_boot_gets_a_url_or_silence() {
        use FirmwareReferral as Told;
        let http = |architecture| request(architecture, "HTTPClient:Arch:00016", false);
        let check = |told, architecture, script, expect: FirmwareHandOver| {
            assert_eq!(firmware(&section(told, script), &http(architecture)), Ok(expect));
        };
        let url = |text: &str| FirmwareHandOver::Url(text.parse().unwrap());
        check(Told::File, Architecture::X64_UEFI_HTTP, true, url("http://up.example.com:8050/ipxe.efi"));
        check(Told::File, Architecture::ARM64_UEFI_HTTP, false, url("https://arm.example.com/ipxe.efi"));
        check(Told::File, Architecture::X64_UEFI_HTTP, false, FirmwareHandOver::Silence);
        check(Told::File, Architecture::from_code(15), true, FirmwareHandOver::Silence);
        check(Told::BootServers, Architecture::X64_UEFI_HTTP, true, FirmwareHandOver::Silence);
        check(Told::Loader, Architecture::X64_UEFI_HTTP, true, FirmwareHandOver::Loader);
    }

    #[test]
    fn ipxe_goes_on_with_the_script_or_is_left_alone() {
        let ipxe = request(Architecture::ARM64_UEFI, "HTTPClient", true);
        for told in [FirmwareReferral::File, FirmwareReferral::BootServers, FirmwareReferral::Silence] {
            for script in [true, false] {
                let verdict = verdict("main", &section(told, script), &ipxe).unwrap();
                assert_eq!(verdict.allows(), script, "{verdict:?}");
            }
        }
        let found = images("main", &section(FirmwareReferral::File, true), &ipxe).unwrap();
        let expected = ImageKind::Referral { url: SCRIPT.parse().unwrap(), facts: FactsForm::Form };
        assert_eq!(found.images()[0].kind, expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |section: &UpstreamSection, architecture, expect: &str| {
            assert_eq!(firmware(section, &request(architecture, "PXEClient", false)).unwrap_err(), expect);
        };
        check(
            &section(FirmwareReferral::File, true),
            Architecture::X86_BIOS,
            "upstream `main`: there is no boot file for x86-bios; write x86-bios = \"FILE\" in [upstream.main.files]",
        );
        let nowhere = UpstreamSection { server: None, ..section(FirmwareReferral::BootServers, true) };
        let expect = "upstream `main`: there is no server to refer firmware to; write server = \"10.0.0.2\"";
        check(&nowhere, Architecture::X64_UEFI, expect);
        let error = firmware(&section(FirmwareReferral::Loader, false), &request(Architecture::X64_UEFI, "", false));
        assert!(error.unwrap_err().contains("script = \"http://HOST/boot.ipxe\""));
        let ipxe = request(Architecture::X64_UEFI, "PXEClient", true);
        let error = images("main", &section(FirmwareReferral::Silence, false), &ipxe).unwrap_err();
        assert!(error.message.contains("no script"), "{error}");
    }
}
