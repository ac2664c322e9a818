//! One case as it is written, and the request that it stands for.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use super::super::Question;
use super::expect::{Expectation, Expected};
use super::file::Case;
use super::world::{Row, WrittenAnswer, WrittenWeb, answers, notes, record, web_answers};
use super::wrong::{Wrong, wrong};
use crate::boot::{
    Architecture, BootRequest, Client, FACTS, HardwareAddress, Identity, IpxeBuild, Line, Machine, MachineId, Method,
    Network, NicBus, Person, Relay, SessionId, Stage,
};
use crate::database::NamedQueries;
use crate::nearest::remedy;

/// A case as it is written. `Expected` is spelled out because `flatten` would let unknown keys through.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCase {
    name: String,
    question: Option<WrittenQuestion>,
    mac: Text,
    uuid: Text,
    architecture: Text,
    stage: Text,
    vendor_class: Option<String>,
    user_class: Option<String>,
    ipxe: Option<bool>,
    ipxe_features: Option<Vec<Spanned<String>>>,
    ipxe_version: Text,
    nic: Text,
    hostname: Option<String>,
    interface: Option<String>,
    server_ip: Option<IpAddr>,
    client_ip: Option<IpAddr>,
    giaddr: Option<Ipv4Addr>,
    circuit_id: Text,
    remote_id: Text,
    site: Option<String>,
    now: Option<Spanned<toml::Value>>,
    #[serde(default)]
    facts: BTreeMap<Spanned<String>, String>,
    record: Option<Row>,
    #[serde(default)]
    queries: BTreeMap<Spanned<String>, WrittenAnswer>,
    #[serde(default)]
    http: BTreeMap<Spanned<String>, WrittenWeb>,
    #[serde(default)]
    notes: BTreeMap<Spanned<String>, toml::Value>,
    identity: Option<Identity>,
    expect: Option<Expectation>,
    reason: Option<String>,
    error: Option<String>,
    images: Option<Vec<String>>,
    kind: Option<String>,
    title: Option<String>,
    default: Option<String>,
    timeout: Option<u64>,
    cmdline: Option<String>,
    sources: Option<Vec<String>>,
    needs: Option<Vec<String>>,
    person: Option<WrittenPerson>,
    /// Entries of the quirk table that the client matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quirks: Vec<String>,
    /// The image that was chosen in the menu of the firmware.
    choice: Option<String>,
}

/// Who is at the machine.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPerson {
    name: String,
    #[serde(default = "login")]
    method: Method,
    #[serde(default)]
    groups: Vec<String>,
}

fn login() -> Method {
    Method::Login
}

/// Text that may be absent, with its place.
type Text = Option<Spanned<String>>;

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum WrittenQuestion {
    AllowBoot,
    BootImages,
}

impl WrittenCase {
    /// Understands a case that begins at an octet `start` of `line`. `otherwise` is asked where it is not clear which
    /// question it is about.
    pub(super) fn read(
        mut self,
        (start, line): (usize, usize),
        otherwise: Question,
        queries: &NamedQueries,
    ) -> Result<Case, Wrong> {
        let expected = self.expected();
        let name = self.name.clone();
        if expected.is_empty() {
            return wrong(start, format!("case \"{name}\" expects nothing; add a line such as expect = \"allow\""));
        }
        let question = match self.question {
            Some(WrittenQuestion::AllowBoot) => Question::AllowBoot,
            Some(WrittenQuestion::BootImages) => Question::BootImages,
            None => expected.question().unwrap_or(otherwise),
        };
        let in_case = |Wrong { offset, message }| Wrong { offset, message: format!("case \"{name}\": {message}") };
        let mut answers = answers(std::mem::take(&mut self.queries), queries).map_err(in_case)?.with_all_notes();
        web_answers(std::mem::take(&mut self.http), &mut answers).map_err(in_case)?;
        notes(std::mem::take(&mut self.notes), &mut answers).map_err(in_case)?;
        let request = self.request(question).map_err(in_case)?;
        Ok(Case { name, line, question, request, answers: Arc::new(answers), expected })
    }

    fn expected(&mut self) -> Expected {
        Expected {
            expect: self.expect.take(),
            reason: self.reason.take(),
            error: self.error.take(),
            images: self.images.take(),
            kind: self.kind.take(),
            title: self.title.take(),
            default: self.default.take(),
            timeout: self.timeout,
            cmdline: self.cmdline.take(),
            sources: self.sources.take(),
            needs: self.needs.take(),
        }
    }

    fn request(mut self, question: Question) -> Result<BootRequest, Wrong> {
        let stage = match (&self.stage, question) {
            (Some(stage), _) => parse(stage)?,
            (None, Question::AllowBoot) => Stage::Discover,
            (None, Question::BootImages) => Stage::Http,
        };
        let mut machine = Machine::default();
        for (name, value) in &self.facts {
            let (offset, name) = (name.span().start, name.as_ref());
            if !machine.insert(name, value) && !value.trim().is_empty() {
                let remedy = remedy(name, FACTS.iter().map(|fact| fact.name));
                return wrong(offset, format!("there is no fact `{name}`; {remedy}"));
            }
        }
        let network = Network {
            interface: self.interface.as_deref().unwrap_or_default().into(),
            server: self.server_ip,
            client: self.client_ip,
            relay: self.relay()?,
            site: self.site.as_deref().unwrap_or_default().into(),
        };
        let record = self.record.take().map(record).transpose()?;
        Ok(BootRequest {
            session: SessionId([0; 6]),
            stage,
            client: self.client(stage)?,
            network,
            machine,
            record: record.map(Arc::new),
            person: self.person()?.map(Arc::new),
            quirks: self.quirks.iter().map(|name| name.as_str().into()).collect(),
            choice: self.choice.as_deref().map(Into::into),
            identity: self.identity.take().map(Arc::new).unwrap_or_default(),
            now: self.now()?,
        })
    }

