//! Reads expressions: first as a tree, in which numbers have no type yet, then into the kernel, where they take the type of what they
//! meet.

use super::index::{read_guard, read_index, read_indices};
use super::parser::{Scope, dtype};
use super::{CALLS, COMPARISON, INFIX, UNARY, keeps_dtype, unary_dtype};
use crate::{BinaryOp, BufferId, ExprId, ExprKind, Guard, Index, KernelBuilder, LocalId, Scalar, UnaryOp};
use lapidary_ir::text::{Lexer, Token};
use lapidary_ir::{DType, Result};
use std::ops::Range;

/// How deep expressions may nest, and how long a chain of operators may be.
const DEPTH_MAX: usize = 100;

pub(super) struct Ast {
    node: Node,
    /// The dtype, unless numbers alone make up the expression.
    ty: Option<DType>,
    depth: usize,
    range: Range<usize>,
}

enum Node {
    /// As written, sign included.
    Number(String),
    Bool(bool),
    Named(ExprId),
    Index(Index),
    Within(Guard),
    Load(BufferId, Vec<Index>, Guard, Option<Box<Ast>>),
    Local(LocalId),
    Unary(UnaryOp, Box<Ast>),
    Binary(BinaryOp, Box<Ast>, Box<Ast>),
    Fma(Box<[Ast; 3]>),
    Select(Box<[Ast; 3]>),
    Cast(DType, Box<Ast>),
    /// With the dtype that the text says.
    Typed(DType, Box<Ast>),
}

/// Reads an expression as far as it goes.
pub(super) fn read_expr(lexer: &mut Lexer, scope: &Scope) -> Result<Ast> {
    infix(lexer, scope, 0, 0)
}

fn make(lexer: &Lexer, node: Node, ty: Option<DType>, below: usize) -> Result<Ast> {
    if below >= DEPTH_MAX {
        return Err(lexer.error_last(format!("an expression nests at most {DEPTH_MAX} deep")));
    }
    Ok(Ast { node, ty, depth: below + 1, range: lexer.last_range() })
}

/// The operator that comes next, if one does; `rest` is the lexer behind it.
fn operator<'a>(lexer: &mut Lexer<'a>) -> Result<Option<(BinaryOp, u8, Lexer<'a>)>> {
    let mut rest = lexer.clone();
    let text = match rest.next()? {
        Token::Word(w) => w.to_string(),
        Token::Punct(c @ ('=' | '!' | '<' | '>')) => {
            let both = rest.eat('=')?;
            format!("{c}{}", if both { "=" } else { "" })
        }
        Token::Punct(c) => c.to_string(),
        _ => return Ok(None),
    };
    Ok(INFIX.iter().find(|(n, ..)| *n == text).map(|(_, op, level)| (*op, *level, rest)))
}

fn infix(lexer: &mut Lexer, scope: &Scope, level: u8, outer: usize) -> Result<Ast> {
    if outer > DEPTH_MAX {
        return Err(lexer.error_last(format!("an expression nests at most {DEPTH_MAX} deep")));
    }
    let mut left = prefix(lexer, scope, outer + 1)?;
    while let Some((op, own, rest)) = operator(lexer)? {
        if own < level {
            break;
        }
        *lexer = rest;
        let right = infix(lexer, scope, own + 1, outer + 1)?;
        let ty = if op.is_comparison() { Some(DType::Bool) } else { left.ty.or(right.ty) };
        let below = left.depth.max(right.depth);
        left = make(lexer, Node::Binary(op, Box::new(left), Box::new(right)), ty, below)?;
        if own == COMPARISON
            && let Some((_, COMPARISON, _)) = operator(lexer)?
        {
            return Err(lexer.error_last("comparisons do not chain: use 'and', or parentheses"));
        }
    }
    Ok(left)
}

