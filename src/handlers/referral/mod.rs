//! The `referral` handler: another boot server decides.
//!
//! It is asked, and its answer is served here (`ask`), or the machine is handed over (`redirect`). The pieces, in the
//! order of a question: `choice` (whom), `ask` (one after the other, in time), `answer` (what they say, as this site
//! serves it), `last_known` and `fallback` (when nobody answers), `events` (what happens then is told there).
//!
//! **Invariant**: every question ends in time, whatever the upstreams do. Questions only read; nothing that is done once
//! begins unless the upstream has noted it. A denial is an answer: nobody else is asked.

mod answer;
mod ask;
mod choice;
mod events;
mod fallback;
mod last_known;
mod redirect;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::api::VerdictAnswer;
use crate::boot::{BootImages, BootRequest, Line, Verdict};
use crate::config::{Config, ReferralError, ReferralSection, Referred, Style};
use crate::database::Databases;
use crate::decision::{Answer, BootEvent, HandlerError, RequestHandler, TimeLimits};
use crate::pace::Pace;
use crate::store::Store;
use crate::upstream::{Upstream, Upstreams};

use answer::Said;
use ask::Asked;
use choice::Candidate;
use events::Background;
use last_known::Memory;

/// A [`RequestHandler`] that leans on other boot servers.
pub struct ReferralHandler {
    name: Arc<str>,
    rules: Rules,
    limits: TimeLimits,
    upstreams: Upstreams,
    memory: Memory,
    background: Background,
    /// What is logged: machines that somebody makes up must not fill the disk with it.
    pace: Pace,
}

/// What the configuration says.
#[derive(Clone, Debug)]
struct Rules {
    upstreams: Vec<String>,
    style: Option<Style>,
    machines: Referred,
    on_error: ReferralError,
    last_known_for: Duration,
    retry_wait: Duration,
}

/// The longest name of such a handler, in octets: it is in the ids of assignments, which have an end.
const NAME_LEN_MAX: usize = 32;

impl ReferralHandler {
    /// The handler of a section. Nothing is asked.
    ///
    /// # Errors
    /// Every problem: what is wrong, and what to do.
    pub fn build(
        section: &ReferralSection,
        name: &str,
        config: &Config,
        databases: &Databases,
        upstreams: &Upstreams,
    ) -> Result<ReferralHandler, Vec<(String, String)>> {
        let store = Store::on(databases.store().clone()).map_err(|error| vec![(error.to_string(), String::new())])?;
        if name.len() > NAME_LEN_MAX {
            let what = format!("its name has {} octets", name.len());
            return Err(vec![(what, format!("use at most {NAME_LEN_MAX}: it is in the ids of assignments"))]);
        }
        let rules = Rules {
            upstreams: section.upstreams.clone(),
            style: section.style,
            machines: section.machines,
            on_error: section.on_error,
            last_known_for: section.last_known_for,
            retry_wait: section.retry_wait,
        };
        let name: Arc<str> = name.into();
        Ok(ReferralHandler {
            memory: Memory::new(&name, store),
            name,
            rules,
            limits: config.decision.policy().limits,
            upstreams: upstreams.clone(),
            background: Background::default(),
            pace: Pace::default(),
        })
    }

    fn ask_verdict<'a>(
        request: &'a BootRequest,
        candidate: &'a Candidate,
        left: Duration,
    ) -> BoxFuture<'a, Result<VerdictAnswer, String>> {
        let upstream = &candidate.upstream;
        match candidate.style {
            Style::Ask => {
                async move { upstream.allow_boot(request, left).await.map_err(|error| error.to_string()) }.boxed()
            }
            Style::Redirect => {
                let verdict = redirect::verdict(upstream.name(), upstream.section(), request);
                let answer = |verdict| VerdictAnswer { answer: Some(verdict), handler: Line::default() };
                async move { verdict.map(answer).map_err(|error| error.message) }.boxed()
            }
        }
    }

    fn ask_images<'a>(
        &'a self,
        request: &'a BootRequest,
        candidate: &'a Candidate,
        left: Duration,
    ) -> BoxFuture<'a, Result<(Said, Line), String>> {
        let upstream = &candidate.upstream;
        match candidate.style {
            Style::Ask => async move {
                let answer = upstream.boot_images(request, left).await.map_err(|error| error.to_string())?;
                let handler = answer.handler.clone();
                Ok((answer::said(answer, &self.name, upstream.name())?, handler))
            }
            .boxed(),
            Style::Redirect => {
                let images = redirect::images(upstream.name(), upstream.section(), request);
                async move { images.map(|images| (Said::Images(images), Line::default())).map_err(|error| error.message) }
                    .boxed()
            }
        }
    }

    /// Remembers whose the boot is: what happens in it is told there.
    fn remember(&self, request: &BootRequest, candidate: &Candidate) {
        if candidate.style == Style::Ask {
            self.upstreams.boots().remember(&self.name, request.session, candidate.upstream.name());
        }
    }

    /// A refusal is kept at once: no script follows at which it could be.
    fn keep_refusal(&self, request: &BootRequest, candidate: &Candidate, verdict: &Verdict) {
        if !verdict.allows() && candidate.style == Style::Ask && self.upstreams.is_live() {
            self.memory.decided(request, candidate.upstream.name(), verdict, request.now);
        }
    }
}

