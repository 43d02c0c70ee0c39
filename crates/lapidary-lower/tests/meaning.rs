//! Optimizing a program keeps its meaning: the interpreter gives the same before and after, for every symbol's size.

use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::{BinaryOp, Buffer, BufferId, BufferKind, Index, KernelBuilder, Program, ReduceOp, UnaryOp, interp};
use lapidary_lower::LowerOptions;

struct Net {
    p: Program,
    seed: u64,
}

impl Net {
    fn new() -> Net {
        Net { p: Program::default(), seed: 1 }
    }
    fn buffer(&mut self, name: &str, dims: &[Dim], kind: BufferKind) -> BufferId {
        self.p.add_buffer(Buffer { name: name.into(), dtype: DType::F32, dims: dims.into(), kind })
    }
    fn noise(&mut self, n: usize) -> Vec<f32> {
        (0..n)
            .map(|_| {
                self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((self.seed >> 40) as f32 / (1 << 24) as f32) - 0.5
            })
            .collect()
    }
    fn weight(&mut self, name: &str, sizes: &[usize]) -> BufferId {
        let data = self.noise(sizes.iter().product());
        let dims: Vec<Dim> = sizes.iter().map(|s| Dim::from(*s)).collect();
        self.buffer(name, &dims, BufferKind::Const(Tensor::from_slice(sizes, &data).into()))
    }
    fn dims(&self, b: BufferId) -> Vec<Dim> {
        self.p.buffer(b).dims.to_vec()
    }
    fn conv(&mut self, x: BufferId, w: BufferId, stride: i64, pad: i64, groups: i64, kind: BufferKind) -> BufferId {
        let (xd, wd) = (self.dims(x), self.dims(w));
        let out = |i: usize| (&(&xd[i] + &Dim::from(2 * pad)) - &wd[i]).floor_div(&Dim::from(stride)) + Dim::from(1);
        let y = self.buffer("conv", &[xd[0].clone(), wd[0].clone(), out(2), out(3)], kind);
        let mut k = KernelBuilder::new("conv", &["conv".into()]);
        let n = k.parallel("n", xd[0].clone());
        let g = k.parallel("g", Dim::from(groups));
        let per = wd[0].floor_div(&Dim::from(groups));
        let o = k.parallel("o", per.clone());
        let (i, j) = (k.parallel("i", out(2)), k.parallel("j", out(3)));
        let (c, r, q) = (k.axis("c", wd[1].clone()), k.axis("r", wd[2].clone()), k.axis("q", wd[3].clone()));
        let at = |i, r| Index::from(i).scale(&Dim::from(stride)).add(&Index::from(r)).add_dim(&Dim::from(-pad));
        let channel = Index::from(g).scale(&wd[1]).add(&c.into());
        let guard = vec![(at(i, r), xd[2].clone()), (at(j, q), xd[3].clone())];
        let v = k.load_guarded(x, DType::F32, [n.into(), channel, at(i, r), at(j, q)], guard, None);
        let row = Index::from(g).scale(&per).add(&o.into());
        let u = k.load(w, DType::F32, [row.clone(), c.into(), r.into(), q.into()]);
        let v = k.mul(v, u);
        let v = k.reduce(ReduceOp::Sum, DType::F32, &[c, r, q], v);
        k.store(y, [n.into(), row, i.into(), j.into()], v);
        self.p.kernels.push(k.finish());
        y
    }
    fn unary(&mut self, op: UnaryOp, x: BufferId) -> BufferId {
        let d = self.dims(x);
        let y = self.buffer("unary", &d, BufferKind::Temp);
        let mut k = KernelBuilder::new("unary", &["unary".into()]);
        let at: Vec<Index> = k.parallel_all("i", &d).into_iter().map(Into::into).collect();
        let v = k.load(x, DType::F32, at.clone());
        let v = k.unary(op, v);
        k.store(y, at, v);
        self.p.kernels.push(k.finish());
        y
    }
    fn add(&mut self, a: BufferId, b: BufferId, kind: BufferKind) -> BufferId {
        let d = self.dims(a);
        let bd = self.dims(b);
        let y = self.buffer("add", &d, kind);
        let mut k = KernelBuilder::new("add", &["add".into()]);
        let at: Vec<Index> = k.parallel_all("i", &d).into_iter().map(Into::into).collect();
        let u = k.load(a, DType::F32, at.clone());
        let other = k.broadcast(&at, &d, &bd);
        let v = k.load(b, DType::F32, other);
        let v = k.add(u, v);
        k.store(y, at, v);
        self.p.kernels.push(k.finish());
        y
    }
    /// `[…, M, K] × […, K, N]` with equal batch dims, or a plain matrix on the right.
    fn matmul(&mut self, a: BufferId, b: BufferId, kind: BufferKind) -> BufferId {
        let (ad, bd) = (self.dims(a), self.dims(b));
        let mut d = ad.clone();
        let rank = d.len();
        d[rank - 1] = bd[bd.len() - 1].clone();
        let y = self.buffer("matmul", &d, kind);
        let mut k = KernelBuilder::new("matmul", &["matmul".into()]);
        let at: Vec<Index> = k.parallel_all("i", &d).into_iter().map(Into::into).collect();
        let c = k.axis("k", ad[rank - 1].clone());
        let mut left = at.clone();
        left[rank - 1] = c.into();
        let mut right = at[rank - bd.len()..].to_vec();
        let len = right.len();
        right[len - 2] = c.into();
        let u = k.load(a, DType::F32, left);
        let v = k.load(b, DType::F32, right);
        let v = k.mul(u, v);
        let v = k.reduce(ReduceOp::Sum, DType::F32, &[c], v);
        k.store(y, at, v);
        self.p.kernels.push(k.finish());
        y
    }
    /// `[B, T, H·D] → [B, H, T, D]`, or with `keys` `[B, H, D, T]`.
    fn heads(&mut self, x: BufferId, heads: i64, keys: bool) -> BufferId {
        let d = self.dims(x);
        let size = d[2].floor_div(&Dim::from(heads));
        let mut k = KernelBuilder::new("heads", &["heads".into()]);
        let (b, h, t, e) =
            (k.parallel("b", d[0].clone()), k.parallel("h", heads.into()), k.parallel("t", d[1].clone()), k.parallel("d", size.clone()));
        let v = k.load(x, DType::F32, [b.into(), t.into(), Index::from(h).scale(&size).add(&e.into())]);
        let (dims, at) = if keys {
            (vec![d[0].clone(), heads.into(), size, d[1].clone()], [b.into(), h.into(), e.into(), t.into()])
        } else {
            (vec![d[0].clone(), heads.into(), d[1].clone(), size], [b.into(), h.into(), t.into(), e.into()])
        };
        let y = self.buffer("heads", &dims, BufferKind::Temp);
        k.store(y, at, v);
        self.p.kernels.push(k.finish());
        y
    }
    fn merge(&mut self, x: BufferId) -> BufferId {
        let d = self.dims(x);
        let y = self.buffer("merged", &[d[0].clone(), d[2].clone(), &d[1] * &d[3]], BufferKind::Temp);
        let mut k = KernelBuilder::new("merge", &["merge".into()]);
        let a: Vec<_> = k.parallel_all("i", &d);
        let v = k.load(x, DType::F32, a.iter().map(|a| (*a).into()));
        k.store(y, [a[0].into(), a[2].into(), Index::from(a[1]).scale(&d[3]).add(&a[3].into())], v);
        self.p.kernels.push(k.finish());
        y
    }
    fn softmax(&mut self, x: BufferId) -> BufferId {
        let d = self.dims(x);
        let y = self.buffer("softmax", &d, BufferKind::Temp);
        let mut k = KernelBuilder::new("softmax", &["softmax".into()]);
        let mut at: Vec<Index> = k.parallel_all("i", &d[..d.len() - 1]).into_iter().map(Into::into).collect();
        let j = k.axis("j", d[d.len() - 1].clone());
        at.push(j.into());
        let v = k.load(x, DType::F32, at.clone());
        let m = k.reduce(ReduceOp::Max, DType::F32, &[j], v);
        let e = k.sub(v, m);
        let e = k.unary(UnaryOp::Exp, e);
        let e = k.keep(&[j], e);
        let s = k.reduce(ReduceOp::Sum, DType::F32, &[j], e);
        let v = k.binary(BinaryOp::Div, e, s);
        k.store_along(y, at, &[j], v);
        self.p.kernels.push(k.finish());
        y
    }
}

