//! The text of a table: how it is read, and what is wrong with it.

use std::fmt;

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// The line of the file, from 1, where it is known.
    pub(super) line: Option<u64>,
    /// The column in that line, from 1, where it is known.
    pub(super) column: Option<u64>,
    pub(super) message: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Reads records; spaces around cells and lines that begin with `#` do not count.
pub(super) fn reader(bytes: &[u8], delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).comment(Some(COMMENT)).from_reader(bytes)
}

/// The line of a record: the reader's place is that before empty lines and comments.
pub(super) fn line_of(bytes: &[u8], place: Option<&csv::Position>) -> u64 {
    let Some(place) = place else { return 1 };
    let skipped = usize::try_from(place.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let mut line = place.line();
    let mut is_comment = false;
    for &byte in skipped {
        match byte {
            b'\n' => {
                line += 1;
                is_comment = false;
            }
            b'\r' => is_comment = false,
            COMMENT => is_comment = true,
            _ if is_comment => {}
            _ => break,
        }
    }
    line
}

/// An error of the reader in plain words.
pub(super) fn plain(error: csv::Error, bytes: &[u8]) -> Broken {
    let line = error.position().map(|place| line_of(bytes, Some(place)));
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let cells = if *len == 1 { "cell" } else { "cells" };
            format!(
                "it has {len} {cells}, the first line has {expected_len}; put text with commas between double quotes"
            )
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8 text; save the file as UTF-8".to_owned(),
        _ => error.to_string(),
    };
    Broken { line, column: None, message }
}

/// Finds a cell whose opening quote is not closed: the reader would take the lines behind it for a part of the cell, and
/// nobody would miss them. A quote opens a cell only where the cell begins, and what closes it stands before a delimiter.
pub(super) fn check_quotes(bytes: &[u8], delimiter: u8) -> Result<(), Broken> {
    let mut line = 1u64;
    let mut place = Place::Record;
    for &byte in bytes {
        place = match (place, byte) {
            (Place::Record, COMMENT) => Place::Comment,
            (Place::Record | Place::Cell, b'"') => Place::Quoted { opened: line },
            (Place::Quoted { opened }, b'"') => Place::Closed { opened },
            (Place::Quoted { opened }, _) => Place::Quoted { opened },
            // Two quotes in a quoted cell stand for one.
            (Place::Closed { opened }, b'"') => Place::Quoted { opened },
            (_, b'\n' | b'\r') => Place::Record,
            (Place::Comment, _) => Place::Comment,
            (_, byte) if byte == delimiter => Place::Cell,
            (Place::Closed { opened }, byte) if byte.is_ascii_whitespace() => Place::Closed { opened },
            (Place::Closed { opened }, _) if opened != line => return Err(not_closed(opened)),
            _ => Place::Text,
        };
        line += u64::from(byte == b'\n');
    }
    match place {
        Place::Quoted { opened } => Err(not_closed(opened)),
        _ => Ok(()),
    }
}

fn not_closed(line: u64) -> Broken {
    let message = "a double quote opens a cell and is not closed; close it, or take it away".to_owned();
    Broken { line: Some(line), column: None, message }
}

/// Where in the text of a table.
#[derive(Clone, Copy)]
enum Place {
    /// At the beginning of a line.
    Record,
    Comment,
    /// At the beginning of a cell that is not the first.
    Cell,
    /// In a cell without quotes.
    Text,
    /// Between quotes.
    Quoted {
        opened: u64,
    },
    /// Behind a quote that closes, unless another follows.
    Closed {
        opened: u64,
    },
}

const COMMENT: u8 = b'#';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quote_that_is_not_closed_is_found_where_it_opens() {
        let check = |text: &str, expect: Option<u64>| {
            let found = check_quotes(text.as_bytes(), b',').err().and_then(|broken| broken.line);
            assert_eq!(found, expect, "{text:?}");
        };
        check("a,b\n1,\"two\"\n", None);
        check("a,b\n1,\"two, \"\"three\"\"\"\r\n\"\",x\n", None);
        check("a,b\n1,\"two\nlines\" \nx,y\n", None);
        check("a,b\n1,19\" rack\n2,x\n", None);
        check("# a \"comment\na,b\n", None);
        check("a,b\n1,\"19\" rack\n2,x\n", None);
        check("a,b\n1,\"two\n2,x\n", Some(2));
        check("a,b\r\nx,y\r\n\"two,2\r\n", Some(3));
        check("a,b\n1,\"two\n2,\"x\"\n", Some(2));
        check("a,b\n1,\"two\n2,x\"y\n", Some(2));
        check("a,b\n\"1\"\"\n", Some(2));
        check("", None);
    }

    proptest! {
        /// What is found to be closed is read with a record for each line that is not inside a cell.
        #[test]
        fn any_text_ends(text in "[ab,\"#\\n\\r \\t]{0,60}", delimiter in prop::sample::select(&[b',', b'\t'][..])) {
            let _ = check_quotes(text.as_bytes(), delimiter);
        }
    }
}
