use crate::{Diagnostic, Result};
use std::borrow::Cow;
use std::ops::Range;

/// A piece of the text form.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// Letters, digits, underscores and single dots inside: `Conv`, `com.microsoft.Gelu.1`, `floordiv`, `_`.
    Word(&'a str),
    /// `%name` or `%"any name"`.
    Value(Cow<'a, str>),
    /// `@name` or `@"any name"`.
    At(Cow<'a, str>),
    /// `'any name'`: a symbol of a size whose name is no word.
    Symbol(Cow<'a, str>),
    /// `"..."`, with escapes resolved.
    Str(Cow<'a, [u8]>),
    /// An unsigned number as written: `12`, `0.5`, `1e-5`, `0x7fc00000`. A minus before it is a [`Token::Punct`].
    Number(&'a str),
    /// `#` and 16 hexadecimal digits: a content hash.
    Hash(u64),
    /// `?x`: anything, in patterns. `?` alone (the empty name) is the unknown type in graphs.
    Wild(&'a str),
    Punct(char),
    End,
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Word(w) => write!(f, "'{w}'"),
            Token::Value(n) => write!(f, "value '%{n}'"),
            Token::At(n) => write!(f, "name '@{n}'"),
            Token::Symbol(n) => write!(f, "symbol '{n}'"),
            Token::Str(_) => f.write_str("a string"),
            Token::Number(n) => write!(f, "number '{n}'"),
            Token::Hash(h) => write!(f, "hash '#{h:016x}'"),
            Token::Wild(n) => write!(f, "'?{n}'"),
            Token::Punct(c) => write!(f, "'{c}'"),
            Token::End => f.write_str("the end of the text"),
        }
    }
}

/// Cuts text into [`Token`]s, one ahead. Space and `// comments` separate tokens; lines mean nothing.
///
/// Patterns of rewrite rules are the same text with `?x` in it, so that their parser starts from here too.
#[derive(Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    ahead: Option<(Token<'a>, Range<usize>)>,
    last: Range<usize>,
    /// Bytes of constants made up so far; here, since the lexer is the one thing that passes through the whole reading.
    pub(super) made_bytes: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0, ahead: None, last: 0..0, made_bytes: 0 }
    }
    /// Where the token stands that [`Lexer::next`] gave last.
    pub fn last_range(&self) -> Range<usize> {
        self.last.clone()
    }
    /// The next token, which stays the next.
    pub fn peek(&mut self) -> Result<&Token<'a>> {
        self.fill().map(|(t, _)| &*t)
    }
    /// Where the next token stands, as bytes of the text.
    pub fn peek_range(&mut self) -> Result<Range<usize>> {
        self.fill().map(|(_, r)| r.clone())
    }
    fn fill(&mut self) -> Result<&mut (Token<'a>, Range<usize>)> {
        let token = match self.ahead.take() {
            Some(t) => t,
            None => self.scan()?,
        };
        Ok(self.ahead.insert(token))
    }
    /// Takes the next token; [`Token::End`] again and again at the end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Token<'a>> {
        let (token, range) = match self.ahead.take() {
            Some(t) => t,
            None => self.scan()?,
        };
        self.last = range;
        Ok(token)
    }
    /// Takes the punctuation mark if it comes next.
    pub fn eat(&mut self, mark: char) -> Result<bool> {
        let found = *self.peek()? == Token::Punct(mark);
        if found {
            self.next()?;
        }
        Ok(found)
    }
    /// Takes the word if it comes next.
    pub fn eat_word(&mut self, word: &str) -> Result<bool> {
        let found = *self.peek()? == Token::Word(word);
        if found {
            self.next()?;
        }
        Ok(found)
    }
    /// Takes the punctuation mark; fails when anything else comes next.
    pub fn expect(&mut self, mark: char) -> Result<()> {
        if self.eat(mark)? { Ok(()) } else { Err(self.unexpected(&format!("'{mark}'"))) }
    }
    /// Takes the word; fails when anything else comes next.
    pub fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.eat_word(word)? { Ok(()) } else { Err(self.unexpected(&format!("'{word}'"))) }
    }
    /// A word or a quoted string as a name.
    pub fn name(&mut self, what: &str) -> Result<String> {
        match self.peek()? {
            Token::Word(w) => {
                let w = w.to_string();
                self.next()?;
                Ok(w)
            }
            Token::Str(_) => self.string(what),
            _ => Err(self.unexpected(what)),
        }
    }
    /// A quoted string that is UTF-8.
    pub fn string(&mut self, what: &str) -> Result<String> {
        let Token::Str(_) = self.peek()? else { return Err(self.unexpected(what)) };
        match self.next()? {
            Token::Str(bytes) => String::from_utf8(bytes.into_owned()).map_err(|_| self.error_last(format!("{what} is not UTF-8"))),
            _ => Ok(String::new()),
        }
    }
    /// The error that something else was expected than what comes next (or that what comes next is no token at all).
    pub fn unexpected(&mut self, expected: &str) -> crate::Diagnostics {
        match self.fill() {
            Err(e) => e,
            Ok((token, range)) => {
                let (message, range) = (format!("expected {expected}, found {token}"), range.clone());
                self.error(range, message).into()
            }
        }
    }
    /// An error about the token taken last.
    pub fn error_last(&self, message: impl Into<String>) -> crate::Diagnostics {
        self.error(self.last.clone(), message).into()
    }
    /// An error about these bytes of the text. It holds the line that they start in.
    pub fn error(&self, range: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let boundary = |i: usize| (0..=i.min(self.text.len())).rev().find(|i| self.text.is_char_boundary(*i)).unwrap_or(0);
        let start = boundary(range.start);
        let end = boundary(range.end).max(start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |i| start + i);
        let line = &self.text[line_start..line_end];
        let number = self.text[..line_start].matches('\n').count() + 1;
        let column = self.text[line_start..start].chars().count() + 1;
        Diagnostic::error("ir-text", message)
            .source(line, start - line_start..end.min(line_end).max(start) - line_start)
            .note(format!("line {number}, column {column}"))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }
    fn scan(&mut self) -> Result<(Token<'a>, Range<usize>)> {
        self.skip_space();
        let start = self.at;
        let Some(c) = self.rest().chars().next() else { return Ok((Token::End, start..start)) };
        let token = match c {
            'a'..='z' | 'A'..='Z' | '_' => Token::Word(self.take_bare()),
            '0'..='9' => Token::Number(self.take_number()),
            '%' | '@' => {
                self.at += 1;
                let name = if self.rest().starts_with('"') {
                    let bytes = self.take_quoted(start, '"')?;
                    let utf8 = match bytes {
                        Cow::Borrowed(b) => std::str::from_utf8(b).map(Cow::Borrowed).ok(),
                        Cow::Owned(b) => String::from_utf8(b).map(Cow::Owned).ok(),
                    };
                    utf8.ok_or_else(|| self.error(start..self.at, "a name must be UTF-8"))?
                } else {
                    Cow::Borrowed(self.take_bare())
                };
                if name.is_empty() {
                    let help = if c == '%' { "an omitted operand or output is written '_'" } else { "leave the name out altogether" };
                    return Err(self.error(start..self.at, format!("a name is missing after '{c}'")).help(help).into());
                }
                if c == '%' { Token::Value(name) } else { Token::At(name) }
            }
            '"' => Token::Str(self.take_quoted(start, '"')?),
            '\'' => {
                let bytes = self.take_quoted(start, '\'')?.into_owned();
                Token::Symbol(Cow::Owned(String::from_utf8(bytes).map_err(|_| self.error(start..self.at, "a symbol must be UTF-8"))?))
            }
            '#' => {
                self.at += 1;
                let digits = self.take_bare();
                let hash = (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten();
                Token::Hash(hash.ok_or_else(|| self.error(start..self.at, "a content hash is '#' and 16 hexadecimal digits"))?)
            }
            '?' => {
                self.at += 1;
                Token::Wild(self.take_bare())
            }
            c if c.is_ascii_punctuation() => {
                self.at += 1;
                Token::Punct(c)
            }
            c => {
                let end = start + c.len_utf8();
                self.at = end;
                return Err(self
                    .error(start..end, format!("unexpected character '{}'", c.escape_default()))
                    .help("quote names that are not plain words")
                    .into());
            }
        };
        Ok((token, start..self.at))
    }
    /// Letters, digits, underscores, and dots that have one of those on both sides.
    fn take_bare(&mut self) -> &'a str {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let part = |i: usize| bytes.get(i).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let mut end = 0;
        while part(end) || (bytes.get(end) == Some(&b'.') && end > 0 && bytes[end - 1] != b'.' && part(end + 1)) {
            end += 1;
        }
        self.at += end;
        &rest[..end]
    }
    fn take_number(&mut self) -> &'a str {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
        let mut end = 0;
        if rest.starts_with("0x") {
            end = 2;
            while bytes.get(end).is_some_and(u8::is_ascii_hexdigit) {
                end += 1;
            }
        } else {
            let digits = |mut i: usize| {
                while digit(i) {
                    i += 1;
                }
                i
            };
            end = digits(end);
            if bytes.get(end) == Some(&b'.') && digit(end + 1) {
                end = digits(end + 1);
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                if digit(end + 1 + sign) {
                    end = digits(end + 1 + sign);
                }
            }
        }
        self.at += end;
        &rest[..end]
    }
    fn take_quoted(&mut self, start: usize, quote: char) -> Result<Cow<'a, [u8]>> {
        self.at += 1;
        let rest = self.rest();
        let plain = rest.find([quote, '\\', '\n']).unwrap_or(rest.len());
        if rest[plain..].starts_with(quote) {
            self.at += plain + 1;
            return Ok(Cow::Borrowed(&rest.as_bytes()[..plain]));
        }
        let mut out = Vec::new();
        loop {
            let Some(c) = self.rest().chars().next().filter(|c| *c != '\n') else {
                return Err(self.error(start..self.at, "the quotes do not end on this line").help("write a line break as '\\n'").into());
            };
            let at = self.at;
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(Cow::Owned(out)),
                '\\' => self.take_escape(at, &mut out)?,
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    fn take_escape(&mut self, start: usize, out: &mut Vec<u8>) -> Result<()> {
        let Some(c) = self.rest().chars().next() else { return Ok(()) };
        self.at += c.len_utf8();
        match c {
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            'r' => out.push(b'\r'),
            '"' | '\'' | '\\' => out.push(c as u8),
            'x' => {
                let byte = self.rest().get(..2).and_then(|d| u8::from_str_radix(d, 16).ok());
                out.push(byte.ok_or_else(|| self.error(start..self.at, "'\\x' needs two hexadecimal digits"))?);
                self.at += 2;
            }
            'u' => {
                let digits = self.rest().strip_prefix('{').and_then(|r| r.split_once('}')).map(|(d, _)| d);
                let code = digits.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32);
                let (Some(digits), Some(c)) = (digits, code) else {
                    return Err(self.error(start..self.at, "'\\u' needs a code point in braces, as in '\\u{e9}'").into());
                };
                self.at += digits.len() + 2;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => {
                let error = self.error(start..self.at, format!("unknown escape '\\{}'", c.escape_default()));
                return Err(error.help("escapes are \\n \\t \\r \\\" \\' \\\\ \\xNN \\u{...}").into());
            }
        }
        Ok(())
    }
}
