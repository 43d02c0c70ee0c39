//! Printing and reading programs: the same program comes back, whatever it holds, and wrong text is refused with a reason.

use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::text::parse_program;
use lapidary_kernel::*;
use proptest::prelude::*;
use std::sync::Arc;

/// Decisions made by bytes, so that a failing case shrinks to few and small ones.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.next().map_or(0, |b| *b as usize % n)
    }
    fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }
}

const DTYPES: [DType; 6] = [DType::F32, DType::F16, DType::F64, DType::I64, DType::U8, DType::Bool];
const UNARY: [UnaryOp; 8] =
    [UnaryOp::Neg, UnaryOp::Exp, UnaryOp::Abs, UnaryOp::Sigmoid, UnaryOp::IsNan, UnaryOp::Not, UnaryOp::BitNot, UnaryOp::Round];
const BINARY: [BinaryOp; 23] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Mod,
    BinaryOp::Rem,
    BinaryOp::Min,
    BinaryOp::Max,
    BinaryOp::Pow,
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Xor,
    BinaryOp::BitAnd,
    BinaryOp::BitOr,
    BinaryOp::BitXor,
    BinaryOp::Shl,
    BinaryOp::Shr,
    BinaryOp::Eq,
    BinaryOp::Ne,
    BinaryOp::Lt,
    BinaryOp::Le,
    BinaryOp::Gt,
    BinaryOp::Ge,
];

fn dim(c: &mut Choices) -> Dim {
    let n = Dim::symbol("N");
    match c.below(7) {
        0 => Dim::from(4),
        1 => n,
        2 => &n * &Dim::from(3),
        3 => (&n + &Dim::from(1)).floor_div(&Dim::from(2)),
        4 => Dim::symbol("odd name").minimum(&Dim::from(8)),
        5 => Dim::from(c.below(200)),
        _ => &Dim::symbol("i") + &Dim::symbol("M"),
    }
}

fn index(c: &mut Choices, k: &KernelBuilder, depth: usize) -> Index {
    let axes = k.kernel().axes.len();
    let extent = |a: AxisId| k.extent(a);
    match c.below(if depth > 0 { 9 } else { 4 }) {
        0 | 1 if axes > 0 => Index::from(AxisId(c.below(axes) as u16)),
        2 => Index::from(c.below(10) as i64 - 5),
        3 if !k.kernel().exprs.is_empty() => {
            let ints: Vec<u32> = (0..k.kernel().exprs.len() as u32).filter(|e| k.dtype(ExprId(*e)) == DType::I64).collect();
            if ints.is_empty() { Index::from(1) } else { Index::value(ExprId(c.of(&ints))) }
        }
        4 => index(c, k, depth - 1).floor_div(&(&dim(c) + &Dim::from(1)), &extent),
        5 => index(c, k, depth - 1).modulo(&(&dim(c) + &Dim::from(1)), &extent),
        6 => index(c, k, depth - 1).scale(&(&dim(c) - &Dim::from(2))),
        7 => index(c, k, depth - 1).add_dim(&dim(c)),
        8 => index(c, k, depth - 1).add(&index(c, k, depth - 1)),
        _ => Index::from(dim(c)),
    }
}

fn guard(c: &mut Choices, k: &KernelBuilder) -> Guard {
    (0..c.below(3)).map(|_| (index(c, k, 2), dim(c))).collect()
}

