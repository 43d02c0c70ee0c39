//! Contractions, native against interpreted: products of matrices, batched, with tails, and convolutions of many forms.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::*;

fn ids(a: &[AxisId]) -> Vec<u16> {
    a.iter().map(|a| a.0).collect()
}

fn load_id(k: &Kernel, of: ExprId) -> u32 {
    let _ = k;
    of.0
}

/// B `[batch…, k…, n]` as panels `[batch…, ceil(n / 16), k…, 16]`.
fn panels(t: &Tensor, batch: usize, sizes_k: &[usize], n: usize) -> Tensor {
    let k: usize = sizes_k.iter().product();
    let v = t.to_vec::<f32>().unwrap();
    let p = n.div_ceil(16);
    let mut out = vec![0f32; batch * p * k * 16];
    for b in 0..batch {
        for j in 0..n {
            for i in 0..k {
                out[((b * p + j / 16) * k + i) * 16 + j % 16] = v[(b * k + i) * n + j];
            }
        }
    }
    let mut sizes = vec![batch, p];
    sizes.extend(sizes_k);
    sizes.push(16);
    Tensor::from_slice(&sizes, &out)
}

/// `y[g, m, n] = relu(Σk a[g, m, k] b[g, k, n] + bias[n])`, B packed.
pub fn gemm(g: i64, m: Dim, n: i64, kk: i64) -> Program {
    let mut b = Build::new();
    let a = b.input(DType::F32, &[Dim::from(g), m.clone(), Dim::from(kk)]);
    let w = b.constant(panels(&random(DType::F32, &[g as usize, kk as usize, n as usize], 2), g as usize, &[kk as usize], n as usize));
    let bias = b.constant(random(DType::F32, &[n as usize], 3));
    let y = b.output(DType::F32, &[Dim::from(g), m.clone(), Dim::from(n)]);
    let mut k = KernelBuilder::new("gemm", &[]);
    let (bg, i, j) = (k.parallel("g", Dim::from(g)), k.parallel("i", m), k.parallel("j", Dim::from(n)));
    let r = k.axis("k", Dim::from(kk));
    let x = k.load(a, DType::F32, [bg.into(), i.into(), r.into()]);
    let (hi, lo) = (k.floor_div(&j.into(), &Dim::from(16)), k.modulo(&j.into(), &Dim::from(16)));
    let f = k.load(w, DType::F32, [bg.into(), hi, r.into(), lo]);
    let p = k.mul(x, f);
    let s = k.reduce(ReduceOp::Sum, DType::F32, &[r], p);
    let c = k.load(bias, DType::F32, [j.into()]);
    let v = k.add(s, c);
    let zero = k.constant(DType::F32, 0.0);
    let v = k.binary(BinaryOp::Max, v, zero);
    k.store(y, [bg.into(), i.into(), j.into()], v);
    let kernel = k.finish();
    let schedule = Schedule::Contract { batch: ids(&[bg]), m: ids(&[i]), n: ids(&[j]), k: ids(&[r]), a: load_id(&kernel, x), b: load_id(&kernel, f) };
    b.kernel(kernel, schedule);
    b.0
}

#[test]
fn products_of_matrices() {
    for (g, m, n, k) in
        [(1, 1, 16, 5), (1, 7, 48, 33), (1, 8, 64, 64), (3, 13, 50, 17), (1, 130, 200, 70), (2, 65, 9, 130), (1, 1, 300, 257), (1, 3, 112, 1)]
    {
        let p = gemm(g, Dim::from(m), n, k);
        check(&p, &[random(DType::F32, &[g as usize, m as usize, k as usize], 1)], 1e-5);
    }
}

#[test]
fn products_with_a_symbolic_number_of_rows() {
    let p = gemm(2, Dim::symbol("M"), 80, 48);
    let sets: Vec<Vec<Tensor>> = [1, 2, 6, 8, 63, 0, 64, 65, 200].iter().map(|m| vec![random(DType::F32, &[2, *m, 48], 1)]).collect();
    check_sets(&p, &sets, 1e-5);
}

