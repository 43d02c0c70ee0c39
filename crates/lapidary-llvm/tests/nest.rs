//! Loop kernels, native against interpreted.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::*;

#[test]
fn adds_and_scales_with_a_symbolic_size() {
    let mut b = Build::new();
    let n = Dim::symbol("N");
    let (x, y) = (b.input(DType::F32, &[n.clone()]), b.input(DType::F32, &[n.clone()]));
    let out = b.output(DType::F32, &[n.clone()]);
    let mut k = KernelBuilder::new("axpy", &[]);
    let i = k.parallel("i", n);
    let (a, c) = (k.load(x, DType::F32, [i.into()]), k.load(y, DType::F32, [i.into()]));
    let two = k.constant(DType::F32, 2.5);
    let a = k.mul(a, two);
    let v = k.add(a, c);
    k.store(out, [i.into()], v);
    b.kernel(k.finish(), Schedule::Map { vector: 0 });
    let sets: Vec<Vec<Tensor>> =
        [5usize, 0, 1, 16, 100_003].iter().map(|n| vec![random(DType::F32, &[*n], 1), random(DType::F32, &[*n], 2)]).collect();
    check_sets(&b.0, &sets, 1e-6);
}

#[test]
fn broadcasts_transposes_and_pads() {
    let mut b = Build::new();
    let n = Dim::symbol("N");
    let x = b.input(DType::F32, &[n.clone(), Dim::from(37)]);
    let bias = b.constant(random(DType::F32, &[37], 9));
    let out = b.output(DType::F32, &[Dim::from(40), n.clone()]);
    let mut k = KernelBuilder::new("transpose", &[]);
    let j = k.parallel("j", Dim::from(40));
    let i = k.parallel("i", n.clone());
    let shifted = Index::from(j).add_dim(&Dim::from(-2));
    let guard = vec![(shifted.clone(), Dim::from(37))];
    let seven = k.constant(DType::F32, 7.0);
    let v = k.load_guarded(x, DType::F32, [i.into(), shifted.clone()], guard.clone(), Some(seven));
    let w = k.load_guarded(bias, DType::F32, [shifted], guard, None);
    let v = k.add(v, w);
    k.store(out, [j.into(), i.into()], v);
    b.kernel(k.finish(), Schedule::Map { vector: 1 });
    check_sets(&b.0, &[vec![random(DType::F32, &[50, 37], 3)], vec![random(DType::F32, &[3, 37], 3)]], 0.0);
    let mut p = b.0.clone();
    p.kernels[0].schedule = Some(Schedule::Map { vector: 0 });
    check(&p, &[random(DType::F32, &[50, 37], 3)], 0.0);
}

#[test]
fn softmax_over_rows() {
    for t in [Dim::from(7), Dim::from(16), Dim::from(333), Dim::symbol("T")] {
        let mut b = Build::new();
        let n = Dim::symbol("N");
        let x = b.input(DType::F32, &[n.clone(), t.clone()]);
        let y = b.output(DType::F32, &[n.clone(), t.clone()]);
        let mut k = KernelBuilder::new("softmax", &[]);
        let i = k.parallel("i", n);
        let j = k.axis("j", t.clone());
        let v = k.load(x, DType::F32, [i.into(), j.into()]);
        let m = k.reduce(ReduceOp::Max, DType::F32, &[j], v);
        let d = k.sub(v, m);
        let e = k.unary(UnaryOp::Exp, d);
        let e = k.keep(&[j], e);
        let s = k.reduce(ReduceOp::Sum, DType::F32, &[j], e);
        let r = k.div(e, s);
        k.store_along(y, [i.into(), j.into()], &[j], r);
        b.kernel(k.finish(), Schedule::Row { vector: 1 });
        let size = t.as_const().unwrap_or(129) as usize;
        check_sets(&b.0, &[vec![random(DType::F32, &[9, size], 4)], vec![random(DType::F32, &[2000, size], 4)]], 1e-6);
        let mut p = b.0.clone();
        p.kernels[0].schedule = Some(Schedule::Window { vector: 0 });
        check(&p, &[random(DType::F32, &[35, size], 4)], 1e-6);
        p.kernels[0].schedule = Some(Schedule::Serial);
        check(&p, &[random(DType::F32, &[3, size], 4)], 1e-6);
    }
}

