//! What a client is answered: every firmware quirk of DHCP has its line and its reason here.
//!
//! [`super::question::ask`] has sorted out what a pure proxy never answers, and somebody has decided; [`reply`] writes the
//! packet that this client understands.
//!
//! | who asks | OFFER on 67 | ACK on 4011 |
//! |---|---|---|
//! | PC BIOS | boot file, option 43 with bit 3: *take it* | boot file, option 43 |
//! | UEFI PXE | boot file, no option 43: it comes to 4011 | boot file |
//! | UEFI PXE, style `pxe10`, or where we do not serve 4011 | boot file, option 43 with bit 3 | boot file, option 43 |
//! | UEFI HTTP Boot | option 60 `HTTPClient`, URL in option 67 | - |
//! | PXE firmware that is sent to another boot server | no boot file, option 43 with the list of servers | the same |
//! | PXE firmware that shows a menu | no boot file, option 43 with the menu | the chosen line's file, option 43.71 |
//! | Raspberry Pi | option 43 with the text that it looks for | - |
//! | iPXE | URL of its script, option 175 with priority 1 | the same |
//!
//! # Who gets silence
//!
//! Silence is no packet at all: an OFFER without a boot file would send UEFI to 4011 and then fail (E18), and a ROM
//! would stop with E53 or E55 instead of going on to its disk.
//!
//! * *Ignored* clients get no answer on any port, as if there were no server here.
//! * *Denied* firmware gets none either: it reports E16 or E53 and boots its own disk. There is no text that firmware
//!   would show. But denied iPXE gets the URL of its script like an allowed one: it can show text, and the HTTP side
//!   answers with a script that shows the reason and exits to the disk. [`answers`] is this rule.
//! * *Referred* firmware gets what its referral says, which may be silence, so that another server's answer wins. Referred
//!   iPXE gets the URL of its script, which hands it over; none where the referral has no script.
//! * iPXE never gets a boot loader: it would load itself again and again, every six seconds.
//!
//! **Invariant**: no socket and no clock. Addresses, port and answer are arguments.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::client::{self, HTTP_CLIENT, PXE_CLIENT, Speaker};
use super::packet::{FILE_LEN_MAX, Header, MessageType, Operation, Writer, code};
use super::pxe::{DiscoveryControl, IPXE_PRIORITY, VendorOptions, VendorOptionsError};
use super::question::{Asked, CLIENT_PORT, Port, SERVER_PORT};
use crate::boot::{Architecture, BootMenu, FirmwareHandOver, Platform, Stage, Verdict};

pub use crate::boot::Style;

/// Whether a client with this verdict gets a packet; the module's head says why.
pub fn answers(verdict: &Verdict, speaker: Speaker) -> bool {
    match verdict {
        Verdict::Allow(_) => true,
        Verdict::Deny { .. } => speaker == Speaker::Ipxe,
        Verdict::Ignore { .. } => false,
        Verdict::Refer(referral) => match (speaker, &referral.firmware) {
            (Speaker::Ipxe, _) => referral.tells_ipxe(),
            (_, FirmwareHandOver::Loader) => true,
            (Speaker::Firmware, hand_over) => {
                matches!(hand_over, FirmwareHandOver::File { .. } | FirmwareHandOver::BootServers(_))
            }
            (Speaker::HttpBoot, hand_over) => matches!(hand_over, FirmwareHandOver::Url(_)),
        },
    }
}

/// The style for each architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Styles {
    /// For UEFI.
    pub uefi: Style,
    /// For architectures that differ.
    pub overrides: Vec<(Architecture, Style)>,
}

impl Default for Styles {
    fn default() -> Styles {
        Styles { uefi: Style::Binl, overrides: Vec::new() }
    }
}

impl Styles {
    /// The style for an architecture. PC BIOS has ROMs that need bit 3 to take the file, and others, such as U-Boot, know
    /// no second step.
    pub fn of(&self, architecture: Architecture) -> Style {
        let chosen = self.overrides.iter().find(|(named, _)| *named == architecture);
        chosen.map_or_else(
            || match architecture.platform() {
                Platform::Efi => self.uefi,
                Platform::Bios | Platform::Other => Style::Pxe10,
            },
            |(_, style)| *style,
        )
    }
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// TFTP path for firmware, URL for HTTP Boot and iPXE.
    File(&'a str),
    /// Boot servers to ask on port 4011, and what the screen calls them; for PXE firmware only.
    BootServers(&'a [Ipv4Addr], &'a str),
    /// A menu to show; for PXE firmware only.
    Menu(&'a BootMenu),
}

impl Told<'_> {
    /// The boot file; none where the client shall ask on.
    fn file(&self) -> &str {
        match self {
            Told::File(file) => file,
            Told::BootServers(..) | Told::Menu(_) => "",
        }
    }
}

/// What [`reply`] needs besides the question.
#[derive(Debug, Clone, Copy)]
pub struct ReplyContext<'a> {
    /// Our address, from which the reply will leave: option 54. Clients differ in whether they believe option 54,
    /// `siaddr` or the source address, so that the three are one.
    pub server: Ipv4Addr,
    /// The TFTP server (`siaddr`), when it is another host.
    pub next_server: Option<Ipv4Addr>,
    /// What it shall load, or whom it shall ask.
    pub told: Told<'a>,
    /// How PXE firmware is told.
    pub style: Style,
    /// What else differs from the usual.
    pub treatment: &'a Treatment,
}

