//! An image as attributes by name: how it is kept in a database, written on a command line, and read from a row.
//!
//! **Invariant**: this is the one place that knows which attribute belongs to which kind. Any text becomes an image or
//! an error that names the attribute, its value and what to write instead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BootImage, BootImages, FactsForm, ImageError, ImageKind, InjectedFile, Line, Record, Source, Url, Verify};

/// Why attributes make no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageSpecError {
    /// A bad id.
    #[error(transparent)]
    Id(#[from] ImageError),
    /// Not one of the kinds there are.
    #[error("`kind` is `{0}`; use one of {names}", names = kind_names())]
    Kind(String),
    /// Something that the kind cannot do without.
    #[error("`{attribute}` is missing; an image of kind `{kind}` needs it, e.g. `{attribute}` = `{example}`")]
    Missing {
        /// The kind.
        kind: &'static str,
        /// What is missing.
        attribute: &'static str,
        /// What could be written.
        example: &'static str,
    },
    /// Something that the kind has no use for.
    #[error("an image of kind `{kind}` has no `{attribute}`; it has {known}")]
    Unknown {
        /// The kind.
        kind: &'static str,
        /// The attribute.
        attribute: String,
        /// What there is.
        known: String,
    },
    /// A value that cannot be used.
    #[error("`{attribute}` is `{value}`: {problem}")]
    Value {
        /// The attribute.
        attribute: &'static str,
        /// Its value, cut.
        value: String,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
}

/// A kind of image, and the attributes that it has beside `title`.
struct Shape {
    kind: &'static str,
    attributes: &'static [&'static str],
    read: fn(&Reader<'_>) -> Result<ImageKind, ImageSpecError>,
}

const SHAPES: &[Shape] = &[
    Shape { kind: "linux", attributes: &["kernel", "initrd", "cmdline", "verify", "signature"], read: linux },
    Shape {
        kind: "wim",
        attributes: &["wim", "wimboot", "bcd", "boot_sdi", "files", "args", "verify", "signature"],
        read: wim,
    },
    Shape { kind: "chain", attributes: &["source", "verify", "signature"], read: chain },
    Shape { kind: "efi", attributes: &["source", "cmdline", "verify", "signature"], read: efi },
    Shape { kind: "sanboot", attributes: &["source"], read: sanboot },
    Shape { kind: "ipxe", attributes: &["text"], read: ipxe },
    Shape { kind: "referral", attributes: &["url", "source", "facts"], read: referral },
    Shape { kind: "retry", attributes: &["wait"], read: retry },
    Shape { kind: "local", attributes: &[], read: |_| Ok(ImageKind::LOCAL) },
    Shape { kind: "reboot", attributes: &[], read: |_| Ok(ImageKind::Reboot) },
    Shape { kind: "poweroff", attributes: &[], read: |_| Ok(ImageKind::Poweroff) },
    Shape { kind: "shell", attributes: &[], read: |_| Ok(ImageKind::Shell) },
];

fn kind_names() -> String {
    SHAPES.iter().map(|shape| shape.kind).collect::<Vec<_>>().join(", ")
}

impl ImageKind {
    /// The longest text of an image of iPXE commands, in octets.
    pub const TEXT_LEN_MAX: usize = 64 << 10;

    /// The attributes that images of a kind have beside `title`, if there is such a kind.
    pub fn attributes(kind: &str) -> Option<&'static [&'static str]> {
        shape(kind).map(|shape| shape.attributes)
    }
}

impl BootImage {
    /// The image of a definition: `kind`, `title` (the id when absent), and the attributes of its kind.
    ///
    /// # Errors
    /// When the id, the kind or a value is bad, something is missing, or there is an attribute that the kind has not.
    pub fn define(id: &str, attributes: &BTreeMap<String, String>) -> Result<BootImage, ImageSpecError> {
        let image = Reader { get: &|name| attributes.get(name).cloned() }.image(id)?;
        let kind = image.kind.name();
        let known = ImageKind::attributes(kind).unwrap_or_default();
        let is_known = |name: &str| matches!(name, "kind" | "title") || known.contains(&name);
        match attributes.keys().find(|name| !is_known(name)) {
            None => Ok(image),
            Some(unknown) => {
                let known = ["kind", "title"].iter().chain(known).copied().collect::<Vec<_>>().join(", ");
                Err(ImageSpecError::Unknown { kind, attribute: cut(unknown), known })
            }
        }
    }

