//! Sizes as a list of operations, each written down once, and the function of a library that computes all of them.
//!
//! A model with many symbolic values has many sizes that hold the same products and sums. One after the other as polynomials they would be
//! thousands of operations, quadratic in the number of values (every offset in the arena is the sum of what lies before it), in one block
//! that takes a compiler minutes.

use super::ir::{IntCmp as I, Ir, V};
use super::machine;
use super::scope::floor_div;
use indexmap::{IndexMap, IndexSet};
use lapidary_ir::{Atom, Diagnostic, Dim, Name, Result};
use lapidary_kernel::Check;
use rustc_hash::FxHashMap;

/// The place of an operation in its list.
pub type OpId = usize;

/// One operation on earlier results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Const(i64),
    /// The value in that slot of the value table.
    Load(usize),
    Mul(OpId, OpId),
    Add(OpId, OpId),
    /// Rounded down.
    Quotient {
        a: OpId,
        b: OpId,
        non_negative: bool,
    },
    Remainder {
        a: OpId,
        b: OpId,
        non_negative: bool,
    },
    Min(OpId, OpId),
    Max(OpId, OpId),
}

impl Op {
    fn operands(self) -> [Option<OpId>; 2] {
        match self {
            Op::Const(_) | Op::Load(_) => [None, None],
            Op::Mul(a, b) | Op::Add(a, b) | Op::Min(a, b) | Op::Max(a, b) => [Some(a), Some(b)],
            Op::Quotient { a, b, .. } | Op::Remainder { a, b, .. } => [Some(a), Some(b)],
        }
    }
}

/// How many of the latest long sums a new one may start from.
const SUMS_TO_START_FROM: usize = 8;
/// Sums of fewer terms are added up on their own.
const LONG_SUM: usize = 4;

/// Operations in an order in which they can be done, none of them twice.
#[derive(Default)]
pub struct SizeOps {
    ops: IndexSet<Op>,
    dims: FxHashMap<Dim, OpId>,
    sums: Vec<(Dim, OpId)>,
}

impl SizeOps {
    pub fn len(&self) -> usize {
        self.ops.len()
    }
    pub fn op(&self, id: OpId) -> Op {
        self.ops[id]
    }
    fn add(&mut self, op: Op) -> OpId {
        self.ops.insert_full(op).0
    }
    /// The operation whose result is that size. `symbols` are in the first slots of the value table.
    ///
    /// # Errors
    /// A symbol that is not among them.
    pub fn dim(&mut self, d: &Dim, symbols: &[Name]) -> Result<OpId> {
        if let Some(c) = d.as_const() {
            return Ok(self.add(Op::Const(c)));
        }
        if let Some(id) = self.dims.get(d) {
            return Ok(*id);
        }
        let id = match self.start_of(d) {
            Some((start, rest)) => {
                let rest = self.dim(&rest, symbols)?;
                self.add(Op::Add(start, rest))
            }
            None => self.sum(d, symbols)?,
        };
        if d.terms().len() >= LONG_SUM {
            self.sums.push((d.clone(), id));
        }
        self.dims.insert(d.clone(), id);
        Ok(id)
    }
    /// A known sum that is most of `d`, and what is missing.
    fn start_of(&self, d: &Dim) -> Option<(OpId, Dim)> {
        let terms = d.terms().len();
        if terms < LONG_SUM {
            return None;
        }
        let latest = self.sums.iter().rev().take(SUMS_TO_START_FROM);
        let best = latest.map(|(sum, id)| (*id, d - sum)).min_by_key(|(_, rest)| rest.terms().len())?;
        (2 * best.1.terms().len() < terms).then_some(best)
    }
    fn sum(&mut self, d: &Dim, symbols: &[Name]) -> Result<OpId> {
        let mut sum: Option<OpId> = None;
        for (monomial, c) in d.terms() {
            let mut term: Option<OpId> = None;
            for (atom, power) in monomial {
                let v = self.atom(atom, symbols)?;
                for _ in 0..*power {
                    term = Some(term.map_or(v, |t| self.add(Op::Mul(t, v))));
                }
            }
            let term = match (term, *c) {
                (Some(t), 1) => t,
                (Some(t), c) => {
                    let c = self.add(Op::Const(c));
                    self.add(Op::Mul(t, c))
                }
                (None, c) => self.add(Op::Const(c)),
            };
            sum = Some(sum.map_or(term, |s| self.add(Op::Add(s, term))));
        }
        Ok(sum.unwrap_or_else(|| self.add(Op::Const(0))))
    }
    fn atom(&mut self, atom: &Atom, symbols: &[Name]) -> Result<OpId> {
        let op = match atom {
            Atom::Symbol(name) => {
                let unknown = || Diagnostic::unsupported("symbol", format!("no input dim is '{name}' alone, so its size is not known at run time"));
                Op::Load(symbols.iter().position(|s| s == name).ok_or_else(unknown)?)
            }
            Atom::FloorDiv(p) | Atom::Mod(p) => {
                let (a, b, non_negative) = (self.dim(&p.0, symbols)?, self.dim(&p.1, symbols)?, p.0.known_non_negative());
                match atom {
                    Atom::Mod(_) => Op::Remainder { a, b, non_negative },
                    _ => Op::Quotient { a, b, non_negative },
                }
            }
            Atom::Min(p) => Op::Min(self.dim(&p.0, symbols)?, self.dim(&p.1, symbols)?),
            Atom::Max(p) => Op::Max(self.dim(&p.0, symbols)?, self.dim(&p.1, symbols)?),
        };
        Ok(self.add(op))
    }
}

