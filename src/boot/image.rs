//! What can be booted.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Choice, FactsForm, FileName, FileNameError, Line, LocalBoot, Url, UrlError, Verify};

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

impl BootImage {
    /// The signature of one of its files, where it must have one.
    pub fn signature(&self, file: &Source) -> Option<Source> {
        self.verify.as_ref()?.signature(file)
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
    /// That its files must be signed, and are verified before they start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
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
    Local {
        /// The way to it, where it is not the usual one of this machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        method: Option<LocalBoot>,
    },
    /// Restart.
    Reboot,
    /// Power off.
    Poweroff,
    /// The iPXE command line.
    Shell,
}

impl ImageKind {
    /// The machine's own disk, in its usual way.
    pub const LOCAL: ImageKind = ImageKind::Local { method: None };

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
            ImageKind::Local { .. } => "local",
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
            | ImageKind::Local { .. }
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

fn wait_seconds<S: serde::Serializer>(wait: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    wait.as_secs().serialize(serializer)
}

fn of_wait_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_secs(u64::deserialize(deserializer)?.clamp(1, 86_400)))
}