    /// The image of a row; columns that its kind has no use for mean nothing.
    ///
    /// # Errors
    /// When the id, the kind or a value is bad, or something is missing.
    pub fn from_row(id: &str, row: &Record) -> Result<BootImage, ImageSpecError> {
        Reader { get: &|name| row.text(name) }.image(id)
    }
}

struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    /// A value; one of nothing but spaces is none, as databases without NULL and with fixed widths have it.
    fn text(&self, attribute: &str) -> Option<String> {
        (self.get)(attribute).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn image(&self, id: &str) -> Result<BootImage, ImageSpecError> {
        let kind = self.text("kind").unwrap_or_default();
        let shape = shape(&kind).ok_or_else(|| ImageSpecError::Kind(cut(&kind)))?;
        let title = match self.line("title")? {
            title if title.is_empty() => Line::clean(id),
            title => title,
        };
        let image = BootImage {
            id: id.to_owned(),
            title,
            assignment: None,
            verify: if shape.attributes.contains(&"verify") { self.verify()? } else { None },
            choice: Default::default(),
            kind: (shape.read)(self)?,
        };
        BootImages::new(vec![image.clone()], None)?;
        Ok(image)
    }

    fn line(&self, attribute: &'static str) -> Result<Line, ImageSpecError> {
        let text = self.text(attribute).unwrap_or_default();
        Line::new(text.as_str()).map_err(|error| wrong(attribute, &text, error))
    }

    fn source(&self, attribute: &'static str) -> Result<Option<Source>, ImageSpecError> {
        self.text(attribute).map(|text| source(attribute, &text)).transpose()
    }

    fn needed(
        &self,
        kind: &'static str,
        attribute: &'static str,
        example: &'static str,
    ) -> Result<Source, ImageSpecError> {
        self.source(attribute)?.ok_or(ImageSpecError::Missing { kind, attribute, example })
    }

    /// That its files must be signed.
    fn verify(&self) -> Result<Option<Verify>, ImageSpecError> {
        let (word, ending) = (self.text("verify"), self.text("signature"));
        if word.is_none() && ending.is_none() {
            return Ok(None);
        }
        let word = word.unwrap_or_else(|| "required".into());
        let unless_able = word.parse().map_err(|error| wrong("verify", &word, error))?;
        let ending = ending.unwrap_or_else(|| Verify::ENDING.into());
        Verify::new(&ending, unless_able).map(Some).map_err(|error| wrong("signature", &ending, error))
    }

    /// Words separated by spaces or line breaks.
    fn words(&self, attribute: &str) -> Vec<String> {
        self.text(attribute).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }
}

fn linux(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    let kernel = reader.needed("linux", "kernel", "debian/linux")?;
    let initrd = reader.words("initrd").iter().map(|word| source("initrd", word)).collect::<Result<_, _>>()?;
    Ok(ImageKind::Linux { kernel, initrd, cmdline: reader.line("cmdline")? })
}

fn wim(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    let wim = reader.needed("wim", "wim", "winpe/boot.wim")?;
    let wimboot = match reader.source("wimboot")? {
        Some(wimboot) => wimboot,
        None => source("wimboot", "wimboot")?,
    };
    let files = reader.words("files").iter().map(|word| injected(word)).collect::<Result<_, _>>()?;
    let (bcd, boot_sdi) = (reader.source("bcd")?, reader.source("boot_sdi")?);
    Ok(ImageKind::Wim { wimboot, bcd, boot_sdi, wim, files, args: reader.line("args")? })
}

fn efi(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    let source = reader.needed("efi", "source", "tools/shell.efi")?;
    Ok(ImageKind::Efi { source, cmdline: reader.line("cmdline")? })
}

fn chain(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    Ok(ImageKind::Chain { source: reader.needed("chain", "source", "http://server/boot.ipxe")? })
}

fn sanboot(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    Ok(ImageKind::Sanboot { source: reader.needed("sanboot", "source", "http://server/disk.iso")? })
}

