//! The codec of two encapsulated options: 43 as PXE uses it, and 175 as iPXE uses it.
//!
//! Option 43 tells a PXE client how to find its boot server and what to ask the user (PXE 2.1, section 2.2 to 2.4).
//! Pointsman needs DISCOVERY_CONTROL with bit 3, *the boot file is in this packet, take it*; a list of boot servers with a
//! menu of one line, to hand firmware over; and the menu of a script. The others are here to read what other servers send, and to check a menu
//! before a client meets it: a wrong one stops the boot with PXE-E21 or PXE-E77 on the client's screen, and with nothing in
//! any log.
//!
//! **Invariant**: octets and values only; which client gets which option is [`super::reply`]'s matter.

use std::net::Ipv4Addr;

use super::packet::{code, suboptions};
use crate::boot::{BootMenu, IpxeBuild, NicBus};

/// Sub-option tags of option 43.
mod tag {
    pub(super) const DISCOVERY_CONTROL: u8 = 6;
    pub(super) const MULTICAST_ADDRESS: u8 = 7;
    pub(super) const BOOT_SERVERS: u8 = 8;
    pub(super) const BOOT_MENU: u8 = 9;
    pub(super) const MENU_PROMPT: u8 = 10;
    pub(super) const BOOT_ITEM: u8 = 71;
}

/// PXE_DISCOVERY_CONTROL (sub-option 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscoveryControl(pub u8);

impl DiscoveryControl {
    /// Bit 3: the boot file is named in this packet; no prompt, no menu, no discovery.
    pub const USE_BOOT_FILE: DiscoveryControl = DiscoveryControl(8);

    /// Bits 0 and 1: no broadcast and no multicast, so that the servers of the list are asked one by one.
    pub const LISTED_SERVERS: DiscoveryControl = DiscoveryControl(3);

    /// Bit 1: no multicast, so that everybody is asked by broadcast on port 67.
    pub const BROADCAST: DiscoveryControl = DiscoveryControl(2);

    /// Whether bit 3 is set.
    pub fn uses_boot_file(self) -> bool {
        self.0 & 8 != 0
    }

    /// Whether bit 2 is set: only servers of the list are taken.
    pub fn only_listed_servers(self) -> bool {
        self.0 & 4 != 0
    }
}

/// Boot servers of one type (sub-option 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootServers {
    /// Boot server type; 0x8000 and above are the site's own.
    pub kind: u16,
    /// Their addresses; none means any server that answers for the type.
    pub addresses: Vec<Ipv4Addr>,
}

/// One line of the boot menu (sub-option 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuItem {
    /// Boot server type; 0 is the local disk for iPXE.
    pub kind: u16,
    /// What the screen shows.
    pub text: String,
}

/// The menu prompt (sub-option 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuPrompt {
    /// Seconds until the first item is taken; 0 at once, 255 shows the menu and waits.
    pub timeout_s: u8,
    /// What the screen shows.
    pub text: String,
}

/// The item that a client chose (sub-option 71).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootItem {
    /// Boot server type.
    pub kind: u16,
    /// Which file of it; 0 is the first. Bit 15 asks for credentials.
    pub layer: u16,
}

impl BootItem {
    /// Whether the client wants its files signed (bit 15 of the layer).
    pub fn wants_credentials(self) -> bool {
        self.layer & 0x8000 != 0
    }

    /// The line of our menu that this is, counted from the first behind the own disk.
    pub fn entry(self) -> Option<usize> {
        self.kind.checked_sub(SITE_BOOT_SERVER).map(usize::from)
    }
}

/// Option 43 in the form that PXE clients read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VendorOptions {
    /// Sub-option 6.
    pub discovery_control: Option<DiscoveryControl>,
    /// Sub-option 7.
    pub multicast_address: Option<Ipv4Addr>,
    /// Sub-option 8.
    pub boot_servers: Vec<BootServers>,
    /// Sub-option 9.
    pub menu: Vec<MenuItem>,
    /// Sub-option 10.
    pub prompt: Option<MenuPrompt>,
    /// Sub-option 71.
    pub boot_item: Option<BootItem>,
}

