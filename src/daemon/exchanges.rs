//! What a client and a transport said to each other, in words for the history.
//!
//! **Invariant**: a path is told without its token.

use std::time::Duration;

use crate::boot::{BootDecision, Client, FileName, Network, Platform, Stage, Verdict};
use crate::decision::{Exchange, Transport};
use crate::dhcp::reply::Style;
use crate::dhcp::server::{DhcpAnswer, DhcpQuestion};
use crate::tftp::{Refusal, TransferOutcome, TransferResult};

/// A packet of DHCP and its answer.
pub(super) fn dhcp(
    question: &DhcpQuestion,
    decision: &BootDecision,
    answer: &Result<DhcpAnswer, Silence>,
    (style, delay): (Style, Duration),
    elapsed: Duration,
) -> Exchange {
    let DhcpQuestion { client, network, stage, .. } = question;
    let by = dhcp_port(*stage);
    let told = match answer {
        Err(silence) => format!("no answer: {}", why_silent(client, decision, *silence)),
        Ok(DhcpAnswer::Silent) => "no answer".to_owned(),
        Ok(DhcpAnswer::Boot { file, next_server }) => {
            let word = if by == Transport::Discover { "OFFER" } else { "ACK" };
            let server = format!(" from {}", next_server.map_or(question.server, Into::into));
            match file.split_once("://") {
                Some((scheme, rest)) => {
                    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                    format!("{word} {} at {scheme}://{host}", without_token(path))
                }
                None => format!("{word} {} by TFTP{server}{}", without_token(file), in_words(question, style)),
            }
        }
        Ok(DhcpAnswer::BootServers { servers, .. }) => {
            let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
            format!("the boot servers {}, to be asked on port 4011", servers.join(", "))
        }
        Ok(DhcpAnswer::Menu(menu)) => format!("a menu: {menu}"),
    };
    let held_back = match (answer, delay.as_millis()) {
        (Err(_), _) | (_, 0) => String::new(),
        (_, delay) => format!(", held back for {delay} ms"),
    };
    Exchange { by, asked: asked(client, network), told: format!("{told}{held_back}"), elapsed }
}

/// The port that this stage of a boot is asked on.
pub(super) fn dhcp_port(stage: Stage) -> Transport {
    if stage == Stage::Discover { Transport::Discover } else { Transport::BootServer }
}

fn asked(client: &Client, network: &Network) -> String {
    let who = match (&client.ipxe, client.architecture.platform()) {
        (Some(build), _) => match build.version {
            Some((major, minor, patch)) => format!("iPXE {major}.{minor}.{patch}"),
            None => "iPXE".to_owned(),
        },
        (None, _) if client.is_http_boot() => "HTTP Boot firmware".to_owned(),
        (None, Platform::Efi) => "UEFI firmware".to_owned(),
        (None, Platform::Bios) => "PC BIOS".to_owned(),
        (None, Platform::Other) => "firmware".to_owned(),
    };
    let on = if network.interface.is_empty() { String::new() } else { format!(" on {}", network.interface) };
    let relay = network.relay.as_ref().map_or_else(String::new, |relay| format!(" by relay {}", relay.giaddr));
    format!("{who} ({}){on}{relay}", client.architecture)
}

/// How firmware is told its file.
fn in_words(question: &DhcpQuestion, style: Style) -> &'static str {
    match (question.client.is_ipxe(), question.chosen, style) {
        (true, _, _) => "",
        (false, Some(_), _) => " (chosen in its menu)",
        (false, None, Style::Binl) => " (style binl: fetched on port 4011)",
        (false, None, Style::Pxe10) => " (style pxe10: taken from the OFFER)",
    }
}

/// Why a client gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// By what was decided.
    Verdict,
    /// There is no loader for it.
    NoLoader,
    /// Its own disk was chosen in the menu of its firmware.
    OwnDisk,
    /// It asks for a line that no menu of ours has.
    NoSuchLine,
    /// Another server has so many seconds to answer.
    StandsBy(u16),
    /// No rule says that the machine is ours.
    NotOurs,
}

fn why_silent(client: &Client, decision: &BootDecision, silence: Silence) -> String {
    match silence {
        Silence::Verdict | Silence::NoLoader => {}
        Silence::NoSuchLine => return "the machine's menu has no such line".to_owned(),
        Silence::OwnDisk => return "its own disk was chosen in the menu: HTTP Boot would come before it".to_owned(),
        Silence::StandsBy(secs) => return format!("another server has {secs} s to answer (secs_min)"),
        Silence::NotOurs => return "no rule says that it is ours (dhcp.authoritative = false)".to_owned(),
    }
    match &decision.verdict {
        Verdict::Deny { reason } => format!("denied firmware gets none, and boots its disk: {reason}"),
        Verdict::Ignore { reason } => format!("ignored: {reason}"),
        Verdict::Refer(referral) => format!("{} answers it instead", referral.upstream),
        Verdict::Allow(_) => format!("no boot loader for {}; name one in [loaders.files]", client.architecture),
    }
}

