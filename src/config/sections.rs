//! The tables of the configuration file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use crate::boot::{Architecture, FileName, Line, LocalBoot};
use crate::decision::{Fallback, OnError, Policy, TimeLimits};
use crate::net::advertise::{Advertise, AdvertiseRule};

use super::casts::MulticastSection;
use super::database::SqlSection;
use super::upstream::ReferralSection;

/// `[server]`: where the server listens and keeps what it must remember.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// Interfaces to serve; all when empty.
    pub interfaces: Vec<String>,
    /// The one address to listen on; all addresses when absent.
    pub address: Option<IpAddr>,
    /// The host name in every URL that machines are told; the server's address when absent.
    pub name: Option<String>,
    /// The name of this site, for rules and for upstream servers.
    pub site: Line,
    /// Folder of the token key and the private CA.
    pub state: PathBuf,
    /// The most boots known at a time.
    pub sessions_max: u64,
    /// `[[server.advertise]]`: the addresses that clients are told, where they are not this host's.
    pub advertise: Vec<AdvertiseSection>,
}

/// One `[[server.advertise]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvertiseSection {
    /// For machines that come in by this interface; any when absent.
    pub interface: Option<String>,
    /// For machines of this subnet; any when absent.
    pub subnet: Option<IpNet>,
    /// What they are told.
    pub address: IpAddr,
}

impl HttpsSection {
    /// The names of the certificate that the private CA makes: those of the key, and the name that machines are told.
    pub fn certificate_names(&self, server: &ServerSection) -> Vec<String> {
        let mut names = self.names.clone();
        names.extend(server.name.clone().filter(|name| !names.iter().any(|known| known.eq_ignore_ascii_case(name))));
        names
    }
}

impl ServerSection {
    /// The rules of `[[server.advertise]]`.
    pub fn advertised(&self) -> Advertise {
        let rule = |section: &AdvertiseSection| {
            let AdvertiseSection { interface, subnet, address } = section.clone();
            AdvertiseRule { interface, subnet, address }
        };
        Advertise::new(self.advertise.iter().map(rule).collect())
    }
}

/// `[dhcp]`: proxyDHCP and the PXE boot server.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DhcpSection {
    /// Whether to answer DHCP at all.
    pub enabled: bool,
    /// Port of proxyDHCP.
    pub port: u16,
    /// Whether to serve the PXE boot server's port; without it everything is in the answer on port 67.
    pub boot_server: bool,
    /// Port of the PXE boot server.
    pub boot_server_port: u16,
    /// How UEFI machines are answered on port 67.
    pub uefi_style: UefiStyle,
    /// How long an offer is held back.
    #[serde(deserialize_with = "delay")]
    pub response_delay: Duration,
    /// Seconds that a machine must have been trying for before it is answered: above 0 this server stands by.
    pub secs_min: u16,
    /// Whether this server answers machines that none of its rules knows, and tells those that it denies why.
    pub authoritative: bool,
    /// What firmware of a PC BIOS gets that is denied.
    pub denied: DeniedFirmware,
    /// What is done where a DHCP server on this host has the port.
    pub shared_port: SharedPort,
}

/// What firmware of a PC BIOS gets that may not boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeniedFirmware {
    /// No answer: it gives up after a while and goes on to its next boot device.
    Silence,
    /// A program that says why and ends at once.
    Abort,
}

/// How port 67 is had beside a DHCP server on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SharedPort {
    /// As it can be had when the server starts.
    Auto,
    /// By a socket for broadcasts only, which the DHCP server must let be.
    Socket,
    /// By a packet socket, which hears everything.
    Packet,
    /// Not at all: the port must be free.
    Never,
}

/// How an offer to UEFI PXE firmware looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UefiStyle {
    /// Without option 43: the machine asks again on port 4011. What most firmware expects.
    Binl,
    /// With discovery control bit 3: the machine loads at once.
    Pxe10,
}

/// `[tftp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TftpSection {
    /// Whether to serve TFTP.
    pub enabled: bool,
    /// Port of requests.
    pub port: u16,
    /// Whether transfers use the request port too, for firewalls that allow one port only.
    pub single_port: bool,
    /// Ports of the transfers, `[first, last]`; any when absent.
    #[serde(deserialize_with = "port_range")]
    pub port_range: Option<RangeInclusive<u16>>,
    /// The largest block size granted, in octets; the path's MTU bounds it as well.
    pub blksize_max: u16,
    /// The largest window granted, in blocks.
    pub windowsize_max: u16,
    /// The most transfers at a time.
    pub transfers_max: usize,
    /// `[tftp.multicast]`
    pub multicast: MulticastSection,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// The port.
    pub port: u16,
    /// Whether machines may come to `/boot` without having asked DHCP.
    pub entry: bool,
    /// The most connections at a time, HTTP and HTTPS together.
    pub connections_max: usize,
}

