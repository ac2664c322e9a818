//! The one function that turns commands into the text of a script.
//!
//! How iPXE reads a line (the same since 2010, compared from the 2019 builds of Debian 12 to 2026):
//!
//! 1. a line that ends in `\` goes on in the next one;
//! 2. `:` in the first column makes its first word a label;
//! 3. the line is split at white space; there are no quotes and no escapes;
//! 4. a word that begins with `#` ends the line; `||`, `&&` and `;` as words of their own separate commands;
//! 5. only then is `${name}` replaced in each word, again and again until none is left, and a word never splits by that;
//! 6. options are words that begin with `-`, up to the first other word or `--`.
//!
//! An unknown setting is replaced by nothing, and `${}` is unknown everywhere: it has neither a number nor a name. It
//! is what protects a word of the kinds of 1 and 4, and what an empty word is written as.

use std::fmt::Write as _;
use std::time::Duration;

use super::command::{Command, Label, Stored, Trusted};
use super::text::{Part, Text, Word};
use crate::boot::ScreenSize;

/// A setting that has no value in any build.
const NOTHING: &str = "${}";
/// The longest time that a script waits: a day. iPXE counts in 32-bit milliseconds.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The text of a script.
pub fn render(commands: &[Command]) -> String {
    let mut script = String::from("#!ipxe\n");
    for command in commands {
        match command {
            Command::Raw(text) => raw(&mut script, text),
            command => {
                script.push_str(&line(command).join(" "));
                script.push('\n');
            }
        }
    }
    script
}

/// The words of one command.
fn line(command: &Command) -> Vec<String> {
    match command {
        Command::Boot => fixed(&["boot"]),
        Command::Chain { url, arguments, replace } => {
            let chain: &[&str] = if *replace { &["chain", "--replace"] } else { &["chain"] };
            [fixed(chain), operands([vec![word(url)], words(arguments)].concat())].concat()
        }
        Command::Choose { default, timeout } => choose(default.as_ref(), *timeout),
        Command::Clear(stored) => fixed(&["clear", stored.name()]),
        Command::Colour { number, basic, color } => {
            let [red, green, blue] = color.0;
            let rgb = format!("--rgb=0x{red:02x}{green:02x}{blue:02x}");
            vec!["colour".into(), format!("--basic={basic}"), rgb, number.to_string()]
        }
        Command::Console { picture, size } => console(picture.as_ref(), *size),
        Command::Cpair { pair, foreground, background } => {
            let [foreground, background] = [("foreground", foreground), ("background", background)]
                .map(|(name, value)| format!("--{name}={value}"));
            vec!["cpair".into(), foreground, background, pair.to_string()]
        }
        Command::Dhcp => fixed(&["dhcp"]),
        Command::Echo(text) => [fixed(&["echo"]), operands(words(text))].concat(),
        Command::Exit(status) => vec!["exit".into(), status.to_string()],
        Command::Field { stored, title, is_secret } => {
            let item: &[&str] = if *is_secret { &["item", "--secret"] } else { &["item"] };
            [fixed(item), operands([fixed(&[stored.name()]), words(title)].concat())].concat()
        }
        Command::Form(title) => [fixed(&["form"]), operands(words(title))].concat(),
        Command::Gap(text) => [fixed(&["item", "--gap"]), operands(words(text))].concat(),
        Command::Goto(target) => vec!["goto".into(), label(target)],
        Command::GotoIfEqual(stored, number, target) => {
            let equal = vec!["iseq".into(), value(*stored), number.to_string(), "&&".into()];
            [equal, vec!["goto".into(), label(target), "||".into()]].concat()
        }
        Command::Imgfree => fixed(&["imgfree"]),
        Command::Imgtrust(Trusted::All) => fixed(&["imgtrust", "--allow"]),
        Command::Imgtrust(Trusted::Verified) => fixed(&["imgtrust"]),
        Command::Imgverify { name, signature } => {
            [fixed(&["imgverify"]), operands(vec![word(name), word(signature)])].concat()
        }
        Command::Inc(stored) => fixed(&["inc", stored.name()]),
        Command::Initrd { name, url, wrapped } => {
            let load = vec!["initrd".into(), option("--name=", name)];
            [load, operands([Some(url), wrapped.as_ref()].into_iter().flatten().map(word).collect())].concat()
        }
        Command::Item { id, title, key } => {
            let item = [Some("item".to_owned()), key.map(pressed)].into_iter().flatten().collect();
            [item, operands([vec![word(id)], words(title)].concat())].concat()
        }
        Command::Kernel { url, name, arguments } => {
            let load = vec!["kernel".into(), option("--name=", name)];
            [load, operands([vec![word(url)], words(arguments)].concat())].concat()
        }
        Command::Label(place) => vec![format!(":{}", label(place))],
        Command::Login => fixed(&["login"]),
        Command::Menu(title) => [fixed(&["menu"]), operands(words(title))].concat(),
        Command::Param { name, value } => [fixed(&["param"]), vec![word(name)], words(value)].concat(),
        Command::Params => fixed(&["params"]),
        Command::Poweroff => fixed(&["poweroff"]),
        Command::Present => fixed(&["present"]),
        Command::Press(key, text, timeout) => {
            [vec!["prompt".into(), pressed(*key), milliseconds(*timeout)], operands(words(text))].concat()
        }
        Command::Prompt(text, timeout) => {
            [vec!["prompt".into(), milliseconds(*timeout)], operands(words(text))].concat()
        }
        Command::Raw(_) => Vec::new(),
        Command::Reboot => fixed(&["reboot"]),
        Command::Sanboot(url) => [fixed(&["sanboot"]), operands(vec![word(url)])].concat(),
        Command::SanbootDisk => fixed(&["sanboot", "--no-describe", "--drive=0x80"]),
        Command::Set(stored, text) => [fixed(&["set", stored.name()]), words(text)].concat(),
        Command::Shell => fixed(&["shell"]),
        Command::Sleep(time) => vec!["sleep".into(), time.min(&WAIT_MAX).as_secs().max(1).to_string()],
        Command::Or(command, otherwise) => [line(command), fixed(&["||"]), line(otherwise)].concat(),
        Command::Try(command) => [line(command), fixed(&["||"])].concat(),
    }
}

