//! Indices of a kernel as LLVM values: in parts, each where it is known, and for all lanes.

use super::expr::Emitter;
use super::ir::{IntCmp as I, V};
use super::scope::{AxisValue, floor_div};
use lapidary_ir::{Dim, Result};
use lapidary_kernel::{Atom, AxisId, Guard, Index};

/// How the lanes of an access lie in memory.
pub enum Access {
    /// All at one address.
    One(V),
    /// Side by side from this address.
    Row(V),
    /// Each at an element offset of its own.
    Each(V, V),
}

/// An index in parts.
struct Parts {
    /// Values that are the same for all lanes, with the levels where they are known.
    each: Vec<(usize, V)>,
    constant: i64,
    /// The distance from one lane to the next.
    stride: Dim,
    /// What varies otherwise.
    varying: Option<V>,
}

impl Emitter<'_, '_> {
    /// The value of an index: i64, one per lane where lanes differ.
    pub fn index(&mut self, i: &Index) -> Result<V> {
        let Parts { mut each, constant, stride, varying } = self.parts(i)?;
        each.sort_by_key(|(level, _)| *level);
        let mut sum: Option<V> = (constant != 0).then(|| self.ir.c64(constant));
        for (level, v) in each {
            sum = Some(match sum {
                None => v,
                Some(s) => self.at(level, |x| x.ir.add(s, v)),
            });
        }
        let sum = sum.unwrap_or(self.ir.c64(0));
        match self.lane_offsets(&stride, varying)? {
            None => Ok(sum),
            Some(lanes) => Ok(self.ir.add(sum, lanes)),
        }
    }
    fn parts(&mut self, i: &Index) -> Result<Parts> {
        let mut parts: Vec<(usize, V)> = vec![];
        let (mut constant, mut stride) = (0i64, Dim::from(0));
        let mut varying: Option<V> = None;
        match i.offset().as_const() {
            Some(v) => constant = v,
            None => parts.push((0, self.size(i.offset())?)),
        }
        for (atom, c) in i.terms() {
            let factor = self.size(c)?;
            let (level, value) = match atom {
                Atom::Axis(a) => match self.axis(*a) {
                    None => return Err(self.broken(format!("axis '{}' is used outside its loop", self.kernel.axes[a.0 as usize].name))),
                    Some((level, AxisValue::Scalar(v) | AxisValue::Each(v))) => (level, v),
                    Some((level, AxisValue::After(v, point))) => {
                        match c.as_const() {
                            Some(c) => constant += point * c,
                            None => parts.push((0, self.size(&(c * &Dim::from(point)))?)),
                        }
                        (level, v)
                    }
                    Some((level, AxisValue::Lanes(base))) => {
                        stride = &stride + c;
                        (level, base)
                    }
                },
                Atom::Value(e) => {
                    let level = self.expr_level(*e)?;
                    (level, self.expr(*e)?)
                }
                Atom::FloorDiv(x, d) | Atom::Mod(x, d) => {
                    let modulo = matches!(atom, Atom::Mod(..));
                    let (level, v, by_lane) = self.quotient(x, d, modulo)?;
                    if by_lane {
                        stride = &stride + c;
                    }
                    (level, v)
                }
            };
            let scaled = if c.as_const() == Some(1) { value } else { self.at(level, |s| s.ir.mul(value, factor)) };
            if let Some(sum) = self.ir.as_const_int(scaled).and_then(|v| v.checked_add(constant)) {
                constant = sum;
            } else if self.ir.is_vec(scaled) {
                varying = Some(match varying {
                    None => scaled,
                    Some(v) => self.ir.add(v, scaled),
                });
            } else {
                parts.push((level, scaled));
            }
        }
        Ok(Parts { each: parts, constant, stride, varying })
    }
    /// `x floordiv d` or `x mod d`, its level, and whether lane `i` is `i` more than the value given.
    fn quotient(&mut self, x: &Index, d: &Dim, modulo: bool) -> Result<(usize, V, bool)> {
        let lanes = self.lanes as i64;
        let kernel = self.kernel;
        let extent = |a: AxisId| kernel.extent(a).clone();
        let non_negative = x.range(&extent).is_some_and(|(low, _)| low.known_non_negative());
        let divisor = self.size(d)?;
        let d_const = d.as_const();
        let along = self.vector.filter(|a| x.mentions(*a));
        if let Some(axis) = along
            && self.lanes > 1
            && x.coefficient(axis).and_then(|c| c.as_const()) == Some(1)
            && d_const.is_some_and(|d| d >= lanes)
            && x.terms().iter().all(|(a, _)| !matches!(a, Atom::Value(_)))
        {
            // One division for all lanes; at most one of them is a border that the lanes cross, and none if all divide.
            let rest = x.sub(&Index::from(axis));
            let multiple = |c: &Dim| c.as_const().is_some_and(|c| c % lanes == 0);
            let aligned = d_const.is_some_and(|d| d % lanes == 0)
                && multiple(rest.offset())
                && rest.terms().iter().all(|(a, c)| matches!(a, Atom::Axis(_)) && multiple(c));
            let first = self.first_lane(x)?;
            let level = self.level();
            let (q, r) = floor_div(self.ir, first, divisor, non_negative);
            if aligned {
                return Ok((level, if modulo { r } else { q }, modulo));
            }
            let ir = self.ir;
            let r = ir.add(r, ir.iota(self.lanes));
            let crossed = ir.icmp(I::LLVMIntSGE, r, divisor);
            let v = if modulo { ir.select(crossed, ir.sub(r, divisor), r) } else { ir.add(q, ir.zext(crossed, ir.i64())) };
            return Ok((level, v, false));
        }
        let v = self.index(x)?;
        let level = if self.ir.is_vec(v) { self.level() } else { self.index_level(x)? };
        let small = self.ir.is_vec(v) && non_negative && fits_32(x, d, &extent);
        let v = self.at(level, |s| {
            let ir = s.ir;
            if small {
                // Vectors of 32-bit numbers can be divided by a constant; wider ones cannot.
                let (q, r) = floor_div(ir, ir.trunc(v, ir.int(32)), ir.trunc(divisor, ir.int(32)), true);
                return ir.zext(if modulo { r } else { q }, ir.i64());
            }
            let (q, r) = floor_div(ir, v, divisor, non_negative);
            if modulo { r } else { q }
        });
        Ok((level, v, false))
    }
    /// The index of lane 0.
    fn first_lane(&mut self, x: &Index) -> Result<V> {
        let Parts { each, constant, varying, .. } = self.parts(x)?;
        if varying.is_some() {
            let v = self.index(x)?;
            return Ok(self.ir.extract(v, 0));
        }
        Ok(each.into_iter().fold(self.ir.c64(constant), |sum, (_, v)| self.ir.add(sum, v)))
    }
    /// The lanes' distances from lane 0; `None` when there are none.
    fn lane_offsets(&mut self, stride: &Dim, varying: Option<V>) -> Result<Option<V>> {
        let regular = match stride.as_const() {
            Some(0) => None,
            _ => {
                let s = self.size(stride)?;
                Some(self.ir.mul(self.ir.iota(self.lanes), s))
            }
        };
        Ok(match (regular, varying) {
            (Some(a), Some(b)) => Some(self.ir.add(a, b)),
            (a, b) => a.or(b),
        })
    }
    /// The condition as parts that are the same for all lanes and parts that are not.
    pub fn guard(&mut self, guard: &Guard) -> Result<(Option<V>, Option<V>)> {
        let (mut same, mut each): (Option<V>, Option<V>) = (None, None);
        if self.inside.is_some() {
            return Ok((None, None));
        }
        for (i, d) in guard {
            if self.point.is_some() && self.holds_in_run(i, d) {
                continue;
            }
            let v = self.index(i)?;
            let size = self.size(d)?;
            let vec = self.ir.is_vec(v);
            let level = if vec { self.level() } else { self.index_level(i)? };
            // Negative numbers are large without a sign.
            let c = self.at(level, |s| s.ir.icmp(I::LLVMIntULT, v, size));
            let all = if vec { &mut each } else { &mut same };
            *all = Some(match *all {
                None => c,
                Some(x) => self.ir.and(x, c),
            });
        }
        Ok((same, each))
    }
    /// Whether an index is within a size at this point of every run.
    fn holds_in_run(&self, i: &Index, size: &Dim) -> bool {
        let kernel = self.kernel;
        let all = |a: AxisId| kernel.extent(a).clone();
        let at = |a: AxisId| match self.axis(a) {
            Some((_, AxisValue::After(_, point))) => Index::from(a).add_dim(&Dim::from(point)),
            Some((_, v)) => self.constant_axis(v).map_or(a.into(), Index::from),
            None => a.into(),
        };
        // Where runs begin.
        let begins = |a: AxisId| match self.run {
            Some(r) if r.axis == a => &all(a) - &Dim::from(r.points - 1),
            _ => all(a),
        };
        i.substitute(&at, &Index::value, &all).known_within(size, &begins)
    }
    pub fn access(&mut self, base: V, dtype_bytes: i64, flat: &Index) -> Result<Access> {
        let Parts { mut each, constant, stride, varying } = self.parts(flat)?;
        each.sort_by_key(|(level, _)| *level);
        let t = self.ir.int(dtype_bytes as u32 * 8);
        let mut p = base;
        for chunk in each.chunk_by(|a, b| a.0 == b.0) {
            p = self.at(chunk[0].0, |s| {
                let sum = chunk[1..].iter().fold(chunk[0].1, |sum, (_, v)| s.ir.add(sum, *v));
                s.ir.gep(t, p, sum)
            });
        }
        // Last, so that neighbours (the elements of a window) share all the rest, and differ in what an instruction adds for nothing.
        p = self.ir.gep(t, p, self.ir.c64(constant));
        Ok(match (stride.as_const(), varying) {
            (Some(0), None) => Access::One(p),
            (Some(1), None) => Access::Row(p),
            (_, varying) => match self.lane_offsets(&stride, varying)? {
                Some(offsets) => Access::Each(p, offsets),
                None => Access::One(p),
            },
        })
    }
}

/// Whether the index and the divisor are below 2³¹.
fn fits_32(x: &Index, d: &Dim, extent: &impl Fn(AxisId) -> Dim) -> bool {
    let limit = i32::MAX as i64;
    let high = x.range(extent).and_then(|(_, h)| h.as_const());
    high.is_some_and(|h| h <= limit) && d.as_const().is_some_and(|d| d <= limit)
}
