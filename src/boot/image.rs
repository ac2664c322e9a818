//! What can be booted, and how several images are offered.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Ask, Choice, FactsForm, FileName, FileNameError, Line, Person, Url, UrlError};

/// Where a file of an image comes from: this server's images folder, or a URL elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file below the images folder.
    File(FileName),
    /// A URL that the client loads from directly.
    Url(Url),
}

/// Why a text names no [`Source`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A bad file name.
    #[error(transparent)]
    File(#[from] FileNameError),
    /// A bad URL.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl FromStr for Source {
    type Err = SourceError;

    /// What has `://` is a URL (as are the SAN forms `iscsi:`, `aoe:`), everything else a file name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") || text.starts_with("iscsi:") || text.starts_with("aoe:") {
            return Ok(Source::Url(text.parse()?));
        }
        Ok(Source::File(FileName::parse(text.as_bytes())?))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(name) => f.write_str(name.as_str()),
            Source::Url(url) => f.write_str(url.as_str()),
        }
    }
}

/// A file that wimboot places into the booted image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFile {
    /// Where it comes from.
    pub source: Source,
    /// The name that Windows PE sees under `X:\Windows\System32`.
    pub name: Line,
}

/// Something that can be booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootImage {
    /// Short name: letters, digits, `.`, `_` and `-`; unique in its list.
    pub id: String,
    /// What the menu shows.
    pub title: Line,
    /// The pending work that booting this image does, in the words of the handler that named it. The machine tells the
    /// server before it begins to load such an image, so that the work is done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// How a person comes to it in a menu.
    #[serde(flatten)]
    pub choice: Choice,
    /// What to do.
    #[serde(flatten)]
    pub kind: ImageKind,
}

/// What booting an image means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ImageKind {
    /// A Linux kernel with its initial RAM disks and command line.
    Linux {
        /// The kernel.
        kernel: Source,
        /// The initial RAM disks, in order.
        initrd: Vec<Source>,
        /// The kernel's command line.
        cmdline: Line,
    },
    /// A Windows image through wimboot.
    Wim {
        /// The wimboot program.
        wimboot: Source,
        /// Boot configuration data; wimboot can do without on newer images.
        bcd: Option<Source>,
        /// The boot RAM disk's descriptor.
        boot_sdi: Option<Source>,
        /// The image.
        wim: Source,
        /// Further files.
        files: Vec<InjectedFile>,
        /// Arguments of wimboot, e.g. `gui`, `index=2`.
        args: Line,
    },
    /// Another script or loader that takes over.
    Chain {
        /// What to load.
        source: Source,
    },
    /// An EFI program.
    Efi {
        /// The program.
        source: Source,
        /// Its arguments.
        cmdline: Line,
    },
    /// A disk by HTTP, iSCSI, AoE or another SAN protocol.
    Sanboot {
        /// The disk.
        source: Source,
    },
    /// Commands of iPXE as text: the one kind that is not typed, marked in the log.
    Ipxe {
        /// The commands, without the `#!ipxe` line.
        text: String,
    },
    /// Another boot server takes over, and is told what the machine is.
    Referral {
        /// Its script, or program.
        url: Url,
        /// How the machine's facts go with it; they go with `http` and `https` only.
        #[serde(default)]
        facts: FactsForm,
    },
    /// Nothing yet: the screen counts down, and the machine asks again. After some attempts it goes to its disk.
    Retry {
        /// How long it waits, from a second to a day; a key press ends it.
        #[serde(serialize_with = "wait_seconds", deserialize_with = "of_wait_seconds", rename = "wait_s")]
        wait: Duration,
    },
    /// The machine's own disk.
    Local,
    /// Restart.
    Reboot,
    /// Power off.
    Poweroff,
    /// The iPXE command line.
    Shell,
}

