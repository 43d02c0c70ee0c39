//! Attributes as text: `{axis=1, mode="linear", alpha=0.1, pads=[1, 1, 1, 1], value=tensor(f32[2] = [1, 2])}`.

use super::lexer::{Lexer, Token};
use super::literal::{read_tensor, write_tensor};
use super::types::read_type;
use super::{ParseOptions, write_string, write_word};
use crate::{Attr, Attrs, Result, Tensor, Type};
use std::fmt::Write;
use std::sync::Arc;

/// Appends ` {name=value, ...}`, or nothing when there are none.
pub(super) fn write_attrs<'a>(out: &mut String, attrs: impl Iterator<Item = (&'a crate::Name, &'a Attr)>, inline_elements: usize) {
    let mut first = true;
    for (name, value) in attrs {
        out.push_str(if first { " {" } else { ", " });
        first = false;
        write_word(out, name);
        out.push('=');
        write_attr(out, value, inline_elements);
    }
    if !first {
        out.push('}');
    }
}

fn write_attr(out: &mut String, attr: &Attr, inline: usize) {
    match attr {
        Attr::Int(v) => {
            let _ = write!(out, "{v}");
        }
        Attr::Float(v) => write_float(out, *v),
        Attr::Str(s) => write_string(out, s),
        Attr::Tensor(t) => write_typed(out, t, inline),
        Attr::Type(t) => write_type(out, t),
        Attr::Ints(v) => write_list(out, "", v, |out, v| {
            let _ = write!(out, "{v}");
        }),
        Attr::Floats(v) => write_list(out, "floats", v, |out, v| write_float(out, *v)),
        Attr::Strs(v) => write_list(out, "strs", v, |out, s| write_string(out, s)),
        Attr::Tensors(v) => write_list(out, "tensors", v, |out, t| write_typed(out, t, inline)),
        Attr::Types(v) => write_list(out, "types", v, write_type),
        Attr::Sparse(values, indices, dims) => {
            out.push_str("sparse(");
            write_typed(out, values, inline);
            out.push_str(", ");
            write_typed(out, indices, inline);
            let _ = write!(out, ", {dims:?})");
        }
        Attr::Ref(name, code) => {
            out.push_str("ref(");
            write_string(out, name.as_bytes());
            let _ = write!(out, ", {code})");
        }
    }
}

/// `[a, b]`. Only the empty list needs its kind in front.
fn write_list<T>(out: &mut String, kind: &str, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    if items.is_empty() {
        out.push_str(kind);
    }
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        write(out, item);
    }
    out.push(']');
}

/// Always with a point or exponent, which is what tells a float from an integer.
fn write_float(out: &mut String, v: f32) {
    let _ = match v {
        v if v.to_bits() == f32::NAN.to_bits() => write!(out, "nan"),
        v if v.is_nan() => write!(out, "nan(0x{:08x})", v.to_bits()),
        v => write!(out, "{v:?}"),
    };
}

fn write_typed(out: &mut String, t: &Tensor, inline: usize) {
    let _ = write!(out, "tensor({} = ", t.ty());
    write_tensor(out, t, inline);
    out.push(')');
}

fn write_type(out: &mut String, t: &Type) {
    let _ = write!(out, "type({t})");
}

/// Reads `{name=value, ...}` if a brace comes next; no attributes otherwise.
pub fn read_attrs(lexer: &mut Lexer, options: &ParseOptions) -> Result<Attrs> {
    let mut attrs = Attrs::new();
    if !lexer.eat('{')? {
        return Ok(attrs);
    }
    while !lexer.eat('}')? {
        if !attrs.is_empty() {
            lexer.expect(',')?;
        }
        let name = lexer.name("an attribute's name")?;
        if attrs.get(&name).is_some() {
            return Err(lexer.error_last(format!("the attribute '{name}' is given twice")));
        }
        lexer.expect('=')?;
        attrs.set(&name, read_attr(lexer, options)?);
    }
    Ok(attrs)
}

/// Reads the value of one attribute.
pub fn read_attr(lexer: &mut Lexer, options: &ParseOptions) -> Result<Attr> {
    match *lexer.peek()? {
        Token::Word(kind @ ("floats" | "strs" | "tensors" | "types")) => {
            lexer.next()?;
            let empty = match kind {
                "floats" => Attr::Floats(vec![]),
                "strs" => Attr::Strs(vec![]),
                "tensors" => Attr::Tensors(vec![]),
                _ => Attr::Types(vec![]),
            };
            read_items(lexer, Some(empty), options)
        }
        Token::Punct('[') => read_items(lexer, None, options),
        Token::Word("sparse") => {
            lexer.next()?;
            lexer.expect('(')?;
            let values = read_typed(lexer, options)?;
            lexer.expect(',')?;
            let indices = read_typed(lexer, options)?;
            lexer.expect(',')?;
            let Attr::Ints(dims) = read_items(lexer, None, options)? else { return Err(lexer.error_last("the dense dims are a list of integers")) };
            lexer.expect(')')?;
            Ok(Attr::Sparse(values, indices, dims))
        }
        Token::Word("ref") => {
            lexer.next()?;
            lexer.expect('(')?;
            let name = lexer.name("the name of the function's attribute")?;
            lexer.expect(',')?;
            let code = match read_one(lexer, options)? {
                Attr::Int(v) => i32::try_from(v).ok(),
                _ => None,
            };
            let code = code.ok_or_else(|| lexer.error_last("the kind of an attribute is an integer of 32 bits"))?;
            lexer.expect(')')?;
            Ok(Attr::Ref(name.into(), code))
        }
        _ => read_one(lexer, options),
    }
}