/// How a client is treated where it differs from the usual, with what that takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Treatment {
    /// How PXE firmware is told, instead of the style of its architecture.
    pub style: Option<Style>,
    /// How long an answer to a DISCOVER waits.
    pub delay: Duration,
    /// Whether the answer on port 67 must be whole, whatever the style, because we do not serve port 4011.
    pub is_whole: bool,
    /// Whether the boot file's name stands in option 67 too, with a NUL behind it.
    pub file_option: bool,
    /// Octets of the boot file, for option 13.
    pub file_len: Option<u64>,
    /// The URL that option 175 consists of, in place of encapsulated options.
    pub ipxe_url: Option<String>,
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The octets of DHCP.
    pub octets: Vec<u8>,
    /// Where to.
    pub destination: SocketAddrV4,
    /// OFFER or ACK.
    pub message_type: MessageType,
    /// Whether option 82 had to be left out for want of room (RFC 3046 section 2.2).
    pub lacks_relay_information: bool,
}

/// Why there is no reply, although somebody decided that there be one. Each is a mistake of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// The loop guard.
    #[error("iPXE was to be given a boot loader, which would load iPXE again for ever; give it the URL of a script")]
    LoaderForIpxe,
    /// HTTP Boot loads http and https only.
    #[error("UEFI HTTP Boot was to be given something that is no http or https URL")]
    NoUrlForHttpBoot,
    /// PXE firmware loads by TFTP only.
    #[error("PXE firmware was to be given a URL; it loads by TFTP only")]
    UrlForFirmware,
    /// Only PXE firmware knows lists of boot servers.
    #[error("{0} was to be given a list of boot servers, which only PXE firmware knows")]
    BootServers(&'static str),
    /// Only PXE firmware shows menus.
    #[error("{0} was to be given a menu of PXE firmware, which it cannot show")]
    Menu(&'static str),
    /// A list that firmware would stop on.
    #[error(transparent)]
    VendorOptions(#[from] VendorOptionsError),
    /// An offer without a file leads firmware nowhere, and no client joins a split option.
    #[error("the boot file name has {0} octets; DHCP carries 1 to {max}", max = OPTION_FILE_LEN_MAX)]
    FileLength(usize),
    /// More than the client takes, even without what can be left out.
    #[error("the reply does not fit the client's limit of {0} octets")]
    ReplyLength(usize),
}

/// The longest boot file name in option 67 with its NUL.
const OPTION_FILE_LEN_MAX: usize = 254;

/// Writes the packet that answers a question.
///
/// # Errors
/// When this client could not use the answer.
pub fn reply(asked: &Asked, context: &ReplyContext<'_>) -> Result<Reply, NoReply> {
    let vendor_options = vendor_options(asked, context)?;
    let header = header(asked, context);
    let limit = asked.message.reply_len_max();
    let echoes = [Echoes::All, Echoes::NoRelayInformation, Echoes::MachineId, Echoes::None];
    let fitting = echoes.into_iter().find_map(|echoes| {
        let octets = write(asked, context, &header, vendor_options.as_deref(), echoes);
        (octets.len() <= limit).then_some((octets, echoes))
    });
    let (octets, echoes) = fitting.ok_or(NoReply::ReplyLength(limit))?;
    Ok(Reply {
        octets,
        destination: destination(asked),
        message_type: message_type(asked),
        lacks_relay_information: asked
            .message
            .option(code::RELAY_INFORMATION)
            .is_some_and(|value| echoes != Echoes::All || !fits_one_option(value)),
    })
}

/// Option 43, where there is one.
fn vendor_options(asked: &Asked, context: &ReplyContext<'_>) -> Result<Option<Cow<'static, [u8]>>, NoReply> {
    let speaker = asked.caller.speaker;
    Ok(match (context.told, asked.boot_item) {
        (Told::BootServers(servers, title), _) => Some(boot_servers(speaker, servers, title)?.into()),
        (Told::Menu(menu), _) if speaker == Speaker::Firmware => {
            let octets = VendorOptions::menu(menu, context.server, context.treatment.is_whole).encode()?;
            Some(fitting(octets)?.into())
        }
        (Told::Menu(_), _) => return Err(NoReply::Menu(speaker.name())),
        (Told::File(file), boot_item) => {
            check_file(speaker, file)?;
            match boot_item {
                Some(boot_item) => Some(VendorOptions::chosen(boot_item).encode()?.into()),
                None if is_raspberry_pi(asked) => Some(VendorOptions::RASPBERRY_PI.into()),
                None => uses_boot_file(asked, context).then(|| VendorOptions::USE_BOOT_FILE.as_slice().into()),
            }
        }
    })
}

fn is_raspberry_pi(asked: &Asked) -> bool {
    asked.caller.speaker == Speaker::Firmware && asked.caller.client.architecture == Architecture::ARM_RPIBOOT
}

fn fitting(octets: Vec<u8>) -> Result<Vec<u8>, NoReply> {
    match fits_one_option(&octets) {
        true => Ok(octets),
        false => Err(VendorOptionsError::Length(octets.len()).into()),
    }
}

fn check_file(speaker: Speaker, file: &str) -> Result<(), NoReply> {
    let is_web = file.starts_with("http://") || file.starts_with("https://");
    match speaker {
        Speaker::Ipxe if !file.contains("://") || names_a_loader(file) => Err(NoReply::LoaderForIpxe),
        Speaker::HttpBoot if !is_web => Err(NoReply::NoUrlForHttpBoot),
        Speaker::Firmware if file.contains("://") => Err(NoReply::UrlForFirmware),
        _ if !(1..=OPTION_FILE_LEN_MAX).contains(&file.len()) => Err(NoReply::FileLength(file.len())),
        _ => Ok(()),
    }
}

/// What network boot programs are called: iPXE's script has none of these names.
fn names_a_loader(url: &str) -> bool {
    const SUFFIXES: [&str; 8] = [".efi", ".kpxe", ".kkpxe", ".kkkpxe", ".pxe", ".0", ".com", ".n12"];
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.split("://").nth(1).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    let name = name.to_ascii_lowercase();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn message_type(asked: &Asked) -> MessageType {
    match asked.message.message_type() {
        Some(MessageType::Discover) => MessageType::Offer,
        _ => MessageType::Ack,
    }
}

fn header(asked: &Asked, context: &ReplyContext<'_>) -> Header {
    let request = &asked.message.header;
    // A relay delivers by this flag too: with `yiaddr` 0 it could not unicast (RFC 1542 section 5.4 lets a server set it).
    let broadcasts = asked.stage() == Stage::Discover || destination(asked).ip().is_broadcast();
    Header {
        op: Operation::Reply,
        hops: 0,
        secs: 0,
        flags: if broadcasts { request.flags | Header::BROADCAST } else { request.flags },
        ciaddr: if asked.stage() == Stage::Discover { Ipv4Addr::UNSPECIFIED } else { request.ciaddr },
        // EDK2 and iPXE tell a proxy by this zero.
        yiaddr: Ipv4Addr::UNSPECIFIED,
        siaddr: context.next_server.unwrap_or(context.server),
        ..*request
    }
}

/// What of the request is repeated in the reply, as far as there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echoes {
    All,
    NoRelayInformation,
    MachineId,
    None,
}

/// Options in the order that ROMs are used to: type and server first, boot file late, relay information last.
fn write(
    asked: &Asked,
    context: &ReplyContext<'_>,
    header: &Header,
    vendor_options: Option<&[u8]>,
    echoes: Echoes,
) -> Vec<u8> {
    let Asked { message, caller, .. } = asked;
    let file = context.told.file().as_bytes();
    let in_header = file.len() <= FILE_LEN_MAX;
    let mut writer = Writer::new(header, if in_header { file } else { &[] });
    writer.option(code::MESSAGE_TYPE, &[message_type(asked).code()]);
    // Never the relay's override (RFC 5107): iPXE would send its 4011 request to the relay.
    writer.option(code::SERVER_IDENTIFIER, &context.server.octets());
    // The bare class: iPXE shows a PXE menu only when the whole string is `PXEClient`, and it takes a proxy's offer only
    // with that class, also when HTTP Boot loaded it and it asks as `HTTPClient`.
    let is_http_boot = caller.speaker == Speaker::HttpBoot;
    writer.option(code::VENDOR_CLASS, if is_http_boot { HTTP_CLIENT } else { PXE_CLIENT });
    let echo = |code: u8, wanted: bool| message.option(code).filter(|value| wanted && fits_one_option(value));
    // Some ROMs take no reply without their machine id (RFC 4578 section 2.3).
    if let Some(value) = echo(code::MACHINE_ID, echoes != Echoes::None) {
        writer.option(code::MACHINE_ID, value);
    }
    if let Some(value) = vendor_options {
        writer.option(code::VENDOR_OPTIONS, value);
    }
    // Without a priority a boot file of the site's DHCP server wins over ours.
    match &context.treatment.ipxe_url {
        Some(url) if !is_http_boot && fits_one_option(url.as_bytes()) => {
            writer.option(code::IPXE, url.as_bytes());
        }
        _ if caller.speaker == Speaker::Ipxe => {
            writer.option(code::IPXE, &IPXE_PRIORITY);
        }
        _ => {}
    }
    // EDK2 then asks TFTP for no size.
    if let Some(blocks) = context.treatment.file_len.and_then(|len| u16::try_from(len.div_ceil(512)).ok()) {
        writer.option(code::BOOT_FILE_SIZE, &blocks.to_be_bytes());
    }
    if let Some(value) = echo(code::CLIENT_IDENTIFIER, matches!(echoes, Echoes::All | Echoes::NoRelayInformation)) {
        writer.option(code::CLIENT_IDENTIFIER, value);
    }
    if is_http_boot {
        // EDK2 writes a NUL behind a name that has none. Let it hit a pad, not the next option's code.
        writer.option(code::BOOT_FILE, file).pad();
    } else if !in_header || (context.treatment.file_option && (1..=OPTION_FILE_LEN_MAX).contains(&file.len())) {
        // Some ROMs read on behind the option's length, up to a NUL.
        writer.option(code::BOOT_FILE, &[file, &[0]].concat());
    }
    if let Some(value) = echo(code::RELAY_INFORMATION, echoes == Echoes::All) {
        writer.option(code::RELAY_INFORMATION, value);
    }
    writer.finish()
}

/// A split option is never sent: boot clients read the first part only.
fn fits_one_option(value: &[u8]) -> bool {
    value.len() <= usize::from(u8::MAX)
}

fn uses_boot_file(asked: &Asked, context: &ReplyContext<'_>) -> bool {
    // UEFI without option 43 would look for port 4011 at `siaddr`. On a foreign TFTP server there is none.
    let is_elsewhere = context.next_server.is_some_and(|next| next != context.server);
    let is_whole = context.style == Style::Pxe10 || context.treatment.is_whole;
    asked.caller.speaker == Speaker::Firmware && (is_whole || is_elsewhere)
}

/// Option 43 that sends firmware to other boot servers (PXE 2.1 section 2.2.3). A list alone would not do: without a menu
/// firmware stops with PXE-E21. So there is one of one line, which is taken at once.
fn boot_servers(speaker: Speaker, servers: &[Ipv4Addr], title: &str) -> Result<Vec<u8>, NoReply> {
    if speaker != Speaker::Firmware {
        return Err(NoReply::BootServers(speaker.name()));
    }
    if servers.is_empty() {
        return Err(VendorOptionsError::NoBootServers(DiscoveryControl::LISTED_SERVERS.0).into());
    }
    fitting(VendorOptions::ask_boot_servers(servers, title).encode()?)
}

/// RFC 2131 section 4.1, for a server that has no `yiaddr` to send to.
fn destination(asked: &Asked) -> SocketAddrV4 {
    let request = &asked.message.header;
    let is_relayed = !request.giaddr.is_unspecified();
    if asked.port == Port::BootServer || (asked.boot_item.is_some() && !is_relayed) {
        // EDK2 comes from 4011, iPXE and ROMs from 68; each listens where it came from.
        return match (asked.peer.ip().is_unspecified(), request.ciaddr.is_unspecified()) {
            (false, _) => asked.peer,
            (true, false) => SocketAddrV4::new(request.ciaddr, CLIENT_PORT),
            (true, true) => SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT),
        };
    }
    if is_relayed {
        let port = if client::relay_names_its_port(&asked.message) { asked.peer.port() } else { SERVER_PORT };
        return SocketAddrV4::new(request.giaddr, port);
    }
    SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT)
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "boot_server_tests.rs"]
mod boot_server_tests;

#[cfg(test)]
#[path = "treatment_tests.rs"]
mod treatment_tests;

#[cfg(test)]
#[path = "referral_tests.rs"]
mod referral_tests;
