//! Maps of data files in a script: what `data("site.json")` gives, and cells of a table that are maps.
//!
//! **Invariant**: a part is a pointer into the document: reading one copies no more than the list that was asked for. A
//! name that is not there is an error which tells the nearest; `get` gives `()` for it.

use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::document::{Node, NodeMap};
use super::sandbox::fail;
use crate::nearest::{cut, remedy};

/// A map of a document in a script.
#[derive(Clone)]
pub(super) struct Part(pub(super) Arc<NodeMap>);

/// A node in a script.
pub(super) fn dynamic(node: &Node) -> Dynamic {
    match node {
        Node::Nothing => Dynamic::UNIT,
        Node::Truth(truth) => (*truth).into(),
        Node::Whole(number) => (*number).into(),
        Node::Fraction(number) => (*number).into(),
        Node::Text(text) => text.clone().into(),
        Node::List(items) => items.iter().map(dynamic).collect::<Array>().into(),
        Node::Map(map) => Dynamic::from(Part(Arc::clone(map))),
    }
}

/// A node in a script, with maps of the language inside.
fn deep(node: &Node) -> Dynamic {
    match node {
        Node::List(items) => items.iter().map(deep).collect::<Array>().into(),
        Node::Map(map) => deep_map(map).into(),
        other => dynamic(other),
    }
}

fn deep_map(map: &NodeMap) -> Map {
    map.entries.iter().map(|(name, value)| (name.as_str().into(), deep(value))).collect()
}

/// Registers the type.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Part>("Part");
    engine.register_indexer_get(|part: &mut Part, name: ImmutableString| part.read(&name));
    engine.register_fn("get", |part: &mut Part, name: ImmutableString| {
        part.0.entries.get(&name).map_or(Dynamic::UNIT, dynamic)
    });
    engine.register_fn("contains", |part: &mut Part, name: ImmutableString| part.0.entries.contains_key(&name));
    engine.register_fn("len", |part: &mut Part| part.0.entries.len() as i64);
    engine.register_fn("keys", |part: &mut Part| -> Array {
        part.0.entries.keys().map(|name| name.clone().into()).collect()
    });
    engine.register_fn("values", |part: &mut Part| -> Array { part.0.entries.values().map(dynamic).collect() });
    engine.register_fn("to_map", |part: &mut Part| deep_map(&part.0));
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |part: &mut Part| {
            ImmutableString::from(format!("{:?}", Dynamic::from_map(deep_map(&part.0))))
        });
    }
}

impl Part {
    fn read(&self, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        match self.0.entries.get(name) {
            Some(node) => Ok(dynamic(node)),
            None if self.0.entries.is_empty() => fail(format!("there is no `{}`; the map is empty", cut(name))),
            None => {
                let names: Vec<&str> = self.0.entries.keys().map(ImmutableString::as_str).collect();
                let remedy = remedy(name, names);
                fail(format!("there is no `{}`; {remedy}; get(\"{0}\") gives () where it may be absent", cut(name)))
            }
        }
    }
}
