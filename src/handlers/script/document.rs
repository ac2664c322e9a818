//! JSON, TOML and YAML files of the data folder, as one kind of tree.
//!
//! **Invariant**: a tree has limits (depth, elements), no key twice, and the line of each of its maps; aliases of YAML
//! cannot make it larger than the file says. It is shared, never copied: a clone of a node is a pointer.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use rhai::ImmutableString;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::csv_file::Broken;
use crate::config::plain_words;

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Nothing,
    Truth(bool),
    Whole(i64),
    Fraction(f64),
    Text(ImmutableString),
    List(Arc<Vec<Node>>),
    Map(Arc<NodeMap>),
}

/// A map of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NodeMap {
    /// The line where it begins, from 1.
    pub(super) line: u32,
    pub(super) entries: BTreeMap<ImmutableString, Node>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
    Yaml,
}

impl Format {
    /// The format of a file by its name.
    pub(super) fn of(name: &str) -> Option<Format> {
        match name.rsplit_once('.')?.1 {
            "json" => Some(Format::Json),
            "toml" => Some(Format::Toml),
            "yaml" | "yml" => Some(Format::Yaml),
            _ => None,
        }
    }

    /// Reads a document of at most so many elements.
    pub(super) fn parse(self, text: &str, elements_max: usize) -> Result<Node, Broken> {
        struct Clear;
        impl Drop for Clear {
            fn drop(&mut self) {
                LINE.set(0);
                DEPTH.set(0);
            }
        }
        let _clear = Clear;
        LEFT.set(elements_max);
        LINE.set(0);
        DEPTH.set(0);
        match self {
            Format::Json => json(text),
            Format::Toml => toml(text),
            Format::Yaml => yaml(text),
        }
    }
}

thread_local! {
    /// The line that the JSON parser has come to; 0 while none reads.
    static LINE: Cell<u32> = const { Cell::new(0) };
    /// How many more elements the document that is read may have.
    static LEFT: Cell<usize> = const { Cell::new(0) };
    /// How deep the parser is in it.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

fn json(text: &str) -> Result<Node, Broken> {
    LINE.set(1);
    let mut reader = serde_json::Deserializer::from_reader(Lines(text.as_bytes()));
    let parsed = Plain::deserialize(&mut reader).and_then(|node| reader.end().map(|()| node));
    parsed.map(|Plain(node)| node).map_err(|error| {
        let words = error.to_string();
        // The place stands behind the words, and beside them in ours.
        let message = words.rsplit_once(" at line ").map_or(words.as_str(), |(message, _)| message);
        let place = (error.line() > 0).then_some((error.line() as u64, error.column().max(1) as u64));
        broken(place, message)
    })
}

/// Reads octets one by one, and counts the lines.
struct Lines<'a>(&'a [u8]);

impl Read for Lines<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let (Some((first, rest)), Some(place)) = (self.0.split_first(), into.first_mut()) else { return Ok(0) };
        *place = *first;
        self.0 = rest;
        if *first == b'\n' {
            LINE.set(LINE.get().saturating_add(1));
        }
        Ok(1)
    }
}

fn yaml(text: &str) -> Result<Node, Broken> {
    // A file without content is an empty map: somebody has commented it all out.
    let mut budget = serde_saphyr::Budget::default();
    budget.max_nodes = LEFT.get().saturating_mul(2);
    budget.max_events = budget.max_nodes.saturating_mul(2);
    budget.max_total_scalar_bytes = text.len().saturating_mul(4).max(1 << 20);
    budget.max_reader_input_bytes = None;
    budget.max_depth = DEPTH_MAX * 2;
    budget.max_documents = 1;
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::Error;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.strict_booleans = true;
    options.with_snippet = false;
    let parsed = serde_saphyr::from_str_with_options::<serde_saphyr::Spanned<Yaml>>(text, options);
    parsed.map(|node| Yaml::from(node).0).map_err(|error| {
        let place = error.location().map(|place| (place.line(), place.column()));
        let words = error.without_snippet().to_string();
        let message = words.rsplit_once(" at line ").map_or(words.as_str(), |(message, _)| message);
        broken(place, message)
    })
}

fn toml(text: &str) -> Result<Node, Broken> {
    let at = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count());
        (before.bytes().filter(|byte| *byte == b'\n').count() as u64 + 1, column as u64 + 1)
    };
    let told = |offset: usize, message: &str| broken(Some(at(offset)), message);
    let table = toml::de::DeTable::parse(text)
        .map_err(|error| told(error.span().map_or(0, |span| span.start), plain_words(error.message()).trim()))?;
    let mut reader = TomlReader { lines: LineFinder::default(), text };
    let span = table.span().start;
    reader.table(table.get_ref(), span, 0).map_err(|(offset, message)| told(offset, &message))
}

struct TomlReader<'a> {
    lines: LineFinder,
    text: &'a str,
}

type Misplaced = (usize, String);

