//! The two kinds of values that a command takes: one argument, or text of several.

use crate::boot::{Line, Url};

/// A piece of a value: fixed text, or a setting that iPXE puts in on the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text without `${` and without control characters.
    Literal(String),
    /// A setting and the form it is asked for, e.g. `serial` as `uristring`; without a form it is in its own.
    Setting(&'static str, Option<&'static str>),
}

/// Text that may have spaces, e.g. a title, a reason or a kernel command line. Every space is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub(super) Vec<Part>);

impl Text {
    /// The longest text for a screen, in octets. The stack of a BIOS iPXE holds two pointers for every word of a line.
    pub const SCREEN_LEN_MAX: usize = 400;

    /// Any text; what cannot be written is cleaned as [`Line::clean`] does it.
    pub fn new(text: &str) -> Text {
        Text::default().and(text)
    }

    /// Text for the screen, cut to [`Text::SCREEN_LEN_MAX`].
    pub fn screen(text: &str) -> Text {
        let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= Self::SCREEN_LEN_MAX);
        Text::new(text.get(..end.last().unwrap_or(0)).unwrap_or_default())
    }

    /// This, followed by more text.
    pub fn and(mut self, text: &str) -> Text {
        let text = Line::clean(text).as_str().to_owned();
        // `$` and `{` must not meet: iPXE has no way to write them literally.
        if let (Some(Part::Literal(last)), true) = (self.0.last_mut(), text.starts_with('{'))
            && last.ends_with('$')
        {
            last.push(' ');
        }
        if !text.is_empty() {
            self.0.push(Part::Literal(text));
        }
        self
    }

    /// This, followed by the value that a setting has on the client.
    pub fn and_setting(mut self, setting: &'static str) -> Text {
        self.0.push(Part::Setting(setting, None));
        self
    }

    /// This, followed by the value that a setting has on the client, in another form (iPXE: a setting's type).
    pub fn and_setting_as(mut self, setting: &'static str, form: &'static str) -> Text {
        self.0.push(Part::Setting(setting, Some(form)));
        self
    }
}

impl From<&Line> for Text {
    fn from(line: &Line) -> Self {
        Text(vec![Part::Literal(line.as_str().to_owned())])
    }
}

/// One argument: text without a space, e.g. a URL, an id or a file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(pub(super) Text);

impl Word {
    /// One argument of any text; spaces become `_`, for iPXE knows no quotes.
    pub fn new(text: &str) -> Word {
        Word::default().and(text)
    }

    /// This, followed by more text.
    pub fn and(self, text: &str) -> Word {
        let text = text.replace(|c: char| c.is_whitespace() || c.is_control(), "_").replace("${", "$_{");
        let meets =
            text.starts_with('{') && matches!(self.0.0.last(), Some(Part::Literal(last)) if last.ends_with('$'));
        Word(if meets { self.0.and("_") } else { self.0 }.and(&text))
    }

    /// This, followed by the value that a setting has on the client.
    pub fn and_setting(self, setting: &'static str) -> Word {
        Word(self.0.and_setting(setting))
    }

    /// This, followed by the value that a setting has on the client, encoded for the query of a URL.
    pub fn and_setting_encoded(self, setting: &'static str) -> Word {
        Word(self.0.and_setting_as(setting, "uristring"))
    }
}

impl Word {
    /// This, followed by a text that has no space.
    pub(super) fn join(mut self, text: Text) -> Word {
        for part in text.0 {
            self = match part {
                Part::Literal(literal) => self.and(&literal),
                Part::Setting(name, None) => self.and_setting(name),
                Part::Setting(name, Some(form)) => Word(self.0.and_setting_as(name, form)),
            };
        }
        self
    }
}

impl From<&Url> for Word {
    fn from(url: &Url) -> Self {
        Word::new(url.as_str())
    }
}