#[test]
fn depthwise_convolution_and_pooling() {
    for (channels, nchw) in [(32i64, false), (5, false), (3, true)] {
        let mut b = Build::new();
        let d = if nchw { dims(&[2, channels, 13, 21]) } else { dims(&[2, 13, 21, channels]) };
        let x = b.input(DType::F32, &d);
        let w = b.constant(random(DType::F32, &[channels as usize, 3, 3], 5));
        let y = b.output(DType::F32, &d);
        let mut k = KernelBuilder::new("depthwise", &[]);
        let at = k.parallel_all("p", &d);
        let (n, c, h, wd) = if nchw { (at[0], at[1], at[2], at[3]) } else { (at[0], at[3], at[1], at[2]) };
        let (p, q) = (k.axis("p", Dim::from(3)), k.axis("q", Dim::from(3)));
        let (row, col) = (Index::from(h).add(&p.into()).add_dim(&Dim::from(-1)), Index::from(wd).add(&q.into()).add_dim(&Dim::from(-1)));
        let index = |row: &Index, col: &Index| {
            if nchw { [n.into(), c.into(), row.clone(), col.clone()] } else { [n.into(), row.clone(), col.clone(), c.into()] }
        };
        let guard = vec![(row.clone(), Dim::from(13)), (col.clone(), Dim::from(21))];
        let v = k.load_guarded(x, DType::F32, index(&row, &col), guard.clone(), None);
        let f = k.load(w, DType::F32, [c.into(), p.into(), q.into()]);
        let product = k.mul(v, f);
        let sum = k.reduce(ReduceOp::Sum, DType::F32, &[p, q], product);
        let low = k.constant(DType::F32, f64::NEG_INFINITY);
        let v = k.load_guarded(x, DType::F32, index(&row, &col), guard, Some(low));
        let most = k.reduce(ReduceOp::Max, DType::F32, &[p, q], v);
        let r = k.add(sum, most);
        k.store(y, at.iter().map(|a| Index::from(*a)), r);
        let sizes: Vec<usize> = d.iter().map(|d| d.as_const().unwrap() as usize).collect();
        b.kernel(k.finish(), Schedule::Window { vector: 3 });
        check(&b.0, &[random(DType::F32, &sizes, 6)], 1e-6);
        let mut p = b.0.clone();
        p.kernels[0].schedule = Some(Schedule::Window { vector: 2 });
        check(&p, &[random(DType::F32, &sizes, 6)], 1e-6);
    }
}

#[test]
fn long_sums_of_columns_and_rows_in_every_type() {
    use DType::*;
    for dtype in [F32, F64, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64] {
        let mut b = Build::new();
        let (m, n) = (Dim::symbol("M"), Dim::symbol("N"));
        let x = b.input(dtype, &[m.clone(), n.clone()]);
        let (cols, rows) = (b.output(dtype, &[n.clone()]), b.output(dtype, &[m.clone()]));
        for (out, vector, over_rows) in [(cols, 0u16, true), (rows, 1, false)] {
            let mut k = KernelBuilder::new("sum", &[]);
            let p = k.parallel("p", if over_rows { n.clone() } else { m.clone() });
            let r = k.axis("r", if over_rows { m.clone() } else { n.clone() });
            let index: [Index; 2] = if over_rows { [r.into(), p.into()] } else { [p.into(), r.into()] };
            let v = k.load(x, dtype, index);
            let sum = k.reduce(ReduceOp::Sum, dtype, &[r], v);
            let most = k.reduce(ReduceOp::Max, dtype, &[r], v);
            let s = k.sub(sum, most);
            k.store(out, [p.into()], s);
            b.kernel(k.finish(), if over_rows { Schedule::Window { vector } } else { Schedule::Row { vector } });
        }
        let rtol = if dtype == F16 {
            2e-3
        } else if dtype == BF16 {
            2e-2
        } else {
            1e-6
        };
        check_sets(&b.0, &[vec![random(dtype, &[33, 70], 7)], vec![random(dtype, &[1, 3], 8)], vec![random(dtype, &[257, 16], 8)]], rtol);
    }
}

