//! The script that boots: one image at once, a menu of several, or the machine's own disk.

use std::time::Duration;

use super::facts::Told;
use super::scripts::{Leaving, local};
use super::{Command, Label, SessionUrls, Stored, Text, Trusted, Word, ask, look, menu, verify};
use crate::boot::{
    BootImage, BootImages, FactsForm, ImageKind, InjectedFile, Line, Menu, Platform, Source, Url, Verify,
};

pub(super) const MENU: Label = Label::Place("menu");
pub(super) const FAILED: Label = Label::Place("failed");
const NOT_STARTED: Label = Label::Place("not-started");
pub(super) const LOCAL: Label = Label::Place("local");

/// How long a notice stays on the screen before the machine goes on.
const NOTICE_TIME: Duration = Duration::from_secs(20);
/// How often one boot is told to ask again.
const ASKED_MAX: u32 = 10;

/// What every part of the script is made for.
struct Target<'a> {
    platform: Platform,
    urls: &'a SessionUrls,
    /// Whether anything must be signed.
    verifies: bool,
}

/// The script that boots one of these images.
///
/// What fails is reported to [`SessionUrls::load_failed`] with the image's id and iPXE's error number; after that a menu is
/// shown again, and a single image leaves to the disk. An image that does an assignment is loaded only when
/// [`SessionUrls::start`] answered with a script that succeeds; else the machine goes to its disk, whatever else there
/// is to choose from, so that nothing asks again and again.
pub fn images(images: &BootImages, leaving: impl Into<Leaving>, urls: &SessionUrls) -> Vec<Command> {
    let leaving = leaving.into();
    let verifies = images.images().iter().any(|image| image.verify.is_some());
    let target = Target { platform: leaving.platform, urls, verifies };
    let waits = matches!(images.images(), [BootImage { kind: ImageKind::Retry { .. }, .. }]);
    let mut script = noticed(images.notice(), waits);
    script.extend(images.prompt().filter(|_| images.ask().is_none()).map(look::prompt));
    script.extend(match (images.images(), images.menu()) {
        _ if let Some(question) = images.ask() => ask::first(question, urls),
        ([], _) => vec![Command::Echo(Text::new("Nothing to boot from the network."))],
        ([image], None) => target.single(image),
        (several, menu) => target.offered(several, menu),
    });
    if images.assignments().next().is_some() {
        script.extend([Command::Goto(LOCAL), Command::Label(NOT_STARTED)]);
        let what = Text::new("Not started: the boot server did not agree to ").and_setting(Stored::Chosen.name());
        script.push(Command::Echo(what));
    }
    script.push(Command::Label(LOCAL));
    script.push(Command::Echo(Text::new("Starting from the local disk.")));
    script.extend(local(leaving));
    script
}

/// Shows these lines, if there are any, long enough to be read, unless what follows waits itself.
fn noticed(lines: &[Line], waits: bool) -> Vec<Command> {
    let mut script: Vec<_> = lines.iter().map(|line| Command::Echo(Text::screen(line.as_str()))).collect();
    if !script.is_empty() && !waits {
        script.push(Command::Prompt(Text::new("Press a key to go on at once."), NOTICE_TIME).ignored());
    }
    script
}

