//! A query with named parameters, `select ... where mac = :mac`, and its text for each kind of database.
//!
//! **Invariant**: values never become part of the text. What is rendered is the query as it was written, with a
//! placeholder where a parameter stood; everything inside strings, quoted names and comments stays as it is. Where
//! databases disagree on where a string or a comment ends, the query is refused, so that it is never misread.

use std::fmt;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::Dialect;
use crate::boot::{Record, Value};

/// One statement with `:name` parameters.
///
/// A colon that follows a letter, a digit or another colon begins no parameter, so `value::text`, `list[lo:hi]` and
/// times stay as they are. Names are letters, digits and `_`, and case does not matter. The same name may stand in
/// several places; each gets its own placeholder, so that each can have its own type.
#[derive(Clone)]
pub struct Query {
    text: Arc<str>,
    /// The name at each placeholder, in order, in lower case.
    names: Arc<[String]>,
    /// For `?`, `$1` and `@P1`.
    rendered: [Arc<str>; 3],
    has_question_mark: bool,
}

/// Why a query cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nothing in it.
    #[error("the query is empty")]
    Empty,
    /// Too long.
    #[error("the query is longer than {} octets", Query::TEXT_LEN_MAX)]
    TooLong,
    /// Too many places for parameters.
    #[error("the query has more than {} parameters", Query::PARAMETERS_MAX)]
    TooManyParameters,
    /// A string, a quoted name or a comment is still open at the end.
    #[error("{what} that begins at octet {at} has no end")]
    Unended {
        /// What is open.
        what: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// A backslash before a quote, which ends the string in some databases only.
    #[error("a backslash stands before a quote at octet {at}; double the quote, or give the text as a parameter")]
    Backslash {
        /// Where.
        at: usize,
    },
    /// A comment in a comment, which some databases nest and others do not.
    #[error("a comment begins within a comment at octet {at}; leave one of them out")]
    NestedComment {
        /// Where.
        at: usize,
    },
    /// `$1`, which is the placeholder of one kind of database.
    #[error("`${number}` at octet {at} is a placeholder without a name; write `:name`")]
    Positional {
        /// The number.
        number: char,
        /// Where.
        at: usize,
    },
    /// More than one statement.
    #[error("a second statement begins at octet {at}; a query is one statement")]
    SecondStatement {
        /// Where.
        at: usize,
    },
    /// An octet that no statement has.
    #[error("a NUL stands at octet {at}")]
    Nul {
        /// Where.
        at: usize,
    },
}

impl Query {
    /// The longest query, in octets.
    pub const TEXT_LEN_MAX: usize = 64 << 10;
    /// The most places for parameters.
    pub const PARAMETERS_MAX: usize = 500;

    /// Reads a query. It is not asked of any database: see [`Database::describe`](super::Database::describe).
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        if text.len() > Self::TEXT_LEN_MAX {
            return Err(QueryError::TooLong);
        }
        if let Some(at) = text.find('\0') {
            return Err(QueryError::Nul { at });
        }
        let pieces = Lexer { text, at: 0 }.pieces()?;
        let names: Arc<[String]> = pieces.iter().filter_map(Piece::parameter).map(str::to_ascii_lowercase).collect();
        if names.len() > Self::PARAMETERS_MAX {
            return Err(QueryError::TooManyParameters);
        }
        let has_question_mark = pieces.iter().any(|piece| matches!(piece, Piece::Code(code) if code.contains('?')));
        let rendered = [
            render(&pieces, |sql, _| sql.push('?')),
            render(&pieces, |sql, number| sql.push_str(&format!("${number}"))),
            render(&pieces, |sql, number| sql.push_str(&format!("@P{number}"))),
        ];
        Ok(Query { text: text.into(), names, rendered, has_question_mark })
    }

    /// The names of its parameters in lower case, each place that one stands at.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value for each placeholder; null for a parameter that `parameters` lacks.
    pub(super) fn values<'a>(&self, parameters: &'a Record) -> Vec<&'a Value> {
        self.names.iter().map(|name| parameters.get(name).unwrap_or(&Value::Null)).collect()
    }

    /// The value for each placeholder of an INSERT with a row for each of these, one after the other.
    pub(super) fn values_of_rows<'a>(&self, rows: &'a [Record]) -> Vec<&'a Value> {
        let columns = self.names.len().checked_div(rows.len()).unwrap_or(0).max(1);
        let named = self.names.chunks(columns).zip(rows);
        named.flat_map(|(names, row)| names.iter().map(|name| row.get(name).unwrap_or(&Value::Null))).collect()
    }

    /// The statement for a kind of database; `None` when it has a `?` of its own where `?` is the placeholder.
    pub(super) fn sql(&self, dialect: Dialect) -> Option<SqlStr> {
        let rendered = match dialect {
            Dialect::Sqlite | Dialect::MySql if self.has_question_mark => return None,
            Dialect::Sqlite | Dialect::MySql => &self.rendered[0],
            Dialect::Postgres => &self.rendered[1],
            Dialect::MsSql => &self.rendered[2],
        };
        // The one place where text becomes a statement: it is a constant of ours or a query of the site's own
        // configuration, with placeholders. No value was ever in it.
        Some(AssertSqlSafe(rendered.clone()).into_sql_str())
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Query").field(&self.text).finish()
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Query {}

impl std::str::FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Query::parse(text)
    }
}

