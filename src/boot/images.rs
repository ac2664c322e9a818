//! How images are offered: one at once, several in a menu, or none before a question is answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Ask, BootImage, Choice, ImageKind, Line, Look, Person, Prompt};

/// How several images are offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Menu {
    /// The heading.
    pub title: Line,
    /// Id of the image that boots when nobody chooses; the first image when absent.
    pub default: Option<String>,
    /// How long the menu waits; for ever when absent.
    #[serde(serialize_with = "seconds", deserialize_with = "of_seconds", rename = "timeout_s", default)]
    pub timeout: Option<Duration>,
    /// How it looks; as the site says, or as the build has it, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Box<Look>>,
    /// The key that is waited for before it is shown; nobody there is the own disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
}

fn seconds<S: serde::Serializer>(timeout: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    timeout.map(|timeout| timeout.as_secs()).serialize(serializer)
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

    /// The same without those images with an assignment that nobody could begin, as when the loader cannot boot them.
    pub fn without_assignments_of(&self, is_left_out: impl Fn(&BootImage) -> bool) -> BootImages {
        self.without(|image| image.assignment.is_some() && is_left_out(image))
    }

    fn without(&self, is_left_out: impl Fn(&BootImage) -> bool) -> BootImages {
        let kept: Vec<_> = self.images.iter().filter(|image| !is_left_out(image)).cloned().collect();
        if kept.len() == self.images.len() {
            return self.clone();
        }
        let waiting = || Menu { title: Line::clean("Boot"), ..Menu::default() };
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

    /// The same without the questions of these kinds, and without what they guard; `why` stands before what was left out.
    pub fn without_questions(self, is_left_out: impl Fn(&Ask) -> bool, why: &Line) -> BootImages {
        if let Some(ask) = self.ask.as_deref().filter(|ask| is_left_out(ask)) {
            let left_out = Line::clean(&format!("{why} {}", ask.title()));
            return BootImages { ask: None, ..self }.with_notice([left_out]);
        }
        let is_guarded = |image: &BootImage| image.choice.needs.as_ref().is_some_and(|ask| is_left_out(ask));
        let titles: Vec<_> =
            self.images.iter().filter(|image| is_guarded(image)).map(|image| image.title.as_str()).collect();
        if titles.is_empty() {
            return self;
        }
        let left_out = Line::clean(&format!("{why} {}", titles.join(", ")));
        self.without(is_guarded).with_notice([left_out])
    }

    /// The same with this look for a menu that has none of its own.
    pub fn with_look(mut self, look: &Look) -> BootImages {
        if self.menu.is_none() && self.images.len() > 1 {
            self.menu = Some(Menu { title: Line::clean("Boot"), ..Menu::default() });
        }
        if let Some(menu) = self.menu.as_mut().filter(|menu| menu.look.is_none()) {
            menu.look = Some(Box::new(look.clone()));
        }
        self
    }

    /// The key that is waited for before anything is offered or booted.
    pub fn prompt(&self) -> Option<&Prompt> {
        match (&self.menu, self.images.as_slice()) {
            (Some(menu), _) => menu.prompt.as_ref(),
            (None, [only]) => only.choice.prompt.as_ref(),
            (None, _) => None,
        }
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
#[path = "images_tests.rs"]
mod tests;