/// `[https]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpsSection {
    /// Whether to serve HTTPS.
    pub enabled: bool,
    /// The port.
    pub port: u16,
    /// Host names for the certificate, beside the server's addresses.
    pub names: Vec<String>,
    /// The site's own certificate chain (PEM) instead of one from the private CA.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate (PEM).
    pub key: Option<PathBuf>,
    /// What iPXE builds that can speak HTTPS are told to use.
    pub ipxe: IpxeScheme,
    /// What UEFI HTTP Boot is told to use.
    pub http_boot: IpxeScheme,
    /// The host name in the URLs that UEFI HTTP Boot is told; the server's address when absent.
    pub http_boot_name: Option<String>,
}

/// The scheme of the boot URL for clients that may be able to do both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpxeScheme {
    /// Plain HTTP for all.
    Http,
    /// HTTPS: for iPXE builds that say they can, or for all of UEFI HTTP Boot, which does not say. They must trust the CA.
    Https,
}

/// `[loaders]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadersSection {
    /// Folders that hold boot loaders, in the order they are searched.
    pub folders: Vec<PathBuf>,
    /// Whether everybody may load them as `loaders/NAME`, by TFTP and HTTP.
    pub plain_paths: bool,
    /// Loader file by architecture; what is not named here keeps its default.
    pub files: BTreeMap<Architecture, String>,
    /// Files that clients know by another name; what is not named here keeps its default.
    pub names: BTreeMap<FileName, PathBuf>,
    /// `[loaders.ipxe]`
    pub ipxe: super::IpxeSection,
    /// Those of `names` that the configuration itself has.
    #[serde(skip)]
    pub own_names: BTreeSet<FileName>,
}

/// `[images]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesSection {
    /// Folder of the files that machines load.
    pub folder: PathBuf,
}

/// `[decision]`: what happens when no handler answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionSection {
    /// When a handler fails.
    pub on_error: OnError,
    /// When the answer is late.
    pub on_timeout: Fallback,
    /// When every handler passes.
    pub unknown: Fallback,
    /// How long a denial is remembered.
    #[serde(deserialize_with = "duration")]
    pub remember: Duration,
    /// How long a DHCP client is kept waiting.
    #[serde(deserialize_with = "duration")]
    pub allow_boot_limit: Duration,
    /// How long an HTTP client is kept waiting.
    #[serde(deserialize_with = "duration")]
    pub boot_images_limit: Duration,
    /// How long one question may work in the background.
    #[serde(deserialize_with = "duration")]
    pub work_limit: Duration,
    /// How machines get to their own disk, by architecture, where it is not the usual way.
    pub local_boot: BTreeMap<Architecture, LocalBoot>,
}

impl DecisionSection {
    /// The engine's policy.
    pub fn policy(&self) -> Policy {
        Policy {
            on_error: self.on_error,
            on_timeout: self.on_timeout,
            unknown: self.unknown,
            remember: self.remember,
            limits: TimeLimits {
                allow_boot: self.allow_boot_limit,
                boot_images: self.boot_images_limit,
                work: self.work_limit,
            },
            local_boot: self.local_boot.clone(),
        }
    }
}

/// One `[[handler]]`.
#[derive(Clone, Debug)]
pub enum HandlerSection {
    /// `kind = "script"`
    Script(ScriptSection),
    /// `kind = "sql"`
    Sql(SqlSection),
    /// `kind = "referral"`
    Referral(ReferralSection),
}

impl HandlerSection {
    /// Its name in logs and trails.
    pub fn display_name(&self) -> &str {
        let (kind, name) = match self {
            HandlerSection::Script(section) => (&section.kind, &section.name),
            HandlerSection::Sql(section) => (&section.kind, &section.name),
            HandlerSection::Referral(section) => (&section.kind, &section.name),
        };
        name.as_ref().map_or(kind, |name| name.as_str())
    }
}