#[test]
fn reduces_several_axes_and_along_one() {
    let mut b = Build::new();
    let x = b.input(DType::F32, &dims(&[4, 6, 9, 20]));
    let y = b.output(DType::F32, &dims(&[4, 9]));
    let z = b.output(DType::F32, &dims(&[4]));
    let mut k = KernelBuilder::new("stats", &[]);
    let n = k.parallel("n", Dim::from(4));
    let (c, h, w) = (k.axis("c", Dim::from(6)), k.axis("h", Dim::from(9)), k.axis("w", Dim::from(20)));
    let v = k.load(x, DType::F32, [n.into(), c.into(), h.into(), w.into()]);
    let each = k.reduce_along(ReduceOp::Sum, DType::F32, &[h], &[c, w], v);
    let all = k.reduce(ReduceOp::Sum, DType::F32, &[c, h, w], v);
    let d = k.sub(each, all);
    k.store_along(y, [n.into(), h.into()], &[h], d);
    k.store(z, [n.into()], all);
    b.kernel(k.finish(), Schedule::Row { vector: 3 });
    for schedule in [Schedule::Row { vector: 3 }, Schedule::Row { vector: 2 }, Schedule::Window { vector: 0 }, Schedule::Serial] {
        let mut p = b.0.clone();
        p.kernels[0].schedule = Some(schedule);
        check(&p, &[random(DType::F32, &[4, 6, 9, 20], 10)], 1e-5);
    }
}

#[test]
fn gathers_and_scatters() {
    let mut b = Build::new();
    let n = Dim::symbol("N");
    let table = b.constant(random(DType::F32, &[50, 24], 11));
    let ids = b.input(DType::I64, &[n.clone()]);
    let out = b.output(DType::F32, &[n.clone(), Dim::from(24)]);
    let acc = b.output(DType::F32, &[Dim::from(50)]);
    let mut k = KernelBuilder::new("gather", &[]);
    let (i, j) = (k.parallel("i", n.clone()), k.parallel("j", Dim::from(24)));
    let id = k.load(ids, DType::I64, [i.into()]);
    let at = k.wrapped_index(id, &Dim::from(50));
    let v = k.load(table, DType::F32, [at, j.into()]);
    k.store(out, [i.into(), j.into()], v);
    b.kernel(k.finish(), Schedule::Map { vector: 1 });
    let mut k = KernelBuilder::new("zero", &[]);
    let i = k.parallel("i", Dim::from(50));
    let v = k.constant(DType::F32, 0.0);
    k.store(acc, [i.into()], v);
    b.kernel(k.finish(), Schedule::Map { vector: 0 });
    let mut k = KernelBuilder::new("scatter", &[]);
    let i = k.parallel("i", n.clone());
    let id = k.load(ids, DType::I64, [i.into()]);
    let at = k.wrapped_index(id, &Dim::from(50));
    let old = k.load(acc, DType::F32, [at.clone()]);
    let one = k.constant(DType::F32, 1.0);
    let v = k.add(old, one);
    k.store(acc, [at], v);
    b.kernel(k.finish(), Schedule::Serial);
    let sets = [vec![random(DType::I64, &[77], 12)], vec![random(DType::I64, &[3], 13)]];
    check_sets(&b.0, &sets, 0.0);
    let mut p = b.0.clone();
    p.kernels[0].schedule = Some(Schedule::Map { vector: 0 });
    check_sets(&p, &sets, 0.0);
}

