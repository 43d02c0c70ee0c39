use super::attrs::read_attrs;
use super::lexer::{Lexer, Token};
use super::literal::read_tensor;
use super::types::{read_dim, read_type};
use super::{ParseOptions, default_version};
use crate::{Attr, Attrs, CORE_DOMAIN, Diagnostics, Graph, Name, NodeId, NodeSpec, OpName, Region, Result, Symbols, Type, Value, ValueId, nearest};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// How deep regions may nest.
const REGION_DEPTH_MAX: u32 = 32;
/// How many operands or outputs a node may have.
const SLOTS_MAX: usize = u16::MAX as usize;

/// Reads a graph. Each error holds the line that it is about and the bytes that are meant; a value must be defined above its uses.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Graph> {
    let mut parser = Parser { lexer: Lexer::new(text), options, symbols: Symbols::default(), depth: 0 };
    while *parser.lexer.peek()? == Token::Word("symbol") {
        parser.symbol_line()?;
    }
    parser.lexer.expect_word("graph")?;
    let mut graph = parser.body(None)?.graph;
    if *parser.lexer.peek()? != Token::End {
        return Err(parser.lexer.unexpected("the end of the text"));
    }
    share_symbols(&mut graph, &parser.symbols);
    Ok(graph)
}

/// A graph and its regions hold the same symbols, and no fresh one may meet a name that any of them has.
fn share_symbols(g: &mut Graph, symbols: &Symbols) {
    g.symbols = symbols.clone();
    let ids: Vec<NodeId> = g.node_ids().collect();
    for id in ids {
        g.node_mut(id).regions.iter_mut().for_each(|r| share_symbols(&mut r.graph, symbols));
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    options: &'a ParseOptions<'a>,
    symbols: Symbols,
    depth: u32,
}

/// The node around a region: its operands are what captures name.
struct Outer<'a> {
    names: &'a FxHashMap<Name, ValueId>,
    operands: &'a [Option<ValueId>],
}

/// What may follow a node: `@name !{key="value"} doc "text"`.
#[derive(Default)]
struct Trailer {
    name: Name,
    metadata: BTreeMap<Name, Name>,
    doc: Name,
}

impl Trailer {
    fn put(self, g: &mut Graph, id: NodeId) {
        let n = g.node_mut(id);
        (n.name, n.metadata, n.doc) = (self.name, self.metadata, self.doc);
    }
}

/// A graph being read, and its values by name.
struct Scope {
    graph: Graph,
    names: FxHashMap<Name, ValueId>,
    /// For a region: the operand slots that its last inputs capture.
    captures: Vec<u32>,
}