/// A list of one kind; integers among floats become floats.
fn read_items(lexer: &mut Lexer, empty: Option<Attr>, options: &ParseOptions) -> Result<Attr> {
    lexer.expect('[')?;
    let mut items = Vec::new();
    while !lexer.eat(']')? {
        if !items.is_empty() {
            lexer.expect(',')?;
        }
        items.push(read_one(lexer, options)?);
    }
    let want_floats = matches!(empty, Some(Attr::Floats(_))) || items.iter().any(|a| matches!(a, Attr::Float(_)));
    fn all<T>(items: &[Attr], f: impl Fn(&Attr) -> Option<T>) -> Option<Vec<T>> {
        items.iter().map(f).collect()
    }
    let out = match (&items.first(), empty) {
        (None, Some(empty)) => return Ok(empty),
        (None, None) => Some(Attr::Ints(vec![])),
        (Some(Attr::Int(_) | Attr::Float(_)), _) if want_floats => all(&items, |a| match a {
            Attr::Float(v) => Some(*v),
            Attr::Int(v) => Some(*v as f32),
            _ => None,
        })
        .map(Attr::Floats),
        (Some(Attr::Int(_)), _) => all(&items, |a| if let Attr::Int(v) = a { Some(*v) } else { None }).map(Attr::Ints),
        (Some(Attr::Str(_)), _) => all(&items, |a| if let Attr::Str(v) = a { Some(v.clone()) } else { None }).map(Attr::Strs),
        (Some(Attr::Tensor(_)), _) => all(&items, |a| if let Attr::Tensor(v) = a { Some(v.clone()) } else { None }).map(Attr::Tensors),
        (Some(Attr::Type(_)), _) => all(&items, |a| if let Attr::Type(v) = a { Some(v.clone()) } else { None }).map(Attr::Types),
        _ => None,
    };
    out.ok_or_else(|| lexer.error_last("the elements of a list are of one kind"))
}

/// A number, string, tensor or type.
fn read_one(lexer: &mut Lexer, options: &ParseOptions) -> Result<Attr> {
    let negative = lexer.eat('-')?;
    let sign = if negative { "-" } else { "" };
    match lexer.peek()?.clone() {
        Token::Number(n) => {
            lexer.next()?;
            if n.contains(['.', 'e', 'E']) && !n.starts_with("0x") {
                let v: f32 = format!("{sign}{n}").parse().map_err(|_| lexer.error_last(format!("'{n}' is no number")))?;
                return Ok(Attr::Float(v));
            }
            let v = format!("{sign}{n}").parse().map_err(|_| lexer.error_last(format!("'{sign}{n}' does not fit 64 bits")))?;
            Ok(Attr::Int(v))
        }
        Token::Word("inf") => {
            lexer.next()?;
            Ok(Attr::Float(if negative { f32::NEG_INFINITY } else { f32::INFINITY }))
        }
        Token::Word("nan") if !negative => {
            lexer.next()?;
            if !lexer.eat('(')? {
                return Ok(Attr::Float(f32::NAN));
            }
            let bits = match lexer.next()? {
                Token::Number(n) => n.strip_prefix("0x").and_then(|h| u32::from_str_radix(h, 16).ok()),
                _ => None,
            };
            let value = bits.map(f32::from_bits).filter(|v| v.is_nan());
            let value = value.ok_or_else(|| lexer.error_last("'nan' takes the bits of a NaN of 32 bits, such as 0x7fc00001"))?;
            lexer.expect(')')?;
            Ok(Attr::Float(value))
        }
        Token::Str(s) if !negative => {
            lexer.next()?;
            Ok(Attr::Str(s.into_owned().into()))
        }
        Token::Word("tensor") if !negative => Ok(Attr::Tensor(read_typed(lexer, options)?)),
        Token::Word("type") if !negative => {
            lexer.next()?;
            lexer.expect('(')?;
            let t = read_type(lexer)?;
            lexer.expect(')')?;
            Ok(Attr::Type(t))
        }
        Token::Word(w) => {
            let range = lexer.peek_range()?;
            Err(lexer.error(range, format!("'{w}' is no value of an attribute")).help(format!("a string is quoted: \"{w}\"")).into())
        }
        _ => Err(lexer.unexpected("the value of an attribute")),
    }
}

fn read_typed(lexer: &mut Lexer, options: &ParseOptions) -> Result<Arc<Tensor>> {
    lexer.expect_word("tensor")?;
    lexer.expect('(')?;
    let Type::Tensor(ty) = read_type(lexer)? else { return Err(lexer.error_last("a tensor has the type of one, such as f32[2]")) };
    lexer.expect('=')?;
    let t = read_tensor(lexer, &ty, options)?;
    lexer.expect(')')?;
    Ok(t)
}