impl ImageKind {
    /// The name in scripts and logs.
    pub fn name(&self) -> &'static str {
        match self {
            ImageKind::Linux { .. } => "linux",
            ImageKind::Wim { .. } => "wim",
            ImageKind::Chain { .. } => "chain",
            ImageKind::Efi { .. } => "efi",
            ImageKind::Sanboot { .. } => "sanboot",
            ImageKind::Ipxe { .. } => "ipxe",
            ImageKind::Referral { .. } => "referral",
            ImageKind::Retry { .. } => "retry",
            ImageKind::Local => "local",
            ImageKind::Reboot => "reboot",
            ImageKind::Poweroff => "poweroff",
            ImageKind::Shell => "shell",
        }
    }

    /// Every source that the image loads, in order. What a server loads that takes over is its own matter.
    pub fn sources(&self) -> Vec<&Source> {
        match self {
            ImageKind::Linux { kernel, initrd, .. } => std::iter::once(kernel).chain(initrd).collect(),
            ImageKind::Wim { wimboot, bcd, boot_sdi, wim, files, .. } => std::iter::once(wimboot)
                .chain(bcd)
                .chain(boot_sdi)
                .chain(files.iter().map(|file| &file.source))
                .chain(std::iter::once(wim))
                .collect(),
            ImageKind::Chain { source } | ImageKind::Efi { source, .. } | ImageKind::Sanboot { source } => vec![source],
            ImageKind::Ipxe { .. }
            | ImageKind::Referral { .. }
            | ImageKind::Retry { .. }
            | ImageKind::Local
            | ImageKind::Reboot
            | ImageKind::Poweroff
            | ImageKind::Shell => Vec::new(),
        }
    }

    /// The same with its sources and its command lines turned into others.
    ///
    /// # Errors
    /// The first that turning one gives.
    pub fn map_sources<E>(
        self,
        source: impl Fn(Source) -> Result<Source, E>,
        command_line: impl Fn(Line) -> Result<Line, E>,
    ) -> Result<ImageKind, E> {
        let all = |sources: Vec<Source>| sources.into_iter().map(&source).collect::<Result<Vec<_>, E>>();
        let one = |of: Option<Source>| of.map(&source).transpose();
        Ok(match self {
            ImageKind::Linux { kernel, initrd, cmdline } => {
                ImageKind::Linux { kernel: source(kernel)?, initrd: all(initrd)?, cmdline: command_line(cmdline)? }
            }
            ImageKind::Wim { wimboot, bcd, boot_sdi, wim, files, args } => {
                let injected = |file: InjectedFile| Ok(InjectedFile { source: source(file.source)?, name: file.name });
                let files = files.into_iter().map(injected).collect::<Result<_, E>>()?;
                let (wimboot, wim, args) = (source(wimboot)?, source(wim)?, command_line(args)?);
                ImageKind::Wim { wimboot, bcd: one(bcd)?, boot_sdi: one(boot_sdi)?, wim, files, args }
            }
            ImageKind::Chain { source: from } => ImageKind::Chain { source: source(from)? },
            ImageKind::Efi { source: from, cmdline } => {
                ImageKind::Efi { source: source(from)?, cmdline: command_line(cmdline)? }
            }
            ImageKind::Sanboot { source: from } => ImageKind::Sanboot { source: source(from)? },
            // These load no file.
            other => other,
        })
    }
}

/// How several images are offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Menu {
    /// The heading.
    pub title: Line,
    /// Id of the image that boots when nobody chooses; the first image when absent.
    pub default: Option<String>,
    /// How long the menu waits; for ever when absent.
    #[serde(serialize_with = "seconds", deserialize_with = "of_seconds", rename = "timeout_s", default)]
    pub timeout: Option<Duration>,
}

fn seconds<S: serde::Serializer>(timeout: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    timeout.map(|timeout| timeout.as_secs()).serialize(serializer)
}

fn wait_seconds<S: serde::Serializer>(wait: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    wait.as_secs().serialize(serializer)
}

fn of_wait_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_secs(u64::deserialize(deserializer)?.clamp(1, 86_400)))
}

/// A day is the longest that a menu waits.
fn of_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    match Option::<u64>::deserialize(deserializer)? {
        Some(seconds @ 86_401..) => Err(serde::de::Error::custom(format!("a menu cannot wait {seconds} s"))),
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

/// Zero images (the machine's own disk), one (boot it now) or several (a menu).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct BootImages {
    images: Vec<BootImage>,
    menu: Option<Menu>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notice: Vec<Line>,
    /// Beside it there are no images: a server that does not know of questions boots nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<Box<Ask>>,
}

/// Images as somebody else wrote them.
#[derive(Deserialize)]
struct Unchecked {
    images: Vec<BootImage>,
    #[serde(default)]
    menu: Option<Menu>,
    #[serde(default)]
    notice: Vec<Line>,
    #[serde(default)]
    ask: Option<Box<Ask>>,
}