fn prefix(lexer: &mut Lexer, scope: &Scope, outer: usize) -> Result<Ast> {
    if outer > DEPTH_MAX {
        return Err(lexer.error_last(format!("an expression nests at most {DEPTH_MAX} deep")));
    }
    if !lexer.eat('-')? {
        return primary(lexer, scope, outer);
    }
    if let Token::Number(_) | Token::Word("inf" | "nan") = lexer.peek()? {
        return number(lexer, true);
    }
    let a = prefix(lexer, scope, outer + 1)?;
    let (ty, below) = (a.ty, a.depth);
    make(lexer, Node::Unary(UnaryOp::Neg, Box::new(a)), ty, below)
}

/// `1.5`, `-1.5`, `3:i64`; the minus is read already.
fn number(lexer: &mut Lexer, negative: bool) -> Result<Ast> {
    let text = match lexer.next()? {
        Token::Number(n) | Token::Word(n) => format!("{}{n}", if negative { "-" } else { "" }),
        _ => return Err(lexer.error_last("expected a number")),
    };
    let a = make(lexer, Node::Number(text), None, 0)?;
    if !lexer.eat(':')? {
        return Ok(a);
    }
    let d = dtype(lexer)?;
    make(lexer, Node::Typed(d, Box::new(a)), None, 0)
}

fn primary(lexer: &mut Lexer, scope: &Scope, outer: usize) -> Result<Ast> {
    match lexer.peek()?.clone() {
        Token::Number(_) | Token::Word("inf" | "nan") => number(lexer, false),
        Token::Punct('(') => {
            lexer.next()?;
            let a = infix(lexer, scope, 0, outer + 1)?;
            lexer.expect(')')?;
            if !lexer.eat(':')? {
                return Ok(a);
            }
            let (d, below) = (dtype(lexer)?, a.depth);
            make(lexer, Node::Typed(d, Box::new(a)), Some(d), below)
        }
        Token::Punct('[') => {
            lexer.next()?;
            let i = read_index(lexer, scope)?;
            lexer.expect(']')?;
            make(lexer, Node::Index(i), Some(DType::I64), 0)
        }
        Token::Value(name) => {
            lexer.next()?;
            let e = *scope.named.get(&*name).ok_or_else(|| lexer.error_last(format!("'%{name}' has no meaning yet")))?;
            make(lexer, Node::Named(e), Some(scope.k.dtype(e)), 0)
        }
        Token::Word(word) => {
            lexer.next()?;
            named(lexer, scope, word, outer)
        }
        _ => Err(lexer.unexpected("an expression")),
    }
}

