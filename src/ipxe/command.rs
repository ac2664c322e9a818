//! The commands of iPXE that our scripts use, with typed arguments.

use std::time::Duration;

use super::{Text, Word};
use crate::boot::{Color, ScreenSize};

/// The name of a place in a script, as `goto` takes it. iPXE reads a label as it stands, so it is made of fixed
/// text and of an image's id (letters, digits, `.`, `_`, `-`) only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// A place of the script itself.
    Place(&'static str),
    /// Where the image with this id is booted.
    Image(String),
    /// Where the image is booted whose id a setting holds; for `goto` only.
    ImageIn(Stored),
    /// A place within the part that boots the image with this id.
    Within(&'static str, String),
}

/// What iPXE runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// Anything.
    All,
    /// What was verified.
    Verified,
}

/// A setting of our own that a script stores a value in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// How often this boot was told to ask again.
    Asked,
    /// How often the bootstrap script has asked.
    Attempt,
    /// The id of the image that was chosen.
    Chosen,
    /// The error number that was seen first, as eight hexadecimal digits.
    Failure,
    /// What the person at the machine typed for a password or PIN. iPXE's own `login` has this name for it.
    Password,
    /// The boot URL of our offer, with the session's token: iPXE keeps the offer as settings.
    OfferedUrl,
    /// The same of our answer on port 4011.
    AcknowledgedUrl,
    /// What the person typed for a user name.
    Username,
}

impl Stored {
    /// Everything that a server which takes over has no business with.
    pub(super) const OURS: [Stored; 8] = [
        Stored::Asked,
        Stored::Attempt,
        Stored::Chosen,
        Stored::Failure,
        Stored::OfferedUrl,
        Stored::AcknowledgedUrl,
        Stored::Username,
        Stored::Password,
    ];

    /// The setting as a command takes it. iPXE keeps the bytes, not the type, so that a number needs its type every time.
    pub(super) fn name(self) -> &'static str {
        match self {
            Stored::AcknowledgedUrl => "pxebs/filename",
            Stored::Asked => "asked:int32",
            Stored::Attempt => "attempt:int32",
            Stored::Chosen => "chosen",
            Stored::Failure => "failure",
            Stored::OfferedUrl => "proxydhcp/filename",
            Stored::Password => "password",
            Stored::Username => "username",
        }
    }
}

/// One command of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `boot`: starts the kernel that was loaded.
    Boot,
    /// `chain`: loads a file and runs it.
    Chain {
        /// What to load.
        url: Word,
        /// The file's own arguments.
        arguments: Text,
        /// Whether the file takes the place of the running script rather than returning to it.
        replace: bool,
    },
    /// `choose`: shows the menu; what was chosen is in [`Stored::Chosen`].
    Choose {
        /// The item under the cursor.
        default: Option<Word>,
        /// When the default is taken; never when absent.
        timeout: Option<Duration>,
    },
    /// `clear`: forgets a value.
    Clear(Stored),
    /// `colour`: what a color's number means. Many BIOS builds lack this command and the two that follow it here.
    Colour {
        /// Its number, up to 7.
        number: u8,
        /// The nearest of the eight colors that every screen has.
        basic: u8,
        /// What it is on other screens.
        color: Color,
    },
    /// `console`: another size of the screen, and a picture behind the text.
    Console {
        /// The picture.
        picture: Option<Word>,
        /// The size; that of the picture when absent.
        size: Option<ScreenSize>,
    },
    /// `cpair`: the colors of what is shown for one purpose.
    Cpair {
        /// The number of the purpose.
        pair: u8,
        /// The number of the text's color.
        foreground: u8,
        /// The number of the color behind it.
        background: u8,
    },
    /// `dhcp`: gets an address.
    Dhcp,
    /// `echo`: shows a line.
    Echo(Text),
    /// `exit`: ends the script with this status.
    Exit(u8),
    /// `form`: begins a form for a person. Builds before June 2024 lack it.
    Form(Text),
    /// `item` of a form: a line for a person to fill in.
    Field {
        /// Where it is stored.
        stored: Stored,
        /// What is shown.
        title: Text,
        /// Whether the screen shows stars.
        is_secret: bool,
    },
    /// `item --gap`: a line of a menu that cannot be chosen.
    Gap(Text),
    /// `goto`: goes on at a label.
    Goto(Label),
    /// `imgfree`: forgets every loaded file.
    Imgfree,
    /// `imgtrust`: whether only what was verified is run from now on. Most builds lack this command and the next one.
    Imgtrust(Trusted),
    /// `imgverify`: verifies a loaded file.
    Imgverify {
        /// Its name among the loaded files.
        name: Word,
        /// Where its signature is.
        signature: Word,
    },
    /// `inc`: counts one up.
    Inc(Stored),
    /// `initrd`: loads a file beside the kernel.
    Initrd {
        /// The name that an EFI kernel or wimboot finds it by.
        name: Word,
        /// What to load.
        url: Word,
        /// The name that a BIOS iPXE wraps the file in (a CPIO archive); none for what already is a RAM disk.
        wrapped: Option<Word>,
    },
    /// `iseq` and `goto`: goes on at a label when a stored value is equal to a number.
    GotoIfEqual(Stored, u32, Label),
    /// `item`: an image in the menu.
    Item {
        /// Its id.
        id: Word,
        /// What is shown.
        title: Text,
        /// The letter or digit that chooses it.
        key: Option<char>,
    },
    /// `kernel`: loads what `boot` starts.
    Kernel {
        /// What to load.
        url: Word,
        /// Its name among the loaded files.
        name: Word,
        /// Its command line.
        arguments: Text,
    },
    /// A place that [`Command::Goto`] finds.
    Label(Label),
    /// `login`: asks for [`Stored::Username`] and [`Stored::Password`] on a screen of its own.
    Login,
    /// `menu`: begins a menu.
    Menu(Text),
    /// `param`: adds a field to the form.
    Param {
        /// The field.
        name: Word,
        /// Its value.
        value: Text,
    },
    /// `params`: begins a form. Many BIOS builds lack this command and the one before.
    Params,
    /// `poweroff`.
    Poweroff,
    /// `present`: shows the form; what is typed is stored.
    Present,
    /// `prompt` with a key: shows a line, and succeeds when this letter or digit is pressed in time.
    Press(char, Text, Duration),
    /// `prompt`: shows a line and waits for a key, at most this long.
    Prompt(Text, Duration),
    /// Lines of iPXE that the site's own script gave, as they are.
    Raw(String),
    /// `reboot`.
    Reboot,
    /// `sanboot` of a disk by its URI.
    Sanboot(Word),
    /// `sanboot` of the first BIOS disk.
    SanbootDisk,
    /// `set`: stores a value.
    Set(Stored, Text),
    /// `shell`: the command line of iPXE.
    Shell,
    /// `sleep`.
    Sleep(Duration),
    /// A command, and what is done when it fails.
    Or(Box<Command>, Box<Command>),
    /// A command whose failure does not matter.
    Try(Box<Command>),
}

impl Command {
    /// This command; when it fails the script goes on at the label.
    pub fn or_goto(self, label: &Label) -> Command {
        Command::Or(Box::new(self), Box::new(Command::Goto(label.clone())))
    }

    /// This command, whether it succeeds or not.
    pub fn ignored(self) -> Command {
        Command::Try(Box::new(self))
    }
}