/// Why an option 43 must not reach a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VendorOptionsError {
    /// Discovery without bit 3 needs a menu.
    #[error(
        "PXE discovery control {0:#04x} has no bit 3 and there is no menu: firmware stops with PXE-E21; set bit 3 (0x08) \
         or give menu items"
    )]
    NoMenu(u8),
    /// Bit 2 without a server list.
    #[error(
        "PXE discovery control {0:#04x} has bit 2, but there is no list of boot servers: ROMs stop with PXE-E77; list \
         the servers or clear bit 2"
    )]
    NoBootServers(u8),
    /// More than fits one option.
    #[error("the PXE boot menu takes {0} octets; at most {MENU_LEN_MAX} fit: use fewer items or shorter texts")]
    Length(usize),
    /// More items than EDK2 shows.
    #[error("the PXE boot menu has {0} items; firmware takes at most {MENU_ITEMS_MAX}")]
    Items(usize),
}

/// What will work, but perhaps not as meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VendorOptionsWarning {
    /// EDK2 takes the list's first address as its TFTP server.
    #[error(
        "PXE discovery control has bit 3 beside a list of boot servers: UEFI loads by TFTP from {0}, the first of it"
    )]
    ListBecomesTftpServer(Ipv4Addr),
}

/// The type of our boot servers: the first that the standard leaves to a site, and for a menu those behind it. Type 0 is the
/// local disk.
const SITE_BOOT_SERVER: u16 = 0x8000;
/// Octets of a title that is shown twice, in a menu and as its prompt.
const TITLE_LEN_MAX: usize = 60;

/// Octets that sub-options 8, 9 and 10 may have together.
pub const MENU_LEN_MAX: usize = 253;
/// Menu items that EDK2 shows (PXEBC_MENU_MAX_NUM).
pub const MENU_ITEMS_MAX: usize = 24;

impl VendorOptions {
    /// Option 43 that says only: take the boot file of this packet.
    pub const USE_BOOT_FILE: [u8; 4] = [tag::DISCOVERY_CONTROL, 1, DiscoveryControl::USE_BOOT_FILE.0, code::END];

    /// Option 43 that a Raspberry Pi takes for an answer: its boot ROM looks for this text, and for nothing else.
    pub const RASPBERRY_PI: &[u8] = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff";

    /// A menu, whose lines are all asked for at this address. The first is the own disk, which no server is asked for. Bits
    /// 0 and 1 of the discovery control keep clients from asking everybody, but where we do not serve port 4011
    /// (`by_broadcast`) that is the way to us.
    pub fn menu(menu: &BootMenu, server: Ipv4Addr, by_broadcast: bool) -> VendorOptions {
        let control = if by_broadcast { DiscoveryControl::BROADCAST } else { DiscoveryControl::LISTED_SERVERS };
        let kinds = || SITE_BOOT_SERVER..=u16::MAX;
        let local = MenuItem { kind: 0, text: menu.local().to_string() };
        let entries = kinds().zip(menu.entries()).map(|(kind, entry)| MenuItem { kind, text: entry.title.to_string() });
        let servers = kinds().zip(menu.entries()).map(|(kind, _)| BootServers { kind, addresses: vec![server] });
        VendorOptions {
            discovery_control: Some(control),
            boot_servers: servers.collect(),
            menu: std::iter::once(local).chain(entries).collect(),
            prompt: Some(MenuPrompt { timeout_s: menu.timeout_s(), text: menu.prompt().to_string() }),
            ..VendorOptions::default()
        }
    }

    /// Option 43 that says which line of the menu this answers.
    pub fn chosen(boot_item: BootItem) -> VendorOptions {
        VendorOptions { boot_item: Some(boot_item), ..VendorOptions::default() }
    }

