use super::expr::{elaborate, read_expr};
use super::index::{read_guard, read_indices};
use super::{REDUCE, printer::plain_guard};
use crate::{Axis, AxisId, Buffer, BufferId, BufferKind, Check, ExprId, Guard, Index, KernelBuilder, Local, LocalId, Program, Schedule, Stmt};
use lapidary_ir::text::{Lexer, Token, read_dim, read_type};
use lapidary_ir::{DType, Dims, Name, Result, Tensor, nearest};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Axes that one kernel may have.
const AXES_MAX: usize = 1 << 10;

/// Reads a program; `tensors` gives the constant with a content hash. Errors show the line and what was meant there. What is read has
/// the right names, but may still be wrong otherwise: see [`Program::verify`].
pub fn parse_program(text: &str, tensors: &dyn Fn(u64) -> Option<Arc<Tensor>>) -> Result<Program> {
    let mut p = Parser { lexer: Lexer::new(text), tensors, program: Program::default(), buffers: FxHashMap::default() };
    p.lexer.expect_word("program")?;
    p.program.name = p.lexer.name("the program's name")?.into();
    p.lexer.expect('{')?;
    while !p.lexer.eat('}')? {
        match *p.lexer.peek()? {
            Token::Word("in" | "out" | "const" | "temp") => p.buffer()?,
            Token::Word("check") => p.check()?,
            Token::Word("kernel") => p.kernel()?,
            _ => return Err(p.lexer.unexpected("'in', 'out', 'const', 'temp', 'check', 'kernel' or '}'")),
        }
    }
    if *p.lexer.peek()? != Token::End {
        return Err(p.lexer.unexpected("the end of the text"));
    }
    Ok(p.program)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    tensors: &'a dyn Fn(u64) -> Option<Arc<Tensor>>,
    program: Program,
    buffers: FxHashMap<String, BufferId>,
}

/// A kernel being read.
pub(super) struct Scope<'p> {
    pub program: &'p Program,
    pub buffers: &'p FxHashMap<String, BufferId>,
    pub k: KernelBuilder,
    pub axes: FxHashMap<String, AxisId>,
    pub locals: FxHashMap<String, LocalId>,
    pub named: FxHashMap<String, ExprId>,
}

impl Scope<'_> {
    /// The guard that a load has when the text says `else` and nothing more.
    pub fn plain_guard(&self, buffer: BufferId, index: &[Index]) -> Guard {
        plain_guard(self.program, self.k.kernel(), buffer, index)
    }
    pub fn unknown(&self, lexer: &Lexer, word: &str) -> lapidary_ir::Diagnostics {
        let error = lexer.error(lexer.last_range(), format!("'{word}' has no meaning here"));
        let names = self.buffers.keys().chain(self.axes.keys()).chain(self.locals.keys());
        // Sorted, since hash order would choose among equals.
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        match nearest(word, names) {
            Some(near) => error.help(format!("did you mean '{near}'?")).into(),
            None => error.help("buffers are declared above the kernels, axes by 'par' and 'axes', locals by their first assignment").into(),
        }
    }
}