/// Any expression of the dtype: sense is not asked for, only that operands have types that fit.
fn expr(c: &mut Choices, p: &Program, k: &mut KernelBuilder, dtype: DType, depth: usize) -> ExprId {
    let old: Vec<ExprId> = (0..k.kernel().exprs.len() as u32).map(ExprId).filter(|e| k.dtype(*e) == dtype).collect();
    if depth == 0 || c.below(5) == 0 {
        return match c.below(4) {
            0 if !old.is_empty() => c.of(&old),
            1 if dtype == DType::I64 => {
                let i = index(c, k, 3);
                k.expr(dtype, ExprKind::Index(i))
            }
            _ if dtype.is_float() => {
                let v =
                    c.of(&[0.0, 1.0, -0.0, -2.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.1, 1e-8, 65504.0, f64::from_bits(0x7ff8000000000001)]);
                k.expr(dtype, ExprKind::Const(Scalar::float(v)))
            }
            _ => k.expr(dtype, ExprKind::Const(Scalar::Int(c.of(&[0, 1, -1, 200, i64::MIN, i64::MAX])))),
        };
    }
    match c.below(10) {
        0 | 1 => {
            let ids: Vec<BufferId> = p.buffer_ids().filter(|b| p.buffer(*b).dtype == dtype).collect();
            if ids.is_empty() {
                return k.expr(dtype, ExprKind::Const(if dtype.is_float() { Scalar::float(3.0) } else { Scalar::Int(1) }));
            }
            let b = c.of(&ids);
            let at: Vec<Index> = p.buffer(b).dims.iter().map(|_| index(c, k, 2)).collect();
            let g = match c.below(3) {
                0 => vec![],
                1 => guard(c, k),
                _ => at
                    .iter()
                    .zip(&p.buffer(b).dims)
                    .filter(|(i, d)| !i.known_within(d, &|a| k.extent(a)))
                    .map(|(i, d)| (i.clone(), d.clone()))
                    .collect(),
            };
            let otherwise = (!g.is_empty() && c.yes()).then(|| expr(c, p, k, dtype, depth - 1));
            k.expr(dtype, ExprKind::Load { buffer: b, index: at, guard: g, otherwise })
        }
        2 => {
            let op = c.of(&UNARY);
            if matches!(op, UnaryOp::IsNan | UnaryOp::Not) && dtype != DType::Bool {
                return expr(c, p, k, dtype, depth - 1);
            }
            let of = if matches!(op, UnaryOp::IsNan) { c.of(&DTYPES) } else { dtype };
            let a = expr(c, p, k, of, depth - 1);
            k.unary(op, a)
        }
        3..=5 => {
            let op = c.of(&BINARY);
            if op.is_comparison() && dtype != DType::Bool {
                return expr(c, p, k, dtype, depth - 1);
            }
            let of = if op.is_comparison() { c.of(&DTYPES) } else { dtype };
            let (a, b) = (expr(c, p, k, of, depth - 1), expr(c, p, k, of, depth - 1));
            k.binary(op, a, b)
        }
        6 => {
            let (x, a, b) = (expr(c, p, k, DType::Bool, depth - 1), expr(c, p, k, dtype, depth - 1), expr(c, p, k, dtype, depth - 1));
            k.select(x, a, b)
        }
        7 => {
            let from = c.of(&DTYPES);
            let a = expr(c, p, k, from, depth - 1);
            k.expr(dtype, ExprKind::Cast(a))
        }
        8 => {
            let [x, a, b] = [(); 3].map(|()| expr(c, p, k, dtype, depth - 1));
            k.fma(x, a, b)
        }
        _ if dtype == DType::Bool => {
            let g = guard(c, k);
            k.expr(dtype, ExprKind::Within(g))
        }
        // A dtype that no rule gives.
        _ => k.expr(dtype, ExprKind::Unary(UnaryOp::IsInf, ExprId(0))),
    }
}