/// A path as it may be shown: the token that opens it is left out.
pub(super) fn without_token(path: &str) -> &str {
    let rest = path.strip_prefix("b/").or_else(|| path.strip_prefix("B/"));
    let rest = rest.map_or(path, |rest| rest.split_once('/').map_or("", |(_, rest)| rest));
    rest.strip_prefix("f/").unwrap_or(rest)
}

/// A request by TFTP that was refused.
pub(super) fn tftp_refused(file: &FileName, refusal: &Refusal, elapsed: Duration) -> Exchange {
    let told = match refusal {
        Refusal::NotFound => "ERROR 1: not found".to_owned(),
        Refusal::Denied(why) => format!("ERROR 2: {why}"),
        Refusal::Busy => "no answer: too busy, the client asks again".to_owned(),
    };
    Exchange { by: Transport::Tftp, asked: format!("read {}", without_token(file.as_str())), told, elapsed }
}

/// A transfer by TFTP that ended without the file's end.
pub(super) fn tftp_ended(file: &FileName, outcome: &TransferOutcome) -> Exchange {
    let octets = outcome.bytes;
    let again = match outcome.retransmissions {
        0 => String::new(),
        count => format!(", {count} packets sent again"),
    };
    let told = match outcome.result {
        TransferResult::Complete | TransferResult::Unconfirmed => format!("sent, {octets} octets{again}"),
        TransferResult::SizeProbe => "its size, which was all that it wanted to know".to_owned(),
        TransferResult::Aborted(code) => format!("the client gave up with ERROR {code} after {octets} octets{again}"),
        TransferResult::TimedOut => format!("the client fell silent after {octets} octets{again}"),
        TransferResult::Failed => format!("the file could not be read after {octets} octets"),
    };
    let asked = format!("read {}", without_token(file.as_str()));
    Exchange { by: Transport::Tftp, asked, told, elapsed: outcome.duration }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{Architecture, IpxeBuild, Relay};

    fn decision(verdict: Verdict) -> BootDecision {
        BootDecision { verdict, images: None, handler: "script".into(), trail: Vec::new(), elapsed_us: 1 }
    }

    fn told(verdict: Verdict, answer: &Result<DhcpAnswer, Silence>) -> Exchange {
        let client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
        let network = Network { interface: "eth0".into(), server: Some([10, 0, 0, 2].into()), ..Network::default() };
        let server = [10, 0, 0, 2].into();
        let question =
            DhcpQuestion { client, network, server, stage: Stage::Discover, xid: 1, secs: Some(0), chosen: None };
        dhcp(&question, &decision(verdict), answer, (Style::Binl, Duration::ZERO), Duration::ZERO)
    }

    #[test]
    fn no_token_is_told() {
        let boot = |file: &str| Ok(DhcpAnswer::Boot { file: file.into(), next_server: None });
        let said = |file: &str| told(Verdict::allow(), &boot(file)).told;
        let offer = "OFFER snponly.efi by TFTP from 10.0.0.2 (style binl: fetched on port 4011)";
        assert_eq!(said("b/SECRET/snponly.efi"), offer);
        assert_eq!(said("http://10.0.0.2:8080/b/SECRET/boot.ipxe"), "OFFER boot.ipxe at http://10.0.0.2:8080");
        for path in ["b/SECRET", "b/SECRET/", "B/SECRET/x", "http://h/b/SECRET/f/x", "http://h/b/SECRET"] {
            assert!(!said(path).contains("SECRET"), "{}", said(path));
        }
        assert_eq!(without_token("b/SECRET/f/debian/linux"), "debian/linux");
        assert_eq!(without_token("pxelinux.0"), "pxelinux.0");
    }

    #[test]
    fn silence_has_its_reason_and_who_asks_its_place() {
        let silence = told(Verdict::deny("not ours"), &Err(Silence::Verdict));
        assert_eq!(silence.told, "no answer: denied firmware gets none, and boots its disk: not ours");
        assert_eq!(silence.asked, "UEFI firmware (x64-uefi) on eth0");
        assert!(told(Verdict::allow(), &Err(Silence::NoLoader)).told.contains("no boot loader for x64-uefi"));
        let mut client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X86_BIOS);
        client.ipxe = Some(IpxeBuild { version: Some((1, 21, 1)), ..IpxeBuild::default() });
        let relay = Relay { giaddr: [10, 1, 0, 1].into(), circuit_id: vec![], remote_id: vec![], link_selection: None };
        let network = Network { relay: Some(relay), ..Network::default() };
        assert_eq!(asked(&client, &network), "iPXE 1.21.1 (x86-bios) by relay 10.1.0.1");
    }
}
