//! The file of cases: TOML, with the place of every mistake.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use super::super::Question;
use super::super::diagnose::ScriptError;
use super::expect::{Expected, Kind};
use crate::boot::{
    Architecture, BootRequest, Client, FACTS, HardwareAddress, IpxeBuild, Machine, MachineId, Network, NicBus, Relay,
    SessionId, Stage,
};
use crate::nearest::remedy;

/// The cases of one file.
#[derive(Debug, Clone)]
pub struct CaseFile {
    /// The file, as errors name it.
    pub file: String,
    /// Its cases, in order.
    pub cases: Vec<Case>,
}

/// One question and the answer that is expected.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The line where it begins.
    pub line: usize,
    /// Which question is asked.
    pub question: Question,
    /// The request.
    pub request: BootRequest,
    pub(super) expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    case: Vec<Spanned<WrittenCase>>,
}

/// A case as it is written. `Expected` is spelled out because `flatten` would let unknown keys through.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    question: Option<WrittenQuestion>,
    mac: Option<String>,
    uuid: Option<String>,
    architecture: Option<String>,
    stage: Option<String>,
    vendor_class: Option<String>,
    user_class: Option<String>,
    ipxe: Option<bool>,
    ipxe_features: Option<Vec<String>>,
    ipxe_version: Option<String>,
    nic: Option<String>,
    hostname: Option<String>,
    interface: Option<String>,
    server_ip: Option<IpAddr>,
    client_ip: Option<IpAddr>,
    giaddr: Option<Ipv4Addr>,
    circuit_id: Option<String>,
    remote_id: Option<String>,
    now: Option<Timestamp>,
    #[serde(default)]
    facts: BTreeMap<String, String>,
    expect: Option<Kind>,
    reason: Option<String>,
    error: Option<String>,
    images: Option<Vec<String>>,
    kind: Option<String>,
    title: Option<String>,
    default: Option<String>,
    timeout: Option<u64>,
    cmdline: Option<String>,
    sources: Option<Vec<String>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum WrittenQuestion {
    AllowBoot,
    BootImages,
}

impl CaseFile {
    /// Reads a file of cases. `question` is asked where a case does not say, and its expectation does not tell.
    ///
    /// # Errors
    /// All problems, with their lines.
    pub fn read(path: &Path, question: Question) -> Result<CaseFile, Vec<ScriptError>> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => CaseFile::parse(&file, &text, question),
            Err(error) => Err(vec![ScriptError::of_file(file, format!("cannot be read: {error}"))]),
        }
    }

    /// Reads the text of a file of cases, which errors call `file`.
    ///
    /// # Errors
    /// All problems, with their lines.
    pub fn parse(file: &str, text: &str, question: Question) -> Result<CaseFile, Vec<ScriptError>> {
        let at = |offset: usize, message: String| {
            let place = place(text, offset);
            let source_line = text.lines().nth(place.0 - 1).map(str::to_owned);
            ScriptError { file: file.to_owned(), place: Some(place), message, hint: None, source_line }
        };
        let written: Written = toml::from_str(text).map_err(|error| {
            vec![at(error.span().map_or(0, |span| span.start), error.message().replace('\n', "; "))]
        })?;
        let mut errors = Vec::new();
        let mut cases = Vec::new();
        for case in written.case {
            let start = case.span().start;
            match case.into_inner().case(place(text, start).0, question) {
                Ok(case) => cases.push(case),
                Err(message) => errors.push(at(start, message)),
            }
        }
        if errors.is_empty() { Ok(CaseFile { file: file.to_owned(), cases }) } else { Err(errors) }
    }
}

/// Line and column of an offset, from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

impl WrittenCase {
    fn case(self, line: usize, otherwise: Question) -> Result<Case, String> {
        let expected = Expected {
            expect: self.expect,
            reason: self.reason.clone(),
            error: self.error.clone(),
            images: self.images.clone(),
            kind: self.kind.clone(),
            title: self.title.clone(),
            default: self.default.clone(),
            timeout: self.timeout,
            cmdline: self.cmdline.clone(),
            sources: self.sources.clone(),
        };
        if expected.is_empty() {
            return Err(format!("case \"{}\" expects nothing; add a line such as expect = \"allow\"", self.name));
        }
        let question = match self.question {
            Some(WrittenQuestion::AllowBoot) => Question::AllowBoot,
            Some(WrittenQuestion::BootImages) => Question::BootImages,
            None => expected.question().unwrap_or(otherwise),
        };
        let name = self.name.clone();
        let request = self.request(question).map_err(|message| format!("case \"{name}\": {message}"))?;
        Ok(Case { name, line, question, request, expected })
    }

