//! Looking back: what happened in a boot and why, and what other scripts would have said to it.
//!
//! Both read what the store has: [`Story`] puts one boot into the order in which it happened, with gaps and ending in
//! plain words; [`Replay`] asks recorded questions again.
//!
//! **Invariant**: looking back changes nothing and asks nobody outside: not a database of the site, not a web service.

mod candidate;
mod ending;
mod gaps;
mod moments;
mod replay;
mod report;
mod story;
#[cfg(test)]
mod tests;
mod text;
mod told;

pub use candidate::candidate;
pub use moments::{Kind, Moment, Tone};
pub use replay::{Change, Outcome, Replay};
pub use report::{Group, Report};
pub use story::Story;