#[test]
fn products_that_read_b_as_it_lies() {
    // scores · V: batch [h], A [h, m, k], B [k, h, n] with n next to each other.
    let mut b = Build::new();
    let t = Dim::symbol("T");
    let a = b.input(DType::F32, &[Dim::from(3), t.clone(), t.clone()]);
    let v = b.input(DType::F32, &[t.clone(), Dim::from(3), Dim::from(32)]);
    let y = b.output(DType::F32, &[t.clone(), Dim::from(3), Dim::from(32)]);
    let mut k = KernelBuilder::new("values", &[]);
    let (h, i, j) = (k.parallel("h", Dim::from(3)), k.parallel("i", t.clone()), k.parallel("j", Dim::from(32)));
    let r = k.axis("k", t);
    let x = k.load(a, DType::F32, [h.into(), i.into(), r.into()]);
    let f = k.load(v, DType::F32, [r.into(), h.into(), j.into()]);
    let p = k.mul(x, f);
    let s = k.reduce(ReduceOp::Sum, DType::F32, &[r], p);
    k.store(y, [i.into(), h.into(), j.into()], s);
    let schedule = Schedule::Contract { batch: ids(&[h]), m: ids(&[i]), n: ids(&[j]), k: ids(&[r]), a: x.0, b: f.0 };
    b.kernel(k.finish(), schedule);
    let sets: Vec<Vec<Tensor>> =
        [1usize, 10, 77].iter().map(|t| vec![random(DType::F32, &[3, *t, *t], 1), random(DType::F32, &[*t, 3, 32], 2)]).collect();
    check_sets(&b.0, &sets, 1e-5);
}

/// What varies between convolutions.
struct Conv {
    n: Dim,
    size: (i64, i64),
    groups: i64,
    channels: (i64, i64),
    kernel: (i64, i64),
    stride: i64,
    dilation: i64,
    pad: i64,
    /// Elements of the input, which lies NHWC, or NCHW.
    nchw: bool,
}

/// NHWC out, filters packed `[group, ceil(o / 16), p, q, c, 16]`.
fn conv(c: &Conv) -> (Program, Vec<usize>) {
    let mut b = Build::new();
    let (gi, go) = (c.channels.0 / c.groups, c.channels.1 / c.groups);
    let out = |size: i64, kernel: i64| (size + 2 * c.pad - c.dilation * (kernel - 1) - 1) / c.stride + 1;
    let (oh, ow) = (out(c.size.0, c.kernel.0), out(c.size.1, c.kernel.1));
    let n = c.n.clone();
    let xd = if c.nchw {
        [n.clone(), c.channels.0.into(), c.size.0.into(), c.size.1.into()]
    } else {
        [n.clone(), c.size.0.into(), c.size.1.into(), c.channels.0.into()]
    };
    let x = b.input(DType::F32, &xd);
    let ks = [c.kernel.0 as usize, c.kernel.1 as usize, gi as usize];
    let full = [c.groups as usize, ks[0], ks[1], ks[2], go as usize];
    let w = b.constant(panels(&random(DType::F32, &full, 5), c.groups as usize, &ks, go as usize));
    let y = b.output(DType::F32, &[n.clone(), oh.into(), ow.into(), c.channels.1.into()]);
    let mut k = KernelBuilder::new("conv", &[]);
    let (bn, g) = (k.parallel("n", n), k.parallel("g", c.groups.into()));
    let (i, j, o) = (k.parallel("i", oh.into()), k.parallel("j", ow.into()), k.parallel("o", go.into()));
    let (p, q, r) = (k.axis("p", c.kernel.0.into()), k.axis("q", c.kernel.1.into()), k.axis("c", gi.into()));
    let at = |i: AxisId, p: AxisId| Index::from(i).scale(&c.stride.into()).add(&Index::from(p).scale(&c.dilation.into())).add_dim(&Dim::from(-c.pad));
    let (row, col) = (at(i, p), at(j, q));
    let channel = Index::from(g).scale(&gi.into()).add(&r.into());
    let guard = vec![(row.clone(), Dim::from(c.size.0)), (col.clone(), Dim::from(c.size.1))];
    let index = if c.nchw { [bn.into(), channel, row, col] } else { [bn.into(), row, col, channel] };
    let a = k.load_guarded(x, DType::F32, index, guard, None);
    let (hi, lo) = (k.floor_div(&o.into(), &Dim::from(16)), k.modulo(&o.into(), &Dim::from(16)));
    let f = k.load(w, DType::F32, [g.into(), hi, p.into(), q.into(), r.into(), lo]);
    let product = k.mul(a, f);
    let s = k.reduce(ReduceOp::Sum, DType::F32, &[p, q, r], product);
    let v = k.unary(UnaryOp::Tanh, s);
    let oc = Index::from(g).scale(&go.into()).add(&o.into());
    k.store(y, [bn.into(), i.into(), j.into(), oc], v);
    let schedule = Schedule::Contract { batch: ids(&[g]), m: ids(&[bn, i, j]), n: ids(&[o]), k: ids(&[p, q, r]), a: a.0, b: f.0 };
    b.kernel(k.finish(), schedule);
    let images = c.n.as_const().unwrap_or(2) as usize;
    let (h, wd, ch) = (c.size.0 as usize, c.size.1 as usize, c.channels.0 as usize);
    (b.0, if c.nchw { vec![images, ch, h, wd] } else { vec![images, h, wd, ch] })
}

