//! The lines of a menu: groups under their headings, keys, and images that are not shown.
//!
//! No build of iPXE, from that of Debian 12 (2019) to the newest (2026), has items that a menu does not show: an item
//! has a name, a text and a key, and the cursor stops at whatever has a name. So a hidden image is an empty line
//! at the end, and because the cursor could be moved there, its key is asked for once more.

use std::time::Duration;

use super::images::MENU;
use super::{Command, Text, Word};
use crate::boot::{BootImage, Line};

/// How long the key of a hidden image is waited for.
const KEY_TIME: Duration = Duration::from_secs(10);

/// The lines of a menu with these images, group after group as they first come.
pub(super) fn items(images: &[BootImage]) -> Vec<Command> {
    let (hidden, shown): (Vec<_>, Vec<_>) = images.iter().partition(|image| image.choice.hidden);
    let mut groups: Vec<Option<&Line>> = Vec::new();
    for image in &shown {
        let group = image.choice.group.as_ref();
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let mut script = Vec::new();
    for group in groups {
        if !script.is_empty() {
            script.push(Command::Gap(Text::default()));
        }
        script.extend(group.map(|heading| Command::Gap(Text::screen(heading.as_str()))));
        script.extend(shown.iter().filter(|image| image.choice.group.as_ref() == group).map(|image| item(image)));
    }
    script.extend(hidden.into_iter().map(|image| Command::Item {
        id: Word::new(&image.id),
        title: Text::default(),
        key: image.choice.key,
    }));
    script
}

/// iPXE shows no keys by itself.
fn item(image: &BootImage) -> Command {
    let title = image.title.as_str();
    let title = match image.choice.key {
        Some(key) => Text::screen(&format!("[{key}] {title}")),
        None => Text::screen(title),
    };
    Command::Item { id: Word::new(&image.id), title, key: image.choice.key }
}

/// What comes before a hidden image that was chosen.
pub(super) fn sure(image: &BootImage) -> Option<Command> {
    let key = image.choice.key.filter(|_| image.choice.hidden)?;
    Some(Command::Press(key, Text::new("Press the key again."), KEY_TIME).or_goto(&MENU))
}
