//! The builders of images and menus.

use std::time::Duration;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::answer::images_of;
use super::ask;
use super::contract::{self, OptionKey};
use super::look;
use super::made::{Builders, Made, Place};
use super::options::Options;
use super::sandbox::fail;
use crate::boot::{
    BootImage, BootImages, Choice, FactsForm, FileName, ImageKind, InjectedFile, Line, Menu, Source, Url,
};

/// An image in a script.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) image: BootImage,
    /// Whether the script gave the id; one of ours may be changed to be unique in a list.
    pub(super) named: bool,
    /// Where the script made it.
    pub(super) place: Place,
}

/// A menu in a script.
#[derive(Clone, Debug)]
pub(super) struct ImageMenu(pub(super) BootImages, Place);

impl Made for Image {
    fn place(&self) -> &Place {
        &self.place
    }

    fn set_place(&mut self, place: Place) {
        self.place = place;
    }
}

impl Made for ImageMenu {
    fn place(&self) -> &Place {
        &self.1
    }

    fn set_place(&mut self, place: Place) {
        self.1 = place;
    }
}

type Built = Result<Image, Box<EvalAltResult>>;

/// Registers the builders.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Image>("Image").register_type_with_name::<ImageMenu>("Menu");
    let mut builders = Builders(engine);
    builders.one("linux", linux);
    builders.one("wim", wim);
    builders.one("efi", efi);
    builders.one("efi", |text: ImmutableString| efi(only("source", text)));
    builders.one("menu", menu);
    builders.one("chain", chain);
    builders.one("chain", |text: ImmutableString| chain(only("source", text)));
    builders.one("sanboot", sanboot);
    builders.one("sanboot", |text: ImmutableString| sanboot(only("source", text)));
    builders.one("ipxe", ipxe);
    builders.one("ipxe", |text: ImmutableString| ipxe(only("text", text)));
    builders.one("referral", referral);
    builders.one("referral", |text: ImmutableString| referral(only("url", text)));
    builders.one("retry", retry);
    builders.one("retry", |seconds: i64| retry(only("wait", seconds)));
    for (name, id, title, kind) in PLAIN {
        builders.none(name, move || Ok(Image::new(id, Line::clean(title), kind.clone())));
        builders.one(name, move |text: ImmutableString| plain(name, id, title, kind, only("title", text)));
        builders.one(name, move |map: Map| plain(name, id, title, kind, map));
    }
    engine.register_get("id", |image: &mut Image| ImmutableString::from(image.image.id.as_str()));
    engine.register_get("title", |image: &mut Image| ImmutableString::from(image.image.title.as_str()));
}

const LOCAL_TITLE: &str = "Start from the local disk";

/// The images that need no file: function, id, title.
const PLAIN: &[(&str, &str, &str, ImageKind)] = &[
    ("local_disk", "local", LOCAL_TITLE, ImageKind::LOCAL),
    ("reboot", "reboot", "Restart", ImageKind::Reboot),
    ("poweroff", "poweroff", "Power off", ImageKind::Poweroff),
    ("shell", "shell", "iPXE command line", ImageKind::Shell),
];

impl Image {
    fn new(id: &str, title: Line, kind: ImageKind) -> Image {
        Image {
            image: BootImage {
                id: id.to_owned(),
                title,
                assignment: None,
                verify: None,
                choice: Default::default(),
                kind,
            },
            named: false,
            place: Place::default(),
        }
    }
}

fn only(key: &str, value: impl Into<Dynamic>) -> Map {
    Map::from([(key.into(), value.into())])
}

/// Gives an image the name, the title and the place in a menu of its options.
fn named(options: &mut Options, id: &str, title: &str, kind: ImageKind) -> Built {
    let given = options.text("id")?;
    let mut image = BootImage {
        id: given.as_deref().unwrap_or(id).to_owned(),
        title: Line::clean(title),
        assignment: None,
        verify: None,
        choice: Default::default(),
        kind,
    };
    image.title =
        options.line("title")?.unwrap_or_else(|| Line::clean(if given.is_some() { &image.id } else { title }));
    image.choice = ask::choice(options)?;
    image.verify = look::verify(options)?;
    // The list checks all of them again; a single image is checked here, where the line is known. A hidden one is for a
    // menu with others.
    let shown = BootImage { choice: Choice { hidden: false, ..image.choice.clone() }, ..image.clone() };
    match BootImages::new(vec![shown], None) {
        Ok(_) => Ok(Image { image, named: given.is_some(), place: Place::default() }),
        Err(error) => fail(error.to_string()),
    }
}

