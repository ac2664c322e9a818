//! What is offered to a machine, from what a database offers it.
//!
//! One mandatory image starts after its countdown, the others are a menu whose default is the machine's own disk: nobody
//! is installed anew because nobody was at the keyboard.
//!
//! **Invariant**: any list of offers gives an answer; what does not fit is told, and costs itself only.

use std::cmp::Ordering;
use std::time::Duration;

use crate::boot::{BootImage, BootImages, ImageError, ImageKind, Line, Menu};

/// An image that a machine may have, and how it is offered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) image: BootImage,
    /// Whether it starts when nobody chooses.
    pub(super) is_mandatory: bool,
    /// How long a mandatory one waits.
    pub(super) countdown: Option<Duration>,
    /// Its place; those without one come last.
    pub(super) sort_order: Option<f64>,
}

/// How the menu looks.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) title: Line,
    /// How long it waits; for ever when zero.
    pub(super) timeout: Duration,
}

/// How long a mandatory image waits that does not say.
pub(super) const COUNTDOWN: Duration = Duration::from_secs(30);

/// The answer for these offers, and what was left out. No offer is no image.
pub(super) fn images(offers: Vec<Offer>, style: &Style) -> (BootImages, Vec<String>) {
    let mut dropped = Vec::new();
    let offers = in_order(offers, &mut dropped);
    if offers.is_empty() {
        return (BootImages::none(), dropped);
    }
    let answer = match offers.iter().find(|offer| offer.is_mandatory) {
        Some(first) if first.countdown == Some(Duration::ZERO) => BootImages::new(vec![first.image.clone()], None),
        Some(first) => {
            let (default, timeout) = (first.image.id.clone(), first.countdown.unwrap_or(COUNTDOWN));
            menu(offers, Some(default), timeout, style)
        }
        None => menu(offers, None, style.timeout, style),
    };
    // Ids and their number were checked above; should that ever fail, the disk is the answer that harms nobody.
    let none = |error: ImageError| {
        dropped.push(format!("all images: {error}"));
        BootImages::none()
    };
    (answer.unwrap_or_else(none), dropped)
}

/// The menu of these offers and the machine's own disk, which is the default unless an image is.
fn menu(
    offers: Vec<Offer>,
    default: Option<String>,
    timeout: Duration,
    style: &Style,
) -> Result<BootImages, ImageError> {
    let mut images: Vec<BootImage> = offers.into_iter().map(|offer| offer.image).collect();
    let disk = match images.iter().find(|image| matches!(image.kind, ImageKind::Local { .. })) {
        Some(disk) => disk.id.clone(),
        None => {
            let disk = disk(&images);
            let id = disk.id.clone();
            images.insert(0, disk);
            id
        }
    };
    let timeout = (!timeout.is_zero()).then_some(timeout);
    let menu = Menu { title: style.title.clone(), default: Some(default.unwrap_or(disk)), timeout, ..Menu::default() };
    BootImages::new(images, Some(menu))
}

/// The machine's own disk, with an id that no image has.
fn disk(images: &[BootImage]) -> BootImage {
    let is_free = |id: &String| !images.iter().any(|image| image.id == *id);
    let id = std::iter::once("local".to_owned()).chain((2..).map(|n| format!("local-{n}"))).find(is_free);
    let title = Line::clean("Start from the local disk");
    BootImage {
        id: id.unwrap_or_default(),
        title,
        assignment: None,
        verify: None,
        choice: Default::default(),
        kind: ImageKind::LOCAL,
    }
}

/// The offers in the order of the menu, each id once, and as many as a menu holds.
fn in_order(mut offers: Vec<Offer>, dropped: &mut Vec<String>) -> Vec<Offer> {
    offers.sort_by(|one, other| {
        let place = |offer: &Offer| offer.sort_order.unwrap_or(f64::INFINITY);
        let title = |offer: &Offer| offer.image.title.as_str().to_lowercase();
        place(one).partial_cmp(&place(other)).unwrap_or(Ordering::Equal).then_with(|| title(one).cmp(&title(other)))
    });
    let mut kept: Vec<Offer> = Vec::new();
    for offer in offers {
        match kept.iter_mut().find(|other| other.image.id == offer.image.id) {
            None => kept.push(offer),
            Some(other) if *other == offer => {}
            Some(other) => {
                dropped.push(format!("image `{}`: there are two rows; a mandatory one counts", offer.image.id));
                if offer.is_mandatory && !other.is_mandatory {
                    *other = offer;
                }
            }
        }
    }
    // One place is the disk's.
    let most = BootImages::IMAGES_MAX - 1;
    if kept.len() > most {
        dropped.push(format!("{} images: a menu holds {most}; the last ones are left out", kept.len()));
        // A mandatory one is not left out for its place.
        let first_mandatory = kept.iter().position(|offer| offer.is_mandatory).filter(|place| *place >= most);
        if let Some(place) = first_mandatory {
            kept.swap(place, most - 1);
        }
        kept.truncate(most);
    }
    kept
}

#[cfg(test)]
#[path = "menu_tests.rs"]
mod tests;
