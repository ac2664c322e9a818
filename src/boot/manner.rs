//! How a client is treated where it differs from the usual: what the quirk table and the site's rules say.
//!
//! **Invariant**: every field may be absent, which means *as usual*; what a rule says wins over what the quirk table says,
//! field by field.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::{BootMenu, FileName};

/// How PXE firmware is told its boot file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// No option 43: UEFI comes to port 4011 and gets the file there. Some firmware uses nothing else.
    Binl,
    /// Option 43 with bit 3: the file is taken from the OFFER, and against a rival proxy this one wins.
    Pxe10,
}

/// How a machine gets from iPXE to its own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalBoot {
    /// `sanboot` of the first BIOS disk, then `exit 0`.
    Sanboot,
    /// `exit 0`: the firmware goes on with its boot order; some opens its setup menu instead.
    Exit,
    /// `exit 1`: the firmware takes it for a failure, and goes to the next entry of its boot order.
    ExitFailed,
    /// Start the machine again, for firmware that comes back from no loader: its boot order must have the disk next.
    Reboot,
}

/// What option 175 holds for iPXE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpxeOption {
    /// Encapsulated options, as every build of ipxe.org reads them.
    Encapsulated,
    /// The URL of the boot server as plain text, as the loaders of 2Pint read it.
    Url,
}

/// How a client is treated where it differs from the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manner {
    /// How it is told its boot file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<Style>,
    /// Milliseconds that an answer to its DISCOVER waits: for ROMs that miss an answer which comes at once, and for a
    /// server that shall answer after another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u16>,
    /// Seconds that it must have been trying for (`secs` of its DISCOVER) before it is answered: a standby server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secs_min: Option<u16>,
    /// Its boot loader, by a name of the loaders folders, instead of its architecture's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<FileName>,
    /// How it gets to its own disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_boot: Option<LocalBoot>,
    /// The largest TFTP block that it can take, in octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blksize_max: Option<u16>,
    /// Whether the boot file is in option 67 as well, with a NUL behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_option: Option<bool>,
    /// Whether option 13 tells the size of the boot file, in blocks of 512 octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<bool>,
    /// What option 175 holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipxe_option: Option<IpxeOption>,
}

impl Manner {
    /// The longest delay, in milliseconds: firmware has given up by then.
    pub const DELAY_MAX_MS: u16 = 10_000;
    /// The most seconds that a standby server waits for.
    pub const SECS_MAX: u16 = 60;
    /// What a largest TFTP block may be, in octets (RFC 1350, RFC 2348).
    pub const BLKSIZE: RangeInclusive<u16> = 512..=65_464;

    /// What is out of range, in words.
    pub fn out_of_range(&self) -> Option<String> {
        let fields = [
            ("delay_ms", self.delay_ms, 0..=Manner::DELAY_MAX_MS),
            ("secs_min", self.secs_min, 0..=Manner::SECS_MAX),
            ("blksize_max", self.blksize_max, Manner::BLKSIZE),
        ];
        fields.into_iter().find_map(|(name, value, range)| {
            let wrong = value.filter(|value| !range.contains(value))?;
            Some(format!("`{name}` is {wrong}; use {} to {}", range.start(), range.end()))
        })
    }

    /// This, and what `usual` says of everything that this leaves open.
    pub fn or(self, usual: &Manner) -> Manner {
        Manner {
            style: self.style.or(usual.style),
            delay_ms: self.delay_ms.or(usual.delay_ms),
            secs_min: self.secs_min.or(usual.secs_min),
            loader: self.loader.or_else(|| usual.loader.clone()),
            local_boot: self.local_boot.or(usual.local_boot),
            blksize_max: self.blksize_max.or(usual.blksize_max),
            file_option: self.file_option.or(usual.file_option),
            file_size: self.file_size.or(usual.file_size),
            ipxe_option: self.ipxe_option.or(usual.ipxe_option),
        }
    }

    /// Whether it says nothing.
    pub fn is_usual(&self) -> bool {
        *self == Manner::default()
    }

    /// How long an answer to its DISCOVER waits.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(0).into())
    }
}

/// What an allowed machine is told apart from the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Offer {
    /// How it is treated, where the rules say so.
    #[serde(skip_serializing_if = "Manner::is_usual", deserialize_with = "understood")]
    pub manner: Manner,
    /// A menu that the firmware itself shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub menu: Option<Box<BootMenu>>,
}