fn plain(what: &'static str, id: &str, title: &str, kind: &ImageKind, map: Map) -> Built {
    let is_local = *kind == ImageKind::LOCAL;
    let known = if is_local { contract::LOCAL_DISK } else { contract::PLAIN };
    let mut options = Options::new(what, map, known)?;
    let kind = if is_local { ImageKind::Local { method: options.parsed("method")? } } else { kind.clone() };
    named(&mut options, id, title, kind)
}

fn linux(map: Map) -> Built {
    let mut options = Options::new("linux", map, contract::LINUX)?;
    let kernel = options.source("kernel")?;
    let kernel =
        options.required("kernel", kernel, "linux(#{ kernel: \"debian/linux\", initrd: \"debian/initrd.gz\" })")?;
    let kind = ImageKind::Linux { kernel, initrd: options.sources("initrd")?, cmdline: options.arguments("cmdline")? };
    named(&mut options, "linux", "Linux", kind)
}

fn wim(map: Map) -> Built {
    let mut options = Options::new("wim", map, contract::WIM)?;
    let wim = options.source("wim")?;
    let wim = options.required(
        "wim",
        wim,
        "wim(#{ wim: \"winpe/boot.wim\", bcd: \"winpe/BCD\", boot_sdi: \"winpe/boot.sdi\" })",
    )?;
    let wimboot = match options.source("wimboot")? {
        Some(source) => source,
        None => options.parse("wimboot", "wimboot")?,
    };
    let kind = ImageKind::Wim {
        wimboot,
        bcd: options.source("bcd")?,
        boot_sdi: options.source("boot_sdi")?,
        wim,
        files: injected(&mut options)?,
        args: options.arguments("args")?,
    };
    named(&mut options, "wim", "Windows PE", kind)
}

/// `files` is a map from the name in Windows PE to where the file is, or an array of sources that keep their names.
fn injected(options: &mut Options) -> Result<Vec<InjectedFile>, Box<EvalAltResult>> {
    let Some(value) = options.take("files") else { return Ok(Vec::new()) };
    let pairs: Vec<(String, Dynamic)> = if value.is_map() {
        value.cast::<Map>().into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    } else if value.is_array() {
        value.cast::<Array>().into_iter().map(|value| (String::new(), value)).collect()
    } else {
        return fail("wim: `files` must be a map from names to files: #{ \"startnet.cmd\": \"winpe/startnet.cmd\" }");
    };
    let mut files = Vec::new();
    for (name, value) in pairs {
        let Ok(text) = value.into_immutable_string() else {
            return fail(format!("wim: `files`: \"{name}\" must be the text of a file name or URL"));
        };
        let source = options.parse("files", &text)?;
        let name = if name.is_empty() { last_part(&source) } else { name };
        match Line::new(name) {
            Ok(name) if !name.is_empty() && !name.as_str().contains([' ', '/', '\\']) => {
                files.push(InjectedFile { source, name })
            }
            _ => return fail("wim: `files`: a name in Windows PE has no space and no slash"),
        }
    }
    Ok(files)
}