impl Target<'_> {
    /// Boots this image; falls through to the disk.
    fn single(&self, image: &BootImage) -> Vec<Command> {
        let mut script =
            vec![Command::Set(Stored::Chosen, Text::new(&image.id)), Command::Echo(Text::screen(image.title.as_str()))];
        script.extend(self.boot(image, &LOCAL));
        script.push(Command::Goto(LOCAL));
        script.extend(self.report());
        script
    }

    /// Shows a menu and boots what is chosen; leaving the menu is choosing the disk.
    fn offered(&self, images: &[BootImage], menu: Option<&Menu>) -> Vec<Command> {
        let title = menu.map_or_else(|| Text::new("Boot"), |menu| Text::screen(menu.title.as_str()));
        let mut script = menu.and_then(|menu| menu.look.as_ref()).map_or_else(Vec::new, |of| look::look(of, self.urls));
        script.extend([Command::Label(MENU), Command::Menu(title)]);
        script.extend(menu::items(images));
        let default = menu.and_then(|menu| menu.default.as_deref()).map(Word::new);
        let timeout = menu.and_then(|menu| menu.timeout);
        script.push(Command::Choose { default, timeout }.or_goto(&LOCAL));
        script.push(Command::Goto(Label::ImageIn(Stored::Chosen)));
        for image in images {
            script.push(Command::Label(Label::Image(image.id.clone())));
            script.extend(menu::sure(image));
            script.extend(self.boot(image, &MENU));
            let after = if matches!(image.kind, ImageKind::Shell) { MENU } else { LOCAL };
            script.push(Command::Goto(after));
        }
        script.extend(self.report());
        script.push(Command::Goto(MENU));
        script
    }

    /// Reports the failure and shows it; falls through.
    fn report(&self) -> Vec<Command> {
        let url = self.urls.load_failed().and("?image=").and_setting(Stored::Chosen.name());
        let url = url.and("&error=").and_setting(Stored::Failure.name());
        let mut script = vec![
            Command::Label(FAILED),
            // At once: the next command that fails has its own number.
            Command::Set(Stored::Failure, Text::default().and_setting_as("errno", "hexraw")),
            Command::Imgfree,
        ];
        // Nobody signed what comes now.
        script.extend(self.verifies.then(|| Command::Imgtrust(Trusted::All).ignored()));
        script.push(Command::Chain { url, arguments: Text::default(), replace: false }.ignored());
        script
    }

    /// Boots this image or goes to [`FAILED`]. Falls through when what was booted comes back.
    ///
    /// Of an image that a question guards there is only the question: how it boots comes with the answer to it.
    fn boot(&self, image: &BootImage, left: &Label) -> Vec<Command> {
        if let Some(question) = &image.choice.needs {
            return ask::before(question, image, self.urls, left);
        }
        let mut script = Vec::new();
        if let Some(assignment) = &image.assignment {
            let started = self
                .urls
                .start(&image.id, assignment)
                .map(|url| Command::Chain { url, arguments: Text::default(), replace: false }.or_goto(&NOT_STARTED));
            script.push(started.unwrap_or(Command::Goto(NOT_STARTED)));
        }
        // Also forgets the script that said yes: what is loaded beside a kernel is handed to it.
        if image.assignment.is_some() || !image.kind.sources().is_empty() {
            script.push(Command::Imgfree);
        }
        match &image.verify {
            None => script.extend(self.load(image, None)),
            Some(verify) => {
                let unverified = verify.is_lenient().then(|| self.load(image, None));
                script.extend(verify::either(image, self.load(image, Some(verify)), unverified));
            }
        }
        script
    }

    fn load(&self, image: &BootImage, verify: Option<&Verify>) -> Vec<Command> {
        match &image.kind {
            ImageKind::Linux { kernel, initrd, cmdline } => self.linux((kernel, initrd), cmdline, verify),
            ImageKind::Wim { wimboot, bcd, boot_sdi, wim, files, args } => {
                let named = [("BCD", bcd.as_ref()), ("boot.sdi", boot_sdi.as_ref())];
                let mut loaded: Vec<_> = named.iter().filter_map(|(name, from)| Some((*name, (*from)?))).collect();
                loaded.extend(files.iter().map(|InjectedFile { source, name }| (name.as_str(), source)));
                loaded.push(("boot.wim", wim));
                self.wim(wimboot, args, &loaded, verify)
            }
            ImageKind::Chain { source } => self.program(source, Text::default(), true, verify),
            ImageKind::Efi { source, cmdline } => {
                self.program(source, Text::from(&self.urls.command_line(cmdline)), false, verify)
            }
            ImageKind::Sanboot { source } => vec![Command::Sanboot(self.urls.source(source)).or_goto(&FAILED)],
            ImageKind::Ipxe { text } => vec![Command::Raw(text.clone())],
            ImageKind::Referral { url, facts } => referral(&image.id, url, *facts),
            ImageKind::Retry { wait } => self.retry(&image.id, *wait),
            ImageKind::Local { method: None } => vec![Command::Goto(LOCAL)],
            ImageKind::Local { method } => local(Leaving { platform: self.platform, method: *method }),
            ImageKind::Reboot => vec![Command::Reboot.or_goto(&FAILED)],
            ImageKind::Poweroff => vec![Command::Poweroff.or_goto(&FAILED)],
            // Its status is that of the last command typed, which is nobody's failure.
            ImageKind::Shell => vec![Command::Shell.ignored()],
        }
    }

    /// A kernel with its RAM disks. EFI kernels before 5.8, and iPXE before 2020, need them named on the command line;
    /// on a BIOS iPXE hands them over itself.
    fn linux(&self, (kernel, initrd): (&Source, &[Source]), cmdline: &Line, verify: Option<&Verify>) -> Vec<Command> {
        let names: Vec<_> = (0..initrd.len()).map(|index| format!("initrd{index}")).collect();
        let named = match self.platform {
            Platform::Bios => Text::default(),
            Platform::Efi | Platform::Other => {
                names.iter().fold(Text::default(), |text, name| text.and("initrd=").and(name).and(" "))
            }
        };
        let load = |(name, source): (&String, &Source)| {
            let (name, url) = (Word::new(name), self.urls.source(source));
            Command::Initrd { name, url, wrapped: None }.or_goto(&FAILED)
        };
        let arguments = named.and(self.urls.command_line(cmdline).as_str());
        let mut script = vec![self.kernel("linux", kernel, arguments)];
        script.extend(names.iter().zip(initrd).map(load));
        let files = names.iter().map(String::as_str).zip(initrd);
        script.extend(self.verified(verify, std::iter::once(("linux", kernel)).chain(files)));
        script.push(Command::Boot.or_goto(&FAILED));
        script
    }

    /// A Windows image: wimboot finds the files by their names on EFI, and in CPIO archives that iPXE makes on a BIOS.
    fn wim(&self, wimboot: &Source, args: &Line, files: &[(&str, &Source)], verify: Option<&Verify>) -> Vec<Command> {
        let load = |&(name, source): &(&str, &Source)| {
            let (name, url) = (Word::new(name), self.urls.source(source));
            Command::Initrd { wrapped: Some(name.clone()), name, url }.or_goto(&FAILED)
        };
        let mut script = vec![self.kernel("wimboot", wimboot, Text::from(&self.urls.command_line(args)))];
        script.extend(files.iter().map(load));
        script.extend(self.verified(verify, std::iter::once(("wimboot", wimboot)).chain(files.iter().copied())));
        script.push(Command::Boot.or_goto(&FAILED));
        script
    }

    /// Shows that the machine asks again, waits, and does so.
    fn retry(&self, id: &str, wait: Duration) -> Vec<Command> {
        let [again, query] = ["again", "ask"].map(|place| Label::Within(place, id.to_owned()));
        let seconds = wait.as_secs().max(1);
        let text = format!("Asking again in {seconds} seconds; press a key to ask at once.");
        let mut script = vec![Command::Label(again.clone()), Command::Inc(Stored::Asked)];
        script.push(Command::GotoIfEqual(Stored::Asked, ASKED_MAX, LOCAL));
        script.push(Command::Prompt(Text::new(&text), Duration::from_secs(seconds)).ignored());
        script.extend(Told::by_form(self.urls.script()).with_grant(self.urls).commands(&query, &again));
        script
    }

    fn kernel(&self, name: &str, source: &Source, arguments: Text) -> Command {
        Command::Kernel { url: self.urls.source(source), name: Word::new(name), arguments }.or_goto(&FAILED)
    }

    /// A program or script. What is verified is loaded first, and then run as it was loaded.
    fn program(&self, source: &Source, arguments: Text, replace: bool, verify: Option<&Verify>) -> Vec<Command> {
        if verify.is_none() {
            let url = self.urls.source(source);
            return vec![Command::Chain { url, arguments, replace }.or_goto(&FAILED)];
        }
        let mut script = vec![self.kernel("program", source, arguments)];
        script.extend(self.verified(verify, std::iter::once(("program", source))));
        script.push(Command::Boot.or_goto(&FAILED));
        script
    }

    /// Verifies loaded files, and lets nothing else run. A file whose signature has no name fails as a bad one does.
    fn verified<'f>(
        &self,
        verify: Option<&Verify>,
        files: impl Iterator<Item = (&'f str, &'f Source)>,
    ) -> Vec<Command> {
        let Some(verify) = verify else { return Vec::new() };
        let check = |(name, source): (&str, &Source)| match verify.signature(source) {
            Some(signature) => {
                let (name, signature) = (Word::new(name), self.urls.source(&signature));
                Command::Imgverify { name, signature }.or_goto(&FAILED)
            }
            None => Command::Goto(FAILED),
        };
        let mut script: Vec<_> = files.map(check).collect();
        script.push(Command::Imgtrust(Trusted::Verified).or_goto(&FAILED));
        script
    }
}

/// Another server takes over: it is told the machine's facts, and nothing of ours stays behind. When it does not answer,
/// that is a failure like any other.
fn referral(id: &str, url: &Url, facts: FactsForm) -> Vec<Command> {
    let [query, back] = ["query", "back"].map(|place| Label::Within(place, id.to_owned()));
    let mut script = vec![Command::Imgfree];
    script.extend(Stored::OURS.map(|stored| Command::Clear(stored).ignored()));
    script.extend(Told::by(url, facts).commands(&query, &back));
    script.extend([Command::Label(back), Command::Set(Stored::Chosen, Text::new(id)), Command::Goto(FAILED)]);
    script
}
