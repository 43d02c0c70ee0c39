use crate::*;
use lapidary_ir::{DType, Dim, Name};
use rustc_hash::FxHashMap;

/// Builds a [`Kernel`]. Equal expressions are made once.
///
/// ```
/// # use lapidary_kernel::*; use lapidary_ir::{DType, Dim};
/// // y[i, j] = x[i, j] / Σⱼ x[i, j]
/// let (x, y) = (BufferId(0), BufferId(1));
/// let mut k = KernelBuilder::new("normalize", &[]);
/// let i = k.parallel("i", Dim::symbol("N"));
/// let j = k.axis("j", Dim::from(64));
/// let v = k.load(x, DType::F32, [i.into(), j.into()]);
/// let sum = k.reduce(ReduceOp::Sum, DType::F32, &[j], v);
/// let v = k.binary(BinaryOp::Div, v, sum);
/// k.store_along(y, [i.into(), j.into()], &[j], v);
/// let kernel = k.finish();
/// # assert_eq!(kernel.body.len(), 2);
/// ```
pub struct KernelBuilder {
    kernel: Kernel,
    known: FxHashMap<Expr, ExprId>,
}

impl KernelBuilder {
    pub fn new(name: impl Into<Name>, origin: &[Name]) -> KernelBuilder {
        let kernel = Kernel {
            name: name.into(),
            origin: origin.to_vec(),
            axes: vec![],
            parallel: 0,
            exprs: vec![],
            locals: vec![],
            body: vec![],
            serial: false,
            recurrence: None,
            schedule: None,
        };
        KernelBuilder { kernel, known: FxHashMap::default() }
    }
    /// Goes on with a kernel made before.
    pub fn edit(kernel: Kernel) -> KernelBuilder {
        let known = kernel.exprs.iter().cloned().enumerate().map(|(i, e)| (e, ExprId(i as u32))).collect();
        KernelBuilder { kernel, known }
    }
    pub fn finish(self) -> Kernel {
        self.kernel
    }
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }
    pub fn kernel_mut(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    // ---- axes

    /// Adds a parallel axis. All parallel axes are added before any other.
    pub fn parallel(&mut self, name: &str, extent: Dim) -> AxisId {
        debug_assert_eq!(self.kernel.parallel, self.kernel.axes.len(), "parallel axes come first");
        self.kernel.parallel += 1;
        self.axis(name, extent)
    }
    /// Makes the kernel part of a recurrence whose steps a parallel axis counts.
    pub fn recurrence(&mut self, number: u32, axis: AxisId) {
        self.kernel.recurrence = Some(Recurrence { number, axis });
    }
    /// One parallel axis per dim, named `prefix0`, `prefix1`, …
    pub fn parallel_all(&mut self, prefix: &str, dims: &[Dim]) -> Vec<AxisId> {
        dims.iter().enumerate().map(|(i, d)| self.parallel(&format!("{prefix}{i}"), d.clone())).collect()
    }
    /// Adds an axis that statements reduce over or run along.
    pub fn axis(&mut self, name: &str, extent: Dim) -> AxisId {
        self.kernel.axes.push(Axis { name: name.into(), extent });
        AxisId(self.kernel.axes.len() as u16 - 1)
    }
    pub fn extent(&self, axis: AxisId) -> Dim {
        self.kernel.extent(axis).clone()
    }
    /// The quotient of an index, simplified by the ranges of the axes.
    pub fn floor_div(&self, i: &Index, d: &Dim) -> Index {
        i.floor_div(d, &|a| self.extent(a))
    }
    pub fn modulo(&self, i: &Index, d: &Dim) -> Index {
        i.modulo(d, &|a| self.extent(a))
    }
    /// The index within `dims` of a row-major position.
    pub fn delinearize(&self, flat: &Index, dims: &[Dim]) -> Vec<Index> {
        delinearize(flat, dims, &|a| self.extent(a))
    }
    /// Numpy broadcasting: the index into an operand of shape `dims` for the point `at` of the result of shape `result`. Where it is not
    /// known which of the two sizes is 1, the stride is chosen at run time.
    pub fn broadcast(&self, at: &[Index], result: &[Dim], dims: &[Dim]) -> Vec<Index> {
        let lead = at.len() - dims.len();
        let one = Dim::from(1);
        let each = dims.iter().enumerate().map(|(axis, d)| {
            let i = &at[lead + axis];
            match d.as_const() {
                Some(1) => Index::from(0),
                Some(_) => i.clone(),
                None if *d == result[lead + axis] => i.clone(),
                None => i.scale(&(d - &one).minimum(&one)),
            }
        });
        each.collect()
    }

    // ---- expressions

    /// The expression, made once.
    pub fn expr(&mut self, dtype: DType, kind: ExprKind) -> ExprId {
        let e = Expr { dtype, kind };
        if let Some(id) = self.known.get(&e) {
            return *id;
        }
        let id = ExprId(self.kernel.exprs.len() as u32);
        self.kernel.exprs.push(e.clone());
        self.known.insert(e, id);
        id
    }
    pub fn dtype(&self, e: ExprId) -> DType {
        self.kernel.expr(e).dtype
    }
    /// A constant of any numeric type or bool.
    pub fn constant(&mut self, dtype: DType, v: f64) -> ExprId {
        let s = if dtype.is_float() { Scalar::float(v) } else { Scalar::Int(v as i64) };
        self.expr(dtype, ExprKind::Const(s))
    }
    pub fn int(&mut self, dtype: DType, v: i64) -> ExprId {
        let s = if dtype.is_float() { Scalar::float(v as f64) } else { Scalar::Int(v) };
        self.expr(dtype, ExprKind::Const(s))
    }
    /// The value of an index as i64: positions, and sizes (`Index::from(dim)`).
    pub fn index(&mut self, i: Index) -> ExprId {
        match i.as_const() {
            Some(v) => self.int(DType::I64, v),
            None => self.expr(DType::I64, ExprKind::Index(i)),
        }
    }
    pub fn load(&mut self, buffer: BufferId, dtype: DType, index: impl IntoIterator<Item = Index>) -> ExprId {
        self.load_guarded(buffer, dtype, index, vec![], None)
    }
    /// A load that reads only where the guard holds; elsewhere it is `otherwise`, or 0. Conditions that always hold are dropped.
    pub fn load_guarded(
        &mut self,
        buffer: BufferId,
        dtype: DType,
        index: impl IntoIterator<Item = Index>,
        guard: Guard,
        otherwise: Option<ExprId>,
    ) -> ExprId {
        let guard: Guard = guard.into_iter().filter(|(i, d)| !i.known_within(d, &|a| self.extent(a))).collect();
        let otherwise = if guard.is_empty() { None } else { otherwise };
        self.expr(dtype, ExprKind::Load { buffer, index: index.into_iter().collect(), guard, otherwise })
    }
    /// Whether all indices lie in their ranges.
    pub fn within(&mut self, guard: Guard) -> ExprId {
        let guard: Guard = guard.into_iter().filter(|(i, d)| !i.known_within(d, &|a| self.extent(a))).collect();
        if guard.is_empty() { self.int(DType::Bool, 1) } else { self.expr(DType::Bool, ExprKind::Within(guard)) }
    }
    pub fn unary(&mut self, op: UnaryOp, a: ExprId) -> ExprId {
        let dtype = match op {
            UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::Not => DType::Bool,
            _ => self.dtype(a),
        };
        self.expr(dtype, ExprKind::Unary(op, a))
    }
    /// Operands of equal dtype.
    pub fn binary(&mut self, op: BinaryOp, a: ExprId, b: ExprId) -> ExprId {
        debug_assert_eq!(self.dtype(a), self.dtype(b), "{op:?}");
        let dtype = if op.is_comparison() { DType::Bool } else { self.dtype(a) };
        self.expr(dtype, ExprKind::Binary(op, a, b))
    }
    pub fn add(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(BinaryOp::Add, a, b)
    }
    pub fn sub(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(BinaryOp::Sub, a, b)
    }
    pub fn mul(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(BinaryOp::Mul, a, b)
    }
    pub fn div(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(BinaryOp::Div, a, b)
    }
    /// `a · b + c` in f32 or f64, rounded once.
    pub fn fma(&mut self, a: ExprId, b: ExprId, c: ExprId) -> ExprId {
        self.expr(self.dtype(a), ExprKind::Fma(a, b, c))
    }
    pub fn select(&mut self, condition: ExprId, then: ExprId, otherwise: ExprId) -> ExprId {
        let dtype = self.dtype(then);
        self.expr(dtype, ExprKind::Select(condition, then, otherwise))
    }
    pub fn cast(&mut self, to: DType, a: ExprId) -> ExprId {
        if self.dtype(a) == to { a } else { self.expr(to, ExprKind::Cast(a)) }
    }
    /// An index that data decides: negative values count from the end, anything outside is clamped into `0..size`.
    pub fn wrapped_index(&mut self, value: ExprId, size: &Dim) -> Index {
        let v = self.cast(DType::I64, value);
        let n = self.index(Index::from(size.clone()));
        let zero = self.int(DType::I64, 0);
        let negative = self.binary(BinaryOp::Lt, v, zero);
        let shifted = self.add(v, n);
        let v = self.select(negative, shifted, v);
        let last = self.index(Index::from(size - &Dim::from(1)));
        let v = self.binary(BinaryOp::Min, v, last);
        let v = self.binary(BinaryOp::Max, v, zero);
        Index::value(v)
    }

    // ---- statements

    fn local(&mut self, dtype: DType, axes: &[AxisId]) -> LocalId {
        let id = LocalId(self.kernel.locals.len() as u32);
        self.kernel.locals.push(Local { name: format!("t{}", id.0).into(), dtype, axes: axes.to_vec() });
        id
    }
    /// A reduction over `over`, of `value` cast to the accumulator's dtype. The result is a scalar of the point.
    pub fn reduce(&mut self, op: ReduceOp, dtype: DType, over: &[AxisId], value: ExprId) -> ExprId {
        self.reduce_along(op, dtype, &[], over, value)
    }
    /// As [`KernelBuilder::reduce`], one result for each position of the local axes `along`.
    pub fn reduce_along(&mut self, op: ReduceOp, dtype: DType, along: &[AxisId], over: &[AxisId], value: ExprId) -> ExprId {
        let value = self.cast(dtype, value);
        let local = self.local(dtype, along);
        self.kernel.body.push(Stmt::Reduce { local, op, over: over.to_vec(), value });
        self.expr(dtype, ExprKind::Local(local))
    }
    /// Keeps `value` in a local array along `axes` (a row that later statements read again).
    pub fn keep(&mut self, axes: &[AxisId], value: ExprId) -> ExprId {
        let dtype = self.dtype(value);
        let local = self.local(dtype, axes);
        self.kernel.body.push(Stmt::Let { local, value });
        self.expr(dtype, ExprKind::Local(local))
    }
    /// One store per parallel point.
    pub fn store(&mut self, buffer: BufferId, index: impl IntoIterator<Item = Index>, value: ExprId) {
        self.store_along(buffer, index, &[], value);
    }
    /// One store per parallel point and position of the local `axes`.
    pub fn store_along(&mut self, buffer: BufferId, index: impl IntoIterator<Item = Index>, axes: &[AxisId], value: ExprId) {
        self.kernel.body.push(Stmt::Store { buffer, index: index.into_iter().collect(), axes: axes.to_vec(), guard: vec![], value });
    }
}
