//! Questions to the person at the machine, as scripts build them; what they know of who answered; and how an image is
//! offered in a menu.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::contract;
use super::look;
use super::made::{Builders, Made, Place};
use super::options::Options;
use super::sandbox::fail;
use super::time::Time;
use crate::boot::{Ask, AskError, Choice, Line, Method, Person};
use crate::nearest::{cut, remedy};

/// A question in a script.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) ask: Ask,
    place: Place,
}

impl Made for Asking {
    fn place(&self) -> &Place {
        &self.place
    }

    fn set_place(&mut self, place: Place) {
        self.place = place;
    }
}

/// `request.person`, with the time zone of the script.
#[derive(Clone)]
pub(super) struct Verified {
    person: Arc<Person>,
    zone: jiff::tz::TimeZone,
}

type Read<T> = Result<T, Box<EvalAltResult>>;

/// The fields of `request.person`.
pub(super) const PERSON: [&str; 4] = ["name", "method", "groups", "at"];

/// The functions, with what they ask for and the title they have when the script gives none.
const QUESTIONS: [(&str, Method, &str); 3] = [
    ("ask_pin", Method::Pin, "PIN"),
    ("ask_login", Method::Login, "Who is it?"),
    ("ask_approval", Method::Approval, "This boot must be approved"),
];

/// Registers the questions, and who answered them.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Asking>("Question").register_type_with_name::<Verified>("Person");
    let mut builders = Builders(engine);
    for (name, method, title) in QUESTIONS {
        builders.none(name, move || ask(name, method, title, Map::new()));
        builders.one(name, move |map: Map| ask(name, method, title, map));
        builders.one(name, move |text: ImmutableString| {
            ask(name, method, title, Map::from([("title".into(), text.into())]))
        });
    }
    engine.register_indexer_get(|person: &mut Verified, field: ImmutableString| person.read(&field));
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |person: &mut Verified| ImmutableString::from(person.person.name.as_str()));
    }
}

fn ask(what: &'static str, method: Method, title: &str, map: Map) -> Read<Asking> {
    let known = if method == Method::Approval { contract::ASK_APPROVAL } else { contract::ASK };
    let mut options = Options::new(what, map, known)?;
    let title = options.line("title")?.unwrap_or_else(|| Line::clean(title));
    let groups = options.texts("groups")?.iter().map(ToString::to_string).collect();
    let wait = if method == Method::Approval { options.number("wait")? } else { None };
    let built = Ask::new(method, title, groups).and_then(|ask| match wait {
        None => Ok(ask),
        Some(wait) => ask.waiting(Duration::from_secs(u64::try_from(wait).map_err(|_| AskError::Wait(0))?)),
    });
    built.map(|ask| Asking { ask, place: Place::default() }).or_else(|error| fail(format!("{what}: {error}")))
}

/// How an image is offered.
pub(super) fn choice(options: &mut Options) -> Read<Choice> {
    let key = match options.text("key")? {
        None => None,
        Some(text) => match (text.chars().next(), text.chars().nth(1)) {
            (Some(key), None) if key.is_ascii_alphanumeric() => Some(key),
            _ => return options.fail(&format!("`key` is \"{}\"; a key is one letter or digit", cut(&text))),
        },
    };
    let hidden = options.truth("hidden")?.unwrap_or(false);
    if hidden && key.is_none() {
        return options.fail("a hidden image is chosen by its key; give it one: key: \"x\"");
    }
    let needs = match options.take("needs") {
        None => None,
        Some(value) => match value.try_cast::<Asking>() {
            Some(asking) => Some(Box::new(asking.ask)),
            None => return options.fail("`needs` must be a question such as ask_pin()"),
        },
    };
    let prompt = look::prompt(options)?;
    Ok(Choice { group: options.line("group")?.filter(|group| !group.is_empty()), key, hidden, needs, prompt })
}

impl Verified {
    /// Who is at the machine, or `()`.
    pub(super) fn dynamic(person: Option<&Arc<Person>>, zone: &jiff::tz::TimeZone) -> Dynamic {
        let verified = |person: &Arc<Person>| Verified { person: Arc::clone(person), zone: zone.clone() };
        person.map_or(Dynamic::UNIT, |person| Dynamic::from(verified(person)))
    }

    fn read(&self, field: &str) -> Read<Dynamic> {
        let person = &self.person;
        Ok(match field {
            "name" => ImmutableString::from(person.name.as_str()).into(),
            "method" => person.method.name().into(),
            "groups" => {
                person.groups.iter().map(|group| ImmutableString::from(group.as_str()).into()).collect::<Array>().into()
            }
            "at" => Dynamic::from(Time(person.at.to_zoned(self.zone.clone()))),
            other => return fail(format!("`request.person` has no field `{}`; {}", cut(other), remedy(other, PERSON))),
        })
    }
}