#[test]
fn convolutions() {
    let base = || Conv { n: 2.into(), size: (9, 11), groups: 1, channels: (8, 32), kernel: (3, 3), stride: 1, dilation: 1, pad: 1, nchw: false };
    for c in [
        base(),
        Conv { n: Dim::symbol("N"), ..base() },
        Conv { stride: 2, pad: 0, ..base() },
        Conv { dilation: 2, pad: 2, channels: (5, 20), ..base() },
        Conv { kernel: (1, 1), pad: 0, channels: (24, 17), ..base() },
        Conv { groups: 2, channels: (6, 40), ..base() },
        Conv { kernel: (7, 7), stride: 2, pad: 3, channels: (3, 64), nchw: true, ..base() },
        Conv { kernel: (5, 1), pad: 2, n: 1.into(), ..base() },
    ] {
        let (p, sizes) = conv(&c);
        check(&p, &[random(DType::F32, &sizes, 6)], 1e-5);
    }
}

/// Prints the speed of some shapes: `cargo test --release … -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let tests: Vec<(std::string::String, Program, Vec<usize>, f64)> = vec![
        ("gemm 128x768x768".into(), gemm(1, Dim::from(128), 768, 768), vec![1, 128, 768], 2.0 * 128.0 * 768.0 * 768.0),
        ("gemm Mx768x768, M = 128".into(), gemm(1, Dim::symbol("M"), 768, 768), vec![1, 128, 768], 2.0 * 128.0 * 768.0 * 768.0),
        ("gemm 128x3072x768".into(), gemm(1, Dim::from(128), 3072, 768), vec![1, 128, 768], 2.0 * 128.0 * 768.0 * 3072.0),
        ("gemm 128x768x3072".into(), gemm(1, Dim::from(128), 768, 3072), vec![1, 128, 3072], 2.0 * 128.0 * 768.0 * 3072.0),
        ("gemm 1024^3".into(), gemm(1, Dim::from(1024), 1024, 1024), vec![1, 1024, 1024], 2.0 * 1024f64.powi(3)),
        ("gemv 1x4096x4096 (GFLOP/s; × 2 = GB/s)".into(), gemm(1, Dim::from(1), 4096, 4096), vec![1, 1, 4096], 2.0 * 4096.0 * 4096.0),
        {
            let c = Conv { n: 1.into(), size: (56, 56), groups: 1, channels: (64, 64), kernel: (3, 3), stride: 1, dilation: 1, pad: 1, nchw: false };
            let (p, s) = conv(&c);
            ("conv 3x3 56x56x64".into(), p, s, 2.0 * 56.0 * 56.0 * 64.0 * 64.0 * 9.0)
        },
        {
            let c = Conv { n: 1.into(), size: (56, 56), groups: 1, channels: (64, 256), kernel: (1, 1), stride: 1, dilation: 1, pad: 0, nchw: false };
            let (p, s) = conv(&c);
            ("conv 1x1 56x56x64->256".into(), p, s, 2.0 * 56.0 * 56.0 * 64.0 * 256.0)
        },
        {
            let c = Conv { n: 1.into(), size: (224, 224), groups: 1, channels: (3, 64), kernel: (7, 7), stride: 2, dilation: 1, pad: 3, nchw: false };
            let (p, s) = conv(&c);
            ("conv 7x7/2 224x224x3->64".into(), p, s, 2.0 * 112.0 * 112.0 * 64.0 * 49.0 * 3.0)
        },
    ];
    for (name, p, sizes, flops) in tests {
        let x = random(DType::F32, &sizes, 7);
        let mut line = format!("{name:40}");
        for cpu in [Cpu::X86V4, Cpu::X86V3] {
            let lib = library(&p, &lapidary_llvm::CompileOptions { cpus: vec![cpu], ..Default::default() });
            for threads in [1, 2] {
                let mut context = lib.context(threads, None).unwrap();
                let mut best = f64::MAX;
                for _ in 0..60 {
                    let start = std::time::Instant::now();
                    context.run_in_place(&[&x]).unwrap();
                    best = best.min(start.elapsed().as_secs_f64());
                }
                line += &format!("  {cpu:?}/{threads}: {:6.1}", flops / best / 1e9);
            }
        }
        println!("{line}");
    }
}