/// What begins with a word, read already.
fn named(lexer: &mut Lexer, scope: &Scope, word: &str, outer: usize) -> Result<Ast> {
    let arguments = |lexer: &mut Lexer, count: usize| -> Result<Vec<Ast>> {
        lexer.expect('(')?;
        let mut out = vec![];
        for i in 0..count {
            if i > 0 {
                lexer.expect(',')?;
            }
            out.push(infix(lexer, scope, 0, outer + 1)?);
        }
        lexer.expect(')')?;
        Ok(out)
    };
    // A type in front of a parenthesis is a conversion, though an axis may be called `i2`, too.
    if let (Some(d), Token::Punct('(')) = (DType::from_name(word), lexer.peek()?) {
        let a = arguments(lexer, 1)?.remove(0);
        let below = a.depth;
        return make(lexer, Node::Cast(d, Box::new(a)), Some(d), below);
    }
    if let Some(b) = scope.buffers.get(word) {
        return load(lexer, scope, *b, outer);
    }
    if let Some(a) = scope.axes.get(word) {
        return make(lexer, Node::Index(Index::from(*a)), Some(DType::I64), 0);
    }
    if let Some(l) = scope.locals.get(word) {
        let local = scope.k.kernel().local(*l);
        for (i, a) in local.axes.iter().enumerate() {
            lexer.expect(if i == 0 { '[' } else { ',' })?;
            let name = &scope.k.kernel().axes[a.0 as usize].name;
            lexer.expect_word(name)?;
        }
        if !local.axes.is_empty() {
            lexer.expect(']')?;
        }
        return make(lexer, Node::Local(*l), Some(local.dtype), 0);
    }
    match word {
        "true" | "false" => return make(lexer, Node::Bool(word == "true"), Some(DType::Bool), 0),
        "within" => {
            lexer.expect('(')?;
            let g = if *lexer.peek()? == Token::Punct(')') { vec![] } else { read_guard(lexer, scope)? };
            lexer.expect(')')?;
            return make(lexer, Node::Within(g), Some(DType::Bool), 0);
        }
        "fma" => {
            let args = arguments(lexer, 3)?;
            let ty = args.iter().find_map(|a| a.ty);
            let below = args.iter().map(|a| a.depth).max().unwrap_or(0);
            let Ok(args) = <[Ast; 3]>::try_from(args) else { return Err(lexer.error_last("'fma' takes two factors and what is added")) };
            return make(lexer, Node::Fma(Box::new(args)), ty, below);
        }
        "select" => {
            let args = arguments(lexer, 3)?;
            let ty = args[1].ty.or(args[2].ty);
            let below = args.iter().map(|a| a.depth).max().unwrap_or(0);
            let Ok(args) = <[Ast; 3]>::try_from(args) else { return Err(lexer.error_last("'select' takes a condition and two values")) };
            return make(lexer, Node::Select(Box::new(args)), ty, below);
        }
        _ => {}
    }
    if let Some((_, op)) = UNARY.iter().find(|(n, _)| *n == word) {
        let a = arguments(lexer, 1)?.remove(0);
        let (ty, below) = (if keeps_dtype(*op) { a.ty } else { Some(DType::Bool) }, a.depth);
        return make(lexer, Node::Unary(*op, Box::new(a)), ty, below);
    }
    if let Some((_, op)) = CALLS.iter().find(|(n, _)| *n == word) {
        let mut args = arguments(lexer, 2)?;
        let (b, a) = (args.remove(1), args.remove(0));
        let (ty, below) = (a.ty.or(b.ty), a.depth.max(b.depth));
        return make(lexer, Node::Binary(*op, Box::new(a), Box::new(b)), ty, below);
    }
    Err(scope.unknown(lexer, word))
}

/// `[i, j - 1 else 0 when 0 <= j - 1 < N]`, the buffer read already.
fn load(lexer: &mut Lexer, scope: &Scope, b: BufferId, outer: usize) -> Result<Ast> {
    lexer.expect('[')?;
    let index = read_indices(lexer, scope, scope.program.buffer(b).dims.len())?;
    let (mut guard, mut otherwise) = (vec![], None);
    if lexer.eat_word("else")? {
        let mut ahead = lexer.clone();
        let zero = ahead.next()? == Token::Number("0") && matches!(ahead.peek()?, Token::Punct(']') | Token::Word("when"));
        if zero {
            lexer.next()?;
        } else {
            otherwise = Some(Box::new(infix(lexer, scope, 0, outer + 1)?));
        }
        guard = if lexer.eat_word("when")? { read_guard(lexer, scope)? } else { scope.plain_guard(b, &index) };
        if guard.is_empty() {
            let error = lexer.error(lexer.last_range(), "this index never leaves the buffer");
            return Err(error.help("leave 'else' out").into());
        }
    }
    lexer.expect(']')?;
    let below = otherwise.as_ref().map_or(0, |o| o.depth);
    make(lexer, Node::Load(b, index, guard, otherwise), Some(scope.program.buffer(b).dtype), below)
}

/// Puts the tree into the kernel. `expected` is the dtype that numbers take when nothing beside them has one.
pub(super) fn elaborate(lexer: &Lexer, k: &mut KernelBuilder, a: &Ast, expected: Option<DType>) -> Result<ExprId> {
    let (dtype, kind) = resolve(lexer, k, a, expected)?;
    match (&a.node, kind) {
        (Node::Named(e), _) => Ok(*e),
        (_, kind) => Ok(k.expr(dtype, kind)),
    }
}