fn ipxe(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    let missing = ImageSpecError::Missing { kind: "ipxe", attribute: "text", example: "chain http://server/x.ipxe" };
    let text = reader.text("text").ok_or(missing)?;
    let text = text.strip_prefix("#!ipxe").unwrap_or(&text).trim_start_matches(['\r', '\n']);
    if text.len() > ImageKind::TEXT_LEN_MAX || text.contains('\0') {
        let most = ImageKind::TEXT_LEN_MAX;
        return Err(wrong("text", text, format!("it is no text of at most {most} octets without a zero")));
    }
    Ok(ImageKind::Ipxe { text: text.to_owned() })
}

/// The address is `url`; one of `source` will do too, as tables have it for other kinds.
fn referral(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    let missing = ImageSpecError::Missing { kind: "referral", attribute: "url", example: "http://server/boot.ipxe" };
    let attribute = if reader.text("url").is_some() { "url" } else { "source" };
    let text = reader.text(attribute).ok_or(missing)?;
    let url: Url = text.parse().map_err(|error| wrong(attribute, &text, error))?;
    let facts = reader.text("facts").unwrap_or_else(|| FactsForm::default().name().to_owned()).to_ascii_lowercase();
    let facts = facts.parse().map_err(|error| wrong("facts", &facts, error))?;
    Ok(ImageKind::Referral { url, facts })
}

fn retry(reader: &Reader<'_>) -> Result<ImageKind, ImageSpecError> {
    let text = reader.text("wait").unwrap_or_else(|| "15".into());
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(ImageKind::Retry { wait: Duration::from_secs(seconds) }),
        _ => Err(wrong("wait", &text, "it is a whole number of seconds, from 1 to 86400")),
    }
}

/// `NAME=SOURCE`, or a source that keeps its name.
fn injected(word: &str) -> Result<InjectedFile, ImageSpecError> {
    let (name, from) = match word.split_once('=') {
        Some((name, from)) if !name.contains(['/', ':', '\\']) => (name.to_owned(), from),
        _ => (last_part(word), word),
    };
    let source = source("files", from)?;
    match Line::new(name) {
        Ok(name) if !name.is_empty() => Ok(InjectedFile { source, name }),
        _ => Err(wrong("files", word, "the file has no name; write NAME=SOURCE, e.g. startnet.cmd=winpe/start.cmd")),
    }
}

fn last_part(source: &str) -> String {
    source.split(['?', '#']).next().unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

fn source(attribute: &'static str, text: &str) -> Result<Source, ImageSpecError> {
    text.parse().map_err(|error| wrong(attribute, text, error))
}

fn wrong(attribute: &'static str, value: &str, problem: impl ToString) -> ImageSpecError {
    ImageSpecError::Value { attribute, value: cut(value), problem: problem.to_string() }
}

fn shape(kind: &str) -> Option<&'static Shape> {
    SHAPES.iter().find(|shape| shape.kind.eq_ignore_ascii_case(kind.trim()))
}