/// The optimized program gives what the plain one gives; returns the templates of its kernels.
fn same_meaning(net: Net, inputs: &[Tensor], sizes: &[(&str, i64)], options: &LowerOptions) -> Vec<String> {
    let symbol = |n: &str| sizes.iter().find(|(s, _)| *s == n).map(|(_, v)| *v);
    let before = interp::interpret(&net.p, inputs, &symbol).unwrap();
    let mut p = net.p;
    lapidary_lower::optimize(&mut p, options).unwrap();
    // Transforms round more than sums do.
    let tolerance = if options.exact_conv { 1e-5 } else { 1e-4 };
    let after = interp::interpret(&p, inputs, &symbol).unwrap();
    for (a, b) in before.iter().zip(&after) {
        for (x, y) in a.to_f64().unwrap().iter().zip(b.to_f64().unwrap()) {
            assert!((x - y).abs() <= tolerance * (1.0 + x.abs()), "{x} and {y} differ");
        }
    }
    let text = p.to_text();
    let constant = |h: u64| p.buffers.iter().filter_map(|b| b.constant()).find(|t| t.content_hash() == h).cloned();
    assert_eq!(lapidary_kernel::text::parse_program(&text, &constant).unwrap().to_text(), text);
    p.kernels.iter().map(|k| format!("{} {}", k.schedule.as_ref().map_or("", |s| s.template()), k.name)).collect()
}

