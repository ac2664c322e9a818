//! One boot from its first packet to its end, as the store knows it.

use std::sync::Arc;

use serde::Serialize;

use super::ending::ending;
use super::gaps::with_gaps;
use super::moments::{Kind, Moment};
use super::told::Teller;
use crate::handlers::script::ScriptHandler;
use crate::store::{BootEntry, Kept};

/// One boot in the order in which it happened.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The boot.
    pub boot: BootEntry,
    /// What happened.
    pub moments: Vec<Moment>,
    /// How it ended: the first line says it, the others what to do.
    pub ending: Vec<String>,
    /// What is missing in this story.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Story {
    /// Tells a boot by what happened in it and what was asked; `broken` questions cannot be read. Where the scripts are
    /// those that answered, their lines are shown.
    pub fn tell(boot: BootEntry, kept: &[Kept], broken: usize, scripts: &[Arc<ScriptHandler>]) -> Story {
        Story::tell_in(boot, kept, broken, scripts, "")
    }

    /// The same, with the folder of the site left out of the names of its files.
    pub fn tell_in(
        boot: BootEntry,
        kept: &[Kept],
        broken: usize,
        scripts: &[Arc<ScriptHandler>],
        folder: &str,
    ) -> Story {
        let mut teller = Teller::new(scripts);
        let mut moments: Vec<Moment> = kept.iter().map(|kept| teller.moment(kept)).collect();
        let is_told = |event: &Moment| {
            event.kind == Kind::Decision
                && kept.iter().any(|kept| {
                    kept.question.name() == event.name && kept.asked.as_millisecond() == event.at.as_millisecond()
                })
        };
        moments.extend(boot.events.iter().map(Moment::of_event).filter(|event| !is_told(event)));
        moments.sort_by_key(Moment::rank);
        let mut moments = with_gaps(moments);
        if !folder.is_empty() {
            let short = |text: &mut String| *text = text.replace(folder, "");
            for moment in &mut moments {
                short(&mut moment.text);
                moment.lines.iter_mut().for_each(short);
            }
        }
        let mut notes = teller.notes();
        if broken > 0 {
            notes
                .push(format!("{broken} questions of this boot cannot be read; somebody changed the table `question`"));
        }
        if kept.is_empty() {
            notes.push("what the rules saw was not kept: [store] questions_max is 0, or this boot is too old".into());
        }
        let ending = ending(&boot, &moments);
        Story { boot, moments, ending, notes }
    }
}
