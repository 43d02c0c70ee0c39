//! Reads indices: sums of axes, computed integers, quotients and remainders times sizes.

use super::parser::Scope;
use crate::{Atom, Guard, Index};
use lapidary_ir::text::{Lexer, Token, read_dim};
use lapidary_ir::{Dim, Result};
use std::sync::Arc;

/// How deep parentheses may nest: enough for anything real, and no stack can overflow.
const DEPTH_MAX: u32 = 64;
/// How many terms an index or a size in it may have.
const TERMS_MAX: usize = 1024;

/// The indices into a buffer of this rank, up to `]` or `else`.
pub(super) fn read_indices(lexer: &mut Lexer, scope: &Scope, rank: usize) -> Result<Vec<Index>> {
    let mut out = vec![];
    if rank == 0 {
        return Ok(out);
    }
    loop {
        out.push(read_index(lexer, scope)?);
        if !lexer.eat(',')? {
            return Ok(out);
        }
    }
}

/// `0 <= index < size and …`
pub(super) fn read_guard(lexer: &mut Lexer, scope: &Scope) -> Result<Guard> {
    let mut out = vec![];
    loop {
        match *lexer.peek()? {
            Token::Number("0") => lexer.next()?,
            _ => return Err(lexer.unexpected("'0 <= index < size'")),
        };
        lexer.expect('<')?;
        lexer.expect('=')?;
        let i = read_index(lexer, scope)?;
        lexer.expect('<')?;
        out.push((i, read_dim(lexer)?));
        if !lexer.eat_word("and")? {
            return Ok(out);
        }
    }
}

pub(super) fn read_index(lexer: &mut Lexer, scope: &Scope) -> Result<Index> {
    sum(lexer, scope, 0)
}

fn sum(lexer: &mut Lexer, scope: &Scope, depth: u32) -> Result<Index> {
    if depth > DEPTH_MAX {
        let range = lexer.peek_range()?;
        return Err(lexer.error(range, format!("an index nests at most {DEPTH_MAX} deep")).into());
    }
    let negative = lexer.eat('-')?;
    let mut out = term(lexer, scope, negative, depth)?;
    loop {
        let negative = match lexer.peek()? {
            Token::Punct('+') => false,
            Token::Punct('-') => true,
            _ => return Ok(out),
        };
        lexer.next()?;
        out = out.add(&term(lexer, scope, negative, depth)?);
        small_enough(lexer, &out)?;
    }
}

/// The sign goes with the first number, so that the smallest i64 can be written.
fn term(lexer: &mut Lexer, scope: &Scope, negative: bool, depth: u32) -> Result<Index> {
    let mut out = match *lexer.peek()? {
        Token::Number(digits) => {
            lexer.next()?;
            let magnitude: i128 = digits.parse().map_err(|_| lexer.error_last(format!("a size is an integer, not '{digits}'")))?;
            let value = if negative { -magnitude } else { magnitude };
            Index::from(i64::try_from(value).map_err(|_| lexer.error_last("a size does not fit 64 bits"))?)
        }
        _ => {
            let f = factor(lexer, scope, depth)?;
            if negative { f.scale(&Dim::from(-1)) } else { f }
        }
    };
    loop {
        if lexer.eat('*')? {
            let right = factor(lexer, scope, depth)?;
            out = match (out.as_dim(), right.as_dim()) {
                (_, Some(d)) => out.scale(d),
                (Some(d), None) => right.scale(d),
                (None, None) => return Err(lexer.error_last("an index is a sum: two things that vary cannot be multiplied")),
            };
            small_enough(lexer, &out)?;
        } else if lexer.eat_word("floordiv")? {
            let d = divisor(lexer, scope, depth)?;
            out = match out.as_dim() {
                Some(x) => Index::from(x.floor_div(&d)),
                None => Index::atom(Atom::FloorDiv(Arc::new(out), d)),
            };
        } else if lexer.eat_word("mod")? {
            let d = divisor(lexer, scope, depth)?;
            out = match out.as_dim() {
                Some(x) => Index::from(x.modulo(&d)),
                None => Index::atom(Atom::Mod(Arc::new(out), d)),
            };
        } else {
            return Ok(out);
        }
    }
}

fn divisor(lexer: &mut Lexer, scope: &Scope, depth: u32) -> Result<Dim> {
    size(lexer, scope, depth, factor)
}

fn size(lexer: &mut Lexer, scope: &Scope, depth: u32, read: fn(&mut Lexer, &Scope, u32) -> Result<Index>) -> Result<Dim> {
    let i = read(lexer, scope, depth)?;
    i.as_dim().cloned().ok_or_else(|| lexer.error_last("expected a size, found something that varies"))
}

fn factor(lexer: &mut Lexer, scope: &Scope, depth: u32) -> Result<Index> {
    match lexer.peek()?.clone() {
        Token::Number(digits) => {
            lexer.next()?;
            let v: i64 = digits.parse().map_err(|_| lexer.error_last(format!("'{digits}' is no size: an integer of 64 bits is")))?;
            Ok(Index::from(v))
        }
        Token::Symbol(name) => {
            lexer.next()?;
            Ok(Index::from(Dim::symbol(&*name)))
        }
        Token::Value(name) => {
            lexer.next()?;
            let e = scope.named.get(&*name).ok_or_else(|| lexer.error_last(format!("'%{name}' has no meaning yet")))?;
            Ok(Index::value(*e))
        }
        Token::Word(word @ ("min" | "max" | "ceildiv")) => {
            lexer.next()?;
            lexer.expect('(')?;
            let a = size(lexer, scope, depth + 1, sum)?;
            lexer.expect(',')?;
            let b = size(lexer, scope, depth + 1, sum)?;
            lexer.expect(')')?;
            Ok(Index::from(match word {
                "min" => a.minimum(&b),
                "max" => a.maximum(&b),
                _ => a.ceil_div(&b),
            }))
        }
        Token::Word(word) if !["floordiv", "mod"].contains(&word) => {
            lexer.next()?;
            Ok(scope.axes.get(word).map_or_else(|| Index::from(Dim::symbol(word)), |a| Index::from(*a)))
        }
        Token::Punct('(') => {
            lexer.next()?;
            let out = sum(lexer, scope, depth + 1)?;
            lexer.expect(')')?;
            Ok(out)
        }
        _ => Err(lexer.unexpected("an index")),
    }
}

fn small_enough(lexer: &Lexer, i: &Index) -> Result<()> {
    let longest = i.terms().iter().map(|(_, c)| c.terms().len()).chain([i.terms().len(), i.offset().terms().len()]).max();
    if longest.unwrap_or(0) <= TERMS_MAX { Ok(()) } else { Err(lexer.error_last(format!("an index has at most {TERMS_MAX} terms"))) }
}
