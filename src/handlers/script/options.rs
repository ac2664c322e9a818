//! Reads the option map of a builder: `linux(#{ kernel: "..." })`.

use std::fmt::Display;
use std::str::FromStr;

use rhai::{Array, Dynamic, EvalAltResult, ImmutableString, Map};

use super::api::plain_type;
use super::contract::OptionKey;
use super::sandbox::fail;
use crate::boot::{Line, Source};
use crate::nearest::{cut, remedy};

/// The options of one builder, each read by name. Unknown ones are refused.
pub(super) struct Options {
    what: &'static str,
    map: Map,
}

type Read<T> = Result<T, Box<EvalAltResult>>;

impl Options {
    /// An error about an option, with the name of the builder before it.
    pub(super) fn fail<T>(&self, message: &str) -> Read<T> {
        fail(format!("{}: {message}", self.what))
    }

    /// Checks that all keys are among `known`.
    pub(super) fn new(what: &'static str, map: Map, known: &'static [OptionKey]) -> Read<Options> {
        if let Some(unknown) = map.keys().find(|key| !known.iter().any(|known| known.name == key.as_str())) {
            let remedy = remedy(unknown, known.iter().map(|known| known.name));
            return fail(format!("{what} has no option `{}`; {remedy}", cut(unknown)));
        }
        Ok(Options { what, map })
    }

    fn wrong<T>(&self, key: &str, expected: &str, got: &Dynamic) -> Read<T> {
        fail(format!("{}: `{key}` must be {expected}, not {}", self.what, plain_type(got.type_name())))
    }

    /// An option that may be absent (or `()`).
    pub(super) fn take(&mut self, key: &str) -> Option<Dynamic> {
        self.map.remove(key).filter(|value| !value.is_unit())
    }

    pub(super) fn text(&mut self, key: &str) -> Read<Option<ImmutableString>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) if value.is_string() => Ok(value.into_immutable_string().ok()),
            Some(value) => self.wrong(key, "text", &value),
        }
    }

    pub(super) fn truth(&mut self, key: &str) -> Read<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_bool() {
                Ok(truth) => Ok(Some(truth)),
                Err(_) => self.wrong(key, "true or false", &value),
            },
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Read<Option<i64>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_int() {
                Ok(number) => Ok(Some(number)),
                Err(_) => self.wrong(key, "a whole number", &value),
            },
        }
    }

    pub(super) fn array(&mut self, key: &str) -> Read<Option<Array>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) if value.is_array() => Ok(value.into_array().ok()),
            Some(value) => self.wrong(key, "an array", &value),
        }
    }

    /// Text for the client's screen or a command line.
    pub(super) fn line(&mut self, key: &str) -> Read<Option<Line>> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => match Line::new(text.as_str()) {
                Ok(line) => Ok(Some(line)),
                Err(error) => fail(format!("{}: `{key}`: {error}", self.what)),
            },
        }
    }

    /// Arguments: one text, or an array of texts that are joined by spaces.
    pub(super) fn arguments(&mut self, key: &str) -> Read<Line> {
        let texts = self.texts(key)?;
        match Line::new(texts.join(" ")) {
            Ok(line) => Ok(line),
            Err(error) => fail(format!("{}: `{key}`: {error}", self.what)),
        }
    }

    /// One text or an array of them.
    pub(super) fn texts(&mut self, key: &str) -> Read<Vec<ImmutableString>> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        if !value.is_array() {
            self.map.insert(key.into(), value);
            return Ok(self.text(key)?.into_iter().collect());
        }
        let mut texts = Vec::new();
        for item in value.into_array().unwrap_or_default() {
            if !item.is_string() {
                return self.wrong(key, "text, or an array of texts", &item);
            }
            texts.extend(item.into_immutable_string());
        }
        Ok(texts)
    }

    /// A file of the images folder or a URL.
    pub(super) fn source(&mut self, key: &str) -> Read<Option<Source>> {
        let text = self.text(key)?;
        text.map(|text| self.parse(key, &text)).transpose()
    }

    /// Text that is read as something else.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str) -> Read<Option<T>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => fail(format!("{}: `{key}` is \"{}\": {error}", self.what, cut(&text))),
        }
    }

    /// One or several sources.
    pub(super) fn sources(&mut self, key: &str) -> Read<Vec<Source>> {
        let texts = self.texts(key)?;
        texts.iter().map(|text| self.parse(key, text)).collect()
    }

    pub(super) fn parse(&self, key: &str, text: &str) -> Read<Source> {
        match text.parse() {
            Ok(source) => Ok(source),
            Err(error) => fail(format!("{}: `{key}` is \"{}\": {error}", self.what, cut(text))),
        }
    }

    /// Refuses the absence of an option.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>, example: &str) -> Read<T> {
        match value {
            Some(value) => Ok(value),
            None => fail(format!("{} needs `{key}`: {example}", self.what)),
        }
    }
}