#[test]
fn convolutions_with_residual() {
    for (n, size, exact_conv) in [(1, 6, true), (2, 9, true), (1, 6, false), (2, 9, false), (1, 12, false)] {
        let mut net = Net::new();
        let (sn, sh) = (Dim::symbol("N"), Dim::symbol("H"));
        let x = net.buffer("x", &[sn, 3.into(), sh.clone(), sh], BufferKind::Input(0));
        let (w1, w2, w3, b) =
            (net.weight("w1", &[40, 3, 3, 3]), net.weight("w2", &[40, 40, 3, 3]), net.weight("w3", &[40, 1, 3, 3]), net.weight("b", &[40, 1, 1]));
        let y = net.conv(x, w1, 1, 1, 1, BufferKind::Temp);
        let y = net.add(y, b, BufferKind::Temp);
        let y = net.unary(UnaryOp::Tanh, y);
        let z = net.conv(y, w2, 1, 1, 1, BufferKind::Temp);
        let z = net.add(z, y, BufferKind::Temp);
        let z = net.unary(UnaryOp::Abs, z);
        let z = net.conv(z, w3, 2, 1, 40, BufferKind::Temp);
        let o = net.conv(z, w2, 1, 1, 1, BufferKind::Output(0));
        assert_eq!(net.p.buffer(o).kind, BufferKind::Output(0));
        let data = net.noise(n * 3 * size * size);
        let input = Tensor::from_slice(&[n, 3, size, size], &data);
        let got = same_meaning(net, &[input], &[("N", n as i64), ("H", size as i64)], &LowerOptions { exact_conv, ..LowerOptions::default() });
        let direct = ["map layout:x", "contract conv", "contract conv", "window conv", "contract conv", "map layout:conv"];
        let transformed = ["map winograd:inputs conv", "contract winograd:products conv", "map winograd:outputs conv"];
        let large = [&["map winograd:weights conv"][..], &transformed].concat();
        // Three channels are too few.
        let winograd = [&direct[..2], &large, &direct[3..4], &large, &direct[5..]].concat();
        assert_eq!(got, if exact_conv { direct.to_vec() } else { winograd });
    }
}

/// `x + merge(softmax(q·k)·v)·w3` with four heads.
fn attention_net() -> Net {
    let mut net = Net::new();
    let x = net.buffer("x", &[Dim::symbol("B"), Dim::symbol("T"), 64.into()], BufferKind::Input(0));
    let w: Vec<BufferId> = (0..4).map(|i| net.weight(&format!("w{i}"), &[64, 64])).collect();
    let b = net.weight("b", &[64]);
    let parts: Vec<BufferId> = (0..3)
        .map(|i| {
            let y = net.matmul(x, w[i], BufferKind::Temp);
            net.add(y, b, BufferKind::Temp)
        })
        .collect();
    let (q, k, v) = (net.heads(parts[0], 4, false), net.heads(parts[1], 4, true), net.heads(parts[2], 4, false));
    let s = net.matmul(q, k, BufferKind::Temp);
    let s = net.softmax(s);
    let o = net.matmul(s, v, BufferKind::Temp);
    let o = net.merge(o);
    let o = net.matmul(o, w[3], BufferKind::Temp);
    net.add(o, x, BufferKind::Output(0));
    net
}