/// Until when a question is to be answered: the engine's limit, less what it takes to answer without the upstreams.
fn until(limit: Duration) -> Instant {
    Instant::now() + limit - (limit / 10).min(Duration::from_secs(1))
}

/// How an answer came about.
fn by<A>(asked: &Asked<A>, handler: &Line) -> String {
    let (name, took) = (asked.candidate.upstream.name(), asked.took.as_millis());
    match asked.candidate.style {
        Style::Ask if handler.is_empty() => format!("by upstream {name} in {took} ms"),
        Style::Ask => format!("by upstream {name}: {handler} in {took} ms"),
        Style::Redirect => format!("handed over to upstream {name}"),
    }
}

#[async_trait]
impl RequestHandler for ReferralHandler {
    fn name(&self) -> &str {
        &self.name
    }

    async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        let Some(candidates) = self.candidates(request)? else { return Ok(Answer::Pass) };
        // Longer than firmware waits: the engine answers it meanwhile, and its next packet finds what comes late.
        let (until, patience) = (until(self.limits.boot_images), |asked: &Upstream| asked.section().allow_boot_limit);
        let ask = |candidate, left| Self::ask_verdict(request, candidate, left);
        let asked = ask::first(&candidates, until, patience, ask).await;
        let asked = match asked {
            Ok(asked) => asked,
            Err(failures) => return self.verdict_without(request, &failures).await,
        };
        let why = by(&asked, &asked.answer.handler);
        let Some(verdict) = asked.answer.answer else {
            return Ok(Answer::Explained { given: None, why: format!("no opinion {why}"), known: None, account: None });
        };
        self.remember(request, &asked.candidate);
        self.keep_refusal(request, &asked.candidate, &verdict);
        Ok(Answer::Explained { given: Some(verdict), why, known: None, account: None })
    }

    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        let Some(candidates) = self.candidates(request)? else { return Ok(Answer::Pass) };
        let (until, patience) = (until(self.limits.boot_images), |asked: &Upstream| asked.section().boot_images_limit);
        let ask = |candidate, left| self.ask_images(request, candidate, left);
        let asked = ask::first(&candidates, until, patience, ask).await;
        let asked = match asked {
            Ok(asked) => asked,
            Err(failures) => return Ok(self.images_without(request, &failures).await),
        };
        let why = by(&asked, &asked.answer.1);
        let Asked { candidate, answer: (said, _), .. } = asked;
        let given = match said {
            Said::Nothing => {
                return Ok(Answer::Explained {
                    given: None,
                    why: format!("no opinion {why}"),
                    known: None,
                    account: None,
                });
            }
            Said::Denied(verdict) => {
                self.keep_refusal(request, &candidate, &verdict);
                BootImages::none().with_notice([Line::clean(verdict.reason())])
            }
            Said::Images(images) => {
                if candidate.style == Style::Ask {
                    self.memory.hold(request, candidate.upstream.name(), &images);
                }
                images
            }
        };
        self.remember(request, &candidate);
        Ok(Answer::Explained { given: Some(given), why, known: None, account: None })
    }

    async fn boot_event(&self, request: &BootRequest, event: &BootEvent) -> Result<(), HandlerError> {
        self.forward(request, event).await
    }

    fn boot_noticed(&self, request: &BootRequest, event: &BootEvent) {
        self.notice(request, event);
    }
}