/// Emits one operation where the builder is. `overflow`, if there, becomes true where a sum or product does not fit.
pub fn emit_op(ir: &Ir, op: Op, values: V, result: impl Fn(OpId) -> V, overflow: &mut Option<V>) -> V {
    let mut checked = |name: &str, a: V, b: V| {
        let sofar = (*overflow)?;
        let both = ir.intrinsic(name, &[ir.i64()], &[a, b]);
        *overflow = Some(ir.or(sofar, ir.field(both, 1)));
        Some(ir.field(both, 0))
    };
    match op {
        Op::Const(c) => ir.c64(c),
        Op::Load(slot) => {
            let v = ir.load(ir.i64(), ir.gep(ir.i64(), values, ir.c64(slot as i64)), 8);
            ir.set_invariant(v);
            v
        }
        Op::Mul(a, b) => {
            let (a, b) = (result(a), result(b));
            checked("llvm.smul.with.overflow", a, b).unwrap_or_else(|| ir.mul(a, b))
        }
        Op::Add(a, b) => {
            let (a, b) = (result(a), result(b));
            checked("llvm.sadd.with.overflow", a, b).unwrap_or_else(|| ir.add(a, b))
        }
        Op::Quotient { a, b, non_negative } | Op::Remainder { a, b, non_negative } => {
            let (a, b) = (result(a), result(b));
            // A size of zero as a divisor: any answer will do, but the processor must not trap.
            let b = if ir.as_const_int(b).is_some() { b } else { ir.select(ir.icmp(I::LLVMIntSGT, b, ir.c64(0)), b, ir.c64(1)) };
            let (q, r) = floor_div(ir, a, b, non_negative);
            if matches!(op, Op::Remainder { .. }) { r } else { q }
        }
        Op::Min(a, b) | Op::Max(a, b) => {
            let (a, b) = (result(a), result(b));
            let order = if matches!(op, Op::Min(..)) { I::LLVMIntSLT } else { I::LLVMIntSGT };
            ir.select(ir.icmp(order, a, b), a, b)
        }
    }
}

/// Operations in one function of those that [`emit_sizes`] makes. What a compiler does with a block grows faster than the block.
const OPS_PER_FUNCTION: usize = 256;