    fn relay(&self) -> Result<Option<Relay>, Wrong> {
        if self.giaddr.is_none() && self.circuit_id.is_none() && self.remote_id.is_none() {
            return Ok(None);
        }
        Ok(Some(Relay {
            giaddr: self.giaddr.unwrap_or(Ipv4Addr::UNSPECIFIED),
            circuit_id: unhex(&self.circuit_id)?,
            remote_id: unhex(&self.remote_id)?,
            link_selection: None,
        }))
    }

    fn person(&self) -> Result<Option<Person>, Wrong> {
        let Some(WrittenPerson { name, method, groups }) = &self.person else { return Ok(None) };
        let (name, groups) = (Line::clean(name), groups.clone());
        Ok(Some(Person { name, method: *method, groups, at: self.now()? }))
    }

    /// The time of the case, between quotes or without them.
    fn now(&self) -> Result<Timestamp, Wrong> {
        let Some(written) = &self.now else { return Ok(Timestamp::UNIX_EPOCH) };
        let text = match written.as_ref() {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let wrong = |_| Wrong {
            offset: written.span().start,
            message: format!("`{text}` is no time; write it like \"2026-01-01T08:00:00Z\""),
        };
        text.parse().map_err(wrong)
    }

    fn client(&self, stage: Stage) -> Result<Client, Wrong> {
        let hardware = self.mac.as_ref().map_or(Ok(HardwareAddress::from([0x52, 0x54, 0, 0, 0, 1])), parse)?;
        let architecture = self.architecture.as_ref().map_or(Ok(Architecture::X64_UEFI), parse)?;
        let mut client = Client::new(hardware, architecture);
        client.machine_id = self.uuid.as_ref().map(uuid).transpose()?.map(MachineId::from_uuid);
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

    fn ipxe_build(&self) -> Result<IpxeBuild, Wrong> {
        let mut build = IpxeBuild::default();
        for name in self.ipxe_features.iter().flatten() {
            match IpxeBuild::feature(name.as_ref()) {
                Some(feature) => build.features.insert(feature),
                None => {
                    let (offset, name) = (name.span().start, name.as_ref());
                    let remedy = remedy(name, IpxeBuild::FEATURES.iter().map(|(_, feature)| *feature));
                    return wrong(offset, format!("iPXE has no feature `{name}`; {remedy}"));
                }
            };
        }
        build.version = self.ipxe_version.as_ref().map(version).transpose()?;
        build.nic = self.nic.as_ref().map(nic).transpose()?;
        Ok(build)
    }
}

fn parse<T: FromStr<Err: Display>>(text: &Spanned<String>) -> Result<T, Wrong> {
    let message = |error: T::Err| format!("`{}`: {error}", text.as_ref());
    text.as_ref().parse().map_err(|error| Wrong { offset: text.span().start, message: message(error) })
}

fn uuid(text: &Spanned<String>) -> Result<uuid::Uuid, Wrong> {
    let example = "4c4c4544-0057-5810-804a-c3c04f463732";
    let message = || format!("`{}` is no UUID; write it like \"{example}\"", text.as_ref());
    text.as_ref().parse().map_err(|_| Wrong { offset: text.span().start, message: message() })
}

fn version(text: &Spanned<String>) -> Result<(u8, u8, u8), Wrong> {
    let numbers: Result<Vec<u8>, _> = text.as_ref().split('.').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([major, minor, patch]) => Ok((*major, *minor, *patch)),
        _ => wrong(text.span().start, "ipxe_version has three numbers up to 255, as in \"1.21.1\""),
    }
}

fn nic(text: &Spanned<String>) -> Result<NicBus, Wrong> {
    let parts: Vec<&str> = text.as_ref().split(':').collect();
    let number = |text: &str| u16::from_str_radix(text, 16).ok();
    let nic = match parts[..] {
        ["pci", vendor, device] => number(vendor).zip(number(device)),
        _ => None,
    };
    match nic {
        Some((vendor, device)) => Ok(NicBus { bus: 1, vendor, device }),
        None => wrong(text.span().start, format!("`{}` is no NIC; write it like \"pci:8086:15bb\"", text.as_ref())),
    }
}

fn unhex(text: &Text) -> Result<Vec<u8>, Wrong> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let digits: Option<Vec<u8>> =
        text.as_ref().chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    match digits.filter(|digits| digits.len() % 2 == 0) {
        Some(digits) => {
            Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |value, digit| value << 4 | digit)).collect())
        }
        None => wrong(text.span().start, format!("`{}` is not pairs of hexadecimal digits", text.as_ref())),
    }
}