fn random_program(bytes: &[u8]) -> Program {
    let mut c = Choices(bytes.iter());
    let mut p = Program { name: c.of(&["p", "odd name"]).into(), ..Program::default() };
    for i in 0..1 + c.below(5) {
        let dims = (0..c.below(4)).map(|_| dim(&mut c)).collect();
        let kind = match c.below(4) {
            0 => BufferKind::Input(i as u32),
            1 => BufferKind::Output(i as u32),
            _ => BufferKind::Temp,
        };
        let name = c.of(&["x", "x", "/layer.0/Add", "exp", "f32", "0", "ü", "i", "N", "", "a\"b\n\u{202e}"]);
        p.add_buffer(Buffer { name: name.into(), dtype: c.of(&DTYPES), dims, kind });
    }
    if c.yes() {
        let t = Arc::new(Tensor::from_slice(&[3], &[1.5f32, -2.0, c.below(9) as f32]));
        p.add_buffer(Buffer { name: "w".into(), dtype: DType::F32, dims: [Dim::from(3)].into_iter().collect(), kind: BufferKind::Const(t) });
        p.checks.push(Check { left: dim(&mut c), right: dim(&mut c), or_one: c.yes(), message: "no \"match\"".into() });
    }
    for _ in 0..c.below(3) {
        let origin: Vec<lapidary_ir::Name> = (0..c.below(3)).map(|_| c.of(&["Conv_1", "/a/b", "from"]).into()).collect();
        let mut k = KernelBuilder::new(c.of(&["conv", "layout:x", "kernel"]), &origin);
        k.kernel_mut().serial = c.yes();
        let name = |c: &mut Choices| c.of(&["i", "j", "sum", "N", "x", "u8"]);
        for _ in 0..c.below(4) {
            let (n, d) = (name(&mut c), dim(&mut c));
            k.parallel(n, d);
        }
        let inner: Vec<AxisId> = (0..c.below(3)).map(|_| (name(&mut c), dim(&mut c))).map(|(n, d)| k.axis(n, d)).collect();
        // Something for the odd case of `expr` to stand on.
        k.expr(DType::F32, ExprKind::Const(Scalar::float(2.0)));
        for _ in 0..c.below(4) {
            let dtype = c.of(&DTYPES);
            let along = if inner.is_empty() || c.yes() { vec![] } else { vec![c.of(&inner)] };
            let over = if inner.is_empty() || c.yes() { vec![] } else { vec![c.of(&inner)] };
            let v = expr(&mut c, &p, &mut k, dtype, 4);
            match c.below(3) {
                0 => {
                    k.keep(&along, v);
                }
                1 => {
                    let op = c.of(&[ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min, ReduceOp::Product]);
                    k.reduce_along(op, dtype, &along, &over, v);
                }
                _ => {
                    let b = BufferId(c.below(p.buffers.len()) as u32);
                    let index = p.buffer(b).dims.iter().map(|_| index(&mut c, &k, 2)).collect();
                    let guard = guard(&mut c, &k);
                    k.kernel_mut().body.push(Stmt::Store { buffer: b, index, axes: along, guard, value: v });
                }
            }
        }
        let mut k = k.finish();
        let axes = k.axes.len() as u16;
        k.recurrence = (axes > 0 && c.yes()).then(|| Recurrence { number: c.below(3) as u32, axis: AxisId(c.below(axes as usize) as u16) });
        let loads: Vec<u32> = (0..k.exprs.len() as u32).filter(|e| matches!(k.exprs[*e as usize].kind, ExprKind::Load { .. })).collect();
        k.schedule = match c.below(5) {
            1 if axes > 0 => Some(Schedule::Map { vector: c.below(axes as usize) as u16 }),
            2 if axes > 0 => Some(Schedule::Row { vector: axes - 1 }),
            3 => Some(Schedule::Serial),
            4 if !loads.is_empty() => {
                Some(Schedule::Contract { batch: vec![], m: (0..axes).collect(), n: vec![], k: vec![], a: c.of(&loads), b: c.of(&loads) })
            }
            _ => None,
        };
        p.kernels.push(k);
    }
    p
}

fn read(p: &Program, text: &str) -> Program {
    let tensors = |h: u64| p.buffers.iter().filter_map(|b| b.constant()).find(|t| t.content_hash() == h).cloned();
    parse_program(text, &tensors).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn same(a: &Program, b: &Program) -> bool {
    a.name == b.name && a.buffers == b.buffers && a.kernels == b.kernels && a.checks == b.checks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let p = random_program(&bytes);
        let text = p.to_text();
        let mut compact = p.clone();
        compact.compact();
        let back = read(&p, &text);
        prop_assert!(same(&back, &compact), "{}\n{:#?}\n{:#?}", text, back.kernels, compact.kernels);
        prop_assert_eq!(back.to_text(), text.as_str());
        let mut twice = compact.clone();
        twice.compact();
        prop_assert!(same(&twice, &compact), "compacting again changes something\n{}", text);
    }

    #[test]
    fn broken_text_is_an_error_not_a_crash(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<usize>(), with in "[ -~]{0,3}") {
        let text = random_program(&bytes).to_text();
        let boundary = |i: usize| (0..=i).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let at = boundary(at % (text.len() + 1));
        let _ = parse_program(&format!("{}{with}{}", &text[..at], &text[at..]), &|_| None);
        let _ = parse_program(&text[..at], &|_| None);
    }
}