#[test]
fn blocked_layouts_and_flat_positions() {
    // y[n / 16, k, n % 16] = x[n, k], and a reshape [6, 35] -> [10, 21] by flat positions.
    let mut b = Build::new();
    let x = b.input(DType::F32, &dims(&[48, 5]));
    let y = b.output(DType::F32, &dims(&[3, 5, 16]));
    let x2 = b.input(DType::I8, &dims(&[6, 35]));
    let y2 = b.output(DType::I8, &dims(&[10, 21]));
    let mut k = KernelBuilder::new("pack", &[]);
    let (kk, n) = (k.parallel("k", Dim::from(5)), k.parallel("n", Dim::from(48)));
    let (hi, lo) = (k.floor_div(&n.into(), &Dim::from(16)), k.modulo(&n.into(), &Dim::from(16)));
    let v = k.load(x, DType::F32, [n.into(), kk.into()]);
    k.store(y, [hi, kk.into(), lo], v);
    b.kernel(k.finish(), Schedule::Map { vector: 1 });
    let mut k = KernelBuilder::new("reshape", &[]);
    let (i, j) = (k.parallel("i", Dim::from(10)), k.parallel("j", Dim::from(21)));
    let flat = linearize(&[i.into(), j.into()], &dims(&[10, 21]));
    let at = k.delinearize(&flat, &dims(&[6, 35]));
    let v = k.load(x2, DType::I8, at);
    k.store(y2, [i.into(), j.into()], v);
    b.kernel(k.finish(), Schedule::Map { vector: 1 });
    check(&b.0, &[random(DType::F32, &[48, 5], 14), random(DType::I8, &[6, 35], 15)], 0.0);
}

#[test]
fn casts_between_all_types() {
    use DType::*;
    let all = [F32, F64, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64, Bool];
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        2.5,
        127.5,
        255.9,
        -300.0,
        65504.0,
        65520.0,
        1e5,
        3e9,
        -3e9,
        1e19,
        -1e19,
        1e30,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e-7,
        5.9e-8,
        0.1,
        0.333333333,
    ];
    for from in all {
        let mut b = Build::new();
        let x = b.input(from, &dims(&[special.len() as i64]));
        for to in all {
            let y = b.output(to, &dims(&[special.len() as i64]));
            let mut k = KernelBuilder::new("cast", &[]);
            let i = k.parallel("i", Dim::from(special.len()));
            let v = k.load(x, from, [i.into()]);
            let v = k.cast(to, v);
            k.store(y, [i.into()], v);
            b.kernel(k.finish(), Schedule::Map { vector: 0 });
        }
        let input = if from.is_float() {
            Tensor::from_f64(from, &[special.len()], &special).unwrap()
        } else {
            let ints = [
                0,
                1,
                -1,
                2,
                127,
                128,
                -128,
                255,
                256,
                32767,
                -32768,
                65535,
                16777217,
                33554433,
                i64::MAX,
                i64::MIN,
                1 << 40,
                (1 << 53) + 1,
                2049,
                4099,
                -2051,
                65519,
                65520,
            ];
            // The interpreter keeps u64 as i64.
            let ints = ints.map(|v| if from == U64 { v & i64::MAX } else { v });
            Tensor::from_i64(from, &[special.len()], &ints).unwrap()
        };
        check(&b.0, &[input], 0.0);
    }
}

