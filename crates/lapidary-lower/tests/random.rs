//! Optimizing keeps the meaning of random programs, for sizes that include 0 and 1; and what is optimized prints and reads back.

use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::text::parse_program;
use lapidary_kernel::{BinaryOp, Buffer, BufferId, BufferKind, ExprId, Index, KernelBuilder, Program, ReduceOp, Stmt, UnaryOp, interp};
use proptest::prelude::*;

/// Decisions made by bytes, so that a failing case shrinks to few and small ones.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.next().map_or(0, |b| *b as usize % n.max(1))
    }
    fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }
}

struct Net<'a> {
    p: Program,
    c: Choices<'a>,
    /// f32 buffers that are complete.
    values: Vec<BufferId>,
    outputs: u32,
}

const UNARY: [UnaryOp; 5] = [UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Tanh, UnaryOp::Floor, UnaryOp::Sigmoid];
const BINARY: [BinaryOp; 5] = [BinaryOp::Add, BinaryOp::Mul, BinaryOp::Max, BinaryOp::Sub, BinaryOp::Min];

impl Net<'_> {
    fn dims(&self, b: BufferId) -> Vec<Dim> {
        self.p.buffer(b).dims.to_vec()
    }
    fn new_buffer(&mut self, dims: &[Dim], dtype: DType, kind: BufferKind) -> BufferId {
        let name = format!("b{}", self.p.buffers.len());
        self.p.add_buffer(Buffer { name: name.as_str().into(), dtype, dims: dims.into(), kind })
    }
    /// A temporary, or now and then an output (which others may read all the same).
    fn result(&mut self, dims: &[Dim]) -> BufferId {
        let kind = if self.c.below(6) == 5 {
            self.outputs += 1;
            BufferKind::Output(self.outputs - 1)
        } else {
            BufferKind::Temp
        };
        let b = self.new_buffer(dims, DType::F32, kind);
        self.values.push(b);
        b
    }
    fn dim(&mut self) -> Dim {
        match self.c.below(9) {
            0 => Dim::symbol("N"),
            1 => Dim::symbol("T"),
            2 => Dim::from(1),
            3 => Dim::from(2),
            4 => Dim::from(3),
            5 => Dim::from(8),
            6 => Dim::from(16),
            7 => &Dim::symbol("N") * &Dim::from(2),
            _ => Dim::from(4),
        }
    }
    fn shape(&mut self) -> Vec<Dim> {
        (0..1 + self.c.below(4)).map(|_| self.dim()).collect()
    }
    fn value(&mut self) -> BufferId {
        // Recent ones more often, so that chains get long.
        let n = self.values.len();
        let back = self.c.below(n.min(4));
        if self.c.below(4) == 3 { self.values[self.c.below(n)] } else { self.values[n - 1 - back] }
    }
    fn constant(&mut self, sizes: &[usize]) -> BufferId {
        let n: usize = sizes.iter().product();
        let data: Vec<f32> = (0..n).map(|i| ((i * 37 + 11) % 29) as f32 / 8.0 - 1.5).collect();
        let dims: Vec<Dim> = sizes.iter().map(|s| Dim::from(*s)).collect();
        self.new_buffer(&dims, DType::F32, BufferKind::Const(Tensor::from_slice(sizes, &data).into()))
    }
    fn kernel(&self, name: &str) -> KernelBuilder {
        KernelBuilder::new(name, &[format!("n{}", self.p.kernels.len()).as_str().into()])
    }
    fn done(&mut self, k: KernelBuilder) {
        self.p.kernels.push(k.finish());
    }
    fn load(&self, k: &mut KernelBuilder, b: BufferId, at: &[Index]) -> ExprId {
        k.load(b, DType::F32, at.to_vec())
    }
    fn at(k: &mut KernelBuilder, dims: &[Dim]) -> Vec<Index> {
        k.parallel_all("i", dims).into_iter().map(Into::into).collect()
    }

    fn unary(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let y = self.result(&d);
        let mut k = self.kernel("unary");
        let at = Self::at(&mut k, &d);
        let mut v = self.load(&mut k, x, &at);
        for _ in 0..1 + self.c.below(3) {
            v = k.unary(self.c.of(&UNARY), v);
        }
        k.store(y, at, v);
        self.done(k);
    }
    /// Broadcasting; where both sizes are symbols, which one is 1 is known at run time only.
    fn binary(&mut self) {
        let a = self.value();
        let d = self.dims(a);
        let keep = self.c.below(d.len() + 1);
        let mut bd: Vec<Dim> = d[keep..].to_vec();
        for x in &mut bd {
            match self.c.below(4) {
                0 => *x = Dim::from(1),
                1 if x.as_symbol().is_some() => *x = x.minimum(&Dim::from(1)),
                _ => {}
            }
        }
        let same: Vec<BufferId> = self.values.iter().copied().filter(|v| self.dims(*v) == bd).collect();
        let b = if same.is_empty() || self.c.below(3) == 0 { self.fill(&bd) } else { self.c.of(&same) };
        let y = self.result(&d);
        let mut k = self.kernel("binary");
        let at = Self::at(&mut k, &d);
        let u = self.load(&mut k, a, &at);
        let other = k.broadcast(&at, &d, &bd);
        let v = self.load(&mut k, b, &other);
        let v = k.binary(self.c.of(&BINARY), u, v);
        k.store(y, at, v);
        self.done(k);
    }
    /// A value made of positions and sizes.
    fn fill(&mut self, dims: &[Dim]) -> BufferId {
        let y = self.new_buffer(dims, DType::F32, BufferKind::Temp);
        let mut k = self.kernel("fill");
        let at = Self::at(&mut k, dims);
        let sum = at.iter().fold(Index::from(1), |s, i| s.scale(&Dim::from(3)).add(i));
        let v = k.index(sum.add_dim(&Dim::symbol("N")));
        let v = k.cast(DType::F32, v);
        k.store(y, at, v);
        self.done(k);
        if !dims.is_empty() {
            self.values.push(y);
        }
        y
    }
    fn transpose(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let mut order: Vec<usize> = (0..d.len()).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, self.c.below(i + 1));
        }
        let out: Vec<Dim> = order.iter().map(|o| d[*o].clone()).collect();
        let y = self.result(&out);
        let mut k = self.kernel("transpose");
        let at = Self::at(&mut k, &out);
        let mut from = at.clone();
        order.iter().enumerate().for_each(|(i, o)| from[*o] = at[i].clone());
        let v = self.load(&mut k, x, &from);
        k.store(y, at, v);
        self.done(k);
    }
    /// Merges neighbours or splits a dim, as reshapes do: by the reader's position or by the writer's.
    fn reshape(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let mut out = d.clone();
        let i = self.c.below(d.len());
        if self.c.yes() && i + 1 < d.len() {
            out[i] = &d[i] * &d[i + 1];
            out.remove(i + 1);
        } else if out.len() < 5 {
            let by = self.c.of(&[Dim::from(2), Dim::from(4), Dim::from(1), Dim::symbol("N"), Dim::symbol("T")]);
            let Some(q) = d[i].exact_div(&by) else { return };
            out[i] = q;
            out.insert(i + self.c.below(2), by);
        }
        let y = self.result(&out);
        let mut k = self.kernel("reshape");
        if self.c.yes() {
            let at = Self::at(&mut k, &out);
            let flat = lapidary_kernel::linearize(&at, &out);
            let from = k.delinearize(&flat, &d);
            let v = self.load(&mut k, x, &from);
            k.store(y, at, v);
        } else {
            let at = Self::at(&mut k, &d);
            let flat = lapidary_kernel::linearize(&at, &d);
            let to = k.delinearize(&flat, &out);
            let v = self.load(&mut k, x, &at);
            k.store(y, to, v);
        }
        self.done(k);
    }
    /// A window with padding around: out-of-range reads give a value.
    fn pad(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let (axis, before, after) = (self.c.below(d.len()), self.c.below(3) as i64, self.c.below(3) as i64);
        let mut out = d.clone();
        out[axis] = &d[axis] + &Dim::from(before + after);
        let y = self.result(&out);
        let mut k = self.kernel("pad");
        let at = Self::at(&mut k, &out);
        let mut from = at.clone();
        from[axis] = at[axis].add_dim(&Dim::from(-before));
        let otherwise = match self.c.below(3) {
            0 => None,
            1 => Some(k.constant(DType::F32, 0.0)),
            _ => Some(k.constant(DType::F32, -7.5)),
        };
        let guard = vec![(from[axis].clone(), d[axis].clone())];
        let v = k.load_guarded(x, DType::F32, from, guard, otherwise);
        k.store(y, at, v);
        self.done(k);
    }
    /// Every other element, backwards or not.
    fn slice(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let axis = self.c.below(d.len());
        let mut out = d.clone();
        out[axis] = (&d[axis] + &Dim::from(1)).floor_div(&Dim::from(2));
        let y = self.result(&out);
        let mut k = self.kernel("slice");
        let at = Self::at(&mut k, &out);
        let mut from = at.clone();
        let two = at[axis].scale(&Dim::from(2));
        from[axis] = if self.c.yes() { Index::from(&d[axis] - &Dim::from(1)).sub(&two) } else { two };
        let v = self.load(&mut k, x, &from);
        k.store(y, at, v);
        self.done(k);
    }
    /// Several writers of one buffer, as kernels of their own or as stores of one kernel.
    fn concat(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let axis = self.c.below(d.len());
        let mut parts = vec![x];
        for v in self.values.clone() {
            let vd = self.dims(v);
            let fits = vd.len() == d.len() && vd.iter().zip(&d).enumerate().all(|(i, (a, b))| i == axis || a == b);
            if fits && parts.len() < 3 && self.c.yes() {
                parts.push(v);
            }
        }
        let mut out = d.clone();
        out[axis] = parts.iter().fold(Dim::from(0), |s, p| &s + &self.dims(*p)[axis]);
        let y = self.result(&out);
        let equal = parts.iter().all(|p| self.dims(*p) == d);
        let mut start = Dim::from(0);
        if equal && self.c.yes() {
            let mut k = self.kernel("stack");
            let at = Self::at(&mut k, &d);
            for p in parts {
                let v = self.load(&mut k, p, &at);
                let v = if self.c.yes() { k.unary(UnaryOp::Neg, v) } else { v };
                let mut to = at.clone();
                to[axis] = at[axis].add_dim(&start);
                k.store(y, to, v);
                start = &start + &d[axis];
            }
            self.done(k);
            return;
        }
        for p in parts {
            let pd = self.dims(p);
            let mut k = self.kernel("piece");
            let at = Self::at(&mut k, &pd);
            let v = self.load(&mut k, p, &at);
            let mut to = at.clone();
            to[axis] = at[axis].add_dim(&start);
            k.store(y, to, v);
            start = &start + &pd[axis];
            self.done(k);
        }
    }
    /// Elements stored one by one, as sizes are.
    fn elements(&mut self) {
        let n = 1 + self.c.below(3);
        let y = self.result(&[Dim::from(n)]);
        let mut k = self.kernel("elements");
        for i in 0..n {
            let v = k.index(Index::from(&Dim::symbol("T") + &Dim::from(i)));
            let v = k.cast(DType::F32, v);
            k.store(y, [Index::from(i as i64)], v);
        }
        self.done(k);
    }
    fn reduce(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let over: Vec<bool> = d.iter().map(|_| self.c.yes()).collect();
        let keep = self.c.yes() || over.iter().all(|o| *o);
        let out: Vec<Dim> = d.iter().zip(&over).filter(|(_, o)| keep || !**o).map(|(d, o)| if *o { Dim::from(1) } else { d.clone() }).collect();
        let y = self.result(&out);
        let mut k = self.kernel("reduce");
        let at = Self::at(&mut k, &out);
        let (mut index, mut axes, mut next) = (vec![], vec![], 0);
        for (d, o) in d.iter().zip(&over) {
            if *o {
                let a = k.axis("r", d.clone());
                axes.push(a);
                index.push(Index::from(a));
                next += usize::from(keep);
            } else {
                index.push(at[next].clone());
                next += 1;
            }
        }
        let v = self.load(&mut k, x, &index);
        let op = self.c.of(&[ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min]);
        let v = k.reduce(op, DType::F32, &axes, v);
        // The empty maximum is infinite, which would make NaNs of what follows.
        let (low, high) = (k.constant(DType::F32, -1e3), k.constant(DType::F32, 1e3));
        let v = k.binary(BinaryOp::Max, v, low);
        let v = k.binary(BinaryOp::Min, v, high);
        k.store(y, at, v);
        self.done(k);
    }
    /// A row with a local array: x / (1 + Σ |x|), the dim at the end or in the middle.
    fn row(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let along = self.c.below(d.len());
        let y = self.result(&d);
        let twice = self.c.yes().then(|| self.result(&d));
        let mut k = self.kernel("row");
        let outer: Vec<Dim> = d.iter().enumerate().filter(|(i, _)| *i != along).map(|(_, d)| d.clone()).collect();
        let mut at = Self::at(&mut k, &outer);
        let j = k.axis("j", d[along].clone());
        at.insert(along, j.into());
        let v = self.load(&mut k, x, &at);
        let a = k.unary(UnaryOp::Abs, v);
        let e = if self.c.yes() { k.keep(&[j], a) } else { a };
        let s = k.reduce(ReduceOp::Sum, DType::F32, &[j], e);
        let one = k.constant(DType::F32, 1.0);
        let s = k.add(s, one);
        let q = k.div(v, s);
        k.store_along(y, at.clone(), &[j], q);
        if let Some(z) = twice {
            let e = k.mul(e, q);
            k.store_along(z, at, &[j], e);
        }
        self.done(k);
    }
    fn matmul(&mut self) {
        let a = self.value();
        let ad = self.dims(a);
        if ad.len() < 2 {
            return;
        }
        let inner = ad[ad.len() - 1].clone();
        let same: Vec<BufferId> = self.values.iter().copied().filter(|v| self.dims(*v).len() == 2 && self.dims(*v)[0] == inner).collect();
        let b = match inner.as_const() {
            Some(n) if same.is_empty() || self.c.yes() => {
                let columns = self.c.of(&[16, 8, 5, 32, 1]);
                self.constant(&[n as usize, columns])
            }
            _ if same.is_empty() => {
                let n = self.dim();
                self.fill(&[inner.clone(), n])
            }
            _ => self.c.of(&same),
        };
        let bd = self.dims(b);
        let mut out = ad.clone();
        out[ad.len() - 1] = bd[1].clone();
        let y = self.result(&out);
        let mut k = self.kernel("matmul");
        let at = Self::at(&mut k, &out);
        let c = k.axis("k", inner);
        let (mut left, right) = (at.clone(), [c.into(), at[at.len() - 1].clone()]);
        left[ad.len() - 1] = c.into();
        let u = self.load(&mut k, a, &left);
        let v = self.load(&mut k, b, &right);
        let v = k.mul(u, v);
        let v = k.reduce(ReduceOp::Sum, DType::F32, &[c], v);
        let scale = k.constant(DType::F32, 0.125);
        let v = if self.c.yes() { k.mul(v, scale) } else { v };
        k.store(y, at, v);
        self.done(k);
    }
    /// A window of three with padding over the last dim: a convolution, depthwise or not.
    fn window(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        if d.len() < 3 {
            return;
        }
        let last = d.len() - 1;
        let y;
        let mut k = self.kernel("window");
        match (d[1].as_const(), self.c.yes()) {
            (Some(channels), true) => {
                let w = self.constant(&[16, channels as usize, 3]);
                let mut out = d.clone();
                out[1] = Dim::from(16);
                y = self.result(&out);
                let at = Self::at(&mut k, &out);
                let (c, q) = (k.axis("c", d[1].clone()), k.axis("q", Dim::from(3)));
                let place = at[last].add(&q.into()).add_dim(&Dim::from(-1));
                let (mut from, guard) = (at.clone(), vec![(place.clone(), d[last].clone())]);
                (from[1], from[last]) = (c.into(), place);
                let u = k.load_guarded(x, DType::F32, from, guard, None);
                let v = self.load(&mut k, w, &[at[1].clone(), c.into(), q.into()]);
                let v = k.mul(u, v);
                let v = k.reduce(ReduceOp::Sum, DType::F32, &[c, q], v);
                k.store(y, at, v);
            }
            _ => {
                y = self.result(&d);
                let at = Self::at(&mut k, &d);
                let q = k.axis("q", Dim::from(3));
                let place = at[last].add(&q.into()).add_dim(&Dim::from(-1));
                let (mut from, guard) = (at.clone(), vec![(place.clone(), d[last].clone())]);
                from[last] = place;
                let low = k.constant(DType::F32, -100.0);
                let u = k.load_guarded(x, DType::F32, from, guard, Some(low));
                let v = k.reduce(ReduceOp::Max, DType::F32, &[q], u);
                k.store(y, at, v);
            }
        }
        self.done(k);
    }
    /// An index that data decides.
    fn gather(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let axis = self.c.below(d.len());
        let i = self.dim();
        let mut out = d.clone();
        out[axis] = i.clone();
        let ids = self.new_buffer(std::slice::from_ref(&i), DType::I64, BufferKind::Temp);
        let mut k = self.kernel("ids");
        let a = k.parallel("i", i);
        let v = k.index(Index::from(a).scale(&Dim::from(5)).add_dim(&Dim::from(-2)));
        k.store(ids, [a.into()], v);
        self.done(k);
        // An index into an empty dim has nothing to read, so a guard is needed.
        let y = self.result(&out);
        let mut k = self.kernel("gather");
        let at = Self::at(&mut k, &out);
        let v = k.load(ids, DType::I64, [at[axis].clone()]);
        let mut from = at.clone();
        from[axis] = k.wrapped_index(v, &d[axis]);
        let guard = vec![(from[axis].clone(), d[axis].clone())];
        let otherwise = self.c.yes().then(|| k.constant(DType::F32, -2.0));
        let v = k.load_guarded(x, DType::F32, from, guard, otherwise);
        k.store(y, at, v);
        self.done(k);
    }
    /// A copy, then writes into it at places that may coincide, in order.
    fn scatter(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let Some(n) = d[0].as_const() else { return };
        let also = self.c.yes().then(|| self.result(&d));
        let y = self.result(&d);
        let mut k = self.kernel("copy");
        let at = Self::at(&mut k, &d);
        let v = self.load(&mut k, x, &at);
        k.store(y, at.clone(), v);
        if let Some(z) = also {
            let v = k.unary(UnaryOp::Neg, v);
            k.store(z, at, v);
        }
        self.done(k);
        let mut k = self.kernel("scatter");
        let mut dims = d.clone();
        dims[0] = Dim::from(3);
        let at = Self::at(&mut k, &dims);
        let mut to = at.clone();
        to[0] = k.modulo(&at[0].scale(&Dim::from(2)), &Dim::from(n));
        let v = k.index(at[0].add_dim(&Dim::from(40)));
        let v = k.cast(DType::F32, v);
        k.store(y, to, v);
        k.kernel_mut().serial = true;
        self.done(k);
    }
    /// One kernel, two results, the second behind a guard that always or sometimes holds.
    fn two(&mut self) {
        let x = self.value();
        let d = self.dims(x);
        let y = self.result(&d);
        let z = self.result(&d);
        let mut k = self.kernel("two");
        let at = Self::at(&mut k, &d);
        let v = self.load(&mut k, x, &at);
        let u = k.unary(UnaryOp::Abs, v);
        let n = k.unary(UnaryOp::Neg, v);
        k.store(y, at.clone(), u);
        if self.c.yes() {
            k.store(z, at, n);
        } else {
            // Where the guard fails, another store writes.
            let last = at[d.len() - 1].clone();
            let half = d[d.len() - 1].floor_div(&Dim::from(2));
            let (low, high) = (vec![(last.clone(), half.clone())], vec![(last.add_dim(&(&Dim::from(0) - &half)), d[d.len() - 1].clone())]);
            k.store(z, at.clone(), n);
            k.store(z, at, u);
            let mut guards = [high, low].into_iter();
            for s in &mut k.kernel_mut().body {
                if let Stmt::Store { buffer, guard, .. } = s
                    && *buffer == z
                {
                    *guard = guards.next().unwrap_or_default();
                }
            }
        }
        self.done(k);
    }
}

