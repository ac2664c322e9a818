//! The result of a script's function becomes an answer; everything else becomes an error that says what was expected.

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::api::plain_type;
use super::ask::Asking;
use super::contract;
use super::images::{Image, ImageMenu};
use super::made::{Builders, Made, Place};
use super::offer::offer;
use super::options::Options;
use super::sandbox::fail;
use crate::boot::{BootFile, BootImage, BootImages, Record, Value, Verdict};
use crate::config::Style;
use crate::decision::Answer;
use crate::nearest::cut;

/// A verdict in a script.
#[derive(Clone, Debug)]
pub(super) struct Ruling(Verdict, Place);

/// *No opinion* in a script.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass(Place);

/// *That upstream decides* in a script: no opinion, with a note for the handler behind.
#[derive(Clone, Debug)]
pub(super) struct Refer {
    upstream: String,
    style: Option<Style>,
    place: Place,
}

impl Made for Ruling {
    fn place(&self) -> &Place {
        &self.1
    }

    fn set_place(&mut self, place: Place) {
        self.1 = place;
    }
}

impl Made for Pass {
    fn place(&self) -> &Place {
        &self.0
    }

    fn set_place(&mut self, place: Place) {
        self.0 = place;
    }
}

impl Made for Refer {
    fn place(&self) -> &Place {
        &self.place
    }

    fn set_place(&mut self, place: Place) {
        self.place = place;
    }
}

/// The columns of the note that [`Refer`] becomes: the upstream, and how machines come to it where that is said.
pub(super) const REFER_NOTE: [&str; 2] = ["upstream", "upstream_style"];

/// Registers the verdicts.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Ruling>("Verdict").register_type_with_name::<Pass>("Pass");
    engine.register_type_with_name::<Refer>("Refer");
    engine.register_fn("refer", || fail::<Refer>("refer needs the name of an upstream: refer(\"main\")"));
    engine.register_fn("deny", || fail::<Ruling>("deny needs a reason: deny(\"not in the list\")"));
    engine.register_fn("ignore", || fail::<Ruling>("ignore needs a reason: ignore(\"not ours\")"));
    let mut builders = Builders(engine);
    builders.one("refer", |upstream: ImmutableString| refer(&upstream, Map::new()));
    builders.two("refer", |upstream: ImmutableString, options: Map| refer(&upstream, options));
    builders.none("allow", || Ok(Ruling(Verdict::allow(), Place::default())));
    builders.one("allow", |options: Map| offer(options).map(|offer| Ruling(Verdict::Allow(offer), Place::default())));
    builders.none("pass", || Ok(Pass::default()));
    builders.one("deny", |reason: ImmutableString| ruling("deny", &reason, Verdict::deny));
    builders.one("ignore", |reason: ImmutableString| ruling("ignore", &reason, Verdict::ignore));
}

fn ruling(name: &str, reason: &str, verdict: fn(&str) -> Verdict) -> Result<Ruling, Box<rhai::EvalAltResult>> {
    if reason.trim().is_empty() {
        return fail(format!("{name} needs a reason: {name}(\"...\")"));
    }
    Ok(Ruling(verdict(reason), Place::default()))
}

fn refer(upstream: &str, options: Map) -> Result<Refer, Box<EvalAltResult>> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if upstream.is_empty() || upstream.len() > 64 || !upstream.bytes().all(is_known) {
        return fail(format!("refer: `{}` is no name of an upstream; write NAME of [upstream.NAME]", cut(upstream)));
    }
    let mut options = Options::new("refer", options, contract::REFER)?;
    let style = match options.text("style")?.as_deref() {
        None => None,
        Some("ask") => Some(Style::Ask),
        Some("redirect") => Some(Style::Redirect),
        Some(other) => return fail(format!("refer: `style` is \"{}\"; use \"ask\" or \"redirect\"", cut(other))),
    };
    Ok(Refer { upstream: upstream.to_owned(), style, place: Place::default() })
}

impl Refer {
    /// *Pass*, with a note. A style that an earlier note has does not stay.
    fn answer<T>(self) -> Answer<T> {
        let [upstream, style] = REFER_NOTE;
        let named = self.style.map_or(Value::Null, |style| style.name().into());
        Answer::Noted(Record::from_iter([(upstream, Value::Text(self.upstream)), (style, named)]))
    }
}

