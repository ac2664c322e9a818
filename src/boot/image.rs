//! What can be booted, and how several images are offered.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FactsForm, FileName, FileNameError, Line, Url, UrlError};

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
}

/// Images as somebody else wrote them.
#[derive(Deserialize)]
struct Unchecked {
    images: Vec<BootImage>,
    #[serde(default)]
    menu: Option<Menu>,
    #[serde(default)]
    notice: Vec<Line>,
}

impl TryFrom<Unchecked> for BootImages {
    type Error = ImageError;

    fn try_from(read: Unchecked) -> Result<BootImages, ImageError> {
        Ok(BootImages::new(read.images, read.menu)?.with_notice(read.notice))
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
        Ok(BootImages { images, menu, notice: Vec::new() })
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
        let kept: Vec<_> = self.images.iter().filter(|image| image.assignment.is_none()).cloned().collect();
        if kept.len() == self.images.len() {
            return self.clone();
        }
        let waiting = || Menu { title: Line::clean("Boot"), default: None, timeout: None };
        let menu = self.menu.clone().unwrap_or_else(waiting);
        let default = menu.default.as_ref().or(self.images.first().map(|image| &image.id));
        let default = kept.iter().map(|image| &image.id).find(|id| Some(*id) == default).cloned();
        if kept.is_empty() || (menu.timeout.is_some() && default.is_none()) {
            return BootImages { notice: self.notice.clone(), ..BootImages::none() };
        }
        BootImages { images: kept, menu: Some(Menu { default, ..menu }), notice: self.notice.clone() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn local(id: &str) -> BootImage {
        BootImage { id: id.into(), title: Line::clean(id), assignment: None, kind: ImageKind::Local }
    }

    fn menu(default: Option<&str>) -> Option<Menu> {
        Some(Menu { title: Line::clean("Boot"), default: default.map(Into::into), timeout: None })
    }

    #[test]
    fn nonsense_lists_are_refused() {
        let check = |images, menu, expect: &str| {
            let error = BootImages::new(images, menu).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(vec![local("a"), local("a")], None, "two images");
        check(vec![local("a b")], None, "no image id");
        check(vec![local("")], None, "no image id");
        check(vec![local("a"), local("b")], menu(Some("c")), "none of the images: a, b");
        check(vec![], menu(None), "no image");
        check((0..101).map(|i| local(&i.to_string())).collect(), None, "at most 100");
    }

    #[test]
    fn without_its_assignments_an_answer_boots_nothing_else_by_itself() {
        let done = |id: &str| BootImage { assignment: Some("a1".into()), ..local(id) };
        let timed =
            |default: Option<&str>| menu(default).map(|menu| Menu { timeout: Some(Duration::from_secs(9)), ..menu });
        // What is left, by id; whether there is a menu, and what it boots when nobody chooses.
        let check = |images: &[BootImage], menu, left: &[&str], default: Option<Option<&str>>| {
            let before = BootImages::new(images.to_vec(), menu).unwrap().with_notice([Line::clean("hello")]);
            let after = before.without_assignments();
            let ids: Vec<_> = after.images().iter().map(|image| image.id.as_str()).collect();
            assert_eq!(ids, left);
            assert_eq!(after.menu().map(|menu| menu.default.as_deref()), default);
            assert_eq!((after.notice().len(), after.assignments().count()), (1, 0));
        };
        check(&[done("install")], None, &[], None);
        check(&[local("a")], None, &["a"], None);
        // One of several that a person had to choose does not boot at once because it is the only one left.
        check(&[done("install"), local("wipe")], None, &["wipe"], Some(None));
        check(&[done("install"), local("wipe")], timed(Some("install")), &[], None);
        check(&[done("install"), local("wipe")], timed(None), &[], None);
        check(&[local("wipe"), done("install")], timed(None), &["wipe"], Some(Some("wipe")));
        check(&[done("install"), local("disk")], timed(Some("disk")), &["disk"], Some(Some("disk")));
        check(&[done("install"), local("disk")], menu(Some("install")), &["disk"], Some(None));
    }

    #[test]
    fn every_source_and_command_line_is_turned() {
        let source = |name: &str| name.parse::<Source>().unwrap();
        let line = Line::clean("x={files_url}/y");
        let file = InjectedFile { source: source("e"), name: Line::clean("n") };
        let kinds = [
            ImageKind::Linux { kernel: source("a"), initrd: vec![source("b"), source("c")], cmdline: line.clone() },
            ImageKind::Wim {
                wimboot: source("a"),
                bcd: Some(source("b")),
                boot_sdi: Some(source("c")),
                wim: source("d"),
                files: vec![file],
                args: line.clone(),
            },
            ImageKind::Chain { source: source("a") },
            ImageKind::Efi { source: source("a"), cmdline: line },
            ImageKind::Sanboot { source: source("a") },
        ];
        for kind in kinds {
            let turn = |from: Source| format!("@up/{from}").parse();
            let turned = kind.clone().map_sources::<SourceError>(turn, |_| Ok(Line::clean("turned"))).unwrap();
            let names: Vec<_> = turned.sources().into_iter().map(ToString::to_string).collect();
            let expect: Vec<_> = kind.sources().into_iter().map(|source| format!("@up/{source}")).collect();
            assert_eq!(names, expect);
            assert!(!format!("{turned:?}").contains("files_url"), "{turned:?}");
            assert_eq!(turned.name(), kind.name());
        }
        assert_eq!(ImageKind::Local.map_sources::<()>(|_| Err(()), |_| Err(())), Ok(ImageKind::Local));
    }

    #[test]
    fn a_source_is_a_url_or_a_confined_name() {
        assert!(matches!("http://h/x".parse(), Ok(Source::Url(_))));
        assert!(matches!("debian/linux".parse(), Ok(Source::File(_))));
        assert!("../etc/passwd".parse::<Source>().is_err());
        assert!("gopher://h/x".parse::<Source>().is_err());
    }
}
