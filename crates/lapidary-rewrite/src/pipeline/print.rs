use super::{Call, Pipeline, Step};
use crate::selector::Selector;
use std::fmt::{Display, Formatter, Result, Write};

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, step) in self.0.iter().enumerate() {
            write!(f, "{}{step}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Step::Pass(call) => write!(f, "{call}"),
            Step::Repeat { body, limit: None } => write!(f, "repeat({body})"),
            Step::Repeat { body, limit: Some(n) } => write!(f, "repeat{{limit={n}}}({body})"),
            Step::On { selector, body } => write!(f, "on({selector})({body})"),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.name)?;
        for (i, (name, value)) in self.options.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { "{" } else { ", " })?;
        }
        if self.options.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, c) in self.0.iter().enumerate() {
            write!(f, "{}{}{}", if i > 0 { ", " } else { "" }, c.field.word(), if c.glob { "~" } else { "=" })?;
            write_text(f, &c.text)?;
        }
        Ok(())
    }
}

/// Writes a text bare where it reads back as the same text, quoted otherwise.
pub fn write_text(f: &mut impl Write, text: &str) -> Result {
    if super::parse::is_word(text) {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{{{:x}}}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
