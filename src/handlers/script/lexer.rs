//! The words of a script, for checks that the language itself makes only when a line runs.
//!
//! Rhai's own tokens are not public, so this reads the same lexical grammar: comments (nested), strings, raw strings,
//! characters, and text in back quotes with `${...}` inside. It is used on scripts that Rhai has parsed already.

/// One token with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
    pub(super) column: usize,
    /// How many brackets are open around it.
    pub(super) depth: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word(String),
    /// A string between double quotes, as written between them.
    Text(String),
    /// A string between back quotes or `#"` and `"#`, without `${...}` in it: what is written is what it says.
    Raw(String),
    /// Any other character but white space; brackets have the depth outside them.
    Sign(char),
}

impl Token {
    /// Whether it is this word.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(text) if text == word)
    }

    /// Whether it is this sign.
    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// Splits a script into tokens.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        chars: source.chars().collect(),
        at: 0,
        line: 1,
        column: 1,
        depth: 0,
        templates: Vec::new(),
        out: Vec::new(),
    };
    while let Some(c) = lexer.peek(0) {
        lexer.token(c);
    }
    lexer.out
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    column: usize,
    depth: usize,
    /// The depths at which a `}` goes back into a text between back quotes.
    templates: Vec<usize>,
    out: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    fn push(&mut self, kind: Kind, (line, column): (usize, usize)) {
        self.out.push(Token { kind, line, column, depth: self.depth });
    }

    fn token(&mut self, c: char) {
        let place = (self.line, self.column);
        match (c, self.peek(1)) {
            ('/', Some('/')) => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.next();
                }
            }
            ('/', Some('*')) => self.comment(),
            ('"', _) => {
                self.next();
                let text = self.quoted('"');
                self.push(Kind::Text(text), place);
            }
            ('\'', _) => {
                self.next();
                self.quoted('\'');
            }
            ('#', Some('"' | '#')) => self.raw(),
            ('`', _) => {
                self.next();
                if let Some(text) = self.template() {
                    self.push(Kind::Raw(text), place);
                }
            }
            (c, _) if c.is_alphabetic() || c == '_' => {
                let mut word = String::new();
                while let Some(c) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                    self.next();
                }
                self.push(Kind::Word(word), place);
            }
            (c, _) => {
                self.next();
                self.sign(c, place);
            }
        }
    }

    fn sign(&mut self, c: char, place: (usize, usize)) {
        match c {
            '(' | '[' | '{' => {
                self.push(Kind::Sign(c), place);
                self.depth += 1;
            }
            ')' | ']' | '}' => {
                self.depth = self.depth.saturating_sub(1);
                if c == '}' && self.templates.last() == Some(&self.depth) {
                    self.templates.pop();
                    // What is behind a `${...}` is no text by itself.
                    let _ = self.template();
                } else {
                    self.push(Kind::Sign(c), place);
                }
            }
            c if c.is_whitespace() => {}
            c => self.push(Kind::Sign(c), place),
        }
    }

    fn comment(&mut self) {
        let mut open = 0usize;
        while let Some(c) = self.next() {
            match (c, self.peek(0)) {
                ('/', Some('*')) => {
                    self.next();
                    open += 1;
                }
                ('*', Some('/')) => {
                    self.next();
                    open -= 1;
                }
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
    }

    fn quoted(&mut self, end: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.next() {
            if c == end {
                break;
            }
            text.push(c);
            if c == '\\' {
                text.extend(self.next());
            }
        }
        text
    }

    /// `#"..."#` with any number of `#`.
    fn raw(&mut self) {
        let place = (self.line, self.column);
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        if self.peek(hashes) != Some('"') {
            self.next();
            return self.push(Kind::Sign('#'), place);
        }
        self.skip(hashes + 1);
        let mut text = String::new();
        while let Some(c) = self.next() {
            if c == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.skip(hashes);
                break;
            }
            text.push(c);
        }
        self.push(Kind::Raw(text), place);
    }

    /// The text between back quotes up to its end; none when a `${` comes first.
    fn template(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(c) = self.next() {
            if c == '`' {
                break;
            }
            if c == '$' && self.peek(0) == Some('{') {
                self.next();
                self.templates.push(self.depth);
                self.depth += 1;
                return None;
            }
            text.push(c);
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(source: &str) -> Vec<String> {
        let word = |token: Token| match token.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        };
        tokens(source).into_iter().filter_map(word).collect()
    }

    #[test]
    fn words_in_comments_and_strings_do_not_count() {
        assert_eq!(
            words("a // b\n/* c /* d */ e */ f \"g \\\" h\" i 'j' k #\"l \" m\"# n `o ${p + `q${r}`} s` t"),
            ["a", "f", "i", "k", "n", "p", "r", "t"]
        );
    }

    #[test]
    fn knows_places_and_depth() {
        let all = tokens("fn x() {\n  y(#{a: 1})\n}");
        let y = all.iter().find(|token| token.is_word("y")).unwrap();
        assert_eq!((y.line, y.column, y.depth), (2, 3, 1));
        assert_eq!(all.last().map(|token| (token.is_sign('}'), token.depth)), Some((true, 0)));
    }

    proptest! {
        #[test]
        fn any_text_ends(source in "\\PC{0,60}[`\"'#${}/*a \\n\\\\]{0,60}") {
            tokens(&source);
        }
    }
}
