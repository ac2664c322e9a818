//! What happened at one moment of a boot.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::boot::ImageKind;
use crate::decision::Compared;
use crate::store::EventEntry;

/// What happened at one moment of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: Kind,
    /// The word for it: `discover`, `allow_boot`, `sent`, ...
    pub name: String,
    /// What happened, in a sentence.
    pub text: String,
    /// More of it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// How long it took, in microseconds; until its end for what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_us: Option<u64>,
    /// How it is to be taken.
    pub tone: Tone,
    /// What it means for what comes next.
    #[serde(skip)]
    pub(super) means: Means,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A packet or request came.
    Request,
    /// It was decided.
    Decision,
    /// Something was told or sent.
    Event,
    /// Nothing came for some time.
    Gap,
}

/// How a moment is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Nothing special.
    Plain,
    /// Worth a look.
    Note,
    /// It went wrong.
    Bad,
}

/// What a moment means for what comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Means {
    /// Nothing of its own.
    #[default]
    Nothing,
    /// Firmware was told a file.
    FirmwareOffered,
    /// iPXE was told its script.
    IpxeOffered,
    /// There was no answer on purpose.
    Silence,
    /// A transfer by TFTP ended without the file.
    TftpFailed,
    /// A loader or another file began to go out.
    FileBegun(String),
    /// A file went out to its end.
    FileSent { name: String, is_loader: bool },
    /// The script that reports facts went out.
    Bootstrap,
    /// The script that boots went out.
    Script,
    /// It was decided what boots; whether a menu waits for somebody, and whether anything is loaded from here.
    Images { has_menu: bool, loads: bool },
    /// The client was told to wait and ask again.
    Held,
    /// The end as the machine tells it.
    Told,
}

impl Moment {
    pub(super) fn new(at: Timestamp, kind: Kind, name: &str, text: impl Into<String>) -> Moment {
        Moment {
            at,
            kind,
            name: name.to_owned(),
            text: text.into(),
            lines: Vec::new(),
            elapsed_us: None,
            tone: Tone::Plain,
            means: Means::Nothing,
        }
    }

    /// Where it stands among moments of the same time: a packet, then what was decided of it, then what followed.
    pub(super) fn rank(&self) -> (Timestamp, u8) {
        let rank = match self.kind {
            Kind::Request => 0,
            Kind::Decision => 1,
            Kind::Event | Kind::Gap => 2,
        };
        (self.at, rank)
    }

    /// When it began: what was sent is told at its end.
    pub(super) fn began(&self) -> Timestamp {
        match (&self.means, self.elapsed_us) {
            (Means::FileSent { .. } | Means::TftpFailed, Some(elapsed)) => {
                let elapsed = SignedDuration::from_micros(i64::try_from(elapsed).unwrap_or(0));
                self.at.checked_sub(elapsed).unwrap_or(self.at)
            }
            _ => self.at,
        }
    }

    /// Reads an event of the history.
    pub(super) fn of_event(event: &EventEntry) -> Moment {
        let is_request = matches!(event.name.as_str(), "discover" | "boot-server" | "tftp" | "http" | "https");
        if is_request { of_exchange(event) } else { of_happening(event) }
    }
}

/// A packet or request: `asked -> told; 0.4 ms`.
fn of_exchange(event: &EventEntry) -> Moment {
    let (said, elapsed) = event.detail.rsplit_once("; ").unwrap_or((&event.detail, ""));
    let (asked, told) = said.split_once(" -> ").unwrap_or((said, ""));
    let mut moment = Moment::new(event.at, Kind::Request, &event.name, asked);
    moment.elapsed_us =
        elapsed.strip_suffix(" ms").and_then(|ms| ms.parse::<f64>().ok()).map(|ms| (ms * 1000.0) as u64);
    let is_silence = told.starts_with("no answer");
    let is_dhcp = matches!(event.name.as_str(), "discover" | "boot-server");
    moment.means = match (event.name.as_str(), asked, told) {
        _ if is_dhcp && is_silence => Means::Silence,
        _ if is_dhcp && asked.starts_with("iPXE") => Means::IpxeOffered,
        _ if is_dhcp => Means::FirmwareOffered,
        ("tftp", _, told) if told.starts_with("the client") || told.starts_with("ERROR") => Means::TftpFailed,
        ("tftp", ..) => Means::Nothing,
        (_, _, told) if told.starts_with("503") => Means::Held,
        (_, asked, told) if told.starts_with('2') => web(asked),
        _ => Means::Nothing,
    };
    let is_error = told.starts_with('4') || told.starts_with('5') || told.starts_with("ERROR");
    moment.tone = match moment.means {
        Means::Silence | Means::Held => Tone::Note,
        Means::TftpFailed => Tone::Bad,
        _ if is_error || told.starts_with("the file could not be read") => Tone::Bad,
        _ => Tone::Plain,
    };
    if !told.is_empty() {
        let told = if is_dhcp || event.name == "tftp" { told.to_owned() } else { status(told) };
        moment.lines.push(format!("-> {told}"));
    }
    moment
}