impl Parser<'_> {
    fn word(&mut self, what: &str) -> Result<String> {
        match *self.lexer.peek()? {
            Token::Word(w) => {
                self.lexer.next()?;
                Ok(w.to_string())
            }
            _ => Err(self.lexer.unexpected(what)),
        }
    }
    fn number(&mut self, what: &str) -> Result<u32> {
        match *self.lexer.peek()? {
            Token::Number(n) => {
                self.lexer.next()?;
                n.parse().map_err(|_| self.lexer.error_last(format!("'{n}' is not {what}")))
            }
            _ => Err(self.lexer.unexpected(what)),
        }
    }
    /// `in 0 x: f32[N, 3]`, `const w "odd name": f32[3] = #0123456789abcdef`.
    fn buffer(&mut self) -> Result<()> {
        let kind = self.word("a kind of buffer")?;
        let kind = match kind.as_str() {
            "in" => Some(BufferKind::Input(self.number("an input's number")?)),
            "out" => Some(BufferKind::Output(self.number("an output's number")?)),
            "temp" => Some(BufferKind::Temp),
            _ => None,
        };
        let word = self.word("the buffer's name")?;
        let word_range = self.lexer.last_range();
        let name = if let Token::Str(_) = self.lexer.peek()? { self.lexer.string("the buffer's name")? } else { word.clone() };
        self.lexer.expect(':')?;
        let ty = read_type(&mut self.lexer)?;
        let dims: Option<Dims> = ty.dims().map(Into::into);
        let (Some(dims), Some(tensor)) = (dims, ty.as_tensor()) else {
            return Err(self.lexer.error_last("a buffer is a tensor of known rank"));
        };
        let kind = match kind {
            Some(k) => k,
            None => {
                self.lexer.expect('=')?;
                let Token::Hash(hash) = *self.lexer.peek()? else { return Err(self.lexer.unexpected("a content hash")) };
                self.lexer.next()?;
                let missing = || self.lexer.error(self.lexer.last_range(), format!("the constant '#{hash:016x}' is not at hand"));
                let t = (self.tensors)(hash).ok_or_else(|| missing().help("constants are in the file that was written with the text"))?;
                if t.dtype() != tensor.dtype || ty.sizes().is_some_and(|s| s.iter().product::<usize>() != t.len()) {
                    return Err(self.lexer.error_last(format!("the constant is {}, not {ty}", t.ty())));
                }
                BufferKind::Const(t)
            }
        };
        let id = self.program.add_buffer(Buffer { name: name.into(), dtype: tensor.dtype, dims, kind });
        if self.buffers.insert(word.clone(), id).is_some() {
            return Err(self.lexer.error(word_range, format!("there are two buffers '{word}'")).into());
        }
        Ok(())
    }
    /// `check N + 1 == M or 1: "message"`.
    fn check(&mut self) -> Result<()> {
        self.lexer.expect_word("check")?;
        let left = read_dim(&mut self.lexer)?;
        self.lexer.expect('=')?;
        self.lexer.expect('=')?;
        let right = read_dim(&mut self.lexer)?;
        let or_one = self.lexer.eat_word("or")?;
        if or_one && self.number("1")? != 1 {
            return Err(self.lexer.error_last("the only other size that a check can allow is 1"));
        }
        self.lexer.expect(':')?;
        let message = self.lexer.string("the check's message")?;
        self.program.checks.push(Check { left, right, or_one, message });
        Ok(())
    }
    fn kernel(&mut self) -> Result<()> {
        self.lexer.expect_word("kernel")?;
        let name = self.lexer.name("the kernel's name")?;
        let mut origin: Vec<Name> = vec![];
        if self.lexer.eat_word("from")? {
            loop {
                origin.push(self.lexer.name("a node's name")?.into());
                if !self.lexer.eat(',')? {
                    break;
                }
            }
        }
        let mut k = KernelBuilder::new(name, &origin);
        k.kernel_mut().serial = self.lexer.eat_word("serial")?;
        self.lexer.expect('{')?;
        let mut scope = Scope {
            program: &self.program,
            buffers: &self.buffers,
            k,
            axes: FxHashMap::default(),
            locals: FxHashMap::default(),
            named: FxHashMap::default(),
        };
        while !self.lexer.eat('}')? {
            scope.line(&mut self.lexer)?;
        }
        let kernel = scope.k.finish();
        self.program.kernels.push(kernel);
        Ok(())
    }
}

