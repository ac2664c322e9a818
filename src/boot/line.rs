//! A line of text that is safe to show on a client's screen and to write into an iPXE script.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One line of printable text: no control characters, no `${`, at most [`Line::LEN_MAX`] octets.
///
/// `${` is refused because iPXE expands settings until none is left, so there is no way to write it literally.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Line(String);

/// Why a text is not a [`Line`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`Line::LEN_MAX`].
    #[error("the text has {0} octets; at most {max} fit", max = Line::LEN_MAX)]
    Length(usize),
    /// A line break, tab or other control character.
    #[error("the text has a control character (U+{0:04X}); it must be one line")]
    Control(u32),
    /// iPXE would expand it.
    #[error("the text has `${{`, which iPXE would expand; leave it out")]
    Expansion,
}

impl Line {
    /// The longest line, in octets: what Linux takes as a command line on x86 (`COMMAND_LINE_SIZE`).
    pub const LEN_MAX: usize = 2048;

    /// Checks a text.
    ///
    /// # Errors
    /// When the text is too long, has a control character, or has `${`.
    pub fn new(text: impl Into<String>) -> Result<Line, LineError> {
        let text = text.into();
        if text.len() > Line::LEN_MAX {
            return Err(LineError::Length(text.len()));
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return Err(LineError::Control(control as u32));
        }
        if text.contains("${") {
            return Err(LineError::Expansion);
        }
        Ok(Line(text))
    }

    /// Makes a line of any text: control characters become spaces, `${` becomes `$ {`, and what is too long is cut.
    pub fn clean(text: &str) -> Line {
        let mut line = String::new();
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            let gap = if c == '{' && line.ends_with('$') { " " } else { "" };
            if line.len() + gap.len() + c.len_utf8() > Line::LEN_MAX {
                break;
            }
            line.push_str(gap);
            line.push(c);
        }
        Line(line)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Line::new(text)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Line::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_ipxe_would_read_otherwise() {
        assert_eq!(Line::new("a\nb"), Err(LineError::Control(10)));
        assert_eq!(Line::new("x ${net0/mac}"), Err(LineError::Expansion));
        assert!(Line::new("a".repeat(2049)).is_err());
        assert!(Line::new("root=/dev/sda1 quiet; ok").is_ok());
    }

    /// Found by fuzzing: the space that breaks an expansion did not fit.
    #[test]
    fn a_text_that_is_cut_at_an_expansion_is_a_line() {
        for len in Line::LEN_MAX - 3..Line::LEN_MAX + 3 {
            let text = format!("{}${{x}}", "a".repeat(len));
            assert!(Line::new(Line::clean(&text).as_str()).is_ok(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn a_cleaned_text_is_always_a_line(text in "\\PC{0,40}[\\x00-\\x20${}]{0,40}(\\$\\{|.){0,20}") {
            prop_assert!(Line::new(Line::clean(&text).as_str()).is_ok());
        }
    }
}