fn render(pieces: &[Piece<'_>], mut placeholder: impl FnMut(&mut String, usize)) -> Arc<str> {
    let mut sql = String::new();
    let mut number = 0;
    for piece in pieces {
        match piece {
            Piece::Code(text) | Piece::Quoted(text) => sql.push_str(text),
            Piece::Parameter(_) => {
                number += 1;
                placeholder(&mut sql, number);
            }
        }
    }
    sql.into()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece<'a> {
    Code(&'a str),
    /// A string, a quoted name or a comment.
    Quoted(&'a str),
    /// Without its colon.
    Parameter(&'a str),
}

impl<'a> Piece<'a> {
    fn parameter(&self) -> Option<&'a str> {
        match self {
            Piece::Parameter(name) => Some(name),
            Piece::Code(_) | Piece::Quoted(_) => None,
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn pieces(mut self) -> Result<Vec<Piece<'a>>, QueryError> {
        let mut pieces = Vec::new();
        let mut code = 0;
        let (mut has_code, mut is_ended) = (false, false);
        while let Some(next) = self.rest().chars().next() {
            let start = self.at;
            let piece = self.piece(next)?;
            let is_comment = matches!(piece, Some(Piece::Quoted(_))) && matches!(next, '-' | '/');
            if is_ended && !is_comment && !next.is_whitespace() && next != ';' {
                return Err(QueryError::SecondStatement { at: start });
            }
            is_ended |= next == ';';
            has_code |= !is_comment && !next.is_whitespace() && next != ';';
            match piece {
                None => self.at += next.len_utf8(),
                Some(piece) => {
                    push_code(&mut pieces, &self.text[code..start]);
                    pieces.push(piece);
                    code = self.at;
                }
            }
        }
        push_code(&mut pieces, &self.text[code..]);
        if has_code { Ok(pieces) } else { Err(QueryError::Empty) }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// What begins here other than plain code; it is behind `at` afterwards.
    fn piece(&mut self, next: char) -> Result<Option<Piece<'a>>, QueryError> {
        match next {
            '\'' => self.quoted('\'', "a string").map(Some),
            '"' => self.quoted('"', "a quoted name").map(Some),
            '`' => self.quoted('`', "a quoted name").map(Some),
            '-' if self.rest().starts_with("--") => Ok(Some(self.line_comment())),
            '/' if self.rest().starts_with("/*") => self.comment().map(Some),
            '$' => self.dollar(),
            ':' => Ok(self.parameter()),
            _ => Ok(None),
        }
    }

    /// From here to `end`, an index into the rest.
    fn take(&mut self, end: usize) -> Piece<'a> {
        let text = &self.rest()[..end];
        self.at += end;
        Piece::Quoted(text)
    }

    fn quoted(&mut self, quote: char, what: &'static str) -> Result<Piece<'a>, QueryError> {
        let rest = self.rest();
        let mut backslashes = 0;
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != quote {
                backslashes = if c == '\\' { backslashes + 1 } else { 0 };
                continue;
            }
            if backslashes % 2 == 1 && quote != '`' {
                return Err(QueryError::Backslash { at: self.at + at });
            }
            backslashes = 0;
            if chars.next_if(|(_, c)| *c == quote).is_none() {
                return Ok(self.take(at + 1));
            }
        }
        Err(QueryError::Unended { what, at: self.at })
    }

    fn line_comment(&mut self) -> Piece<'a> {
        let end = self.rest().find('\n').unwrap_or(self.rest().len());
        self.take(end)
    }

    fn comment(&mut self) -> Result<Piece<'a>, QueryError> {
        let Some(end) = self.rest()[2..].find("*/").map(|end| end + 4) else {
            return Err(QueryError::Unended { what: "a comment", at: self.at });
        };
        match self.rest()[2..end - 2].find("/*") {
            Some(at) => Err(QueryError::NestedComment { at: self.at + 2 + at }),
            None => Ok(self.take(end)),
        }
    }

    /// `$$text$$` and `$tag$text$tag$`.
    fn dollar(&mut self) -> Result<Option<Piece<'a>>, QueryError> {
        if self.follows_name() {
            return Ok(None);
        }
        let rest = self.rest();
        if let Some(number) = rest[1..].chars().next().filter(char::is_ascii_digit) {
            return Err(QueryError::Positional { number, at: self.at });
        }
        let tag_len = rest[1..].find(|c: char| !is_name(c)).unwrap_or(rest.len() - 1);
        if !rest[1 + tag_len..].starts_with('$') {
            return Ok(None);
        }
        let tag = &rest[..tag_len + 2];
        match rest[tag.len()..].find(tag) {
            Some(end) => Ok(Some(self.take(end + 2 * tag.len()))),
            None => Err(QueryError::Unended { what: "a string", at: self.at }),
        }
    }

    fn parameter(&mut self) -> Option<Piece<'a>> {
        let name = &self.rest()[1..];
        let name = &name[..name.find(|c: char| !is_name(c)).unwrap_or(name.len())];
        let begins_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins_name || self.follows_name() || self.text[..self.at].ends_with(':') {
            return None;
        }
        self.at += 1 + name.len();
        Some(Piece::Parameter(name))
    }

    fn follows_name(&self) -> bool {
        self.text[..self.at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn push_code<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str) {
    if !text.is_empty() {
        pieces.push(Piece::Code(text));
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
