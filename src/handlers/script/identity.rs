//! `request.identity`: which machine of the site asks, and how far its keys can be trusted.

use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString};

use super::sandbox::fail;
use crate::boot::Identity;
use crate::nearest::{cut, remedy};

/// An identity in a script.
#[derive(Clone)]
pub(super) struct Who(pub(super) Arc<Identity>);

/// A part of an identity.
pub struct IdentityPart {
    /// Its name.
    pub name: &'static str,
    /// Its type in plain words.
    pub kind: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it may hold, as a script would write it.
    pub example: &'static str,
    read: fn(&Identity) -> Dynamic,
}

impl IdentityPart {
    /// What it is of an identity.
    pub(super) fn read(&self, who: &Identity) -> Dynamic {
        (self.read)(who)
    }
}

/// Every part of `request.identity`.
pub const IDENTITY_PARTS: &[IdentityPart] = &[
    IdentityPart {
        name: "status",
        kind: "text",
        about: "`known`, `unknown`, or `ambiguous` where it could be several machines",
        example: "\"known\"",
        read: |who| who.status.name().into(),
    },
    IdentityPart {
        name: "machine",
        kind: "text",
        about: "name of the machine, where it is known",
        example: "\"lab-07\"",
        read: |who| who.machine.as_str().into(),
    },
    IdentityPart {
        name: "matched_by",
        kind: "array of text",
        about: "the keys that matched, from the strongest: `uuid`, `serial`, `asset`, `sysmac`, `mac`",
        example: "[\"uuid\", \"mac\"]",
        read: |who| texts(&who.matched_by),
    },
    IdentityPart {
        name: "candidates",
        kind: "array of text",
        about: "the machines that it could be, where that is ambiguous",
        example: "[\"lab-07\", \"lab-08\"]",
        read: |who| texts(&who.candidates),
    },
    IdentityPart {
        name: "why",
        kind: "array of text",
        about: "why, in sentences",
        example: "[\"lab-08 has its mac, but another uuid\"]",
        read: |who| texts(&who.why),
    },
    IdentityPart {
        name: "uuid_trust",
        kind: "text",
        about: "`good`, `absent`, `placeholder` of a vendor, or `shared` by several machines",
        example: "\"good\"",
        read: |who| who.uuid_trust.name().into(),
    },
    IdentityPart {
        name: "mac_trust",
        kind: "text",
        about: "the same of the MAC address; `shared` is that of an adapter which goes from hand to hand",
        example: "\"shared\"",
        read: |who| who.mac_trust.name().into(),
    },
];

fn texts(texts: &[String]) -> Dynamic {
    texts.iter().map(|text| Dynamic::from(ImmutableString::from(text.as_str()))).collect::<Array>().into()
}

/// The part of an identity by its name.
pub(super) fn part(who: &Identity, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
    match IDENTITY_PARTS.iter().find(|part| part.name == name) {
        Some(part) => Ok((part.read)(who)),
        None => {
            let remedy = remedy(name, IDENTITY_PARTS.iter().map(|part| part.name));
            fail(format!("an identity has no part `{}`; {remedy}", cut(name)))
        }
    }
}

/// Registers the type.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Who>("Identity");
    for part in IDENTITY_PARTS {
        engine.register_get(part.name, |who: &mut Who| (part.read)(&who.0));
    }
    engine.register_indexer_get(|who: &mut Who, name: ImmutableString| part(&who.0, &name));
    engine.register_fn("to_string", |who: &mut Who| ImmutableString::from(who.0.to_string()));
}
