//! What a script tells a server of the machine: every fact of [`FACTS`], as a form or in a query.
//!
//! Our names of the facts go to every server, ours or another. Most are the names that iPXE itself has for them (`mac`,
//! `uuid`, `serial`, `asset`, `product`, `ip`, ...), which is what servers of other makes are written for. Of `/2PXE/boot`
//! no list of fields is published, so that it is told the same.

use super::{Command, Label, SessionUrls, Stored, Text, Word};
use crate::boot::{FACTS, FactsForm, Url};

/// Facts whose settings iPXE keeps as bytes, not as text: they have a text form of their own that needs no encoding
/// in a URL, while the encoding (`:uristring`) would take the bytes themselves.
const NOT_TEXT: [&str; 9] = ["busid", "dhcp_server", "gateway", "ip", "mac", "memsize", "netmask", "sysmac", "uuid"];

/// Where facts are sent, and the script comes from that takes over.
pub(super) struct Told {
    form: Option<Word>,
    query: Word,
    /// What is said beside the facts: to servers of ours only.
    more: Vec<(&'static str, Text)>,
    /// What is forgotten before the form is sent.
    forgotten: Vec<Stored>,
}

/// The field of our signed word of who is at the machine.
const GRANT: &str = "grant";

impl Told {
    /// A URL of ours, which has no query of its own: by a form, or in the query where the build has no `params`.
    pub(super) fn by_form(url: Word) -> Told {
        Told::new(Some(url.clone().and("##params")), query(url, "?"))
    }

    fn new(form: Option<Word>, query: Word) -> Told {
        Told { form, query, more: Vec::new(), forgotten: Vec::new() }
    }

    /// The same, with the grant of these addresses.
    pub(super) fn with_grant(self, urls: &SessionUrls) -> Told {
        match urls.grant() {
            Some(grant) => self.saying(GRANT, Text::new(grant)),
            None => self,
        }
    }

    /// The same, with one thing more. What is said has nothing that needs encoding in a URL.
    pub(super) fn saying(mut self, name: &'static str, value: Text) -> Told {
        self.more.push((name, value));
        self
    }

    /// The same, forgetting this before the form is sent. A query is only made when it is sent.
    pub(super) fn forgetting(mut self, stored: Stored) -> Told {
        self.forgotten.push(stored);
        self
    }

    /// A URL of another server, and what goes with it. Facts go by HTTP only.
    pub(super) fn by(url: &Url, facts: FactsForm) -> Told {
        let is_web = url.as_str().starts_with("http://") || url.as_str().starts_with("https://");
        // What follows `#` is for the client alone.
        let base = url.as_str().split('#').next().unwrap_or_default();
        let between = match base.split_once('?') {
            None => "?",
            Some((_, begun)) if begun.is_empty() || begun.ends_with('&') => "",
            Some(_) => "&",
        };
        let base = Word::new(base);
        match facts {
            FactsForm::None => Told::new(None, Word::from(url)),
            _ if !is_web => Told::new(None, Word::from(url)),
            FactsForm::Query => Told::new(None, query(base, between)),
            FactsForm::Form => Told::new(Some(base.clone().and("##params")), query(base, between)),
        }
    }

    /// Sends them; what comes takes the running script's place. Goes on at `failed` when nothing comes; `by_query` is a
    /// label of this part's own.
    pub(super) fn commands(self, by_query: &Label, failed: &Label) -> Vec<Command> {
        let mut script = Vec::new();
        if let Some(url) = self.form {
            script.push(Command::Params.or_goto(by_query));
            script.extend(FACTS.iter().map(|fact| Command::Param {
                name: Word::new(fact.name),
                value: Text::default().and_setting(fact.setting),
            }));
            script.extend(
                self.more.iter().map(|(name, value)| Command::Param { name: Word::new(name), value: value.clone() }),
            );
            script.extend(self.forgotten.into_iter().map(|stored| Command::Clear(stored).ignored()));
            script.push(taken_over_by(url).or_goto(failed));
            script.push(Command::Label(by_query.clone()));
        }
        let query =
            self.more.into_iter().fold(self.query, |url, (name, value)| url.and("&").and(name).and("=").join(value));
        script.push(taken_over_by(query).or_goto(failed));
        script
    }
}

/// Loads a script that takes the running one's place.
pub(super) fn taken_over_by(url: Word) -> Command {
    Command::Chain { url, arguments: Text::default(), replace: true }
}

fn query(url: Word, before: &'static str) -> Word {
    FACTS.iter().enumerate().fold(url, |url, (index, fact)| {
        let url = url.and(if index == 0 { before } else { "&" }).and(fact.name).and("=");
        if NOT_TEXT.contains(&fact.name) {
            url.and_setting(fact.setting)
        } else {
            url.and_setting_encoded(fact.setting)
        }
    })
}
