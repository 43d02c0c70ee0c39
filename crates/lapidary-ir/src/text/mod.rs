//! The text form of a [`Graph`]: printed for people, diffed, and read back to the same graph. The grammar is in `docs/ir.md`.
//!
//! Names, not numbers; a type on every line; large constants as `#` and 16 digits of content hash, with the tensors in a file beside
//! the text ([`write_tensors`], [`read_tensors`]). Comments and [`crate::Origin`]s are not read back; everything else is.
//!
//! ```
//! use lapidary_ir::text::{self, ParseOptions, PrintOptions};
//! let source = "graph @g(%x: f32[N, 2]) {\n  const %w : f32[2] = [0.5, -1]\n  %y = Mul.14(%x, %w) : f32[N, 2]\n  return %y\n}\n";
//! let graph = text::parse(source, &ParseOptions::default())?;
//! assert_eq!(graph.to_text(&PrintOptions::default()), source);
//! # Ok::<(), lapidary_ir::Diagnostics>(())
//! ```

mod attrs;
mod lexer;
mod literal;
mod parser;
mod printer;
mod side;
mod types;

pub use attrs::{read_attr, read_attrs};
pub use lexer::{Lexer, Token};
pub use parser::{parse, read_op_name};
pub use side::{read_tensors, write_tensor_table, write_tensors};
pub use types::{parse_dim, parse_type, read_dim, read_type};

use crate::Tensor;
use std::fmt::Write;
use std::sync::Arc;

/// How to print.
#[derive(Clone, Copy)]
pub struct PrintOptions<'a> {
    /// The version that is meant when none is written, by domain and name. The default knows no operator, so that every version shows.
    pub newest: &'a dyn Fn(&str, &str) -> u32,
    /// Constants of at most this many elements are written as literals, larger ones by content hash.
    pub inline_elements: usize,
    /// Whether to add `// rule` after nodes that a rule made and `// N bytes` after large constants.
    pub comments: bool,
    /// Whether to print metadata and documentation of nodes. Without, lines are short, but what is read back lacks them.
    pub metadata: bool,
}

/// What reading needs to know besides the text.
#[derive(Clone, Copy)]
pub struct ParseOptions<'a> {
    /// The version that is meant when none is written, by domain and name.
    pub newest: &'a dyn Fn(&str, &str) -> u32,
    /// The tensor with this content hash.
    pub tensors: &'a dyn Fn(u64) -> Option<Arc<Tensor>>,
    /// The most bytes that all `splat` and `random` of a text may ask for.
    pub constant_bytes_max: usize,
}

/// Larger constants are printed by hash even when all elements are equal, so that a text can hold many below `constant_bytes_max`.
const SPLAT_BYTES_MAX: usize = 1 << 20;

fn unversioned(_: &str, _: &str) -> u32 {
    0
}

fn no_tensors(_: u64) -> Option<Arc<Tensor>> {
    None
}

impl Default for PrintOptions<'_> {
    fn default() -> Self {
        PrintOptions { newest: &unversioned, inline_elements: 16, comments: false, metadata: true }
    }
}

impl Default for ParseOptions<'_> {
    fn default() -> Self {
        ParseOptions { newest: &unversioned, tensors: &no_tensors, constant_bytes_max: 1 << 30 }
    }
}

/// The version of an operator when the text names none.
fn default_version(newest: &dyn Fn(&str, &str) -> u32, domain: &str, name: &str) -> u32 {
    if domain == crate::CORE_DOMAIN && matches!(name, "input" | "const") { 1 } else { newest(domain, name) }
}

/// Words that begin a line of their own or end one: an operator of such a name is quoted.
const RESERVED: &[&str] = &["_", "const", "doc", "region", "return", "symbol", "graph"];

/// Whether the lexer reads the name as one [`Token::Word`]: letters, digits and underscores, single dots inside, no digit first.
pub fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && is_bare(name)
}

/// Whether the name can follow `%` or `@` without quotes: a word, or one that starts with a digit.
fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Appends bytes in double quotes; what is not UTF-8 becomes `\xNN`.
fn write_string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() || is_layout(c) => {
                    let _ = write!(out, "\\u{{{:x}}}", c as u32);
                }
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out.push('"');
}

/// Characters that break or reorder a line when shown: the text stays one line per node whatever a model calls its values.
pub(crate) fn is_layout(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Appends a word as it is and anything else in quotes.
fn write_word(out: &mut String, name: &str) {
    if is_word(name) { out.push_str(name) } else { write_string(out, name.as_bytes()) }
}

/// Appends `%name`, `%"odd name"`, or `_` for the empty name (an omitted output).
fn write_value(out: &mut String, name: &str) {
    match name {
        "" => out.push('_'),
        n => write_sigil(out, '%', n),
    }
}

fn write_sigil(out: &mut String, sigil: char, name: &str) {
    out.push(sigil);
    if is_bare(name) { out.push_str(name) } else { write_string(out, name.as_bytes()) }
}
