//! Signatures: `imgverify` for each file of an image, before anything of it runs.
//!
//! Nothing tells which builds have `imgtrust` and `imgverify`, and most have not. So the first of them is tried before any
//! file is loaded; a build without it says so, and boots the image only where the site said that it may. What is run is
//! bound to what was verified by `imgtrust`, without `--permanent`: after a failure the report to the server, which nobody
//! signed, must run again.

use std::time::Duration;

use super::images::FAILED;
use super::{Command, Label, Text, Trusted};
use crate::boot::BootImage;

/// How long a message stays on the screen.
const READING_TIME: Duration = Duration::from_secs(10);

/// Both ways to boot an image that must be signed: `verified` for builds that can verify, `unverified` where the site
/// lets the others boot it too.
pub(super) fn either(image: &BootImage, verified: Vec<Command>, unverified: Option<Vec<Command>>) -> Vec<Command> {
    let [unable, done] = ["unable", "done"].map(|place| Label::Within(place, image.id.clone()));
    let mut script = vec![Command::Imgtrust(Trusted::All).or_goto(&unable)];
    script.extend(verified);
    script.extend([Command::Goto(done.clone()), Command::Label(unable)]);
    script.push(Command::Echo(Text::new("This build of iPXE cannot verify signatures.")));
    match unverified {
        Some(unverified) => {
            script.push(Command::Echo(Text::screen(image.title.as_str()).and(" starts without.")));
            script.push(Command::Prompt(Text::new("Press a key to go on at once."), READING_TIME).ignored());
            script.extend(unverified);
        }
        None => {
            script.push(Command::Echo(Text::screen(image.title.as_str()).and(" must be verified.")));
            script.push(Command::Goto(FAILED));
        }
    }
    script.push(Command::Label(done));
    script
}
