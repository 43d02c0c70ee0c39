use super::{Call, DEPTH, Pipeline, Step};
use crate::options::OptionValue;
use crate::selector::{Condition, Field, Selector};
use lapidary_ir::{Diagnostic, Result, nearest};
use std::ops::Range;

/// Reads a pipeline. Names of passes and options are checked by [`super::resolve`], which knows them.
pub fn parse(text: &str) -> Result<Pipeline> {
    let mut p = Parser { text, at: 0 };
    let out = p.pipeline(0)?;
    p.space();
    if p.at < text.len() {
        let c = p.rest().chars().next().unwrap_or(' ');
        return Err(p.error(p.at..p.at + c.len_utf8(), format!("'{c}' does not belong here"), "steps are separated by commas").into());
    }
    Ok(out)
}

/// Reads the value of an option; `None` when the text is not one value.
pub fn parse_value(text: &str) -> Option<OptionValue> {
    let mut p = Parser { text, at: 0 };
    let value = p.value().ok()?;
    p.space();
    (p.at == text.len()).then_some(value)
}

/// Whether a text can stand bare as the value of an option, and is read back as that text.
pub(super) fn is_word(text: &str) -> bool {
    let shape = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_word_char);
    shape && !matches!(text, "true" | "false" | "inf" | "nan" | "NaN")
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '|' | ':')
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
    fn space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }
    fn error(&self, range: Range<usize>, message: impl Into<String>, help: &str) -> Diagnostic {
        let range = range.start.min(self.text.len())..range.end.min(self.text.len());
        let d = Diagnostic::error("pipeline-syntax", message).source(self.text, range);
        if help.is_empty() { d } else { d.help(help) }
    }
    /// Takes the character if it comes next.
    fn eat(&mut self, c: char) -> bool {
        self.space();
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }
    fn expect(&mut self, c: char, after: &str) -> Result<()> {
        if self.eat(c) {
            return Ok(());
        }
        let found = self.rest().chars().next();
        let end = self.at + found.map_or(0, char::len_utf8);
        let found = found.map_or("the end of the text".to_string(), |c| format!("'{c}'"));
        Err(self.error(self.at..end, format!("expected '{c}' {after}, found {found}"), "").into())
    }
    fn word(&mut self, what: &str) -> Result<(&'a str, Range<usize>)> {
        self.space();
        let rest = self.rest();
        let len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
        if len == 0 {
            let found = rest.chars().next();
            let end = self.at + found.map_or(0, char::len_utf8);
            let found = found.map_or("the end of the text".to_string(), |c| format!("'{c}'"));
            return Err(self.error(self.at..end, format!("expected {what}, found {found}"), "").into());
        }
        let range = self.at..self.at + len;
        self.at += len;
        Ok((&rest[..len], range))
    }
    fn pipeline(&mut self, depth: usize) -> Result<Pipeline> {
        if depth > DEPTH {
            return Err(self.error(self.at..self.at, format!("steps are nested more than {DEPTH} deep"), "").into());
        }
        let mut steps = vec![];
        loop {
            self.space();
            if self.rest().is_empty() || self.rest().starts_with(')') {
                return Ok(Pipeline(steps));
            }
            steps.push(self.step(depth)?);
            if !self.eat(',') {
                return Ok(Pipeline(steps));
            }
        }
    }
    fn step(&mut self, depth: usize) -> Result<Step> {
        let (name, span) = self.word("the name of a pass")?;
        if name == "on" {
            self.expect('(', "after 'on'")?;
            let selector = self.selector()?;
            self.expect(')', "after the conditions")?;
            self.expect('(', "before the passes that are restricted")?;
            let body = self.pipeline(depth + 1)?;
            self.expect(')', "after the passes that are restricted")?;
            return Ok(Step::On { selector, body });
        }
        let (options, option_spans) = self.options()?;
        if name != "repeat" {
            return Ok(Step::Pass(Call { name: name.into(), options, span, option_spans }));
        }
        let mut limit = None;
        for ((name, value), span) in options.iter().zip(&option_spans) {
            match (name.as_str(), value) {
                ("limit", OptionValue::Int(n)) if (1..=10_000).contains(n) => limit = Some(*n as u32),
                ("limit", _) => return Err(self.error(span.clone(), "'limit' takes a count from 1 to 10000", "").into()),
                _ => return Err(self.error(span.clone(), format!("'repeat' has no option '{name}'"), "it takes 'limit'").into()),
            }
        }
        self.expect('(', "after 'repeat'")?;
        let body = self.pipeline(depth + 1)?;
        self.expect(')', "after the repeated steps")?;
        Ok(Step::Repeat { body, limit })
    }
    fn options(&mut self) -> Result<(Vec<(String, OptionValue)>, Vec<Range<usize>>)> {
        let (mut options, mut spans): (Vec<(String, OptionValue)>, _) = (vec![], vec![]);
        if !self.eat('{') {
            return Ok((options, spans));
        }
        while !self.eat('}') {
            let (name, range) = self.word("the name of an option or '}'")?;
            if options.iter().any(|(n, _)| n == name) {
                return Err(self.error(range, format!("option '{name}' is given twice"), "").into());
            }
            self.expect('=', &format!("after option '{name}'"))?;
            let value = self.value()?;
            options.push((name.to_string(), value));
            spans.push(range.start..self.at);
            if !self.eat(',') {
                self.expect('}', "after the options")?;
                break;
            }
        }
        Ok((options, spans))
    }
    fn selector(&mut self) -> Result<Selector> {
        let mut conditions = vec![];
        loop {
            let (word, range) = self.word("'name', 'op' or 'value'")?;
            let Some((field, _)) = Field::ALL.iter().find(|(_, w)| *w == word) else {
                let near = nearest(word, Field::ALL.iter().map(|f| f.1)).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
                let help = "conditions look like name~\"layer*\", op=Conv or value~\"*_out\"";
                return Err(self.error(range, format!("nodes cannot be selected by '{word}'{near}"), help).into());
            };
            let glob = self.eat('~');
            if !glob {
                self.expect('=', &format!("or '~' after '{word}'"))?;
            }
            let start = self.at;
            let text = match self.value()? {
                OptionValue::Text(t) => t,
                _ => self.text[start..self.at].trim().to_string(),
            };
            conditions.push(Condition { field: *field, glob, text });
            if !self.eat(',') {
                return Ok(Selector(conditions));
            }
        }
    }
    fn value(&mut self) -> Result<OptionValue> {
        self.space();
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with('"') {
            return self.quoted().map(OptionValue::Text);
        }
        let len = rest.find(|c: char| !(is_word_char(c) || c == '+')).unwrap_or(rest.len());
        let word = &rest[..len];
        if word.is_empty() {
            let found = rest.chars().next();
            let end = start + found.map_or(0, char::len_utf8);
            let found = found.map_or("the end of the text".to_string(), |c| format!("'{c}'"));
            return Err(self.error(start..end, format!("expected a value, found {found}"), "quote texts with special characters: \"…\"").into());
        }
        self.at += len;
        if let Ok(i) = word.parse::<i64>() {
            return Ok(OptionValue::Int(i));
        }
        if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) || matches!(word, "inf" | "nan" | "NaN") {
            return match word.parse::<f64>() {
                Ok(v) => Ok(OptionValue::Float(v)),
                Err(_) => Err(self.error(start..self.at, format!("'{word}' is not a number"), "quote texts that begin with a digit").into()),
            };
        }
        Ok(match word {
            "true" => OptionValue::Bool(true),
            "false" => OptionValue::Bool(false),
            _ => OptionValue::Text(word.to_string()),
        })
    }
    fn quoted(&mut self) -> Result<String> {
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(out);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('u') => {
                        let code: String = chars.by_ref().map(|(_, c)| c).skip_while(|c| *c == '{').take_while(|c| *c != '}').collect();
                        let c = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                        out.push(c.ok_or_else(|| self.error(start + i..start + i + 2, format!("'\\u{{{code}}}' is no character"), ""))?);
                    }
                    Some(c @ ('"' | '\\')) => out.push(c),
                    _ => return Err(self.error(start + i..start + i + 2, "unknown escape", "known: \\\" \\\\ \\n \\t \\u{…}").into()),
                },
                c => out.push(c),
            }
        }
        Err(self.error(start..self.text.len(), "the quoted text does not end", "close it with '\"'").into())
    }
}
