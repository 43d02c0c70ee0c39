//! Words for buffers, axes and locals, such that none stands for two things.

use super::{CALLS, REDUCE, RESERVED, UNARY};
use crate::{Kernel, Program};
use lapidary_ir::Dim;
use lapidary_ir::text::is_word;
use std::collections::BTreeSet;

/// The words of a program.
pub(crate) struct Names {
    /// By buffer.
    pub buffers: Vec<String>,
    /// Symbols and buffers.
    taken: BTreeSet<String>,
}

impl Names {
    pub fn of(p: &Program) -> Names {
        let mut symbols: BTreeSet<String> = BTreeSet::new();
        let mut add = |d: &Dim| {
            if !d.is_const() {
                symbols.extend(d.symbols().iter().map(|s| s.to_string()));
            }
        };
        p.buffers.iter().flat_map(|b| &b.dims).for_each(&mut add);
        p.checks.iter().for_each(|c| [&c.left, &c.right].into_iter().for_each(&mut add));
        for k in &p.kernels {
            symbols.extend(k.symbols().iter().map(|s| s.to_string()));
        }
        let mut taken = symbols;
        let buffers = p.buffers.iter().enumerate().map(|(i, b)| fresh(&b.name, i, &mut taken)).collect();
        Names { buffers, taken }
    }
    /// The words of a kernel's axes and of its locals.
    pub fn in_kernel(&self, k: &Kernel) -> (Vec<String>, Vec<String>) {
        let mut taken = Scope { outer: &self.taken, own: BTreeSet::new() };
        let axes = k.axes.iter().enumerate().map(|(i, a)| taken.fresh(&a.name, i)).collect();
        let locals = k.locals.iter().enumerate().map(|(i, l)| taken.fresh(&l.name, i)).collect();
        (axes, locals)
    }
}

/// The words taken in a kernel, without a copy of all that the program takes.
struct Scope<'a> {
    outer: &'a BTreeSet<String>,
    own: BTreeSet<String>,
}

impl Scope<'_> {
    fn fresh(&mut self, name: &str, number: usize) -> String {
        let word = choose(name, number, &|w| self.outer.contains(w) || self.own.contains(w));
        self.own.insert(word.clone());
        word
    }
}

fn fresh(name: &str, number: usize, taken: &mut BTreeSet<String>) -> String {
    let word = choose(name, number, &|w| taken.contains(w));
    taken.insert(word.clone());
    word
}

/// The name itself where it is a free word, otherwise one like it with a number behind.
fn choose(name: &str, number: usize, taken: &dyn Fn(&str) -> bool) -> String {
    if is_word(name) && !is_reserved(name) && !taken(name) {
        return name.to_string();
    }
    let mut base: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if !base.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        base.insert(0, 'b');
    }
    let tries = std::iter::once(base.clone()).filter(|_| !is_reserved(&base)).chain((number..).map(|n| format!("{base}.{n}")));
    tries.into_iter().find(|w| !taken(w)).unwrap_or(base)
}

fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
        || UNARY.iter().any(|(n, _)| *n == word)
        || CALLS.iter().any(|(n, _)| *n == word)
        || REDUCE.iter().any(|(n, _)| *n == word)
}
