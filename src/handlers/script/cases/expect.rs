//! What a case expects, compared with what came.

use serde::de::value::StrDeserializer;
use serde::de::{Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::super::Question;
use super::super::diagnose::ScriptError;
use super::difference;
use crate::boot::{BootImage, BootImages, ImageKind, Verdict};

/// What a case expects; what is absent is not compared.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Expected {
    /// The kind of answer.
    pub(super) expect: Option<Expectation>,
    /// The reason of a denial or of silence.
    pub(super) reason: Option<String>,
    /// A part of the error.
    pub(super) error: Option<String>,
    /// The ids of all images, in order.
    pub(super) images: Option<Vec<String>>,
    /// The kind of the only image, e.g. `linux`.
    pub(super) kind: Option<String>,
    /// The title of the menu, or of the only image.
    pub(super) title: Option<String>,
    /// The id of the menu's default.
    pub(super) default: Option<String>,
    /// How many seconds the menu waits; 0 for ever.
    pub(super) timeout: Option<u64>,
    /// The command line of the only image.
    pub(super) cmdline: Option<String>,
    /// Every file and URL of all images, in order.
    pub(super) sources: Option<Vec<String>>,
    /// The images that a question guards, each as `ID METHOD`, in order.
    pub(super) needs: Option<Vec<String>>,
}

/// The kind of answer that is expected: one word, or `refer NAME`, or `refer NAME STYLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expectation {
    kind: Kind,
    /// Whom it is referred to, and how; what is absent is not compared.
    to: Vec<String>,
}

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (kind, to) = text.split_once(' ').unwrap_or((&text, ""));
        let to: Vec<String> = to.split_whitespace().map(str::to_owned).collect();
        let kind: StrDeserializer<'_, D::Error> = kind.into_deserializer();
        let kind = Kind::deserialize(kind)?;
        let to_max = match kind {
            Kind::Refer => 2,
            Kind::Ask => 1,
            _ => 0,
        };
        match to.get(to_max) {
            None => Ok(Expectation { kind, to }),
            Some(more) => Err(D::Error::custom(format!("`{more}` in `{text}` means nothing; write `{}`", name(kind)))),
        }
    }
}

/// The kind of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Allow,
    Deny,
    Ignore,
    Pass,
    Refer,
    Error,
    Local,
    Image,
    Menu,
    Ask,
}

impl Expected {
    /// The question that can be answered so, where that is clear.
    pub(super) fn question(&self) -> Option<Question> {
        let of_images = self.images.is_some()
            || self.kind.is_some()
            || self.title.is_some()
            || self.default.is_some()
            || self.timeout.is_some()
            || self.cmdline.is_some()
            || self.sources.is_some()
            || self.needs.is_some();
        match kind_of(self) {
            Some(Kind::Allow | Kind::Deny | Kind::Ignore) => Some(Question::AllowBoot),
            Some(Kind::Local | Kind::Image | Kind::Menu | Kind::Ask) => Some(Question::BootImages),
            _ if self.reason.is_some() => Some(Question::AllowBoot),
            _ => of_images.then_some(Question::BootImages),
        }
    }

    /// Whether nothing at all is expected.
    pub(super) fn is_empty(&self) -> bool {
        self.expect.is_none() && self.error.is_none() && self.question().is_none()
    }
}

/// What came.
pub(super) enum Actual {
    Verdict(Verdict),
    Images(BootImages),
    Pass,
    /// Whom it is referred to, and how.
    Refer(Vec<String>),
    Error(ScriptError),
}

impl Actual {
    /// How the answer differs from the expected one.
    pub(super) fn differences(&self, expected: &Expected) -> Vec<String> {
        let mut found = Vec::new();
        let kind = kind_of(expected).or_else(|| expected.error.as_ref().map(|_| Kind::Error));
        let to = expected.expect.as_ref().map_or(&[][..], |expect| &expect.to);
        let asked = self.asked().map(|method| vec![method.to_owned()]).unwrap_or_default();
        let came: &[String] = if let Actual::Refer(came) = self { came } else { &asked };
        // What is not said is not compared.
        let is_open = to.is_empty() && matches!(kind, Some(Kind::Refer | Kind::Ask));
        let came = if is_open { &[] } else { came.get(..to.len().max(1)).unwrap_or(came) };
        let in_words = |kind, to: &[String]| [&[name(kind)], to].concat().join(" ");
        compare(&mut found, "expect", kind.map(|kind| in_words(kind, to)), in_words(self.kind(), came));
        compare(&mut found, "reason", quote(&expected.reason), format!("{:?}", self.reason()));
        let ids: Vec<_> = self.images().iter().map(|image| image.id.clone()).collect();
        lists("images", expected.images.as_deref(), &ids, &mut found);
        compare(
            &mut found,
            "kind",
            quote(&expected.kind),
            format!("{:?}", self.only().map_or("", |image| image.kind.name())),
        );
        compare(&mut found, "title", quote(&expected.title), format!("{:?}", self.title()));
        compare(&mut found, "default", quote(&expected.default), format!("{:?}", self.default_id()));
        compare(&mut found, "timeout", expected.timeout.map(|seconds| seconds.to_string()), self.timeout().to_string());
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let beside =
            expected.cmdline.as_deref().and_then(|text| difference::beside(&words(text), &words(self.cmdline())));
        match beside.filter(|_| expected.cmdline.as_deref() != Some(self.cmdline())) {
            Some(lines) => found.push(format!("differs   cmdline\n{}", lines.join("\n"))),
            None => compare(&mut found, "cmdline", quote(&expected.cmdline), format!("{:?}", self.cmdline())),
        }
        let sources: Vec<_> = self.images().iter().flat_map(sources).collect();
        lists("sources", expected.sources.as_deref(), &sources, &mut found);
        let needs: Vec<_> = self.images().iter().filter_map(needs).collect();
        lists("needs", expected.needs.as_deref(), &needs, &mut found);
        self.error(expected, &mut found);
        found
    }

