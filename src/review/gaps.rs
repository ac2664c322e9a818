//! Silence in a boot, in plain words: how long nothing came, and what the machine was likely doing.
//!
//! **Invariant**: what is a guess is worded as one.

use jiff::{SignedDuration, Timestamp};

use super::moments::{Kind, Means, Moment, Tone};

/// Silence that is worth a word.
const GAP: SignedDuration = SignedDuration::from_secs(5);

/// What a machine had when it fell silent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Has {
    #[default]
    Nothing,
    NoAnswer,
    Offer,
    FailedTransfer,
    Loader(String),
    IpxeOffer,
    Bootstrap,
    Script {
        has_menu: bool,
        loads: bool,
    },
    PartOfFile(String),
    Files,
    Wait,
    Told,
}

/// What a machine has after these moments.
pub(super) fn has(moments: &[Moment]) -> Has {
    let (mut has, mut images, mut begun) = (Has::Nothing, (false, true), Vec::new());
    for moment in moments {
        has = match &moment.means {
            Means::Nothing => continue,
            Means::FirmwareOffered => Has::Offer,
            Means::IpxeOffered => Has::IpxeOffer,
            Means::Silence => Has::NoAnswer,
            Means::TftpFailed => Has::FailedTransfer,
            Means::FileBegun(name) => {
                begun.push(name.clone());
                Has::PartOfFile(name.clone())
            }
            Means::FileSent { name, is_loader } => {
                begun.retain(|other| other != name);
                match begun.last() {
                    Some(other) => Has::PartOfFile(other.clone()),
                    None if *is_loader => Has::Loader(name.clone()),
                    None => Has::Files,
                }
            }
            Means::Bootstrap => Has::Bootstrap,
            Means::Images { has_menu, loads } => {
                images = (*has_menu, *loads);
                continue;
            }
            Means::Script => Has::Script { has_menu: images.0, loads: images.1 },
            Means::Held => Has::Wait,
            Means::Told => Has::Told,
        };
    }
    // The script is noted when it is asked for, and what is in it a moment later.
    match has {
        Has::Script { .. } => Has::Script { has_menu: images.0, loads: images.1 },
        has => has,
    }
}

/// Adds a moment wherever nothing came for long.
pub(super) fn with_gaps(moments: Vec<Moment>) -> Vec<Moment> {
    let mut told: Vec<Moment> = Vec::new();
    let mut heard: Option<Timestamp> = None;
    for mut moment in moments {
        if let Some(since) = heard {
            let silent = moment.began().duration_since(since);
            if silent >= GAP {
                let text = format!("nothing came for {}: {}", span(silent), meanwhile(&has(&told), &moment));
                let mut gap = Moment::new(since, Kind::Gap, "silence", text);
                gap.tone = Tone::Note;
                told.push(gap);
            } else if moment.means == Means::FirmwareOffered && has(&told) == Has::Offer && moment.name == "discover" {
                moment.lines.push("it asks again: the offer before did not arrive, or it prefers another".into());
            }
        }
        heard = heard.max(Some(moment.at));
        told.push(moment);
    }
    told
}

/// What a machine was likely doing while it was silent.
fn meanwhile(has: &Has, next: &Moment) -> &'static str {
    let is_again = matches!(next.means, Means::FirmwareOffered | Means::Silence);
    match has {
        Has::NoAnswer => "the firmware tried its other ways to boot, and came again",
        Has::Offer if is_again => "the firmware did not take the offer, and began again",
        Has::Offer => "the firmware waited for other offers, or for its lease",
        Has::FailedTransfer => "the firmware gave up, and tried again",
        Has::Loader(_) if is_again => "the loader did not start, or it lost the network; the firmware began again",
        Has::Loader(_) => "the loader was starting",
        Has::IpxeOffer if is_again => "iPXE did not reach its script, and the machine began again",
        Has::IpxeOffer => "iPXE waited for its lease, or tried to reach its script",
        Has::Bootstrap => "iPXE read the machine's facts",
        Has::Script { has_menu: true, .. } => "the menu was on the screen",
        Has::Script { .. } => "the machine did something that is not loaded from here",
        Has::PartOfFile(_) => "the file was on its way",
        Has::Files => "the system was starting",
        Has::Wait => "the machine was told to wait",
        Has::Told => "the machine was at work",
        Has::Nothing => "nobody knows why",
    }
}

/// A length of time, as people say it.
pub(super) fn span(duration: SignedDuration) -> String {
    match duration.as_secs() {
        seconds @ ..10 => format!("{seconds}.{} s", duration.subsec_millis().unsigned_abs() / 100),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