    fn request(self, question: Question) -> Result<BootRequest, String> {
        let stage = match (&self.stage, question) {
            (Some(stage), _) => parse(stage)?,
            (None, Question::AllowBoot) => Stage::Discover,
            (None, Question::BootImages) => Stage::Http,
        };
        let mut machine = Machine::default();
        for (name, value) in &self.facts {
            if !machine.insert(name, value) && !value.trim().is_empty() {
                return Err(format!("there is no fact `{name}`; {}", remedy(name, FACTS.iter().map(|fact| fact.name))));
            }
        }
        let relay = match (self.giaddr, &self.circuit_id, &self.remote_id) {
            (None, None, None) => None,
            (giaddr, circuit, remote) => Some(Relay {
                giaddr: giaddr.unwrap_or(Ipv4Addr::UNSPECIFIED),
                circuit_id: unhex(circuit)?,
                remote_id: unhex(remote)?,
                link_selection: None,
            }),
        };
        let network = Network {
            interface: self.interface.as_deref().unwrap_or_default().into(),
            server: self.server_ip,
            client: self.client_ip,
            relay,
        };
        let now = self.now.unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(BootRequest {
            session: SessionId([0; 6]),
            stage,
            client: self.client(stage)?,
            network,
            machine,
            record: None,
            now,
        })
    }

    fn client(&self, stage: Stage) -> Result<Client, String> {
        let hardware = self.mac.as_deref().map_or(Ok(HardwareAddress::from([0x52, 0x54, 0, 0, 0, 1])), parse)?;
        let architecture = self.architecture.as_deref().map_or(Ok(Architecture::X64_UEFI), parse)?;
        let mut client = Client::new(hardware, architecture);
        client.machine_id = self.uuid.as_deref().map(parse::<uuid::Uuid>).transpose()?.map(MachineId::from_uuid);
        let is_ipxe =
            self.ipxe.unwrap_or(stage == Stage::Http || self.ipxe_features.is_some() || self.ipxe_version.is_some());
        client.ipxe = is_ipxe.then(|| self.ipxe_build()).transpose()?;
        client.vendor_class = match &self.vendor_class {
            Some(class) => class.clone(),
            None => format!("PXEClient:Arch:{:05}:UNDI:003016", architecture.code()),
        };
        client.user_class =
            self.user_class.clone().unwrap_or_else(|| if is_ipxe { "iPXE".to_owned() } else { String::new() });
        client.hostname = self.hostname.clone().unwrap_or_default();
        Ok(client)
    }

    fn ipxe_build(&self) -> Result<IpxeBuild, String> {
        let mut build = IpxeBuild::default();
        for name in self.ipxe_features.iter().flatten() {
            match FEATURES.iter().find(|feature| *feature == name) {
                Some(feature) => build.features.insert(feature),
                None => {
                    return Err(format!("iPXE has no feature `{name}`; {}", remedy(name, FEATURES.iter().copied())));
                }
            };
        }
        if let Some(version) = &self.ipxe_version {
            let numbers: Vec<u8> = version.split('.').map(parse).collect::<Result<_, _>>()?;
            let [major, minor, patch] = numbers[..] else {
                return Err("ipxe_version has three numbers, as in \"1.21.1\"".to_owned());
            };
            build.version = Some((major, minor, patch));
        }
        if let Some(nic) = &self.nic {
            let parts: Vec<&str> = nic.split(':').collect();
            let number = |text: &str| u16::from_str_radix(text, 16).ok();
            build.nic = match parts[..] {
                ["pci", vendor, device] => {
                    number(vendor).zip(number(device)).map(|(vendor, device)| NicBus { bus: 1, vendor, device })
                }
                _ => None,
            };
            if build.nic.is_none() {
                return Err(format!("`{nic}` is no NIC; write it like \"pci:8086:15bb\""));
            }
        }
        Ok(build)
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("`{text}`: {error}"))
}

fn unhex(text: &Option<String>) -> Result<Vec<u8>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits
        .filter(|digits| digits.len() % 2 == 0)
        .ok_or_else(|| format!("`{text}` is not pairs of hexadecimal digits"))?;
    Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |value, digit| value << 4 | digit)).collect())
}

/// Names of iPXE features that a case may give a client (option 175).
const FEATURES: &[&str] = &[
    "pxe_ext",
    "iscsi",
    "aoe",
    "http",
    "https",
    "tftp",
    "ftp",
    "dns",
    "bzimage",
    "multiboot",
    "slam",
    "srp",
    "nbi",
    "pxe",
    "elf",
    "comboot",
    "efi",
    "fcoe",
    "vlan",
    "menu",
    "sdi",
    "nfs",
];