impl TryFrom<Unchecked> for BootImages {
    type Error = ImageError;

    fn try_from(read: Unchecked) -> Result<BootImages, ImageError> {
        let images = match read.ask {
            None => BootImages::new(read.images, read.menu)?,
            Some(ask) => BootImages::asking(*ask),
        };
        Ok(images.with_notice(read.notice))
    }
}

/// Why a list of images makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Too many to show.
    #[error("{0} images; a menu holds at most {max}", max = BootImages::IMAGES_MAX)]
    TooMany(usize),
    /// A bad id.
    #[error("`{0}` is no image id; use up to 64 letters, digits, `.`, `_` and `-`")]
    Id(String),
    /// Two images with one id.
    #[error("two images have the id `{0}`; give each its own")]
    Duplicate(String),
    /// The default is not in the list.
    #[error("the default `{0}` is none of the images: {1}")]
    Default(String, String),
    /// Nothing to choose from.
    #[error("the menu `{0}` has no image; give it at least one")]
    EmptyMenu(Line),
    /// A hot key that no keyboard has alone.
    #[error("the image `{image}` has the key `{key}`; a key is one letter or digit")]
    Key {
        /// The image.
        image: String,
        /// The key.
        key: char,
    },
    /// Two images with one hot key.
    #[error("the images `{one}` and `{other}` have the same key `{key}`; give each its own")]
    SameKey {
        /// An image.
        one: String,
        /// The other.
        other: String,
        /// The key.
        key: char,
    },
    /// Nobody could choose it.
    #[error("the image `{0}` is hidden and has no key; give it one: key: \"x\"")]
    HiddenWithoutKey(String),
    /// It would not be hidden.
    #[error("the hidden image `{0}` cannot be the default, nor the only image")]
    HiddenDefault(String),
}

impl BootImages {
    /// The most images that one answer may have.
    pub const IMAGES_MAX: usize = 100;

    /// The most lines that are shown before anything else.
    pub const NOTICE_LINES_MAX: usize = 12;

    /// The machine's own disk.
    pub fn none() -> BootImages {
        BootImages::default()
    }

    /// Images with or without a menu. Several images without a menu get one that waits for ever.
    ///
    /// # Errors
    /// When there are too many images, ids are bad or not unique, or the default is none of them.
    pub fn new(images: Vec<BootImage>, menu: Option<Menu>) -> Result<BootImages, ImageError> {
        if images.len() > Self::IMAGES_MAX {
            return Err(ImageError::TooMany(images.len()));
        }
        for (index, image) in images.iter().enumerate() {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            if image.id.is_empty() || image.id.len() > 64 || !image.id.bytes().all(good) {
                return Err(ImageError::Id(image.id.chars().take(64).collect()));
            }
            if images.iter().take(index).any(|other| other.id == image.id) {
                return Err(ImageError::Duplicate(image.id.clone()));
            }
        }
        check_choices(&images)?;
        if let Some(menu) = &menu {
            if images.is_empty() {
                return Err(ImageError::EmptyMenu(menu.title.clone()));
            }
            if let Some(default) = &menu.default
                && !images.iter().any(|image| image.id == *default)
            {
                let ids: Vec<_> = images.iter().map(|image| image.id.as_str()).collect();
                return Err(ImageError::Default(default.clone(), ids.join(", ")));
            }
        }
        let default = menu.as_ref().and_then(|menu| menu.default.as_ref());
        let shown = images.iter().filter(|image| !image.choice.hidden).count();
        if let Some(hidden) = images.iter().find(|image| image.choice.hidden)
            && (shown == 0 || default == Some(&hidden.id))
        {
            return Err(ImageError::HiddenDefault(hidden.id.clone()));
        }
        Ok(BootImages { images, menu, notice: Vec::new(), ask: None })
    }

    /// A question to the person at the machine, before anything is booted.
    pub fn asking(ask: Ask) -> BootImages {
        BootImages { ask: Some(Box::new(ask)), ..BootImages::none() }
    }

    /// What the person at the machine is asked before anything is booted.
    pub fn ask(&self) -> Option<&Ask> {
        self.ask.as_deref()
    }

