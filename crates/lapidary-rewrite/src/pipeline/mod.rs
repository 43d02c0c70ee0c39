//! Pipelines as text: `a, repeat(b, c), on(name~"…")(d{x=1})`.
//!
//! ```text
//! pipeline  = [ step { "," step } [","] ]
//! step      = name [ options ] | "repeat" [ "{" "limit" "=" int "}" ] "(" pipeline ")" | "on" "(" condition { "," condition } ")" "(" pipeline ")"
//! options   = "{" [ name "=" value { "," name "=" value } [","] ] "}"
//! condition = ("name" | "op" | "value") ("=" | "~") value
//! value     = int | float | "true" | "false" | word { "|" word } | '"' text '"'
//! ```
//!
//! White space and `# comments` to the end of a line mean nothing. Printing a pipeline and parsing the print gives it back.

mod parse;
mod print;
pub mod recipe;
mod resolve;

pub use parse::{parse, parse_value};
pub use print::write_text;
pub use recipe::{from_toml, to_toml};
pub use resolve::resolve;

use crate::options::OptionValue;
use crate::selector::Selector;
use std::ops::Range;

/// Steps in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pipeline(pub Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Pass(Call),
    /// Runs the body until it changes nothing, at most `limit` times (default: [`crate::Limits::rounds`]).
    Repeat {
        body: Pipeline,
        limit: Option<u32>,
    },
    /// Runs the body with its passes restricted to the nodes that match.
    On {
        selector: Selector,
        body: Pipeline,
    },
}

/// A pass with options as written.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub name: String,
    pub options: Vec<(String, OptionValue)>,
    /// Where the name and each option stand in the text, for diagnostics; not part of what the call is.
    pub span: Range<usize>,
    pub option_spans: Vec<Range<usize>>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Call) -> bool {
        self.name == other.name && self.options == other.options
    }
}

impl Call {
    pub fn new(name: &str) -> Call {
        Call { name: name.into(), ..Call::default() }
    }
}

impl Pipeline {
    /// Calls `f` on every pass call, in order of the text.
    pub fn calls<'a>(&'a self, f: &mut dyn FnMut(&'a Call)) {
        for step in &self.0 {
            match step {
                Step::Pass(call) => f(call),
                Step::Repeat { body, .. } | Step::On { body, .. } => body.calls(f),
            }
        }
    }
}

/// Pipelines nested deeper than this are refused.
pub(crate) const DEPTH: usize = 32;

#[cfg(test)]
mod tests;