fn random_net(bytes: &[u8]) -> Program {
    let mut net = Net { p: Program { name: "random".into(), ..Program::default() }, c: Choices(bytes.iter()), values: vec![], outputs: 0 };
    for i in 0..1 + net.c.below(2) {
        let d = net.shape();
        let b = net.new_buffer(&d, DType::F32, BufferKind::Input(i as u32));
        net.values.push(b);
    }
    if net.c.yes() {
        let sizes: Vec<usize> = (0..1 + net.c.below(3)).map(|_| net.c.of(&[3, 1, 8, 16])).collect();
        let w = net.constant(&sizes);
        net.values.push(w);
    }
    for _ in 0..1 + net.c.below(9) {
        match net.c.below(17) {
            0 | 1 => net.unary(),
            2 | 3 => net.binary(),
            4 => net.transpose(),
            5 | 6 => net.reshape(),
            7 => net.pad(),
            8 => net.slice(),
            9 => net.concat(),
            10 => net.elements(),
            11 => net.reduce(),
            12 => net.row(),
            13 => net.matmul(),
            14 => net.window(),
            15 => net.gather(),
            _ if net.c.yes() => net.scatter(),
            _ => net.two(),
        }
    }
    // Some result must be wanted.
    let last = *net.values.last().unwrap();
    if !matches!(net.p.buffer(last).kind, BufferKind::Output(_)) {
        let d = net.dims(last);
        let kind = BufferKind::Output(net.outputs);
        let y = net.new_buffer(&d, DType::F32, kind);
        let mut k = net.kernel("last");
        let at = Net::at(&mut k, &d);
        let v = net.load(&mut k, last, &at);
        k.store(y, at, v);
        net.done(k);
    }
    net.p
}