fn resolve(lexer: &Lexer, k: &mut KernelBuilder, a: &Ast, expected: Option<DType>) -> Result<(DType, ExprKind)> {
    Ok(match &a.node {
        Node::Number(text) => {
            let unclear = || lexer.error(a.range.clone(), format!("the type of '{text}' is not clear")).help("write it behind, as in '1:f32'");
            let d = expected.ok_or_else(unclear)?;
            (d, ExprKind::Const(scalar(lexer, a, text, d)?))
        }
        Node::Bool(v) => (DType::Bool, ExprKind::Const(Scalar::Int(*v as i64))),
        Node::Named(e) => (k.dtype(*e), k.kernel().expr(*e).kind.clone()),
        Node::Index(i) => (DType::I64, ExprKind::Index(i.clone())),
        Node::Within(g) => (DType::Bool, ExprKind::Within(g.clone())),
        Node::Load(buffer, index, guard, otherwise) => {
            let d = a.ty.unwrap_or(DType::F32);
            let otherwise = otherwise.as_ref().map(|o| elaborate(lexer, k, o, Some(d))).transpose()?;
            (d, ExprKind::Load { buffer: *buffer, index: index.clone(), guard: guard.clone(), otherwise })
        }
        Node::Local(l) => (k.kernel().local(*l).dtype, ExprKind::Local(*l)),
        Node::Unary(op, x) => {
            let x = elaborate(lexer, k, x, expected.filter(|_| keeps_dtype(*op)))?;
            (unary_dtype(*op, k.dtype(x)), ExprKind::Unary(*op, x))
        }
        Node::Binary(op, x, y) => {
            let expected = expected.filter(|_| !op.is_comparison());
            let left = elaborate(lexer, k, x, y.ty.or(expected))?;
            let right = elaborate(lexer, k, y, x.ty.or(expected))?;
            (if op.is_comparison() { DType::Bool } else { k.dtype(left) }, ExprKind::Binary(*op, left, right))
        }
        Node::Fma(args) => {
            let known = args.iter().find_map(|a| a.ty).or(expected);
            let mut each = [ExprId(0); 3];
            for (e, a) in each.iter_mut().zip(args.iter()) {
                *e = elaborate(lexer, k, a, known)?;
            }
            let [a, b, c] = each;
            (k.dtype(a), ExprKind::Fma(a, b, c))
        }
        Node::Select(args) => {
            let [c, x, y] = args.as_ref();
            let c = elaborate(lexer, k, c, Some(DType::Bool))?;
            let then = elaborate(lexer, k, x, y.ty.or(expected))?;
            let other = elaborate(lexer, k, y, x.ty.or(expected))?;
            (k.dtype(then), ExprKind::Select(c, then, other))
        }
        Node::Cast(d, x) => (*d, ExprKind::Cast(elaborate(lexer, k, x, None)?)),
        Node::Typed(d, x) => {
            let number = matches!(x.node, Node::Number(_));
            (*d, resolve(lexer, k, x, number.then_some(*d))?.1)
        }
    })
}

fn scalar(lexer: &Lexer, a: &Ast, text: &str, d: DType) -> Result<Scalar> {
    let wrong = || lexer.error(a.range.clone(), format!("'{text}' is no {}", d.name()));
    if !d.is_float() {
        return Ok(Scalar::Int(text.parse().map_err(|_| wrong())?));
    }
    if let Some(bits) = text.strip_prefix("0x") {
        return Ok(Scalar::Float(u64::from_str_radix(bits, 16).map_err(|_| wrong())?));
    }
    // Read in the precision in which it is printed: the shortest text that gives the same bits.
    let v = if d == DType::F64 { text.parse::<f64>().map_err(|_| wrong())? } else { text.parse::<f32>().map_err(|_| wrong())? as f64 };
    Ok(if v.is_nan() { Scalar::float(f64::NAN) } else { Scalar::float(v) })
}