/// What `allow_boot` returned.
pub(super) fn verdict(value: Dynamic) -> Result<Answer<Verdict>, String> {
    if value.is_unit() || value.is::<Pass>() {
        return Ok(Answer::Pass);
    }
    if let Ok(allowed) = value.as_bool() {
        return Ok(Answer::Given(if allowed { Verdict::allow() } else { Verdict::deny(DENIED) }));
    }
    let got = describe(&value);
    if value.is::<Refer>() {
        return Ok(value.cast::<Refer>().answer());
    }
    if value.is::<Image>() || value.is::<ImageMenu>() {
        return Err(format!(
            "allow_boot returned {got}; what is booted is the answer of boot_images: return allow() here"
        ));
    }
    match value.try_cast::<Ruling>() {
        Some(Ruling(verdict, _)) => Ok(Answer::Given(verdict)),
        None => Err(format!(
            "allow_boot returned {got}; return allow(), deny(\"reason\"), ignore(\"reason\"), true, false, refer(\"upstream\"), or pass()"
        )),
    }
}

/// What `boot_images` returned.
pub(super) fn images(value: Dynamic) -> Result<Answer<BootImages>, String> {
    if value.is_unit() || value.is::<Pass>() {
        return Ok(Answer::Pass);
    }
    if value.is_array() {
        let images = images_of(value.into_array().unwrap_or_default())?;
        return BootImages::new(images, None).map(Answer::Given).map_err(|error| error.to_string());
    }
    let got = describe(&value);
    let verdict = value.is::<Ruling>() || value.is_bool();
    if value.is::<Refer>() {
        return Ok(value.cast::<Refer>().answer());
    }
    if value.is::<ImageMenu>() {
        return Ok(Answer::Given(value.cast::<ImageMenu>().0));
    }
    if value.is::<Asking>() {
        return Ok(Answer::Given(BootImages::asking(value.cast::<Asking>().ask)));
    }
    match value.try_cast::<Image>() {
        Some(image) => BootImages::new(vec![image.image], None).map(Answer::Given).map_err(|error| error.to_string()),
        None if verdict => {
            Err(format!("boot_images returned {got}; allow or deny in allow_boot, and return images here"))
        }
        None => Err(format!(
            "boot_images returned {got}; return an image such as linux(#{{ ... }}), an array of images, a menu, a question such as ask_pin(), refer(\"upstream\"), or pass()"
        )),
    }
}

/// What `boot_file` returned.
pub(super) fn file(value: Dynamic) -> Result<Answer<BootFile>, String> {
    if value.is::<Pass>() {
        return Ok(Answer::Pass);
    }
    if value.is_unit() {
        return Ok(Answer::Given(BootFile::Absent));
    }
    let got = describe(&value);
    match value.into_immutable_string() {
        Ok(text) if text.len() > BootFile::LEN_MAX => {
            Err(format!("boot_file returned {} octets; at most {} fit", text.len(), BootFile::LEN_MAX))
        }
        Ok(text) => Ok(Answer::Given(BootFile::Text(text.to_string()))),
        Err(_) => Err(format!("boot_file returned {got}; return the text of the file, () for no such file, or pass()")),
    }
}

/// The images of an array. Ids that the script did not give are made unique.
pub(super) fn images_of(array: Array) -> Result<Vec<BootImage>, String> {
    let mut images: Vec<Image> = Vec::new();
    for (index, value) in array.into_iter().enumerate() {
        let got = describe(&value);
        let Some(image) = value.try_cast::<Image>() else {
            return Err(format!(
                "element {} of the images is {got}; each must be an image such as linux(#{{ ... }})",
                index + 1
            ));
        };
        images.push(image);
    }
    let ids: Vec<String> = images.iter().map(|image| image.image.id.clone()).collect();
    let unique = images.into_iter().enumerate().map(|(index, mut image)| {
        let id = image.image.id.clone();
        let before = ids.iter().take(index).filter(|other| **other == id).count();
        let given_twice = !image.named && before > 0;
        if given_twice {
            image.image.id = (before + 1..).map(|n| format!("{id}-{n}")).find(|id| !ids.contains(id)).unwrap_or(id);
        }
        image.image
    });
    Ok(unique.collect())
}

fn describe(value: &Dynamic) -> String {
    plain_type(value.type_name()).to_owned()
}

/// The reason of a bare `false`.
const DENIED: &str = "not allowed by the rules of this site";