const SIZES: [(i64, i64); 6] = [(0, 3), (1, 1), (2, 0), (3, 5), (1, 4), (4, 1)];

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let p = random_net(bytes);
    let findings = p.verify();
    prop_assert!(findings.is_empty(), "the random program is wrong: {findings:?}\n{}", p.to_text());
    let mut optimized = p.clone();
    lapidary_lower::optimize(&mut optimized, &Default::default()).map_err(|e| TestCaseError::fail(e.to_string()))?;
    for (n, t) in SIZES {
        let symbol = |s: &str| match s {
            "N" => Some(n),
            "T" => Some(t),
            _ => None,
        };
        let mut inputs: Vec<Tensor> = vec![];
        for b in p.buffers.iter().filter(|b| matches!(b.kind, BufferKind::Input(_))) {
            let sizes: Vec<usize> = b.dims.iter().map(|d| d.eval(&symbol).unwrap() as usize).collect();
            let count: usize = sizes.iter().product();
            if count > 4000 {
                return Ok(());
            }
            inputs.push(Tensor::from_slice(&sizes, &(0..count).map(|i| ((i * 13 + 5) % 23) as f32 / 4.0 - 2.5).collect::<Vec<f32>>()));
        }
        let shown = |e: &lapidary_ir::Diagnostics| format!("N = {n}, T = {t}: {e}\n{}\n{}", p.to_text(), optimized.to_text());
        let want = interp::interpret(&p, &inputs, &symbol).map_err(|e| TestCaseError::fail(shown(&e)))?;
        let got = interp::interpret(&optimized, &inputs, &symbol).map_err(|e| TestCaseError::fail(shown(&e)))?;
        for (i, (a, b)) in want.iter().zip(&got).enumerate() {
            let (a, b) = (a.to_f64().unwrap(), b.to_f64().unwrap());
            let equal = a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| x == y || (x.is_nan() && y.is_nan()));
            prop_assert!(equal, "output {i} differs for N = {n}, T = {t}:\n{a:?}\n{b:?}\n{}\n{}", p.to_text(), optimized.to_text());
        }
    }
    let text = optimized.to_text();
    let tensors = |h: u64| optimized.buffers.iter().filter_map(|b| b.constant()).find(|t| t.content_hash() == h).cloned();
    let back = parse_program(&text, &tensors).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
    prop_assert_eq!(back.to_text(), text);
    optimized.compact();
    prop_assert!(back.kernels == optimized.kernels && back.buffers == optimized.buffers);
    prop_assert!(back.verify().is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn optimizing_keeps_the_meaning(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {

        check(&bytes)?;
    }
}
