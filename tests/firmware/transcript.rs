//! What a process said, as plain text that a test can wait for.
//!
//! Firmware draws on the serial line with escape codes; they are dropped here, so that what is
//! searched is what a person would read. The bytes as they came are kept in a file beside it.
//!
//! **Invariant:** knows no machine and no server, only a stream of bytes.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Text that grows while its source lives.
#[derive(Clone)]
pub(crate) struct Transcript {
    name: String,
    file: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    grew: Condvar,
}

#[derive(Default)]
struct State {
    text: String,
    sources: usize,
}

/// Why a text never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The source ended before it said so.
    Ended,
    /// The time limit passed.
    TimedOut,
}

impl Transcript {
    /// An empty transcript called `name` in messages, whose raw bytes go to `file`.
    pub(crate) fn new(name: &str, file: &Path) -> Self {
        Self { name: name.to_owned(), file: file.to_owned(), shared: Arc::default() }
    }

    /// Collects what `source` says until it ends. Several sources may share a transcript.
    pub(crate) fn follow(&self, mut source: impl Read + Send + 'static) {
        let mut raw = File::options()
            .create(true)
            .append(true)
            .open(&self.file)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", self.file.display()));
        self.state().sources += 1;
        let transcript = self.clone();
        thread::spawn(move || {
            let mut plain = PlainText::default();
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = source.read(&mut buffer) {
                let bytes = &buffer[..length];
                // Evidence only: a full disk must not hide what the machine said.
                let _ = raw.write_all(bytes);
                plain.push(bytes, &mut transcript.state().text);
                transcript.shared.grew.notify_all();
            }
            transcript.state().sources -= 1;
            transcript.shared.grew.notify_all();
        });
    }

    /// Waits until `find` sees what it looks for in the whole text so far.
    pub(crate) fn wait_for<T>(&self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T, Absent> {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        loop {
            if let Some(found) = find(&state.text) {
                return Ok(found);
            }
            if state.sources == 0 {
                return Err(Absent::Ended);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(Absent::TimedOut);
            };
            state = self.shared.grew.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything said so far.
    pub(crate) fn text(&self) -> String {
        self.state().text.clone()
    }

    /// The end of the text for a failure message: its name, its file and the last lines that say something.
    pub(crate) fn tail(&self, lines_max: usize) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(lines_max);
        format!("--- {} (all of it in {}) ---\n{}\n", self.name, self.file.display(), lines[from..].join("\n"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops terminal control sequences from a stream that may be cut anywhere.
#[derive(Default)]
struct PlainText {
    inside: Sequence,
    unfinished: Vec<u8>,
}

#[derive(Default, Clone, Copy)]
enum Sequence {
    #[default]
    None,
    Escape,
    /// `ESC [ ... letter`.
    Control,
    /// `ESC ( B` and its kin: one byte more.
    OneMore,
}

impl PlainText {
    fn push(&mut self, bytes: &[u8], text: &mut String) {
        for &byte in bytes {
            self.inside = match (self.inside, byte) {
                (_, 0x1b) => Sequence::Escape,
                (Sequence::Escape, b'[') => Sequence::Control,
                (Sequence::Escape, b'(' | b')' | b'#') => Sequence::OneMore,
                (Sequence::Control, 0x20..=0x3f) => Sequence::Control,
                (Sequence::None, b'\r' | 0x0e | 0x0f) => Sequence::None,
                (Sequence::None, byte) => {
                    self.unfinished.push(byte);
                    Sequence::None
                }
                _ => Sequence::None,
            };
        }
        self.flush(text);
    }

    /// Moves whole characters to `text`; a character cut by the end of the read waits for its rest.
    fn flush(&mut self, text: &mut String) {
        const LONGEST_CHARACTER: usize = 4;
        let whole = match std::str::from_utf8(&self.unfinished) {
            Ok(_) => self.unfinished.len(),
            Err(error)
                if error.error_len().is_none() && self.unfinished.len() - error.valid_up_to() < LONGEST_CHARACTER =>
            {
                error.valid_up_to()
            }
            Err(_) => self.unfinished.len(),
        };
        let rest = self.unfinished.split_off(whole);
        text.push_str(&String::from_utf8_lossy(&self.unfinished));
        self.unfinished = rest;
    }
}

#[test]
fn drops_escape_codes_wherever_a_read_cuts_them() {
    let drawn = "\x1b[2J\x1b[01;01HB\u{e9}ds\x1b(0q\x1b(BDxe\r\n".as_bytes();
    for cut in 0..drawn.len() {
        let mut plain = PlainText::default();
        let mut text = String::new();
        plain.push(&drawn[..cut], &mut text);
        plain.push(&drawn[cut..], &mut text);
        assert_eq!(text, "B\u{e9}dsqDxe\n", "cut at {cut}");
    }
}
