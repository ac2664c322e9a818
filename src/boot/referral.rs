//! Handing a machine over to another boot server.
//!
//! A machine meets two programs on its way: its firmware, which can be sent to another address, and iPXE, which can be
//! given another script. A [`Referral`] says what each of them is told.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{BootImage, BootImages, ImageKind, Line, Url};

/// A machine that another boot server takes over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Referral {
    /// The other server, as this site calls it.
    pub upstream: Line,
    /// What firmware is told.
    pub firmware: FirmwareHandOver,
    /// What iPXE is told; when absent, nothing, so that it takes the other server's own answer.
    #[serde(default, rename = "ipxe", skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptHandOver>,
}

/// What firmware is told that is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareHandOver {
    /// Our own boot loader, whose iPXE is then handed over.
    Loader,
    /// A boot file of another TFTP server.
    File {
        /// That server.
        server: Ipv4Addr,
        /// The file, as that server calls it: at some it has backslashes.
        file: Line,
    },
    /// A boot file by URL, for UEFI HTTP Boot.
    Url(Url),
    /// Boot servers to ask on port 4011 (PXE 2.1 section 2.2.3, option 43.8).
    BootServers(Vec<Ipv4Addr>),
    /// Nothing, so that the other server's own answer wins.
    Silence,
}

/// What iPXE is told that is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScriptHandOver {
    /// The script, or the program, that takes over.
    pub url: Url,
    /// How the machine's facts go with it.
    pub facts: FactsForm,
}

/// How a machine's facts go with it to another server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactsForm {
    /// Not at all.
    None,
    /// In the query of the URL.
    Query,
    /// As a form, by POST, where the iPXE build can; else in the query.
    #[default]
    Form,
}

impl FactsForm {
    /// Every form.
    pub const ALL: [FactsForm; 3] = [FactsForm::None, FactsForm::Query, FactsForm::Form];

    /// The word in the configuration, in scripts and in databases.
    pub fn name(self) -> &'static str {
        match self {
            FactsForm::None => "none",
            FactsForm::Query => "query",
            FactsForm::Form => "form",
        }
    }
}

/// The text names no form of facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way to send facts; use form, query or none")]
pub struct UnknownFactsForm(String);

impl std::str::FromStr for FactsForm {
    type Err = UnknownFactsForm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = FactsForm::ALL.into_iter().find(|form| form.name() == text);
        known.ok_or_else(|| UnknownFactsForm(text.chars().take(80).collect()))
    }
}

impl Referral {
    /// Whether a boot of ours goes on: our loader runs, or our script.
    pub fn goes_on(&self) -> bool {
        self.firmware == FirmwareHandOver::Loader || self.tells_ipxe()
    }

    /// Whether iPXE is told something; else it must find nothing of ours, so that it takes the other server's own answer.
    pub fn tells_ipxe(&self) -> bool {
        self.script.is_some()
    }

    /// The image that hands iPXE over; none when iPXE is told nothing.
    pub fn images(&self) -> Option<BootImages> {
        let ScriptHandOver { url, facts } = self.script.clone()?;
        let image = BootImage {
            id: "referral".into(),
            title: Line::clean(&format!("Going on at {}", self.upstream)),
            assignment: None,
            verify: None,
            choice: Default::default(),
            kind: ImageKind::Referral { url, facts },
        };
        BootImages::new(vec![image], None).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Verdict;

    fn referral(firmware: FirmwareHandOver, script: Option<&str>) -> Referral {
        let script = script.map(|url| ScriptHandOver { url: url.parse().unwrap(), facts: FactsForm::Form });
        Referral { upstream: Line::clean("main"), firmware, script }
    }

    #[test]
    fn it_allows_what_goes_on_here() {
        let file = FirmwareHandOver::File { server: [10, 0, 0, 9].into(), file: Line::clean("boot\\x64\\wdsmgfw.efi") };
        let check = |firmware: FirmwareHandOver, script, allows| {
            let verdict = Verdict::Refer(referral(firmware, script));
            assert_eq!(verdict.allows(), allows, "{verdict:?}");
            let read: Verdict = serde_json::from_str(&serde_json::to_string(&verdict).unwrap()).unwrap();
            assert_eq!(read, verdict);
        };
        check(FirmwareHandOver::Loader, None, true);
        check(FirmwareHandOver::Silence, Some("http://up/boot.ipxe"), true);
        check(file.clone(), Some("http://up/boot.ipxe"), true);
        check(file, None, false);
        check(FirmwareHandOver::BootServers(vec![[10, 0, 0, 9].into()]), None, false);
        check(FirmwareHandOver::Url("http://up/ipxe.efi".parse().unwrap()), None, false);
        check(FirmwareHandOver::Silence, None, false);
    }

    #[test]
    fn its_image_is_the_hand_over() {
        let images = referral(FirmwareHandOver::Loader, Some("http://up/boot.ipxe")).images().unwrap();
        let image = &images.images()[0];
        assert_eq!((image.kind.name(), image.title.as_str()), ("referral", "Going on at main"));
        assert_eq!(referral(FirmwareHandOver::Loader, None).images(), None);
        for form in FactsForm::ALL {
            assert_eq!(form.name().parse(), Ok(form));
            assert_eq!(serde_json::to_value(form).unwrap(), form.name());
        }
        assert!("post".parse::<FactsForm>().is_err());
    }
}