    /// Option 43 that sends a client to these boot servers without asking anybody: neither broadcast nor multicast, and a
    /// menu whose only line is taken at once.
    pub fn ask_boot_servers(servers: &[Ipv4Addr], title: &str) -> VendorOptions {
        let text: String = title.chars().filter(|c| matches!(c, ' '..='~')).take(TITLE_LEN_MAX).collect();
        VendorOptions {
            discovery_control: Some(DiscoveryControl::LISTED_SERVERS),
            boot_servers: vec![BootServers { kind: SITE_BOOT_SERVER, addresses: servers.to_vec() }],
            menu: vec![MenuItem { kind: SITE_BOOT_SERVER, text: text.clone() }],
            prompt: Some(MenuPrompt { timeout_s: 0, text }),
            ..VendorOptions::default()
        }
    }

    /// Reads option 43. What is malformed or not PXE's is left out.
    pub fn decode(octets: &[u8]) -> VendorOptions {
        let mut read = VendorOptions::default();
        for (tag, value) in suboptions(octets) {
            match (tag, value) {
                (tag::DISCOVERY_CONTROL, &[bits]) => read.discovery_control = Some(DiscoveryControl(bits)),
                (tag::MULTICAST_ADDRESS, &[a, b, c, d]) => read.multicast_address = Some(Ipv4Addr::new(a, b, c, d)),
                (tag::BOOT_SERVERS, value) => read.boot_servers = decode_boot_servers(value),
                (tag::BOOT_MENU, value) => read.menu = decode_menu(value),
                (tag::MENU_PROMPT, [timeout_s, text @ ..]) => {
                    read.prompt = Some(MenuPrompt { timeout_s: *timeout_s, text: text_of(text) });
                }
                (tag::BOOT_ITEM, &[a, b, c, d]) => {
                    let (kind, layer) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                    read.boot_item = Some(BootItem { kind, layer });
                }
                _ => {}
            }
        }
        read
    }

    /// Checks what a client would do with this, then writes it, with its END.
    ///
    /// # Errors
    /// When firmware would stop on it.
    pub fn encode(&self) -> Result<Vec<u8>, VendorOptionsError> {
        self.lint()?;
        let mut octets = Vec::new();
        if let Some(DiscoveryControl(bits)) = self.discovery_control {
            push(&mut octets, tag::DISCOVERY_CONTROL, &[bits]);
        }
        if let Some(address) = self.multicast_address {
            push(&mut octets, tag::MULTICAST_ADDRESS, &address.octets());
        }
        octets.extend(self.encode_menu());
        if let Some(BootItem { kind, layer }) = self.boot_item {
            let [a, b] = kind.to_be_bytes();
            let [c, d] = layer.to_be_bytes();
            push(&mut octets, tag::BOOT_ITEM, &[a, b, c, d]);
        }
        octets.push(code::END);
        Ok(octets)
    }

    /// Checks what a client would do with this.
    ///
    /// # Errors
    /// When firmware would stop on it.
    pub fn lint(&self) -> Result<Vec<VendorOptionsWarning>, VendorOptionsError> {
        let mut warnings = Vec::new();
        if let Some(control) = self.discovery_control {
            if control.only_listed_servers() && self.boot_servers.is_empty() {
                return Err(VendorOptionsError::NoBootServers(control.0));
            }
            if !control.uses_boot_file() && self.menu.is_empty() {
                return Err(VendorOptionsError::NoMenu(control.0));
            }
            let first = self.boot_servers.iter().find_map(|servers| servers.addresses.first());
            if let Some(first) = first.filter(|_| control.uses_boot_file()) {
                warnings.push(VendorOptionsWarning::ListBecomesTftpServer(*first));
            }
        }
        if self.menu.len() > MENU_ITEMS_MAX {
            return Err(VendorOptionsError::Items(self.menu.len()));
        }
        match self.encoded_menu_len() {
            length if length > MENU_LEN_MAX => Err(VendorOptionsError::Length(length)),
            _ => Ok(warnings),
        }
    }