fn web(asked: &str) -> Means {
    let (method, path) = asked.split_once(' ').unwrap_or(("", asked));
    let path = path.split(" (").next().unwrap_or(path);
    match (method, path) {
        ("HEAD", _) => Means::Nothing,
        (_, "boot.ipxe" | "autoexec.ipxe") => Means::Bootstrap,
        (_, "script.ipxe") => Means::Script,
        (_, "start.ipxe" | "person.ipxe" | "failed.ipxe" | "done" | "failed") => Means::Nothing,
        (_, file) => Means::FileBegun(file.to_owned()),
    }
}

/// A status with its meaning.
fn status(told: &str) -> String {
    let word = match told.get(..3) {
        Some("200") => "OK",
        Some("206") => "a part",
        Some("304") => "not changed",
        Some("403") => "refused",
        Some("404") => "not found",
        Some("409") => "refused: it cannot be noted",
        Some("416") => "no such part",
        Some("502") => "its origin does not give it",
        Some("503") => "wait, and ask again",
        _ => return told.to_owned(),
    };
    let (code, rest) = told.split_at_checked(3).unwrap_or((told, ""));
    format!("{code} {word}{rest}")
}

/// Something that was told or sent.
fn of_happening(event: &EventEntry) -> Moment {
    let detail = event.detail.as_str();
    let mut moment = Moment::new(event.at, Kind::Event, &event.name, detail);
    match event.name.as_str() {
        "sent" => {
            let mut parts = detail.split("; ");
            let (name, octets) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let elapsed = parts.next().and_then(|ms| ms.strip_suffix(" ms")?.parse::<u64>().ok());
            let how = parts.next().map_or_else(String::new, |how| format!(" {how}"));
            moment.text = format!("{name} to its end: {octets}{how}");
            moment.elapsed_us = elapsed.map(|ms| ms.saturating_mul(1000));
            let is_loader =
                !name.contains('/') && [".efi", ".kpxe", ".pxe", ".0"].iter().any(|end| name.ends_with(end));
            moment.means = Means::FileSent { name: name.to_owned(), is_loader };
            moment.tone = Tone::Good;
        }
        "offered" if detail.is_empty() => moment.text = "nothing to boot: it goes to its own disk".into(),
        "offered" => moment.text = format!("its script with {}", detail.replace("; ", ", ")),
        "load-failed" => {
            moment.text = format!("iPXE could not boot {}", detail.replace("; ", ": "));
            (moment.tone, moment.means) = (Tone::Bad, Means::Told);
        }
        "failed" => {
            moment.text = format!("the installer failed: {detail}");
            (moment.tone, moment.means) = (Tone::Bad, Means::Told);
        }
        "done" => {
            moment.text = "the installer is done".into();
            (moment.tone, moment.means) = (Tone::Good, Means::Told);
        }
        "started" => moment.text = format!("it begins {}", detail.replace("; ", ", ")),
        // A decision whose question was not kept whole.
        "allow_boot" | "boot_images" => moment.kind = Kind::Decision,
        _ => {}
    }
    moment
}

/// What a decided answer means for what comes next.
pub(super) fn of_answer(answer: &Compared) -> (Means, Tone) {
    match answer {
        Compared::Images(images) => {
            let loads = images.images().iter().any(|image| {
                !matches!(
                    image.kind,
                    ImageKind::Local { .. }
                        | ImageKind::Reboot
                        | ImageKind::Poweroff
                        | ImageKind::Shell
                        | ImageKind::Retry { .. }
                )
            });
            (Means::Images { has_menu: images.menu().is_some() || images.images().len() > 1, loads }, Tone::Good)
        }
        Compared::Verdict(verdict) if verdict.allows() => (Means::Nothing, Tone::Good),
        Compared::Failed(_) => (Means::Nothing, Tone::Bad),
        _ => (Means::Nothing, Tone::Note),
    }
}