/// Reads what the rules of another server say. What this version does not know is left out: a server that was updated
/// first must not keep the machines of an older one from booting.
fn understood<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Manner, D::Error> {
    let said = serde_json::Map::deserialize(deserializer)?;
    let fields = said.into_iter().map(|field| serde_json::Value::Object([field].into_iter().collect()));
    let known = fields.filter_map(|field| serde_json::from_value::<Manner>(field).ok());
    Ok(known.fold(Manner::default(), |manner, field| manner.or(&field)))
}

impl fmt::Display for Manner {
    /// What differs from the usual, as in `loader undionly.kkpxe, after 500 ms`; empty where nothing does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |value: Option<bool>, words: &str| {
            value.map(|is_on| if is_on { words.to_owned() } else { format!("not {words}") })
        };
        let words = [
            self.loader.as_ref().map(|name| format!("loader {name}")),
            self.style.map(|style| format!("style {}", style.name())),
            self.delay_ms.map(|delay| format!("after {delay} ms")),
            self.secs_min.map(|secs| format!("once it has tried for {secs} s")),
            self.local_boot.map(|local| format!("local boot by {}", local.name())),
            self.blksize_max.map(|max| format!("TFTP blocks up to {max}")),
            flag(self.file_option, "option 67 beside the header"),
            flag(self.file_size, "the size in option 13"),
            self.ipxe_option.map(|form| format!("option 175 as {}", form.name())),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manner = self.manner.to_string();
        let separator = if manner.is_empty() || self.menu.is_none() { "" } else { ", " };
        let menu = self.menu.as_ref().map(|menu| format!("{separator}a menu: {menu}")).unwrap_or_default();
        write!(f, "{manner}{menu}")
    }
}

/// The text names none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is unknown; use {known}")]
pub struct UnknownManner {
    text: String,
    known: &'static str,
}

/// Characters of a wrong name that a message shows.
const SHOWN_MAX: usize = 80;

macro_rules! named {
    ($kind:ty, $known:literal, $($value:path = $name:literal),+) => {
        impl $kind {
            /// The name in scripts, the configuration and logs.
            pub fn name(self) -> &'static str {
                match self { $($value => $name),+ }
            }
        }

        impl FromStr for $kind {
            type Err = UnknownManner;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(UnknownManner { text: text.chars().take(SHOWN_MAX).collect(), known: $known }),
                }
            }
        }
    };
}

named!(Style, "binl or pxe10", Style::Binl = "binl", Style::Pxe10 = "pxe10");
named!(
    LocalBoot,
    "sanboot, exit, exit-failed or reboot",
    LocalBoot::Sanboot = "sanboot",
    LocalBoot::Exit = "exit",
    LocalBoot::ExitFailed = "exit-failed",
    LocalBoot::Reboot = "reboot"
);
named!(IpxeOption, "encapsulated or url", IpxeOption::Encapsulated = "encapsulated", IpxeOption::Url = "url");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_server_says_is_left_out_and_the_rest_holds() {
        let said =
            r#"{"manner": {"style": "pxe30", "blksize_max": 1024, "moon": [1], "delay_ms": "x", "file_size": true}}"#;
        let offer: Offer = serde_json::from_str(said).unwrap();
        let manner = Manner { blksize_max: Some(1024), file_size: Some(true), ..Manner::default() };
        assert_eq!(offer.manner, manner);
        assert!(serde_json::from_str::<Manner>(r#"{"moon": [1]}"#).is_err(), "in a site's own table it is a slip");
    }

    #[test]
    fn what_is_said_wins_and_the_rest_is_as_usual() {
        let usual = Manner { style: Some(Style::Binl), delay_ms: Some(200), ..Manner::default() };
        let said = Manner { style: Some(Style::Pxe10), blksize_max: Some(1024), ..Manner::default() };
        let both = said.clone().or(&usual);
        assert_eq!((both.style, both.delay_ms, both.blksize_max), (Some(Style::Pxe10), Some(200), Some(1024)));
        assert_eq!(said.clone().or(&Manner::default()), said);
        assert!(Manner::default().is_usual() && !said.is_usual());
    }

    #[test]
    fn what_no_client_could_do_is_told() {
        assert_eq!(Manner::default().out_of_range(), None);
        let small = Manner { blksize_max: Some(7), ..Manner::default() };
        assert_eq!(small.out_of_range().as_deref(), Some("`blksize_max` is 7; use 512 to 65464"));
    }

    #[test]
    fn names_are_read_again() {
        for value in [LocalBoot::Sanboot, LocalBoot::Exit, LocalBoot::ExitFailed, LocalBoot::Reboot] {
            assert_eq!(value.name().parse(), Ok(value));
        }
        let error = "bint".parse::<Style>().unwrap_err().to_string();
        assert_eq!(error, "`bint` is unknown; use binl or pxe10");
    }
}