/// Emits `i64 lap_sizes(values)`, which fills the slots behind the symbols; its result is 0, or what is wrong: the number of a check, or
/// one more than there are checks where a size is too large. `slots` are places in the table from `next_slot - slots.len()` up.
///
/// Gives the function and how many slots the table needs: results that one part needs from another have slots of their own.
pub fn emit_sizes(ir: &Ir, checks: &[Check], slots: &IndexMap<Dim, usize>, symbols: &[Name], next_slot: usize, sanitize: bool) -> Result<(V, usize)> {
    let mut list = SizeOps::default();
    let mut homes: FxHashMap<OpId, Vec<usize>> = FxHashMap::default();
    for (d, slot) in slots {
        homes.entry(list.dim(d, symbols)?).or_default().push(*slot);
    }
    let mut sides = vec![];
    for c in checks {
        sides.push((list.dim(&c.left, symbols)?, list.dim(&c.right, symbols)?, c.or_one));
    }
    // What is read in another function than the one that computes it. Constants are just written again, and symbols have slots.
    let mut slots_used = next_slot;
    let part = |id: OpId| id / OPS_PER_FUNCTION;
    let shared = (0..list.len()).flat_map(|id| list.op(id).operands().into_iter().flatten().filter(move |operand| part(*operand) != part(id)));
    for id in shared.chain(sides.iter().flat_map(|(l, r, _)| [*l, *r])) {
        if !matches!(list.op(id), Op::Const(_) | Op::Load(_)) && !homes.contains_key(&id) {
            homes.insert(id, vec![slots_used]);
            slots_used += 1;
        }
    }

    let all = ir.function("lap_sizes", ir.function_type(ir.i64(), &[ir.ptr()]));
    ir.set_internal(all);
    machine::set_cpu(ir, all, None, sanitize);
    let start = ir.block(all);
    let read = |values: V, id: OpId| match (list.op(id), homes.get(&id)) {
        (Op::Const(c), _) => ir.c64(c),
        (Op::Load(slot), _) => ir.load(ir.i64(), ir.gep(ir.i64(), values, ir.c64(slot as i64)), 8),
        (_, Some(home)) => ir.load(ir.i64(), ir.gep(ir.i64(), values, ir.c64(home[0] as i64)), 8),
        (_, None) => ir.poison(ir.i64()),
    };
    let part_type = ir.function_type(ir.int(1), &[ir.ptr()]);
    let mut overflow = ir.c1(false);
    for first in (0..list.len()).step_by(OPS_PER_FUNCTION) {
        let f = ir.function(&format!("lap_sizes_{}", part(first)), part_type);
        ir.set_internal(f);
        machine::set_cpu(ir, f, None, sanitize);
        ir.attribute(f, "noinline", None);
        ir.at_end(ir.block(f));
        let values = ir.arg(f, 0);
        let mut done: FxHashMap<OpId, V> = FxHashMap::default();
        let mut bad = Some(ir.c1(false));
        for id in first..list.len().min(first + OPS_PER_FUNCTION) {
            for operand in list.op(id).operands().into_iter().flatten() {
                done.entry(operand).or_insert_with(|| read(values, operand));
            }
            let v = match list.op(id) {
                Op::Load(_) => read(values, id),
                op => emit_op(ir, op, values, |id| done[&id], &mut bad),
            };
            done.insert(id, v);
            for slot in homes.get(&id).into_iter().flatten() {
                ir.store(v, ir.gep(ir.i64(), values, ir.c64(*slot as i64)), 8);
            }
        }
        ir.ret(Some(bad.unwrap_or(ir.c1(false))));
        ir.at_end(start);
        overflow = ir.or(overflow, ir.call(part_type, f, &[ir.arg(all, 0)]));
    }

    ir.at_end(start);
    let fail = |condition: V, code: usize| {
        let (bad, good) = (ir.block(all), ir.block(all));
        ir.cond_br(condition, bad, good);
        ir.at_end(bad);
        ir.ret(Some(ir.c64(code as i64)));
        ir.at_end(good);
    };
    fail(overflow, checks.len() + 1);
    for (i, (l, r, or_one)) in sides.into_iter().enumerate() {
        let (l, r) = (read(ir.arg(all, 0), l), read(ir.arg(all, 0), r));
        let mut bad = ir.icmp(I::LLVMIntNE, l, r);
        if or_one {
            let not_one = |v: V| ir.icmp(I::LLVMIntNE, v, ir.c64(1));
            bad = ir.and(bad, ir.and(not_one(l), not_one(r)));
        }
        fail(bad, i + 1);
    }
    ir.ret(Some(ir.c64(0)));
    Ok((all, slots_used))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(dims: &[Dim], symbols: &[&str]) -> SizeOps {
        let names: Vec<Name> = symbols.iter().map(|s| Name::from(*s)).collect();
        let mut list = SizeOps::default();
        dims.iter().for_each(|d| {
            list.dim(d, &names).unwrap();
        });
        list
    }

    #[test]
    fn a_product_is_computed_once() {
        let (n, m) = (Dim::symbol("N"), Dim::symbol("M"));
        let nm = &n * &m;
        let l = list(&[nm.clone(), &nm + &Dim::from(1), nm.floor_div(&Dim::from(7)), nm.modulo(&Dim::from(7))], &["N", "M"]);
        assert_eq!((0..l.len()).filter(|i| matches!(l.op(*i), Op::Mul(..))).count(), 1);
    }
    #[test]
    fn sums_of_what_lies_before_are_one_addition_each() {
        let names: Vec<String> = (0..200).map(|i| format!("N{i}")).collect();
        let mut at = Dim::from(0);
        let mut offsets = vec![];
        for n in &names {
            at = &at + &Dim::symbol(n.as_str()).floor_div(&Dim::from(64));
            offsets.push(at.clone());
        }
        let l = list(&offsets, &names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(l.len() <= 4 * names.len(), "{} operations", l.len());
    }
    #[test]
    fn a_symbol_that_no_input_has_is_an_error() {
        assert!(SizeOps::default().dim(&Dim::symbol("K"), &["N".into()]).is_err());
    }
}