    /// Octets of sub-options 8, 9 and 10 with their tags.
    fn encoded_menu_len(&self) -> usize {
        let servers: usize = self.boot_servers.iter().map(|servers| 3 + 4 * servers.addresses.len()).sum();
        let menu: usize = self.menu.iter().map(|item| 3 + item.text.len()).sum();
        let prompt = self.prompt.as_ref().map_or(0, |prompt| 1 + prompt.text.len());
        [servers, menu, prompt].into_iter().filter(|length| *length > 0).map(|length| 2 + length).sum()
    }

    /// Called after [`VendorOptions::lint`], which holds every length below 256.
    fn encode_menu(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut servers = Vec::new();
        for BootServers { kind, addresses } in &self.boot_servers {
            servers.extend_from_slice(&kind.to_be_bytes());
            servers.push(addresses.len() as u8);
            servers.extend(addresses.iter().flat_map(Ipv4Addr::octets));
        }
        let mut menu = Vec::new();
        for MenuItem { kind, text } in &self.menu {
            menu.extend_from_slice(&kind.to_be_bytes());
            menu.push(text.len() as u8);
            menu.extend_from_slice(text.as_bytes());
        }
        if !servers.is_empty() {
            push(&mut octets, tag::BOOT_SERVERS, &servers);
        }
        if !menu.is_empty() {
            push(&mut octets, tag::BOOT_MENU, &menu);
        }
        if let Some(MenuPrompt { timeout_s, text }) = &self.prompt {
            push(&mut octets, tag::MENU_PROMPT, &[&[*timeout_s], text.as_bytes()].concat());
        }
        octets
    }
}

fn push(octets: &mut Vec<u8>, tag: u8, value: &[u8]) {
    octets.extend_from_slice(&[tag, value.len() as u8]);
    octets.extend_from_slice(value);
}

fn text_of(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn decode_boot_servers(mut value: &[u8]) -> Vec<BootServers> {
    let mut read = Vec::new();
    while let [a, b, count, rest @ ..] = value {
        let Some((addresses, rest)) = rest.split_at_checked(usize::from(*count) * 4) else { break };
        let addresses = addresses.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets)).collect();
        read.push(BootServers { kind: u16::from_be_bytes([*a, *b]), addresses });
        value = rest;
    }
    read
}

fn decode_menu(mut value: &[u8]) -> Vec<MenuItem> {
    let mut read = Vec::new();
    while let [a, b, length, rest @ ..] = value {
        let Some((text, rest)) = rest.split_at_checked(usize::from(*length)) else { break };
        read.push(MenuItem { kind: u16::from_be_bytes([*a, *b]), text: text_of(text) });
        value = rest;
    }
    read
}

/// Option 175 that lets our boot URL win over a file name of the site's DHCP server: priority 1 (sub-option 1).
pub const IPXE_PRIORITY: [u8; 3] = [1, 1, 1];

/// Reads what an iPXE build says of itself in option 175; `None` when the option says nothing of a build, as that of
/// a DHCP server.
pub fn decode_ipxe_build(octets: &[u8]) -> Option<IpxeBuild> {
    const BUS_ID: u8 = 177;
    const VERSION: u8 = 235;
    let mut build = IpxeBuild::default();
    for (tag, value) in suboptions(octets) {
        match (tag, value) {
            (VERSION, &[major, minor, patch]) => build.version = Some((major, minor, patch)),
            (BUS_ID, &[bus, a, b, c, d]) => {
                let (vendor, device) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                build.nic = Some(NicBus { bus, vendor, device });
            }
            (_, [0]) => {}
            (tag, _) => {
                let feature = IpxeBuild::FEATURES.iter().find(|(known, _)| *known == tag);
                build.features.extend(feature.map(|(_, name)| *name));
            }
        }
    }
    (build != IpxeBuild::default()).then_some(build)
}

/// Whether an option 175 tells iPXE not to wait for a proxy (`no-pxedhcp`, sub-option 176).
pub fn says_no_pxedhcp(octets: &[u8]) -> bool {
    suboptions(octets).any(|(tag, value)| tag == 176 && value.iter().any(|octet| *octet != 0))
}

#[cfg(test)]
#[path = "pxe_tests.rs"]
mod tests;