fn choose(default: Option<&Word>, timeout: Option<Duration>) -> Vec<String> {
    let default = default.map(|id| option("--default=", id));
    let timeout = timeout.map(milliseconds);
    let setting = Stored::Chosen.name().to_owned();
    [Some("choose".to_owned()), default, timeout, Some(setting)].into_iter().flatten().collect()
}

fn console(picture: Option<&Word>, size: Option<ScreenSize>) -> Vec<String> {
    let size = size.map(ScreenSize::pixels).map(|(width, height)| [format!("--x={width}"), format!("--y={height}")]);
    let picture = picture.map(|url| option("--picture=", url));
    let options = size.into_iter().flatten().chain(picture);
    std::iter::once("console".to_owned()).chain(options).collect()
}

/// The option for a key. A single character is the key itself; anything but a letter or digit is none.
fn pressed(key: char) -> String {
    format!("--key={}", if key.is_ascii_alphanumeric() { key } else { '0' })
}

fn fixed(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn milliseconds(timeout: Duration) -> String {
    // Zero would mean for ever.
    format!("--timeout={}", timeout.min(WAIT_MAX).as_millis().max(1))
}

fn value(stored: Stored) -> String {
    format!("${{{}}}", stored.name())
}

/// A label is read as it stands; nothing in it is ever replaced where it is defined.
fn label(label: &Label) -> String {
    match label {
        Label::Place(name) => (*name).to_owned(),
        Label::Image(id) => format!("image-{id}"),
        Label::Within(place, id) => format!("{place}-{id}"),
        Label::ImageIn(stored) => format!("image-{}", value(*stored)),
    }
}

/// An option with its value in one word: a value of its own could not begin with `-`.
fn option(name: &str, value: &Word) -> String {
    protect(format!("{name}{}", plain(&value.0.0)))
}

/// Words whose first might look like an option, behind the mark that ends the options.
fn operands(words: Vec<String>) -> Vec<String> {
    let doubtful = words.first().is_some_and(|first| first.starts_with(['-', '$']));
    [fixed(if doubtful { &["--"] } else { &[] }), words].concat()
}

fn word(word: &Word) -> String {
    protect(plain(&word.0.0))
}

/// The words of a text. Commands that take text join their words with one space again, so that an empty word
/// between two others makes two spaces of one.
fn words(text: &Text) -> Vec<String> {
    let text = plain(&text.0);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(' ').map(|word| protect(word.to_owned())).collect()
}

fn plain(parts: &[Part]) -> String {
    parts.iter().fold(String::new(), |mut text, part| {
        let written = match part {
            Part::Literal(literal) => text.write_str(literal),
            Part::Setting(name, None) => write!(text, "${{{name}}}"),
            Part::Setting(name, Some(form)) => write!(text, "${{{name}:{form}}}"),
        };
        debug_assert!(written.is_ok(), "a string takes everything");
        text
    })
}

/// **The escaping.** Makes a word that has no white space mean itself, wherever in a line it stands.
fn protect(word: String) -> String {
    let first = word.is_empty() || word.starts_with(['#', ':']) || matches!(word.as_str(), "||" | "&&" | ";");
    let last = word.ends_with('\\');
    format!("{}{word}{}", if first { NOTHING } else { "" }, if last { NOTHING } else { "" })
}

/// Lines that are not ours: taken as they are, but kept apart from the lines before and after.
fn raw(script: &mut String, text: &str) {
    for line in text.lines().filter(|line| !line.starts_with("#!")) {
        script.push_str(line);
        script.push('\n');
    }
    if text.trim_end().ends_with('\\') {
        script.push('\n');
    }
}