impl TomlReader<'_> {
    fn table(&mut self, table: &toml::de::DeTable<'_>, offset: usize, depth: usize) -> Result<Node, Misplaced> {
        let mut map = NodeMap { line: self.lines.of(self.text, offset), entries: BTreeMap::new() };
        for (key, value) in table {
            let node = self.value(value, depth + 1)?;
            map.entries.insert(key.get_ref().as_ref().into(), node);
        }
        Ok(Node::Map(Arc::new(map)))
    }

    fn value(&mut self, value: &toml::Spanned<toml::de::DeValue<'_>>, depth: usize) -> Result<Node, Misplaced> {
        use toml::de::DeValue;
        let offset = value.span().start;
        if depth > DEPTH_MAX {
            return Err((offset, too_deep()));
        }
        take().map_err(|message| (offset, message))?;
        Ok(match value.get_ref() {
            DeValue::String(text) => Node::Text(text.as_ref().into()),
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
                Node::Whole(read.map_err(|_| (offset, "the number is too large".to_owned()))?)
            }
            DeValue::Float(number) => {
                let read = number.as_str().replace('_', "").parse();
                Node::Fraction(read.map_err(|_| (offset, "this is no number".to_owned()))?)
            }
            DeValue::Boolean(truth) => Node::Truth(*truth),
            DeValue::Datetime(time) => Node::Text(time.to_string().into()),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.value(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                Node::List(Arc::new(items))
            }
            DeValue::Table(table) => self.table(table, offset, depth)?,
        })
    }
}

/// Lines of offsets that mostly grow.
#[derive(Default)]
struct LineFinder {
    offset: usize,
    line: u32,
}

impl LineFinder {
    fn of(&mut self, text: &str, offset: usize) -> u32 {
        if offset < self.offset {
            *self = LineFinder::default();
        }
        let between = text.as_bytes().get(self.offset..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count() as u32;
        self.offset = offset;
        self.line + 1
    }
}

fn broken(place: Option<(u64, u64)>, message: &str) -> Broken {
    let mut message = message.trim().trim_end_matches('.').replace('\n', "; ");
    if message.is_empty() {
        message = "it cannot be read".to_owned();
    }
    Broken { line: place.map(|place| place.0), column: place.map(|place| place.1), message }
}

/// Counts one element.
fn take() -> Result<(), String> {
    match LEFT.get().checked_sub(1) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => Err("the files of the data folder have too many values together; split what is not needed".to_owned()),
    }
}

fn too_deep() -> String {
    format!("lists and maps are nested deeper than {DEPTH_MAX} levels")
}

/// A node of JSON.
struct Plain(Node);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(std::marker::PhantomData::<Plain>)).map(Plain)
    }
}

/// A node of YAML, whose place is beside it.
struct Yaml(Node);

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(std::marker::PhantomData::<serde_saphyr::Spanned<Yaml>>)).map(Yaml)
    }
}

impl From<serde_saphyr::Spanned<Yaml>> for Yaml {
    fn from(found: serde_saphyr::Spanned<Yaml>) -> Yaml {
        let Yaml(mut node) = found.value;
        if let Node::Map(map) = &mut node
            && let Some(map) = Arc::get_mut(map)
        {
            map.line = u32::try_from(found.referenced.line()).unwrap_or(u32::MAX);
        }
        Yaml(node)
    }
}

/// What a child of a node is read as.
trait Child {
    fn node(self) -> Node;
}

impl Child for Plain {
    fn node(self) -> Node {
        self.0
    }
}

impl Child for serde_saphyr::Spanned<Yaml> {
    fn node(self) -> Node {
        Yaml::from(self).0
    }
}

/// Makes nodes, whose children are `C`.
struct Reader<C>(std::marker::PhantomData<C>);

/// One level of nesting.
struct Level;

impl Level {
    fn enter() -> Result<Level, String> {
        if DEPTH.get() >= DEPTH_MAX {
            return Err(too_deep());
        }
        DEPTH.set(DEPTH.get() + 1);
        Ok(Level)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

impl<'de, C: Child + Deserialize<'de>> Visitor<'de> for Reader<C> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true, false, null, a list or a map")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        take().map(|()| Node::Nothing).map_err(E::custom)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        C::deserialize(deserializer).map(Child::node)
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Node, E> {
        take().map(|()| Node::Truth(truth)).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Node, E> {
        take().map(|()| Node::Whole(number)).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Node, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            // Such as a serial number that somebody wrote without quotes: no digit is lost.
            Err(_) => self.visit_str(&number.to_string()),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Node, E> {
        take().map(|()| Node::Fraction(number)).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Node, E> {
        take().map(|()| Node::Text(text.into())).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        take().map_err(A::Error::custom)?;
        let _level = Level::enter().map_err(A::Error::custom)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<C>()? {
            list.push(item.node());
        }
        Ok(Node::List(Arc::new(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        take().map_err(A::Error::custom)?;
        let _level = Level::enter().map_err(A::Error::custom)?;
        let mut map = NodeMap { line: LINE.get(), entries: BTreeMap::new() };
        while let Some(key) = entries.next_key::<String>()? {
            if map.entries.contains_key(key.as_str()) {
                return Err(A::Error::custom(format!("`{key}` is there twice; take one of them away")));
            }
            let value = entries.next_value::<C>()?;
            map.entries.insert(key.into(), value.node());
        }
        Ok(Node::Map(Arc::new(map)))
    }
}

/// How deep lists and maps may be nested.
const DEPTH_MAX: usize = 32;

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