    fn error(&self, expected: &Expected, found: &mut Vec<String>) {
        match (self, &expected.error) {
            (Actual::Error(error), Some(part)) if !error.one_line().contains(part) => {
                found.push(format!("expected  an error with {part:?}"));
                found.push(format!("but got   {error}"));
            }
            (Actual::Error(error), None) if kind_of(expected) != Some(Kind::Error) => found.push(error.to_string()),
            _ => {}
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Actual::Verdict(Verdict::Allow(_)) => Kind::Allow,
            Actual::Verdict(Verdict::Deny { .. }) => Kind::Deny,
            Actual::Verdict(Verdict::Ignore { .. }) => Kind::Ignore,
            Actual::Verdict(Verdict::Refer(_)) | Actual::Refer(_) => Kind::Refer,
            Actual::Pass => Kind::Pass,
            Actual::Error(_) => Kind::Error,
            Actual::Images(images) if images.ask().is_some() => Kind::Ask,
            Actual::Images(images) if images.menu().is_some() => Kind::Menu,
            Actual::Images(images) => match images.images() {
                [] => Kind::Local,
                [BootImage { kind: ImageKind::Local { .. }, .. }] => Kind::Local,
                [_] => Kind::Image,
                _ => Kind::Menu,
            },
        }
    }

    /// How the person at the machine is to be verified.
    fn asked(&self) -> Option<&'static str> {
        match self {
            Actual::Images(images) => images.ask().map(|ask| ask.method().name()),
            _ => None,
        }
    }

    fn reason(&self) -> &str {
        match self {
            Actual::Verdict(verdict) => verdict.reason(),
            _ => "",
        }
    }

    fn images(&self) -> &[BootImage] {
        match self {
            Actual::Images(images) => images.images(),
            _ => &[],
        }
    }

    fn only(&self) -> Option<&BootImage> {
        match self.images() {
            [image] => Some(image),
            _ => None,
        }
    }

    fn title(&self) -> &str {
        match self {
            Actual::Images(images) => match images.menu() {
                Some(menu) => menu.title.as_str(),
                None if let Some(ask) = images.ask() => ask.title().as_str(),
                None => self.only().map_or("", |image| image.title.as_str()),
            },
            _ => "",
        }
    }

    fn default_id(&self) -> &str {
        match self {
            Actual::Images(images) => images.menu().and_then(|menu| menu.default.as_deref()).unwrap_or(""),
            _ => "",
        }
    }

    fn timeout(&self) -> u64 {
        match self {
            Actual::Images(images) => {
                images.menu().and_then(|menu| menu.timeout).map_or(0, |timeout| timeout.as_secs())
            }
            _ => 0,
        }
    }

    fn cmdline(&self) -> &str {
        match self.only().map(|image| &image.kind) {
            Some(ImageKind::Linux { cmdline, .. } | ImageKind::Efi { cmdline, .. }) => cmdline.as_str(),
            Some(ImageKind::Wim { args, .. }) => args.as_str(),
            _ => "",
        }
    }
}

/// Compares two values as they are written.
fn compare(found: &mut Vec<String>, what: &str, expected: Option<String>, actual: String) {
    if let Some(expected) = expected.filter(|expected| *expected != actual) {
        found.push(format!("expected  {what} = {expected}"));
        found.push(format!("but got   {what} = {actual}"));
    }
}

/// Compares two lists, beside each other when they are long.
fn lists(what: &str, expected: Option<&[String]>, actual: &[String], found: &mut Vec<String>) {
    let Some(expected) = expected.filter(|expected| *expected != actual) else { return };
    match difference::beside(expected, actual) {
        Some(lines) => found.push(format!("differs   {what}\n{}", lines.join("\n"))),
        None => compare(found, what, Some(format!("{expected:?}")), format!("{actual:?}")),
    }
}

/// Every file and URL of an image, also the one that it goes on at.
pub(super) fn sources(image: &BootImage) -> Vec<String> {
    match &image.kind {
        ImageKind::Referral { url, .. } => vec![url.to_string()],
        kind => kind.sources().into_iter().map(ToString::to_string).collect(),
    }
}

fn needs(image: &BootImage) -> Option<String> {
    image.choice.needs.as_ref().map(|ask| format!("{} {}", image.id, ask.method().name()))
}

fn kind_of(expected: &Expected) -> Option<Kind> {
    expected.expect.as_ref().map(|expect| expect.kind)
}

fn name(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn quote(text: &Option<String>) -> Option<String> {
    text.as_ref().map(|text| format!("{text:?}"))
}