/// What tiles do themselves (a bias, bounds), what comes after a bias, and what looks alike but is neither; NaN goes through bounds.
#[test]
fn what_follows_a_sum() {
    let cases = [
        ("%y = Add(%s, %b) : f32[M, N]", ""),
        ("%y = Relu(%s) : f32[M, N]", ""),
        ("%t = Add(%s, %b) : f32[M, N]\n  %y = Clip(%t, %low, %high) : f32[M, N]", ""),
        ("%t = Add(%b, %s) : f32[M, N]\n  %y = Clip(%t, %high, %low) : f32[M, N]", "bounds in the wrong order"),
        ("%t = Add(%s, %b) : f32[M, N]\n  %u = Sigmoid(%t) : f32[M, N]\n  %y = Mul(%t, %u) : f32[M, N]", ""),
        ("%t = Add(%s, %b) : f32[M, N]\n  %y = Mul(%t, %s) : f32[M, N]", "the sum is used twice"),
        ("%t = Add(%s, %s) : f32[M, N]\n  %y = Relu(%t) : f32[M, N]", "the sum is added to itself"),
        ("%t = Add(%s, %r) : f32[M, N]\n  %y = Relu(%t) : f32[M, N]", "one number for each row"),
        ("%t = Add(%s, %x) : f32[M, N]\n  %y = Relu(%t) : f32[M, N]", "one number for each element"),
        ("%t = Add(%s, %one) : f32[M, N]\n  %y = Relu(%t) : f32[M, N]", "one number"),
    ];
    for (m, n) in [(1, 48), (8, 48), (16, 96), (13, 100), (29, 24), (24, 16)] {
        let (mut a, x) = (random(DType::F32, &[m, 20], 1).to_f64().unwrap(), random(DType::F32, &[m, n], 4));
        a[20 * (m / 2) + 3] = f64::NAN;
        let a = Tensor::from_f64(DType::F32, &[m, 20], &a).unwrap();
        for (rest, what) in cases {
            let constants = [
                constant("w", &random(DType::F32, &[20, n], 2)),
                constant("b", &random(DType::F32, &[n], 3)),
                constant("r", &random(DType::F32, &[m, 1], 5)),
            ];
            let source = format!(
                "graph @g(%a: f32[{m}, 20], %x: f32[{m}, {n}]) {{\n{}  const %low : f32[] = -1.5\n  const %high : f32[] = 1.25\n  \
                 const %one : f32[] = 1.0\n  %s = MatMul(%a, %w) : f32[M, N]\n  {rest}\n  return %y\n}}\n",
                constants.concat()
            );
            let source = source.replace("[M, N]", &format!("[{m}, {n}]"));
            agrees_in_tiles(&format!("// {what}\n{source}"), &[a.clone(), x.clone()], 1e-5, &|_| true);
        }
    }
}