    /// Only this image, booted at once, without what it needs to be asked.
    pub fn only(&self, id: &str) -> Option<BootImages> {
        let image = self.images.iter().find(|image| image.id == id)?.clone();
        let choice = Choice::default();
        Some(BootImages { images: vec![BootImage { choice, ..image }], ..BootImages::none() })
    }

    /// The same, with lines that the machine's screen shows first.
    pub fn with_notice(mut self, lines: impl IntoIterator<Item = Line>) -> BootImages {
        self.notice.extend(lines);
        self.notice.truncate(Self::NOTICE_LINES_MAX);
        self
    }

    /// The same without the images that do an assignment, as when it cannot be noted that they are about to. Nothing else
    /// takes the place of one that would have booted by itself: then the machine goes to its own disk.
    pub fn without_assignments(&self) -> BootImages {
        self.without(|image| image.assignment.is_some())
    }

    fn without(&self, is_left_out: impl Fn(&BootImage) -> bool) -> BootImages {
        let kept: Vec<_> = self.images.iter().filter(|image| !is_left_out(image)).cloned().collect();
        if kept.len() == self.images.len() {
            return self.clone();
        }
        let waiting = || Menu { title: Line::clean("Boot"), default: None, timeout: None };
        let menu = self.menu.clone().unwrap_or_else(waiting);
        let default = menu.default.as_ref().or(self.images.first().map(|image| &image.id));
        let default = kept.iter().map(|image| &image.id).find(|id| Some(*id) == default).cloned();
        let is_choice = kept.iter().any(|image| !image.choice.hidden);
        if !is_choice || (menu.timeout.is_some() && default.is_none()) {
            return BootImages { notice: self.notice.clone(), ..BootImages::none() };
        }
        BootImages { images: kept, menu: Some(Menu { default, ..menu }), notice: self.notice.clone(), ask: None }
    }

    /// The same without the questions of images that this person has answered.
    pub fn without_answered(mut self, person: Option<&Person>) -> BootImages {
        for image in &mut self.images {
            image.choice.needs =
                image.choice.needs.take().filter(|ask| !person.is_some_and(|who| ask.is_answered_by(who)));
        }
        self
    }

    /// The same without everything that something secret is asked for; `why` stands before what was left out.
    pub fn without_secrets(self, why: &Line) -> BootImages {
        if let Some(ask) = self.ask.as_deref().filter(|ask| ask.is_secret()) {
            let left_out = Line::clean(&format!("{why} {}", ask.title()));
            return BootImages { ask: None, ..self }.with_notice([left_out]);
        }
        let is_secret = |image: &BootImage| image.choice.needs.as_ref().is_some_and(|ask| ask.is_secret());
        let titles: Vec<_> =
            self.images.iter().filter(|image| is_secret(image)).map(|image| image.title.as_str()).collect();
        if titles.is_empty() {
            return self;
        }
        let left_out = Line::clean(&format!("{why} {}", titles.join(", ")));
        self.without(is_secret).with_notice([left_out])
    }

    /// The images, in the order that the menu shows.
    pub fn images(&self) -> &[BootImage] {
        &self.images
    }

    /// Whether this is no answer to be remembered: the machine shall ask again.
    pub fn asks_again(&self) -> bool {
        self.images.iter().any(|image| matches!(image.kind, ImageKind::Retry { .. }))
    }

    /// What the screen shows before anything else.
    pub fn notice(&self) -> &[Line] {
        &self.notice
    }

    /// The assignments of the images, in their order.
    pub fn assignments(&self) -> impl Iterator<Item = &str> {
        self.images.iter().filter_map(|image| image.assignment.as_deref())
    }

    /// The menu, if the images are to be offered rather than booted at once.
    pub fn menu(&self) -> Option<&Menu> {
        self.menu.as_ref()
    }
}

/// Whether a person can choose each of these images.
fn check_choices(images: &[BootImage]) -> Result<(), ImageError> {
    for (index, image) in images.iter().enumerate() {
        let Some(key) = image.choice.key else {
            if image.choice.hidden {
                return Err(ImageError::HiddenWithoutKey(image.id.clone()));
            }
            continue;
        };
        if !key.is_ascii_alphanumeric() {
            return Err(ImageError::Key { image: image.id.clone(), key });
        }
        if let Some(one) = images.iter().take(index).find(|one| one.choice.key == Some(key)) {
            return Err(ImageError::SameKey { one: one.id.clone(), other: image.id.clone(), key });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