#[test]
fn every_operator() {
    use BinaryOp::*;
    use DType::*;
    let n = 57usize;
    for dtype in [F32, F64, F16, BF16, I8, U8, I32, U32, I64, U64, Bool] {
        let mut b = Build::new();
        let (x, y) = (b.input(dtype, &dims(&[n as i64])), b.input(dtype, &dims(&[n as i64])));
        let mut unary = vec![];
        let mut binary = vec![Eq, Ne, Lt, Le, Gt, Ge, Min, Max];
        if dtype == Bool {
            unary.push(UnaryOp::Not);
            binary.extend([And, Or, Xor]);
        } else {
            unary.extend([UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Sign]);
            binary.extend([Add, Sub, Mul, Div, Mod, Rem]);
        }
        if dtype.is_int() {
            unary.push(UnaryOp::BitNot);
            binary.extend([BitAnd, BitOr, BitXor, Shl, Shr]);
        }
        if dtype.is_float() {
            use UnaryOp::*;
            unary.extend([Exp, Log, Sqrt, Reciprocal, Floor, Ceil, Round, Trunc, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh]);
            unary.extend([Asinh, Acosh, Atanh, Erf, Sigmoid, IsNan, IsInf]);
            binary.push(Pow);
        }
        let mut run = |name: std::string::String, f: &dyn Fn(&mut KernelBuilder, ExprId, ExprId) -> ExprId| {
            let mut k = KernelBuilder::new(name, &[]);
            let i = k.parallel("i", Dim::from(n));
            let (a, c) = (k.load(x, dtype, [i.into()]), k.load(y, dtype, [i.into()]));
            let v = f(&mut k, a, c);
            let out = b.output(k.dtype(v), &dims(&[n as i64]));
            k.store(out, [i.into()], v);
            b.kernel(k.finish(), Schedule::Map { vector: 0 });
        };
        for op in unary {
            run(format!("{op:?}"), &|k, a, _| k.unary(op, a));
        }
        for op in binary {
            run(format!("{op:?}"), &|k, a, c| k.binary(op, a, c));
        }
        let mut inputs = vec![random(dtype, &[n], 20), random(dtype, &[n], 21)];
        if dtype.is_float() {
            let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0];
            let mut a = inputs[0].to_f64().unwrap();
            let mut c = inputs[1].to_f64().unwrap();
            for i in 0..49 {
                a[i] = special[i / 7];
                c[i] = special[i % 7];
            }
            inputs = vec![Tensor::from_f64(dtype, &[n], &a).unwrap(), Tensor::from_f64(dtype, &[n], &c).unwrap()];
        } else if dtype.is_signed_int() {
            let mut a = inputs[0].to_i64().unwrap();
            let mut c = inputs[1].to_i64().unwrap();
            let low = if dtype.bits() == 64 { i64::MIN } else { -(1 << (dtype.bits() - 1)) };
            a[..4].copy_from_slice(&[low, low, 5, -5]);
            c[..4].copy_from_slice(&[-1, 0, 0, 3]);
            inputs = vec![Tensor::from_i64(dtype, &[n], &a).unwrap(), Tensor::from_i64(dtype, &[n], &c).unwrap()];
        }
        let rtol = match dtype {
            F32 => 1e-6,
            F64 => 1e-12,
            F16 => 2e-3,
            BF16 => 1.6e-2,
            _ => 0.0,
        };
        check(&b.0, &inputs, rtol);
    }
}

#[test]
fn reads_small_types() {
    use DType::*;
    for dtype in [I2, U2, I4, U4, F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0] {
        let mut b = Build::new();
        let bytes: Vec<u8> = (0..=255).collect();
        let n = 256 * 8 / dtype.bits();
        let x = b.input(dtype, &dims(&[n as i64]));
        let w = b.constant(Tensor::new(dtype, &[n], bytes.clone()).unwrap());
        let y = b.output(F32, &dims(&[n as i64 + 3]));
        let mut k = KernelBuilder::new("decode", &[]);
        let i = k.parallel("i", Dim::from(n + 3));
        let at = Index::from(i).add_dim(&Dim::from(-1));
        let guard = vec![(at.clone(), Dim::from(n))];
        let v = k.load_guarded(x, dtype, [at], guard, None);
        let v = k.cast(F32, v);
        let c = k.load(w, dtype, [Index::from(5)]);
        let c = k.cast(F32, c);
        let v = k.add(v, c);
        k.store(y, [i.into()], v);
        b.kernel(k.finish(), Schedule::Map { vector: 0 });
        check(&b.0, &[Tensor::new(dtype, &[n], bytes).unwrap()], 0.0);
    }
}

#[test]
fn results_without_elements() {
    let source = "graph @g(%x: f32[20, 10, 5]) {
  const %from : i64[2] = [0, 1000]
  const %to : i64[2] = [20, 1000]
  %y = Slice(%x, %from, %to) : f32[20, 0, 5]
  return %y
}
";
    let mut graph = lapidary_ir::text::parse(source, &Default::default()).unwrap();
    let facts = lapidary_ops::infer_types(&mut graph).unwrap();
    let plan = lapidary_lower::lower(&graph, &facts, &Default::default()).unwrap();
    let out = folder().join("libnothing.so");
    lapidary_llvm::compile(&plan, &lapidary_llvm::CompileOptions::default(), &out).unwrap();
    let lib = lapidary_llvm::loaded::Library::open(&out).unwrap();
    let got = lib.context(2, None).unwrap().run(&[&random(DType::F32, &[20, 10, 5], 1)]).unwrap();
    assert_eq!(got[0].sizes(), [20, 0, 5]);
}