#[test]
fn attention() {
    for (n, t) in [(1, 5), (2, 17)] {
        let mut net = attention_net();
        let data = net.noise(n * t * 64);
        let input = Tensor::from_slice(&[n, t, 64], &data);
        let got = same_meaning(net, &[input], &[("B", n as i64), ("T", t as i64)], &LowerOptions::default());
        let want = [
            "contract matmul",
            "contract matmul",
            "contract matmul",
            "map pack:add",
            "contract matmul",
            "row softmax",
            "contract matmul",
            "contract matmul",
        ];
        assert_eq!(got, want);
    }
}

/// How long optimizing takes on the kernels of a 36-layer encoder (about 1500): `cargo test -p lapidary-lower --release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn optimizing_a_deep_encoder_is_quick() {
    let mut net = Net::new();
    let mut x = net.buffer("x", &[Dim::symbol("B"), Dim::symbol("T"), 64.into()], BufferKind::Input(0));
    for _ in 0..36 {
        let w: Vec<BufferId> = (0..6).map(|i| net.weight(&format!("w{i}"), &[64, 64])).collect();
        let b = net.weight("b", &[64]);
        let mut parts = vec![];
        for w in &w[..3] {
            let y = net.matmul(x, *w, BufferKind::Temp);
            parts.push(net.add(y, b, BufferKind::Temp));
        }
        let (q, k, v) = (net.heads(parts[0], 4, false), net.heads(parts[1], 4, true), net.heads(parts[2], 4, false));
        let s = net.matmul(q, k, BufferKind::Temp);
        let s = net.softmax(s);
        let o = net.matmul(s, v, BufferKind::Temp);
        let o = net.merge(o);
        let o = net.matmul(o, w[3], BufferKind::Temp);
        let o = net.add(o, b, BufferKind::Temp);
        x = net.add(o, x, BufferKind::Temp);
        let mut h = net.matmul(x, w[4], BufferKind::Temp);
        h = net.add(h, b, BufferKind::Temp);
        for op in [UnaryOp::Abs, UnaryOp::Tanh, UnaryOp::Sigmoid, UnaryOp::Floor] {
            let u = net.unary(op, h);
            let u = net.add(u, b, BufferKind::Temp);
            let u = net.unary(UnaryOp::Abs, u);
            h = net.add(u, h, BufferKind::Temp);
        }
        let h = net.matmul(h, w[5], BufferKind::Temp);
        x = net.add(h, x, BufferKind::Temp);
    }
    net.add(x, x, BufferKind::Output(0));
    let mut p = net.p;
    let (kernels, start) = (p.kernels.len(), std::time::Instant::now());
    lapidary_lower::optimize(&mut p, &Default::default()).unwrap();
    println!("{kernels} kernels became {} in {:.2?}", p.kernels.len(), start.elapsed());
}

/// The example in docs/kernels.md is what this prints; `LAPIDARY_BLESS=1` writes it.
#[test]
fn the_documented_example_is_real() {
    let mut p = attention_net().p;
    p.name = "attention".into();
    lapidary_lower::optimize(&mut p, &Default::default()).unwrap();
    // Buffers that nothing mentions any more are left out of the page.
    let text: String = p.to_text().lines().filter(|l| mentioned(&p, l)).map(|l| format!("{l}\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kernels.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("```kernels\n").unwrap();
    let (shown, after) = rest.split_once("```\n").unwrap();
    if std::env::var_os("LAPIDARY_BLESS").is_some() {
        std::fs::write(path, format!("{before}```kernels\n{text}```\n{after}")).unwrap();
    } else {
        assert_eq!(shown, text, "run with LAPIDARY_BLESS=1 to write the page anew");
    }
}

fn mentioned(p: &Program, line: &str) -> bool {
    let Some(name) = line.strip_prefix("  temp ").or(line.strip_prefix("  const ")).and_then(|l| l.split([':', ' ']).next()) else { return true };
    let kernels = p.to_text();
    kernels.contains(&format!(" {name}["))
}