/// The start of a value, short and clean enough for a message.
fn cut(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    Line::clean(&start).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn define(id: &str, pairs: &[(&str, &str)]) -> Result<BootImage, String> {
        let attributes = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        BootImage::define(id, &attributes).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_made_of_its_attributes() {
        let names = |image: BootImage| image.kind.sources().into_iter().map(ToString::to_string).collect::<Vec<_>>();
        let linux = define("debian", &[("kind", "Linux "), ("kernel", "d/linux"), ("initrd", " d/a.gz\nhttp://h/b ")]);
        assert_eq!(names(linux.unwrap()), ["d/linux", "d/a.gz", "http://h/b"]);
        let wim =
            define("pe", &[("kind", "wim"), ("wim", "pe/boot.wim"), ("files", "a.cmd=pe/b.cmd http://h/u.xml?x=1")]);
        let wim = wim.unwrap();
        assert_eq!(names(wim.clone()), ["wimboot", "pe/b.cmd", "http://h/u.xml?x=1", "pe/boot.wim"]);
        let ImageKind::Wim { files, .. } = &wim.kind else { panic!("{wim:?}") };
        assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a.cmd", "u.xml"]);
        assert_eq!(wim.title.as_str(), "pe");
        let text = define("x", &[("kind", "ipxe"), ("text", "#!ipxe\nshell\n"), ("title", "Tools")]).unwrap();
        assert_eq!((text.kind, text.title), (ImageKind::Ipxe { text: "shell".into() }, Line::clean("Tools")));
        for kind in SHAPES.iter().map(|shape| shape.kind) {
            let one_of_each = [("source", "x"), ("kernel", "x"), ("wim", "x"), ("text", "x"), ("url", "http://h/")];
            let row = one_of_each.iter().copied().chain([("kind", kind)]).collect();
            assert_eq!(BootImage::from_row("x", &row).unwrap().kind.name(), kind);
        }
    }

    #[test]
    fn an_error_names_the_attribute_its_value_and_the_remedy() {
        let check = |pairs: &[(&str, &str)], expect: &str| assert_eq!(define("x", pairs).unwrap_err(), expect);
        check(
            &[("kind", "iso")],
            "`kind` is `iso`; use one of linux, wim, chain, efi, sanboot, ipxe, referral, retry, local, reboot, poweroff, shell",
        );
        check(
            &[("kind", "linux"), ("kernel", " ")],
            "`kernel` is missing; an image of kind `linux` needs it, e.g. `kernel` = `debian/linux`",
        );
        check(
            &[("kind", "linux"), ("kernel", "../x")],
            "`kernel` is `../x`: the file name has a '..' part; names are relative to the served directory",
        );
        check(
            &[("kind", "linux"), ("kernel", "k"), ("cmdline", "ip=${ip}")],
            "`cmdline` is `ip=$ {ip}`: the text has `${`, which iPXE would expand; leave it out",
        );
        check(
            &[("kind", "referral"), ("facts", "form")],
            "`url` is missing; an image of kind `referral` needs it, e.g. `url` = `http://server/boot.ipxe`",
        );
        check(
            &[("kind", "referral"), ("source", "http://h/"), ("facts", "post")],
            "`facts` is `post`: `post` is no way to send facts; use form, query or none",
        );
        check(&[("kind", "retry"), ("wait", "0")], "`wait` is `0`: it is a whole number of seconds, from 1 to 86400");
        check(&[("kind", "local"), ("kernal", "k")], "an image of kind `local` has no `kernal`; it has kind, title");
        check(
            &[("kind", "efi"), ("source", "x"), ("kernel", "k")],
            "an image of kind `efi` has no `kernel`; it has kind, title, source, cmdline, verify, signature",
        );
        check(
            &[("kind", "chain"), ("source", "x"), ("verify", "yes")],
            "`verify` is `yes`: `yes` is not what a build that cannot verify may do; use required or if-able",
        );
        let signed = define("x", &[("kind", "efi"), ("source", "x.efi"), ("signature", ".p7")]).unwrap();
        assert!(signed.verify.as_ref().is_some_and(|verify| !verify.is_lenient()));
        assert!(define("x", &[("kind", "sanboot"), ("source", "x"), ("verify", "required")]).is_err());
        assert!(define("a b", &[("kind", "local")]).unwrap_err().contains("`a b` is no image id"));
        assert!(define("x", &[("kind", "wim"), ("wim", "w"), ("files", "=y")]).unwrap_err().contains("NAME=SOURCE"));
    }

    proptest! {
        #[test]
        fn any_text_is_an_image_or_an_error(
            kind in prop::sample::select(SHAPES.iter().map(|shape| shape.kind).collect::<Vec<_>>()),
            values in proptest::collection::vec("\\PC{0,12}[\\x00-\\x20${}=/.:]{0,6}|(http://)?[a-z./]{1,9}", 12),
            id in "[a-z0-9. ]{0,8}",
        ) {
            let names = ["kernel", "initrd", "cmdline", "wim", "wimboot", "bcd", "boot_sdi", "files", "args", "source",
                "text", "title"];
            let mut row: Record = names.iter().zip(&values).map(|(name, value)| (*name, value.as_str())).collect();
            row.insert("kind", kind);
            if let Ok(image) = BootImage::from_row(&id, &row) {
                prop_assert_eq!(image.kind.name(), kind);
                prop_assert_eq!(Line::new(image.title.as_str()), Ok(image.title));
            }
        }
    }
}
