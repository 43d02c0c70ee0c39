//! Reading and writing elements: buffers and local arrays, one element or one for each lane.

use super::expr::{Ahead, Emitter, Place, Pointer};
use super::f29;
use super::index::Access;
use super::ir::{IntCmp as I, Ir, V};
use super::types;
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{Buffer, BufferId, ExprId, F29, Guard, Index, LocalId, linearize, typical};

/// Smaller buffers stay in the cache of a core.
const FAR_BYTES: i64 = 512 << 10;

/// Whether what a buffer holds comes from beyond the caches of a core.
pub fn is_far(b: &Buffer) -> bool {
    typical::elements(&b.dims).saturating_mul(b.dtype.bits() as i64) / 8 >= FAR_BYTES
}

impl Emitter<'_, '_> {
    pub fn load(&mut self, buffer: BufferId, dtype: DType, index: &[Index], guard: &Guard, otherwise: Option<ExprId>) -> Result<V> {
        let b = self.program.buffer(buffer);
        if b.dtype != dtype {
            return Err(self.broken(format!("buffer '{}' holds {}, but is read as {dtype}", b.name, b.dtype)));
        }
        let flat = linearize(index, &b.dims);
        let Some(Pointer { base, traits }) = self.pointers.get(&buffer).copied() else {
            return Err(self.broken("a buffer that is read is not among the buffers read"));
        };
        if let Some(form) = traits.f29 {
            return self.look_up(base, form, &flat, guard, otherwise);
        }
        let bytes = types::bytes(dtype);
        let (same, each) = self.guard(guard)?;
        let access = match dtype.is_packed() {
            false => self.access(base, bytes as i64, &flat)?,
            true => {
                let i = self.index(&flat)?;
                if self.ir.is_vec(i) { Access::Each(base, i) } else { Access::One(i) }
            }
        };
        let otherwise = otherwise.map(|e| self.expr(e)).transpose()?;
        let ahead = self.bytes_ahead(self.ahead, buffer, &flat, bytes)?;
        let (lanes, mask, zeros) = (self.lanes, self.mask, self.zeros);
        let v = {
            let ir = self.ir;
            let memory = types::memory(ir, dtype);
            // Where nothing may be read, zeros are: no branch, and mostly nothing left to choose.
            let redirect = |p: V, c: Option<V>| c.map_or(p, |c| ir.select(c, p, zeros));
            let tag = |v: V| {
                if traits.invariant {
                    ir.set_invariant(v)
                }
                v
            };
            let packed = dtype.is_packed().then(|| 8 / dtype.bits() as i64);
            let raw = match access {
                // Elements that share bytes: the byte, shifted.
                Access::One(i) | Access::Each(_, i) if packed.is_some() => {
                    let per = packed.unwrap_or(1);
                    let t = ir.ty(i);
                    let byte = ir.lshr(i, ir.cint(t, per.trailing_zeros() as i64));
                    let shift = ir.mul(ir.and(i, ir.cint(t, per - 1)), ir.cint(t, dtype.bits() as i64));
                    let condition = both(ir, both(ir, mask.filter(|_| ir.is_vec(i)), each), same);
                    let read = |p: V, c: Option<V>| tag(ir.load(memory, redirect(p, c), 1));
                    let raw = if ir.is_vec(i) {
                        let pointers = ir.gep_bytes(base, byte);
                        let condition = condition.map(|c| ir.splat(c, lanes));
                        (0..lanes).fold(ir.poison(ir.vec(memory, lanes)), |v, l| {
                            ir.insert(v, read(ir.extract(pointers, l), condition.map(|c| ir.extract(c, l))), l)
                        })
                    } else {
                        let any = condition.map(|c| if ir.is_vec(c) { ir.intrinsic("llvm.vector.reduce.or", &[ir.ty(c)], &[c]) } else { c });
                        read(ir.gep_bytes(base, byte), any)
                    };
                    let bits = ir.lshr(raw, ir.trunc(shift, ir.int(8)));
                    ir.and(bits, ir.cint(ir.ty(bits), (1 << dtype.bits()) - 1))
                }
                // A condition that varies over one address: read, if any lane may, and choose below.
                Access::One(p) => {
                    let any = each.map(|m| ir.intrinsic("llvm.vector.reduce.or", &[ir.ty(m)], &[m]));
                    let condition = match (same, any) {
                        (Some(a), Some(b)) => Some(ir.and(a, b)),
                        (a, b) => a.or(b),
                    };
                    tag(ir.load(memory, redirect(p, condition), bytes))
                }
                Access::Row(p) => {
                    let t = ir.vec(memory, lanes);
                    if let Some(by) = ahead {
                        ir.prefetch(ir.gep_bytes(p, by));
                    }
                    let p = redirect(p, same);
                    match both(ir, mask, each) {
                        None => tag(ir.load(t, p, bytes)),
                        Some(m) => tag(ir.masked_load(t, p, m, ir.zero(t), bytes)),
                    }
                }
                Access::Each(p, offsets) => {
                    let t = ir.vec(memory, lanes);
                    let allowed = both(ir, both(ir, mask, each), same.map(|c| ir.splat(c, lanes)));
                    let m = allowed.unwrap_or_else(|| ir.cint(ir.vec(ir.int(1), lanes), 1));
                    if bytes >= 4 {
                        tag(ir.gather(t, ir.gep(memory, p, offsets), m, ir.zero(t), bytes))
                    } else {
                        let pointers = ir.gep(memory, p, offsets);
                        (0..lanes).fold(ir.poison(t), |v, i| {
                            let p = ir.extract(pointers, i);
                            let p = if allowed.is_some() { ir.select(ir.extract(m, i), p, zeros) } else { p };
                            ir.insert(v, tag(ir.load(memory, p, bytes)), i)
                        })
                    }
                }
            };
            let v = types::decode(ir, dtype, raw);
            // Zeros were read where the condition fails, but for one address that some lanes may read (and F8E8M0 has no zero).
            let one = matches!(access, Access::One(_));
            let condition = match (same, each) {
                (Some(a), Some(b)) => Some(ir.and(ir.splat(a, lanes), b)),
                (a, b) => a.or(b),
            };
            match (condition, otherwise) {
                (Some(c), Some(o)) => ir.select(c, v, o),
                (Some(c), None) if one && each.is_some() || dtype == DType::F8E8M0 => ir.select(c, v, ir.zero(ir.ty(v))),
                _ => v,
            }
        };
        Ok(v)
    }
    /// A weight, or one for each lane, of those that are kept in 29 bits.
    fn look_up(&mut self, base: V, form: F29, flat: &Index, guard: &Guard, otherwise: Option<ExprId>) -> Result<V> {
        let (same, each) = self.guard(guard)?;
        let index = self.index(flat)?;
        let otherwise = otherwise.map(|e| self.expr(e)).transpose()?;
        let (ir, lanes) = (self.ir, self.lanes);
        let condition = both(ir, self.mask.filter(|_| ir.is_vec(index)), both(ir, same, each));
        // Where nothing may be read, the first weight is.
        let index = condition.map_or(index, |c| ir.select(c, index, ir.c64(0)));
        let read = |at: V| {
            let p = ir.gep(ir.int(32), base, at);
            let v = match ir.is_vec(at) {
                true => ir.gather(ir.vec(ir.int(32), lanes), p, ir.cint(ir.vec(ir.int(1), lanes), 1), ir.zero(ir.vec(ir.int(32), lanes)), 4),
                false => ir.load(ir.int(32), p, 4),
            };
            ir.set_invariant(v);
            v
        };
        let v = f29::look_up(ir, form, index, &read);
        Ok(condition.map_or(v, |c| ir.select(c, v, otherwise.unwrap_or(ir.cfloat(ir.f32(), 0.0)))))
    }
    /// The element type, in scratch memory, of a local array: registers' form, but for bool, which takes a byte.
    pub fn local_bytes(dtype: DType) -> i64 {
        match dtype {
            DType::F16 | DType::BF16 => 4,
            _ => types::bytes(dtype) as i64,
        }
    }
    /// Whether each lane has a local array of its own.
    pub fn local_per_lane(&self) -> bool {
        self.vector.is_some_and(|a| self.kernel.is_parallel(a))
    }
    fn local_access(&mut self, l: LocalId, base: V) -> Result<(Access, bool)> {
        let kernel = self.kernel;
        let axes = &kernel.local(l).axes;
        let index: Vec<Index> = axes.iter().map(|a| Index::from(*a)).collect();
        let dims: Vec<Dim> = axes.iter().map(|a| kernel.extent(*a).clone()).collect();
        let mut flat = linearize(&index, &dims);
        let per_lane = self.local_per_lane();
        if per_lane {
            flat = flat.scale(&Dim::from(self.lanes as i64));
        }
        Ok((self.access(base, Self::local_bytes(kernel.local(l).dtype), &flat)?, per_lane))
    }
    pub fn local(&mut self, l: LocalId) -> Result<V> {
        let dtype = self.kernel.local(l).dtype;
        let unset = || Err(self.broken(format!("local '{}' is used before it is set", self.kernel.local(l).name)));
        let base = match &self.places[l.0 as usize] {
            Some(Place::Registers(of)) => return of.get(self.point.unwrap_or(0) as usize).copied().map_or_else(unset, Ok),
            Some(Place::Scratch(p)) => *p,
            None => return unset(),
        };
        let (access, per_lane) = self.local_access(l, base)?;
        let (lanes, mask) = (self.lanes, self.mask);
        Ok({
            let ir = self.ir;
            let bytes = Self::local_bytes(dtype) as u32;
            let (register, is_bool) = (types::register(ir, dtype), dtype == DType::Bool);
            let memory = if is_bool { ir.int(8) } else { register };
            let t = ir.vec(memory, lanes);
            let raw = match access {
                Access::One(p) if per_lane => ir.load(t, p, bytes),
                Access::One(p) => ir.load(memory, p, bytes),
                Access::Row(p) => match mask {
                    None => ir.load(t, p, bytes),
                    Some(m) => ir.masked_load(t, p, m, ir.zero(t), bytes),
                },
                Access::Each(p, o) => {
                    let m = mask.unwrap_or_else(|| ir.cint(ir.vec(ir.int(1), lanes), 1));
                    ir.gather(t, ir.gep(memory, p, o), m, ir.zero(t), bytes)
                }
            };
            if is_bool { types::decode(ir, DType::Bool, raw) } else { raw }
        })
    }
    /// Sets the element of a local array at the current point.
    pub fn set_local(&mut self, l: LocalId, base: V, v: V) -> Result<()> {
        let (access, per_lane) = self.local_access(l, base)?;
        let dtype = self.kernel.local(l).dtype;
        let v = if dtype == DType::Bool { types::encode(self.ir, dtype, v) } else { v };
        let v = if per_lane { self.ir.splat(v, self.lanes) } else { v };
        self.put(access, v, Self::local_bytes(dtype) as u32, None);
        Ok(())
    }
    /// How far what is fetched lies behind what is read or written at this point, if anything is.
    fn bytes_ahead(&mut self, ahead: Option<Ahead>, buffer: BufferId, flat: &Index, bytes: u32) -> Result<Option<V>> {
        let Some(a) = ahead.filter(|_| is_far(self.program.buffer(buffer))) else { return Ok(None) };
        let step = flat.coefficient(a.axis).filter(|c| c.as_const() != Some(0));
        step.map(|c| self.size(&(&c * &Dim::from(a.points * bytes as i64)))).transpose()
    }
    fn put(&mut self, access: Access, v: V, bytes: u32, each: Option<V>) {
        let ir = self.ir;
        let mask = both(ir, self.mask, each);
        match access {
            Access::One(p) => ir.store(v, p, bytes),
            Access::Row(p) => {
                let v = ir.splat(v, self.lanes);
                match mask {
                    None => ir.store(v, p, bytes),
                    Some(m) => ir.masked_store(v, p, m, bytes),
                }
            }
            Access::Each(p, o) => {
                let v = ir.splat(v, self.lanes);
                let pointers = ir.gep(ir.element(ir.ty(v)), p, o);
                match mask {
                    // One store after the other: what scatters do on many a CPU, only slower.
                    None => (0..self.lanes).for_each(|lane| ir.store(ir.extract(v, lane), ir.extract(pointers, lane), bytes)),
                    Some(m) => ir.scatter(v, pointers, m, bytes),
                }
            }
        }
    }
    /// `buffer[index] = value` where the guard holds.
    pub fn store(&mut self, buffer: BufferId, index: &[Index], guard: &Guard, value: ExprId) -> Result<()> {
        let dtype = self.kernel.expr(value).dtype;
        let b = self.program.buffer(buffer);
        if b.dtype != dtype {
            return Err(self.broken(format!("buffer '{}' holds {}, but is written as {dtype}", b.name, b.dtype)));
        }
        let v = self.expr(value)?;
        let (same, each) = self.guard(guard)?;
        let Some(Pointer { base, .. }) = self.pointers.get(&buffer).copied() else {
            return Err(self.broken("a buffer that is written is not among the buffers written"));
        };
        if dtype.is_packed() {
            let i = self.index(&linearize(index, &b.dims))?;
            if self.ir.is_vec(i) || self.ir.is_vec(v) || each.is_some() {
                return Err(self.broken("elements that share a byte are stored side by side"));
            }
            let last = self.size(&(&b.elements() - &Dim::from(1)))?;
            return self.store_packed(base, (i, last), dtype, v, same);
        }
        let bytes = types::bytes(dtype);
        let flat = linearize(index, &b.dims);
        let access = self.access(base, bytes as i64, &flat)?;
        if let (Access::Row(p), Some(by)) = (&access, self.bytes_ahead(self.ahead, buffer, &flat, bytes)?) {
            self.ir.prefetch(self.ir.gep_bytes(*p, by));
        }
        if matches!(access, Access::One(_)) && (self.ir.is_vec(v) || each.is_some()) {
            return Err(self.broken("many points store to one element"));
        }
        let raw = types::encode(self.ir, dtype, v);
        match same {
            None => self.put(access, raw, bytes, each),
            Some(c) => {
                let ir = self.ir;
                let (yes, done) = (ir.block(self.function), ir.block(self.function));
                ir.cond_br(c, yes, done);
                ir.at_end(yes);
                self.put(access, raw, bytes, each);
                ir.br(done);
                ir.at_end(done);
            }
        }
        Ok(())
    }
    /// The bytes of an element of a buffer, and its address, which all lanes share.
    pub fn place(&mut self, buffer: BufferId, index: &[Index]) -> Result<(u32, V)> {
        let b = self.program.buffer(buffer);
        let Some(Pointer { base, .. }) = self.pointers.get(&buffer).copied() else {
            return Err(self.broken("a buffer is not among those that are read and written"));
        };
        let bytes = types::bytes(b.dtype);
        match self.access(base, bytes as i64, &linearize(index, &b.dims))? {
            Access::One(p) => Ok((bytes, p)),
            _ => Err(self.broken("a place is not one place")),
        }
    }
    /// Stores a vector at `buffer[index] + offset` and after it, index being one place; as it is, where its elements are not the buffer's.
    pub fn store_side_by_side(&mut self, buffer: BufferId, index: &[Index], (v, offset): (V, i64), mask: Option<V>, encoded: bool) -> Result<()> {
        let (bytes, p) = self.place(buffer, index)?;
        let raw = if encoded { v } else { types::encode(self.ir, self.program.buffer(buffer).dtype, v) };
        let p = self.ir.gep_bytes(p, self.ir.c64(offset * bytes as i64));
        let flat = linearize(index, &self.program.buffer(buffer).dims);
        if let Some(by) = self.bytes_ahead(self.ahead, buffer, &flat, bytes)? {
            self.ir.prefetch(self.ir.gep_bytes(p, by));
        }
        match mask {
            None => self.ir.store(raw, p, bytes),
            Some(m) => self.ir.masked_store(raw, p, m, bytes),
        }
        Ok(())
    }
    /// Puts an element of less than a byte among its neighbours, which stay; what follows the last one is zero. One thread writes such a
    /// buffer.
    fn store_packed(&mut self, base: V, (i, last): (V, V), dtype: DType, v: V, condition: Option<V>) -> Result<()> {
        let ir = self.ir;
        let bits = dtype.bits() as i64;
        let (per, t, byte) = (8 / bits, ir.ty(i), ir.int(8));
        let p = ir.gep_bytes(base, ir.lshr(i, ir.cint(t, per.trailing_zeros() as i64)));
        let shift = ir.trunc(ir.mul(ir.and(i, ir.cint(t, per - 1)), ir.cint(t, bits)), byte);
        let code = ir.shl(types::encode(ir, dtype, v), shift);
        let ends = ir.icmp(I::LLVMIntEQ, i, last);
        let mask = ir.shl(ir.select(ends, ir.cint(byte, 0xff), ir.cint(byte, (1 << bits) - 1)), shift);
        let put = || ir.store(ir.or(ir.and(ir.load(byte, p, 1), ir.not(mask)), code), p, 1);
        match condition {
            None => put(),
            Some(c) => {
                let (yes, done) = (ir.block(self.function), ir.block(self.function));
                ir.cond_br(c, yes, done);
                ir.at_end(yes);
                put();
                ir.br(done);
                ir.at_end(done);
            }
        }
        Ok(())
    }
}

fn both(ir: &Ir, a: Option<V>, b: Option<V>) -> Option<V> {
    match (a, b) {
        (Some(a), Some(b)) => Some(ir.and(a, b)),
        (a, b) => a.or(b),
    }
}