const CONV: &str = "program net {
  in 0 x: f32[N, 64, H, W]
  temp w: f32[64, 64, 3, 3]
  temp b: f32[64]
  out 0 y: f32[N, 64, H, W]

  kernel conv from Conv_1, Relu_2 {
    par n < N, o < 64, i < H, j < W
    axes c < 64, p < 3, q < 3
    %0 = x[n, c, i + p - 1, j + q - 1 else 0]
    %1 = w[o, c, p, q]
    t0 = sum(c, p, q): f32 %0 * %1
    y[n, o, i, j] = max(t0 + b[o], 0)
    schedule contract { batch: [], m: [n, i, j], n: [o], k: [p, q, c], a: %0, b: %1 }
  }
}
";

#[test]
fn a_convolution_as_documented() {
    let p = parse_program(CONV, &|_| None).unwrap();
    assert_eq!(p.to_text(), CONV);
    let ExprKind::Load { guard, otherwise, .. } = &p.kernels[0].exprs[0].kind else { panic!("not a load") };
    assert_eq!((guard.len(), *otherwise), (2, None));
}

#[test]
fn a_softmax_as_documented() {
    let text = "program net {
  in 0 s: f32[N, H, T, T]
  out 0 y: f32[N, H, T, T]

  kernel softmax {
    par n < N, h < H, i < T
    axes j < T
    m = max(j): f32 s[n, h, i, j]
    let e[j]: f32 = exp(s[n, h, i, j] - m)
    d = sum(j): f32 e[j]
    y[n, h, i, j] = e[j] / d for j
  }
}
";
    assert_eq!(parse_program(text, &|_| None).unwrap().to_text(), text);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let cases = [
        ("y[n, o, i, j] = max", "y[n, o, i, j] = maxi", "'maxi' has no meaning here"),
        ("par n < N", "par n N", "expected '<'"),
        ("sum(c, p, q): f32", "total(c, p, q): f32", "'total' is no reduction"),
        ("%0 * %1", "%0 * %7", "'%7' has no meaning yet"),
        ("in 0 x: f32[N, 64, H, W]", "in 0 x: f32[*]", "a buffer is a tensor of known rank"),
        ("temp b: f32[64]", "temp x: f32[64]", "there are two buffers 'x'"),
        ("x[n, c, i + p - 1,", "x[n, c, i*p - 1,", "two things that vary cannot be multiplied"),
        ("schedule contract", "schedule magic", "there is no template 'magic'"),
        ("temp b: f32[64]", "const b: f32[64] = #0123456789abcdef", "is not at hand"),
        ("%1 = w[o, c, p, q]", "%1 = 3", "the type of '3' is not clear"),
        ("b[o]", "b[o else 0]", "this index never leaves the buffer"),
        ("max(t0 + b[o], 0)", "select(1 < b[o] < 2, t0, 0)", "comparisons do not chain"),
    ];
    for (from, to, want) in cases {
        let text = CONV.replacen(from, to, 1);
        assert_ne!(text, CONV, "{from}");
        let error = parse_program(&text, &|_| None).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(want), "{error} does not say {want}");
    }
}

#[test]
fn no_text_is_too_deep() {
    for (open, close) in [("(", ")"), ("-", ""), ("exp(", ")"), ("x[(", ")]"), ("1 + ", ""), ("[(", ")]")] {
        let deep = format!("program p {{ in 0 x: f32[4] out 0 y: f32[] kernel k {{ y[] = {}1{} }} }}", open.repeat(100_000), close.repeat(100_000));
        assert!(parse_program(&deep, &|_| None).is_err());
    }
}