impl Parser<'_> {
    /// `symbol N in 1..=32`, the upper bound optional.
    fn symbol_line(&mut self) -> Result<()> {
        self.lexer.expect_word("symbol")?;
        let name = read_dim(&mut self.lexer)?.as_symbol().cloned().ok_or_else(|| self.lexer.error_last("expected the name of a symbol"))?;
        if self.symbols.bounds.contains_key(&name) {
            return Err(self.lexer.error_last(format!("the bounds of symbol '{name}' are given twice")));
        }
        self.lexer.expect_word("in")?;
        let low = self.int()?;
        self.lexer.expect('.')?;
        self.lexer.expect('.')?;
        let high = if self.lexer.eat('=')? { Some(self.int()?) } else { None };
        if high.is_some_and(|h| h < low) {
            return Err(self.lexer.error_last(format!("no size is at least {low} and at most {}", high.unwrap_or(low))));
        }
        self.symbols.reserve(&name);
        self.symbols.bounds.insert(name, (low, high));
        Ok(())
    }
    fn int(&mut self) -> Result<i64> {
        let Some(v) = read_dim(&mut self.lexer)?.as_const() else { return Err(self.lexer.error_last("expected an integer")) };
        Ok(v)
    }
    /// ` @name(%x: f32[N]) { ... }`, with `captures(...)` for a region.
    fn body(&mut self, outer: Option<Outer>) -> Result<Scope> {
        let mut scope = Scope { graph: Graph::new(""), names: FxHashMap::default(), captures: vec![] };
        if let Token::At(name) = self.lexer.peek()?.clone() {
            self.lexer.next()?;
            scope.graph.name = (&*name).into();
        }
        self.lexer.expect('(')?;
        let mut first = true;
        while !self.lexer.eat(')')? {
            if !std::mem::take(&mut first) {
                self.lexer.expect(',')?;
            }
            self.parameter(&mut scope, None)?;
        }
        if let Some(outer) = &outer
            && self.lexer.eat_word("captures")?
        {
            self.lexer.expect('(')?;
            let mut first = true;
            while !self.lexer.eat(')')? {
                if !std::mem::take(&mut first) {
                    self.lexer.expect(',')?;
                }
                self.parameter(&mut scope, Some(outer))?;
            }
        }
        self.lexer.expect('{')?;
        while !self.lexer.eat_word("return")? {
            if self.lexer.eat_word("const")? { self.const_line(&mut scope)? } else { self.op_line(&mut scope)? }
        }
        if *self.lexer.peek()? != Token::Punct('}') {
            loop {
                let v = self.operand(&scope)?;
                let v = v.ok_or_else(|| self.lexer.error_last("a graph output cannot be omitted"))?;
                scope.graph.add_output(v);
                if !self.lexer.eat(',')? {
                    break;
                }
            }
        }
        self.lexer.expect('}')?;
        Ok(scope)
    }
    fn parameter(&mut self, scope: &mut Scope, outer: Option<&Outer>) -> Result<()> {
        let name = self.new_name(scope)?;
        self.lexer.expect(':')?;
        let ty = self.ty()?;
        if let Some(outer) = outer {
            self.lexer.expect('=')?;
            let slot = self.capture(outer)?;
            scope.captures.push(slot);
        }
        let attrs = read_attrs(&mut self.lexer, self.options)?;
        let trailer = self.trailer()?;
        let v = scope.graph.add_input(name.clone(), ty);
        scope.graph.node_mut(v.node).attrs = attrs;
        trailer.put(&mut scope.graph, v.node);
        scope.names.insert(name, v);
        Ok(())
    }
    /// The slot of the outer node that a capture reads: by number, or by the name of the operand.
    fn capture(&mut self, outer: &Outer) -> Result<u32> {
        match self.lexer.next()? {
            Token::Number(n) => {
                let slot = n.parse::<u32>().ok().filter(|s| (*s as usize) < outer.operands.len());
                slot.ok_or_else(|| self.lexer.error_last(format!("the node has no operand {n}")))
            }
            Token::Value(name) => {
                let v = outer.names.get(&*name).copied();
                let mut slots = outer.operands.iter().enumerate().filter(|(_, o)| v.is_some() && **o == v).map(|(i, _)| i as u32);
                match (slots.next(), slots.next()) {
                    (Some(slot), None) => Ok(slot),
                    (Some(_), Some(_)) => {
                        let error = self.lexer.error(self.lexer.last_range(), format!("'%{name}' stands in several operands"));
                        Err(error.help("name the one meant by its number, from 0").into())
                    }
                    (None, _) => {
                        let error = self.lexer.error(self.lexer.last_range(), format!("'%{name}' is no operand of the node around this region"));
                        Err(error.help("a region reads outer values through operands of its node: add it there").into())
                    }
                }
            }
            _ => Err(self.lexer.error_last("expected an operand's name or number")),
        }
    }
    fn ty(&mut self) -> Result<Type> {
        let ty = read_type(&mut self.lexer)?;
        reserve(&mut self.symbols, &ty);
        Ok(ty)
    }
    /// `%name` that the scope does not have yet.
    fn new_name(&mut self, scope: &Scope) -> Result<Name> {
        let Token::Value(_) = self.lexer.peek()? else { return Err(self.lexer.unexpected("a value's name, such as '%x'")) };
        let Token::Value(name) = self.lexer.next()? else { return Err(self.lexer.error_last("expected a value's name")) };
        if scope.names.contains_key(&*name) {
            let error = self.lexer.error(self.lexer.last_range(), format!("the value '%{name}' is defined twice"));
            return Err(error.help("each value of a graph has a name of its own").into());
        }
        Ok((&*name).into())
    }
    /// `%name` of the scope, or `_`.
    fn operand(&mut self, scope: &Scope) -> Result<Option<ValueId>> {
        if self.lexer.eat_word("_")? {
            return Ok(None);
        }
        let Token::Value(_) = self.lexer.peek()? else { return Err(self.lexer.unexpected("a value, such as '%x'")) };
        let Token::Value(name) = self.lexer.next()? else { return Err(self.lexer.error_last("expected a value")) };
        scope.names.get(&*name).copied().map(Some).ok_or_else(|| {
            let error = self.lexer.error(self.lexer.last_range(), format!("unknown value '%{name}'"));
            let mut known: Vec<&str> = scope.names.keys().map(|k| &**k).collect();
            known.sort_unstable();
            match nearest(&name, known) {
                Some(near) => error.help(format!("did you mean '%{near}'?")),
                None => error.help("a value is defined on a line above its uses, or is an input of the graph"),
            }
            .into()
        })
    }
    /// `const %w : f32[2] = [1, 2]`, after the first word.
    fn const_line(&mut self, scope: &mut Scope) -> Result<()> {
        let name = if self.lexer.eat_word("_")? { Name::from("") } else { self.new_name(scope)? };
        self.lexer.expect(':')?;
        let Type::Tensor(ty) = self.ty()? else { return Err(self.lexer.error_last("a constant is a tensor")) };
        self.lexer.expect('=')?;
        let tensor = read_tensor(&mut self.lexer, &ty, self.options)?;
        let trailer = self.trailer()?;
        let spec = NodeSpec::new(OpName::new(CORE_DOMAIN, "const", 1), [], vec![Value::new(name.clone(), ty)]);
        let id = scope.graph.add(spec.attrs(Attrs::new().with("value", Attr::Tensor(tensor))));
        trailer.put(&mut scope.graph, id);
        if !name.is_empty() {
            scope.names.insert(name, id.out(0));
        }
        Ok(())
    }
    /// `%a, _ = Op(%x, _) {attrs} : types @name`, and the regions after it.
    fn op_line(&mut self, scope: &mut Scope) -> Result<()> {
        let mut results: Vec<Name> = Vec::new();
        if matches!(self.lexer.peek()?, Token::Value(_) | Token::Word("_")) {
            loop {
                let name = if self.lexer.eat_word("_")? { "".into() } else { self.new_name(scope)? };
                if !name.is_empty() && results.contains(&name) {
                    return Err(self.lexer.error_last(format!("the value '%{name}' is defined twice")));
                }
                results.push(name);
                if !self.lexer.eat(',')? {
                    break;
                }
            }
            self.lexer.expect('=')?;
        }
        let (domain, name, version) = read_op_name(&mut self.lexer)?;
        let version = version.unwrap_or_else(|| default_version(self.options.newest, &domain, &name));
        self.lexer.expect('(')?;
        let mut operands = Vec::new();
        while !self.lexer.eat(')')? {
            if !operands.is_empty() {
                self.lexer.expect(',')?;
            }
            operands.push(self.operand(scope)?);
        }
        if operands.len().max(results.len()) > SLOTS_MAX {
            return Err(self.lexer.error_last(format!("a node has at most {SLOTS_MAX} operands and outputs")));
        }
        let attrs = read_attrs(&mut self.lexer, self.options)?;
        let outputs = self.result_types(&results)?;
        let trailer = self.trailer()?;
        let spec = NodeSpec { inputs: operands.clone(), ..NodeSpec::new(OpName::new(&domain, &name, version), [], outputs).attrs(attrs) };
        let id = scope.graph.add(spec);
        trailer.put(&mut scope.graph, id);
        while self.lexer.eat_word("region")? {
            let region = self.region(Outer { names: &scope.names, operands: &operands })?;
            scope.graph.node_mut(id).regions.push(region);
        }
        for (i, name) in results.into_iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            scope.names.insert(name, id.out(i));
        }
        Ok(())
    }
    fn result_types(&mut self, results: &[Name]) -> Result<Vec<Value>> {
        let mut outputs = Vec::new();
        if results.is_empty() {
            return Ok(outputs);
        }
        // People may leave the types to inference; what is printed always has them.
        if !self.lexer.eat(':')? {
            return Ok(results.iter().map(|name| Value { name: name.clone(), ty: Type::Unknown }).collect());
        }
        loop {
            let ty = self.ty()?;
            let Some(name) = results.get(outputs.len()) else {
                return Err(self.lexer.error_last(format!("more types than the {} outputs", results.len())));
            };
            outputs.push(Value { name: name.clone(), ty });
            if !self.lexer.eat(',')? {
                break;
            }
        }
        match results.get(outputs.len()) {
            None => Ok(outputs),
            Some(n) => Err(self.lexer.unexpected(&format!("',' and the type of '%{n}'"))),
        }
    }
    fn region(&mut self, outer: Outer) -> Result<Region> {
        if self.depth == REGION_DEPTH_MAX {
            return Err(self.lexer.error_last(format!("regions nest at most {REGION_DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let name = self.lexer.name("the region's name, such as 'then_branch'")?;
        let scope = self.body(Some(outer))?;
        self.depth -= 1;
        Ok(Region { name: name.into(), graph: scope.graph, captures: scope.captures })
    }
    fn trailer(&mut self) -> Result<Trailer> {
        let mut out = Trailer::default();
        if let Token::At(name) = self.lexer.peek()?.clone() {
            self.lexer.next()?;
            out.name = (&*name).into();
        }
        if self.lexer.eat('!')? {
            self.lexer.expect('{')?;
            while !self.lexer.eat('}')? {
                if !out.metadata.is_empty() {
                    self.lexer.expect(',')?;
                }
                let key = self.lexer.name("a key of the metadata")?;
                self.lexer.expect('=')?;
                let value = self.lexer.string("a quoted value")?;
                if out.metadata.insert(key.as_str().into(), value.into()).is_some() {
                    return Err(self.lexer.error_last(format!("the key '{key}' is given twice")));
                }
            }
        }
        if self.lexer.eat_word("doc")? {
            out.doc = self.lexer.string("the documentation as a quoted string")?.into();
        }
        Ok(out)
    }
}

/// `Conv`, `Softmax.11`, `com.microsoft.Gelu`, `"odd domain"."odd name".3`, as domain, name, and version where one is written.
pub fn read_op_name(lexer: &mut Lexer) -> Result<(String, String, Option<u32>)> {
    let version = |digits: &str, lexer: &Lexer| -> Result<Option<u32>, Diagnostics> {
        digits.parse().map(Some).map_err(|_| lexer.error_last(format!("'{digits}' is no version of an operator")))
    };
    match lexer.peek()?.clone() {
        Token::Word(word) => {
            lexer.next()?;
            let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
            let (path, v) = match word.rsplit_once('.') {
                Some((path, last)) if digits(last) => (path, version(last, lexer)?),
                _ => (word, None),
            };
            let (domain, name) = path.rsplit_once('.').unwrap_or(("", path));
            if path.split('.').any(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
                let error = lexer.error(lexer.last_range(), format!("'{word}' is no operator: part of it starts with a digit"));
                return Err(error.help("write \"domain\".\"name\".version, with quotes").into());
            }
            Ok((domain.into(), name.into(), v))
        }
        Token::Str(_) => {
            let mut parts = vec![lexer.string("an operator's name")?];
            let mut v = None;
            while lexer.eat('.')? {
                match *lexer.peek()? {
                    Token::Number(n) => {
                        lexer.next()?;
                        v = version(n, lexer)?;
                        break;
                    }
                    _ if parts.len() == 1 => parts.push(lexer.string("an operator's name")?),
                    _ => return Err(lexer.unexpected("a version")),
                }
            }
            let name = parts.pop().unwrap_or_default();
            Ok((parts.pop().unwrap_or_default(), name, v))
        }
        _ => Err(lexer.unexpected("an operator")),
    }
}

/// Keeps fresh symbols from meeting the names in a type.
fn reserve(symbols: &mut Symbols, ty: &Type) {
    match ty {
        Type::Tensor(t) | Type::Sparse(t) => {
            t.shape.dims().unwrap_or(&[]).iter().flat_map(crate::Dim::symbols).for_each(|s| symbols.reserve(&s));
        }
        Type::Sequence(t) | Type::Optional(t) | Type::Map(_, t) => reserve(symbols, t),
        Type::Unknown => {}
    }
}