/// `[[handler]]` with `kind = "script"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptSection {
    /// `script`.
    pub kind: String,
    /// Its name in logs and trails; the kind when absent.
    pub name: Option<Line>,
    /// The script with `allow_boot(request)`.
    pub allow_boot: PathBuf,
    /// The script with `boot_images(request)`.
    pub boot_images: PathBuf,
    /// The folder that imports are confined to.
    pub scripts: PathBuf,
    /// The folder of the tables that scripts look machines up in.
    pub data: PathBuf,
    /// The time zone of `request.now`, e.g. `Europe/Berlin`; the system's when absent.
    pub time_zone: Option<String>,
    /// How long `allow_boot` may run.
    #[serde(deserialize_with = "duration")]
    pub allow_boot_limit: Duration,
    /// How long `boot_images` may run.
    #[serde(deserialize_with = "duration")]
    pub boot_images_limit: Duration,
    /// The folder of scripts that are to become the live ones; that of the scripts with `.next` behind when it is not
    /// named. It need not exist.
    pub candidate: PathBuf,
    /// Whether the candidate is asked beside the live scripts, and what it says is compared and thrown away.
    pub shadow: bool,
    /// The percentage of machines that get the candidate's answers, 0 to 100.
    pub canary_percent: f64,
    /// Another draw of those machines.
    pub canary_seed: String,
    /// Machines in these networks get them.
    pub canary_networks: Vec<IpNet>,
    /// Machines of these sites get them.
    pub canary_sites: Vec<String>,
    /// Machines of these groups get them, where a handler before says the groups of a machine.
    pub canary_groups: Vec<String>,
    /// Machines with these MAC addresses or UUIDs get them.
    pub canary_machines: Vec<String>,
    /// How many sets of scripts that were live before are kept.
    pub revisions_max: usize,
}

impl ScriptSection {
    /// The same with the scripts of another folder: the names in it are those in the folder of the scripts. None where a
    /// script lies outside of that.
    pub fn in_folder(&self, folder: &Path) -> Option<ScriptSection> {
        let there = |file: &Path| Some(folder.join(file.strip_prefix(&self.scripts).ok()?));
        Some(ScriptSection {
            allow_boot: there(&self.allow_boot)?,
            boot_images: there(&self.boot_images)?,
            scripts: folder.to_owned(),
            ..self.clone()
        })
    }

    /// The folder of the candidate where none is named.
    pub(super) fn usual_candidate(&self) -> PathBuf {
        beside(&self.scripts, ".next")
    }

    /// The folder of the scripts that were live before.
    pub fn revisions_folder(&self) -> PathBuf {
        beside(&self.scripts, ".old")
    }

    /// Whether any machine gets the candidate's answers.
    pub fn has_canary(&self) -> bool {
        let lists = [&self.canary_sites, &self.canary_groups, &self.canary_machines];
        self.canary_percent > 0.0 || !self.canary_networks.is_empty() || lists.iter().any(|list| !list.is_empty())
    }
}

/// The folder with something behind its name.
fn beside(folder: &Path, end: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(end);
    folder.with_file_name(name)
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,pointsman::dhcp=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads `"500ms"`, `"60s"`, `"1h 30m"`; from one millisecond to a day.
pub(super) fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    use serde::de::Error;

    let text = String::deserialize(deserializer)?;
    let duration = length_of_time(&text).map_err(D::Error::custom)?;
    if duration < Duration::from_millis(1) || duration > Duration::from_secs(86_400) {
        return Err(D::Error::custom(format!("`{text}` is out of range; use 1ms to 24h")));
    }
    Ok(duration)
}

/// Reads `"500ms"`; from nothing to ten seconds.
fn delay<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    use serde::de::Error;

    let text = String::deserialize(deserializer)?;
    let duration = length_of_time(&text).map_err(D::Error::custom)?;
    match duration <= Duration::from_secs(10) {
        true => Ok(duration),
        false => Err(D::Error::custom(format!("`{text}` is out of range; use 0ms to 10s"))),
    }
}

/// Reads `"12h"`, `"90d"`; from a second to ten years.
pub(super) fn long_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    use serde::de::Error;

    let text = String::deserialize(deserializer)?;
    let duration = length_of_time(&text).map_err(D::Error::custom)?;
    if duration < Duration::from_secs(1) || duration > Duration::from_secs(3653 * 86_400) {
        return Err(D::Error::custom(format!("`{text}` is out of range; use 1s to 3653d")));
    }
    Ok(duration)
}

fn length_of_time(text: &str) -> Result<Duration, String> {
    let unclear = || format!("`{text}` is no length of time; write it like \"500ms\", \"60s\", \"5m\" or \"90d\"");
    let span: jiff::Span = text.parse().map_err(|_| unclear())?;
    let read = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| unclear())?;
    Duration::try_from(read).map_err(|_| "a length of time cannot be negative".to_owned())
}

fn port_range<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<RangeInclusive<u16>>, D::Error> {
    let [first, last] = <[u16; 2]>::deserialize(deserializer)?;
    if first == 0 || first > last {
        return Err(serde::de::Error::custom("write the range as [first, last], e.g. [30000, 30063]"));
    }
    Ok(Some(first..=last))
}
