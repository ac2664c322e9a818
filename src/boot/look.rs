//! How a menu looks, and the key that is waited for before work that is optional.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Line, Source};

/// A key that somebody must press, or the machine starts from its own disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedPrompt")]
pub struct Prompt {
    text: Line,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<char>,
    timeout_s: u32,
}

/// A prompt as somebody else wrote it.
#[derive(Deserialize)]
struct UncheckedPrompt {
    #[serde(default)]
    text: Line,
    #[serde(default)]
    key: Option<char>,
    timeout_s: u32,
}

impl TryFrom<UncheckedPrompt> for Prompt {
    type Error = PromptError;

    fn try_from(read: UncheckedPrompt) -> Result<Prompt, PromptError> {
        Prompt::new(Some(read.text).filter(|text| !text.is_empty()), read.key, read.timeout_s.into())
    }
}

/// Why there is no such [`Prompt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// A key that not every keyboard has alone.
    #[error("the key of a prompt is `{0}`; it is one letter or digit, or left out for any key")]
    Key(char),
    /// Too short or too long.
    #[error("a prompt cannot wait {0} s; use 1 to {max} seconds", max = Prompt::TIMEOUT_S_MAX)]
    Timeout(i64),
}

impl Prompt {
    /// The longest time that is waited, in seconds: an hour.
    pub const TIMEOUT_S_MAX: u32 = 3600;

    /// A prompt that waits so many seconds for this key, or for any. Without a text it says what to press.
    ///
    /// # Errors
    /// When the key or the time cannot be.
    pub fn new(text: Option<Line>, key: Option<char>, timeout_s: i64) -> Result<Prompt, PromptError> {
        if let Some(key) = key.filter(|key| !key.is_ascii_alphanumeric()) {
            return Err(PromptError::Key(key));
        }
        let seconds = u32::try_from(timeout_s).ok().filter(|seconds| (1..=Self::TIMEOUT_S_MAX).contains(seconds));
        let timeout_s = seconds.ok_or(PromptError::Timeout(timeout_s))?;
        let usual = || match key {
            Some(key) => Line::clean(&format!("Press {key} to boot from the network.")),
            None => Line::clean("Press a key to boot from the network."),
        };
        Ok(Prompt { text: text.unwrap_or_else(usual), key, timeout_s })
    }

    /// What the screen shows.
    pub fn text(&self) -> &Line {
        &self.text
    }

    /// The key; any when absent.
    pub fn key(&self) -> Option<char> {
        self.key
    }

    /// How long is waited.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }
}

/// A color of 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Color(pub [u8; 3]);

/// A text that is no color.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no color; write it like #1a2b3c: red, green and blue in hexadecimal digits")]
pub struct ColorError(String);

impl FromStr for Color {
    type Err = ColorError;

    fn from_str(text: &str) -> Result<Color, ColorError> {
        let wrong = || ColorError(text.chars().take(40).collect());
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or_else(wrong)?;
        if !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).map_err(|_| wrong())?.to_be_bytes();
        Ok(Color([red, green, blue]))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl TryFrom<String> for Color {
    type Error = ColorError;

    fn try_from(text: String) -> Result<Color, ColorError> {
        text.parse()
    }
}

impl From<Color> for String {
    fn from(color: Color) -> String {
        color.to_string()
    }
}

/// The colors of a menu; what is not said stays as the build of iPXE has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Colors {
    /// Of titles and lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Color>,
    /// Behind them; without it a picture is seen there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Color>,
    /// Of the line under the cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_text: Option<Color>,
    /// Behind the line under the cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_background: Option<Color>,
    /// Of the headings between lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading: Option<Color>,
}

impl Colors {
    /// The names of the colors, in the order of the fields.
    pub const NAMES: [&str; 5] = ["text", "background", "selected_text", "selected_background", "heading"];
}

/// The size of a screen, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u16; 2]", into = "[u16; 2]")]
pub struct ScreenSize {
    width: u16,
    height: u16,
}

/// Numbers that are no size of a screen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} by {1} is no size of a screen; write width and height in pixels, e.g. [1024, 768]")]
pub struct ScreenSizeError(u16, u16);

impl ScreenSize {
    /// Width and height, in pixels.
    pub fn pixels(self) -> (u16, u16) {
        (self.width, self.height)
    }
}

impl TryFrom<[u16; 2]> for ScreenSize {
    type Error = ScreenSizeError;

    fn try_from([width, height]: [u16; 2]) -> Result<ScreenSize, ScreenSizeError> {
        match (320..=7680).contains(&width) && (200..=4320).contains(&height) {
            true => Ok(ScreenSize { width, height }),
            false => Err(ScreenSizeError(width, height)),
        }
    }
}

impl From<ScreenSize> for [u16; 2] {
    fn from(size: ScreenSize) -> [u16; 2] {
        [size.width, size.height]
    }
}

/// How a menu looks, where the client's build can show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The picture behind it (PNG): a file of the images folder, or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<Source>,
    /// The size of the screen; that of the picture when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ScreenSize>,
    /// The colors.
    pub colors: Colors,
}

impl Look {
    /// Whether it is as the build has it.
    pub fn is_usual(&self) -> bool {
        *self == Look::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_has_a_key_that_everybody_has_and_an_end() {
        let said = |key, seconds| Prompt::new(None, key, seconds).map(|prompt| prompt.text().to_string());
        assert_eq!(said(Some('i'), 5), Ok("Press i to boot from the network.".into()));
        assert_eq!(said(None, 5), Ok("Press a key to boot from the network.".into()));
        assert_eq!(said(Some('\u{1b}'), 5), Err(PromptError::Key('\u{1b}')));
        for seconds in [0, -1, 3601, i64::MAX] {
            assert_eq!(said(None, seconds), Err(PromptError::Timeout(seconds)));
        }
        let prompt = Prompt::new(Some(Line::clean("Press F")), Some('f'), 10).unwrap();
        let json = serde_json::to_string(&prompt).unwrap();
        assert_eq!(json, r#"{"text":"Press F","key":"f","timeout_s":10}"#);
        assert_eq!(serde_json::from_str::<Prompt>(&json).unwrap(), prompt);
        assert!(serde_json::from_str::<Prompt>(r#"{"timeout_s":0}"#).is_err());
    }

    #[test]
    fn a_color_is_six_digits() {
        assert_eq!("#1A2b3c".parse(), Ok(Color([0x1a, 0x2b, 0x3c])));
        assert_eq!(Color([1, 2, 255]).to_string(), "#0102ff");
        for bad in ["", "#", "red", "1a2b3c", "#12345", "#1234567", "#+12345", "#12345ä"] {
            assert!(bad.parse::<Color>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_look_is_read_as_it_was_written() {
        let look = Look {
            picture: Some("menu/back.png".parse().unwrap()),
            size: Some([1024, 768].try_into().unwrap()),
            colors: Colors { text: Some(Color([255; 3])), ..Colors::default() },
        };
        let json = serde_json::to_string(&look).unwrap();
        assert_eq!(json, r##"{"picture":{"file":"menu/back.png"},"size":[1024,768],"colors":{"text":"#ffffff"}}"##);
        assert_eq!(serde_json::from_str::<Look>(&json).unwrap(), look);
        assert!(serde_json::from_str::<Look>(r#"{"size":[0,0]}"#).is_err());
    }
}