fn last_part(source: &Source) -> String {
    let text = source.to_string();
    text.split(['?', '#']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
}

fn efi(map: Map) -> Built {
    let mut options = Options::new("efi", map, contract::EFI)?;
    let source = options.source("source")?;
    let source = options.required("source", source, "efi(#{ source: \"tools/shell.efi\" })")?;
    let kind = ImageKind::Efi { source, cmdline: options.arguments("cmdline")? };
    named(&mut options, "efi", "EFI program", kind)
}

fn chain(map: Map) -> Built {
    one_source("chain", map, contract::CHAIN, |source| ImageKind::Chain { source })
}

fn sanboot(map: Map) -> Built {
    one_source("sanboot", map, contract::SOURCE, |source| ImageKind::Sanboot { source })
}

fn one_source(what: &'static str, map: Map, known: &'static [OptionKey], kind: fn(Source) -> ImageKind) -> Built {
    let mut options = Options::new(what, map, known)?;
    let source = options.source("source")?;
    let source = options.required("source", source, &format!("{what}(\"http://server/file\")"))?;
    let title = FileName::parse(source.to_string().as_bytes()).map_or(what.to_owned(), |name| name.as_str().to_owned());
    named(&mut options, what, &title, kind(source))
}

fn referral(map: Map) -> Built {
    let mut options = Options::new("referral", map, contract::REFERRAL)?;
    let url = options.parsed::<Url>("url")?;
    let url = options.required("url", url, "referral(#{ url: \"http://boot.example.com/boot.ipxe\" })")?;
    let facts = options.parsed::<FactsForm>("facts")?.unwrap_or_default();
    let title = format!("Go on at {url}");
    named(&mut options, "referral", &title, ImageKind::Referral { url, facts })
}

fn retry(map: Map) -> Built {
    let mut options = Options::new("retry", map, contract::RETRY)?;
    let wait = options.number("wait")?;
    match options.required("wait", wait, "retry(15)")? {
        seconds @ 1..=MENU_SECONDS_MAX => {
            let wait = Duration::from_secs(seconds.unsigned_abs());
            named(&mut options, "retry", "Ask again", ImageKind::Retry { wait })
        }
        seconds => fail(format!("retry: `wait` is {seconds}; it is a number of seconds from 1 to {MENU_SECONDS_MAX}")),
    }
}

fn ipxe(map: Map) -> Built {
    let mut options = Options::new("ipxe", map, contract::IPXE)?;
    let text = options.text("text")?;
    let text = options.required("text", text, "ipxe(\"echo Hello\\nsleep 5\")")?;
    let text = text.trim_start().strip_prefix("#!ipxe").unwrap_or(&text).trim_start_matches(['\r', '\n']);
    if text.len() > IPXE_LEN_MAX || text.contains('\0') {
        return fail(format!(
            "ipxe: the text has {} octets or a zero; at most {IPXE_LEN_MAX} octets of text fit",
            text.len()
        ));
    }
    let kind = ImageKind::Ipxe { text: text.to_owned() };
    named(&mut options, "ipxe", "iPXE script", kind)
}

fn menu(map: Map) -> Result<ImageMenu, Box<EvalAltResult>> {
    let mut options = Options::new("menu", map, contract::MENU)?;
    let title = options.line("title")?.unwrap_or_else(|| Line::clean("Choose what to start"));
    let timeout = match options.number("timeout")? {
        None | Some(0) => None,
        Some(seconds @ 1..=MENU_SECONDS_MAX) => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(seconds) => {
            return fail(format!(
                "menu: `timeout` is {seconds}; it is a number of seconds up to {MENU_SECONDS_MAX}, 0 waits for ever"
            ));
        }
    };
    let default = default_of(&mut options)?;
    let (look, prompt) = (look::look(&mut options)?, look::prompt(&mut options)?);
    let images = options.array("images")?;
    let images = options.required("images", images, "menu(#{ title: \"Boot\", images: [ ... ] })")?;
    let images = images_of(images).or_else(|message| fail(format!("menu: {message}")))?;
    match BootImages::new(images, Some(Menu { title, default, timeout, look, prompt })) {
        Ok(images) => Ok(ImageMenu(images, Place::default())),
        Err(error) => fail(format!("menu: {error}")),
    }
}

/// `default` alone is a word of the language. The default is named by the id of an image, or by the image itself.
fn default_of(options: &mut Options) -> Result<Option<String>, Box<EvalAltResult>> {
    let Some(value) = options.take("default_image") else { return Ok(None) };
    if let Some(image) = value.clone().try_cast::<Image>() {
        return Ok(Some(image.image.id));
    }
    match value.into_immutable_string() {
        Ok(id) => Ok(Some(id.to_string())),
        Err(_) => fail("menu: `default_image` must be the id of an image, or the image"),
    }
}

/// The longest text of an iPXE script, in octets.
const IPXE_LEN_MAX: usize = ImageKind::TEXT_LEN_MAX;
/// The longest time that a menu waits.
const MENU_SECONDS_MAX: i64 = 86_400;
