//! Reads types and sizes, as their `Display` writes them.

use super::lexer::{Lexer, Token};
use crate::{DType, Dim, Dims, Result, Shape, TensorType, Type, nearest};
use std::sync::Arc;

/// How deep types and sizes may nest: enough for anything real, and no stack can overflow.
const DEPTH_MAX: u32 = 32;
/// How many terms a product of sums may spread to.
const TERMS_MAX: usize = 1024;

/// The type that the whole text is, such as `f32[N, 64, N floordiv 2]`.
pub fn parse_type(text: &str) -> Result<Type> {
    whole(text, read_type)
}

/// The size that the whole text is. Reads every `Dim`'s `Display` back to an equal `Dim`.
pub fn parse_dim(text: &str) -> Result<Dim> {
    whole(text, read_dim)
}

fn whole<T>(text: &str, read: impl Fn(&mut Lexer) -> Result<T>) -> Result<T> {
    let mut lexer = Lexer::new(text);
    let out = read(&mut lexer)?;
    if *lexer.peek()? != Token::End {
        return Err(lexer.unexpected("the end of the text"));
    }
    Ok(out)
}

/// Reads a type from where the lexer stands.
pub fn read_type(lexer: &mut Lexer) -> Result<Type> {
    any_type(lexer, 0)
}

fn any_type(lexer: &mut Lexer, depth: u32) -> Result<Type> {
    too_deep(lexer, depth)?;
    match *lexer.peek()? {
        Token::Wild("") => {
            lexer.next()?;
            Ok(Type::Unknown)
        }
        Token::Word(word @ ("sparse" | "seq" | "optional" | "map")) => {
            lexer.next()?;
            lexer.expect('<')?;
            let out = match word {
                "sparse" => Type::Sparse(tensor_type(lexer)?),
                "seq" => Type::Sequence(Arc::new(any_type(lexer, depth + 1)?)),
                "optional" => Type::Optional(Arc::new(any_type(lexer, depth + 1)?)),
                _ => {
                    let key = dtype(lexer)?;
                    lexer.expect(',')?;
                    Type::Map(key, Arc::new(any_type(lexer, depth + 1)?))
                }
            };
            lexer.expect('>')?;
            Ok(out)
        }
        _ => Ok(Type::Tensor(tensor_type(lexer)?)),
    }
}

fn dtype(lexer: &mut Lexer) -> Result<DType> {
    let Token::Word(word) = *lexer.peek()? else { return Err(lexer.unexpected("a type")) };
    lexer.next()?;
    DType::from_name(word).ok_or_else(|| {
        let error = lexer.error(lexer.last_range(), format!("unknown type '{word}'"));
        let names = DType::all().map(DType::name).chain(["sparse", "seq", "optional", "map"]);
        match nearest(word, names) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help("types are such as f32[N, 3], i64[], seq<f32[*]>, ?"),
        }
        .into()
    })
}

fn tensor_type(lexer: &mut Lexer) -> Result<TensorType> {
    let dtype = dtype(lexer)?;
    lexer.expect('[')?;
    if lexer.eat('*')? {
        lexer.expect(']')?;
        return Ok(TensorType::new(dtype, Shape::Unranked));
    }
    let mut dims = Dims::new();
    while !lexer.eat(']')? {
        if !dims.is_empty() {
            lexer.expect(',')?;
        }
        dims.push(read_dim(lexer)?);
    }
    Ok(TensorType::new(dtype, Shape::Ranked(dims)))
}

/// Reads a size from where the lexer stands: sums and products of numbers, symbols, `a floordiv b`, `a mod b`,
/// `min(a, b)`, `max(a, b)`, `ceildiv(a, b)`.
pub fn read_dim(lexer: &mut Lexer) -> Result<Dim> {
    sum(lexer, 0)
}

fn sum(lexer: &mut Lexer, depth: u32) -> Result<Dim> {
    too_deep(lexer, depth)?;
    let negative = lexer.eat('-')?;
    let mut out = term(lexer, negative, depth)?;
    loop {
        let negative = match lexer.peek()? {
            Token::Punct('+') => false,
            Token::Punct('-') => true,
            _ => return Ok(out),
        };
        lexer.next()?;
        out = &out + &term(lexer, negative, depth)?;
        small_enough(lexer, out.terms().len())?;
    }
}

/// Factors joined by `*`, `floordiv` and `mod`, from left to right. The sign goes with the first number, so that the smallest i64
/// can be written.
fn term(lexer: &mut Lexer, negative: bool, depth: u32) -> Result<Dim> {
    let mut out = if let Token::Number(digits) = *lexer.peek()? {
        lexer.next()?;
        let magnitude: i128 = digits.parse().map_err(|_| lexer.error_last(format!("a size is an integer, not '{digits}'")))?;
        let value = if negative { -magnitude } else { magnitude };
        Dim::from(i64::try_from(value).map_err(|_| lexer.error_last("a size does not fit 64 bits"))?)
    } else {
        let f = factor(lexer, depth)?;
        if negative { -&f } else { f }
    };
    loop {
        if lexer.eat('*')? {
            let right = factor(lexer, depth)?;
            small_enough(lexer, out.terms().len().max(1).saturating_mul(right.terms().len().max(1)))?;
            out = &out * &right;
        } else if lexer.eat_word("floordiv")? {
            out = out.floor_div(&factor(lexer, depth)?);
        } else if lexer.eat_word("mod")? {
            out = out.modulo(&factor(lexer, depth)?);
        } else {
            return Ok(out);
        }
    }
}

fn factor(lexer: &mut Lexer, depth: u32) -> Result<Dim> {
    match lexer.peek()?.clone() {
        Token::Number(_) => term_number(lexer),
        Token::Symbol(name) => {
            lexer.next()?;
            Ok(Dim::symbol(&*name))
        }
        Token::Word(word @ ("min" | "max" | "ceildiv")) => {
            lexer.next()?;
            lexer.expect('(')?;
            let a = sum(lexer, depth + 1)?;
            lexer.expect(',')?;
            let b = sum(lexer, depth + 1)?;
            lexer.expect(')')?;
            Ok(match word {
                "min" => a.minimum(&b),
                "max" => a.maximum(&b),
                _ => a.ceil_div(&b),
            })
        }
        Token::Word(word) if !["floordiv", "mod"].contains(&word) => {
            lexer.next()?;
            Ok(Dim::symbol(word))
        }
        Token::Punct('(') => {
            lexer.next()?;
            let out = sum(lexer, depth + 1)?;
            lexer.expect(')')?;
            Ok(out)
        }
        _ => Err(lexer.unexpected("a size")),
    }
}

fn term_number(lexer: &mut Lexer) -> Result<Dim> {
    let Token::Number(digits) = lexer.next()? else { return Err(lexer.error_last("expected a number")) };
    digits.parse::<i64>().map(Dim::from).map_err(|_| lexer.error_last(format!("'{digits}' is no size: an integer of 64 bits is")))
}

fn too_deep(lexer: &mut Lexer, depth: u32) -> Result<()> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    let range = lexer.peek_range()?;
    Err(lexer.error(range, format!("types and sizes nest at most {DEPTH_MAX} deep")).into())
}

fn small_enough(lexer: &Lexer, terms: usize) -> Result<()> {
    if terms <= TERMS_MAX { Ok(()) } else { Err(lexer.error_last(format!("a size has at most {TERMS_MAX} terms"))) }
}