impl Scope<'_> {
    fn line(&mut self, lexer: &mut Lexer) -> Result<()> {
        let token = lexer.peek()?.clone();
        lexer.next()?;
        match token {
            Token::Word("par") => self.declare(lexer, true),
            Token::Word("axes") => self.declare(lexer, false),
            Token::Word("local") => {
                let (name, axes) = self.target(lexer)?;
                lexer.expect(':')?;
                let dtype = dtype(lexer)?;
                self.assign(lexer, name, axes, dtype).map(|_| ())
            }
            Token::Word("let") => {
                let (name, axes) = self.target(lexer)?;
                lexer.expect(':')?;
                let dtype = dtype(lexer)?;
                lexer.expect('=')?;
                let value = self.value(lexer, Some(dtype))?;
                let local = self.assign(lexer, name, axes, dtype)?;
                self.k.kernel_mut().body.push(Stmt::Let { local, value });
                Ok(())
            }
            Token::Word("recur") => {
                let Token::Number(text) = *lexer.peek()? else { return Err(lexer.unexpected("the recurrence's number")) };
                lexer.next()?;
                let number = text.parse().map_err(|_| lexer.error_last(format!("'{text}' is not a recurrence's number")))?;
                lexer.expect_word("along")?;
                let axis = self.axis(lexer)?;
                self.k.recurrence(number, axis);
                Ok(())
            }
            Token::Word("schedule") => {
                let s = self.schedule(lexer)?;
                self.k.kernel_mut().schedule = Some(s);
                Ok(())
            }
            Token::Value(name) => {
                lexer.expect('=')?;
                let value = self.value(lexer, None)?;
                if self.named.insert(name.to_string(), value).is_some() {
                    return Err(lexer.error_last(format!("'%{name}' is defined twice")));
                }
                Ok(())
            }
            Token::Word(word) => match self.buffers.get(word) {
                Some(b) => self.store(lexer, *b),
                None => self.reduce(lexer, word),
            },
            _ => Err(lexer.error_last(format!("expected a statement or '}}', found {token}"))),
        }
    }
    fn value(&mut self, lexer: &mut Lexer, expected: Option<DType>) -> Result<ExprId> {
        let ast = read_expr(lexer, self)?;
        elaborate(lexer, &mut self.k, &ast, expected)
    }
    fn declare(&mut self, lexer: &mut Lexer, parallel: bool) -> Result<()> {
        loop {
            let Token::Word(name) = *lexer.peek()? else { return Err(lexer.unexpected("an axis' name")) };
            lexer.next()?;
            let range = lexer.last_range();
            lexer.expect('<')?;
            let extent = read_dim(lexer)?;
            let new = self.k.kernel_mut();
            if parallel && new.parallel != new.axes.len() {
                return Err(lexer.error(range, "parallel axes are declared before all others").into());
            }
            if new.axes.len() >= AXES_MAX {
                return Err(lexer.error(range, format!("a kernel has at most {AXES_MAX} axes")).into());
            }
            new.parallel += usize::from(parallel);
            new.axes.push(Axis { name: name.into(), extent });
            let id = AxisId(new.axes.len() as u16 - 1);
            if self.buffers.contains_key(name) || self.axes.insert(name.to_string(), id).is_some() {
                return Err(lexer.error(range, format!("the name '{name}' is taken")).into());
            }
            if !lexer.eat(',')? {
                return Ok(());
            }
        }
    }
    /// Names of axes up to the closing mark.
    fn axis_list(&self, lexer: &mut Lexer, close: char) -> Result<Vec<AxisId>> {
        let mut out = vec![];
        while !lexer.eat(close)? {
            if !out.is_empty() {
                lexer.expect(',')?;
            }
            out.push(self.axis(lexer)?);
        }
        Ok(out)
    }
    fn axis(&self, lexer: &mut Lexer) -> Result<AxisId> {
        let Token::Word(w) = *lexer.peek()? else { return Err(lexer.unexpected("an axis' name")) };
        lexer.next()?;
        self.axes.get(w).copied().ok_or_else(|| self.unknown(lexer, w))
    }
    /// `t0` or `t0[j, k]`, to be assigned.
    fn target(&self, lexer: &mut Lexer) -> Result<(String, Vec<AxisId>)> {
        let Token::Word(name) = *lexer.peek()? else { return Err(lexer.unexpected("a local's name")) };
        lexer.next()?;
        let axes = if lexer.eat('[')? { self.axis_list(lexer, ']')? } else { vec![] };
        Ok((name.to_string(), axes))
    }
    /// The local of that name, declared if it is new.
    fn assign(&mut self, lexer: &Lexer, name: String, axes: Vec<AxisId>, dtype: DType) -> Result<LocalId> {
        if let Some(id) = self.locals.get(&name) {
            let l = self.k.kernel().local(*id);
            if l.dtype != dtype || l.axes != axes {
                return Err(lexer.error_last(format!("'{name}' was {} along {} axes before", l.dtype.name(), l.axes.len())));
            }
            return Ok(*id);
        }
        if self.axes.contains_key(&name) || self.buffers.contains_key(&name) {
            return Err(lexer.error_last(format!("the name '{name}' is taken")));
        }
        let locals = &mut self.k.kernel_mut().locals;
        let id = LocalId(locals.len() as u32);
        locals.push(Local { name: name.as_str().into(), dtype, axes });
        self.locals.insert(name, id);
        Ok(id)
    }
    /// `t0[i] = sum(c, p): f32 x[i, c, p]`, the name read already.
    fn reduce(&mut self, lexer: &mut Lexer, word: &str) -> Result<()> {
        let range = lexer.last_range();
        let axes = if lexer.eat('[')? { self.axis_list(lexer, ']')? } else { vec![] };
        if !lexer.eat('=')? {
            return Err(lexer.error(range, format!("'{word}' begins no statement: it is no buffer, and no '=' follows")).into());
        }
        let Token::Word(op) = *lexer.peek()? else { return Err(lexer.unexpected("a reduction")) };
        lexer.next()?;
        let Some((_, op)) = REDUCE.iter().find(|(n, _)| *n == op) else {
            let error = lexer.error(lexer.last_range(), format!("'{op}' is no reduction"));
            return Err(error.help("reductions are sum, product, min, max; anything else is assigned by 'let'").into());
        };
        lexer.expect('(')?;
        let over = self.axis_list(lexer, ')')?;
        lexer.expect(':')?;
        let dtype = dtype(lexer)?;
        let value = self.value(lexer, Some(dtype))?;
        let local = self.assign(lexer, word.to_string(), axes, dtype)?;
        self.k.kernel_mut().body.push(Stmt::Reduce { local, op: *op, over, value });
        Ok(())
    }
    /// `[i, j] = value for j when 0 <= j < N`, the buffer read already.
    fn store(&mut self, lexer: &mut Lexer, buffer: BufferId) -> Result<()> {
        lexer.expect('[')?;
        let index = read_indices(lexer, self, self.program.buffer(buffer).dims.len())?;
        lexer.expect(']')?;
        lexer.expect('=')?;
        let value = self.value(lexer, Some(self.program.buffer(buffer).dtype))?;
        let mut axes = vec![];
        if lexer.eat_word("for")? {
            loop {
                axes.push(self.axis(lexer)?);
                if !lexer.eat(',')? {
                    break;
                }
            }
        }
        let guard = if lexer.eat_word("when")? { read_guard(lexer, self)? } else { vec![] };
        self.k.kernel_mut().body.push(Stmt::Store { buffer, index, axes, guard, value });
        Ok(())
    }
    /// `a: %0`
    fn load_name(&self, lexer: &mut Lexer, key: &str) -> Result<u32> {
        lexer.expect_word(key)?;
        lexer.expect(':')?;
        let Token::Value(name) = lexer.peek()?.clone() else { return Err(lexer.unexpected("a named load such as '%0'")) };
        lexer.next()?;
        self.named.get(&*name).map(|e| e.0).ok_or_else(|| lexer.error_last(format!("'%{name}' has no meaning yet")))
    }
    fn schedule(&self, lexer: &mut Lexer) -> Result<Schedule> {
        let Token::Word(template) = *lexer.peek()? else { return Err(lexer.unexpected("a template")) };
        lexer.next()?;
        let range = lexer.last_range();
        lexer.expect('{')?;
        let mut one = |key: &str| -> Result<u16> {
            lexer.expect_word(key)?;
            lexer.expect(':')?;
            Ok(self.axis(lexer)?.0)
        };
        let out = match template {
            "map" => Schedule::Map { vector: one("vector")? },
            "window" => Schedule::Window { vector: one("vector")? },
            "row" => Schedule::Row { vector: one("vector")? },
            "serial" => Schedule::Serial,
            "contract" => {
                let mut list = |key: &str| -> Result<Vec<u16>> {
                    lexer.expect_word(key)?;
                    lexer.expect(':')?;
                    lexer.expect('[')?;
                    let axes = self.axis_list(lexer, ']')?;
                    lexer.expect(',')?;
                    Ok(axes.iter().map(|a| a.0).collect())
                };
                let (batch, m, n, k) = (list("batch")?, list("m")?, list("n")?, list("k")?);
                let a = self.load_name(lexer, "a")?;
                lexer.expect(',')?;
                Schedule::Contract { batch, m, n, k, a, b: self.load_name(lexer, "b")? }
            }
            _ => {
                let error = lexer.error(range, format!("there is no template '{template}'"));
                return Err(error.help("templates are map, window, row, contract, serial").into());
            }
        };
        lexer.expect('}')?;
        Ok(out)
    }
}

pub(super) fn dtype(lexer: &mut Lexer) -> Result<DType> {
    let Token::Word(word) = *lexer.peek()? else { return Err(lexer.unexpected("a type")) };
    lexer.next()?;
    DType::from_name(word).ok_or_else(|| lexer.error_last(format!("unknown type '{word}'")))
}
