//! Whom a machine is referred to, and in which order they are tried.
//!
//! One that a script named is the only one. Else it is the handler's list, in its order, but whoever decided for this
//! boot before comes first, and who is known to be down comes last: nobody is left out, so that a machine is told the
//! truth when all are down, and finds the first that comes back.

use super::ReferralHandler;
use crate::boot::{BootRequest, Record};
use crate::config::{Referred, Style};
use crate::decision::HandlerError;
use crate::nearest::{cut, remedy};
use crate::upstream::{Owner, Upstream};

/// An upstream that may decide.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) upstream: Upstream,
    pub(super) style: Style,
}

/// The column of a record that names the upstream, as `refer()` in a script sets it.
const UPSTREAM: &str = "upstream";
/// The column that says how the machine comes to it.
const STYLE: &str = "upstream_style";

impl ReferralHandler {
    /// Those who may decide, in the order that they are tried; none when this machine is not referred.
    pub(super) fn candidates(&self, request: &BootRequest) -> Result<Option<Vec<Candidate>>, HandlerError> {
        let record = request.record.as_deref();
        let named = record.and_then(|record| record.text(UPSTREAM));
        let style = record.and_then(|record| style(record).transpose()).transpose()?;
        let owner = match self.upstreams.boots().owner(&self.name, request.session) {
            Owner::Upstream(owner) => self.upstreams.get(&owner),
            Owner::Other | Owner::Unknown => None,
        };
        let mut upstreams: Vec<&Upstream> = match (&named, self.rules.machines) {
            (Some(name), _) => vec![self.named(name)?],
            // A script that referred the machine at DHCP need not say it again.
            (None, Referred::Named) => match owner {
                Some(owner) => vec![owner],
                None => return Ok(None),
            },
            (None, Referred::All) => {
                self.rules.upstreams.iter().map(|name| self.named(name)).collect::<Result<_, _>>()?
            }
        };
        let is_owner = |upstream: &Upstream| owner.is_some_and(|owner| owner.is_same(upstream));
        upstreams.sort_by_key(|upstream| (upstream.is_down(), !is_owner(upstream)));
        let style = style.or(self.rules.style);
        let candidate = |upstream: &Upstream| Candidate {
            upstream: upstream.clone(),
            style: style.unwrap_or(upstream.section().style),
        };
        Ok(Some(upstreams.into_iter().map(candidate).collect()))
    }

    /// The upstream of this name.
    pub(super) fn named(&self, name: &str) -> Result<&Upstream, HandlerError> {
        self.upstreams.get(name).ok_or_else(|| {
            let known = match self.upstreams.names().next() {
                Some(_) => remedy(name, self.upstreams.names()),
                None => "the configuration has none".into(),
            };
            HandlerError::new(format!("there is no [upstream.{}]; {known}", cut(name)))
        })
    }
}

fn style(record: &Record) -> Result<Option<Style>, HandlerError> {
    let Some(word) = record.text(STYLE) else { return Ok(None) };
    let known = [Style::Ask, Style::Redirect].into_iter().find(|style| style.name() == word);
    match known {
        Some(style) => Ok(Some(style)),
        None => {
            let word = cut(&word);
            Err(HandlerError::new(format!("`{word}` is no style of a referral; use `ask` or `redirect`")))
        }
    }
}
