//! quantize-weights: store weights with fewer bits; activations stay floats.
//!
//! Covers every constant weight of MatMul, Gemm and Conv but the head (`head=true` includes it, `embeddings=true` tables of Gather).
//!
//! Integers of `bits` bits (2 to 8; 3 bits are stored as 4, 5 to 7 as 8), a scale for every `block` inputs of an output:
//!
//! * `rtn` (the default): each weight to the nearest code, as ONNX Runtime's own quantizer. `clip=true` shrinks ranges to where the error
//!   is least.
//! * `hqq`: zero points move to where the error is small but for outliers. Needs no data. Source: Badri and Shaji, "Half-quadratic
//!   quantization" (2023).
//! * `gptq`: column by column, the rest makes up for what rounding did, on `data`. `act_order=true` begins with the columns whose inputs are
//!   largest. The best at 3 and 2 bits. Source: Frantar et al., "GPTQ" (2023).
//! * `awq`: inputs that are large on `data` get finer weights, by scales that move into the layers before; then ranges are clipped. Source:
//!   Lin et al., "AWQ" (2024).
//!
//! Other number formats:
//!
//! * `nf4`: quantiles of the normal distribution, blocks of 64, as bitsandbytes; `double=true` stores the scales in 8 bits. Source: Dettmers
//!   et al., "QLoRA" (2023).
//! * `gobo`: `2^bits` centroids for the matrix, and its outliers as they are. Source: Zadeh et al., "GOBO" (2020).
//! * `fp8`: floats of 8 bits (E4M3), a scale for each output or one.
//! * `mxfp4`, `nvfp4`: floats of 4 bits in blocks of 32 with a power of two, of 16 with a scale of 8 bits. Source: OCP Microscaling Formats
//!   1.0 (2023); NVIDIA's NVFP4.
//!
//! `format=matmulnbits` writes ONNX Runtime's MatMulNBits (MatMulBnb4 for nf4), which it runs without unpacking; `format=qdq`
//! DequantizeLinear before the operator, for every other runtime; `auto` the first where a layer allows, else the second. ONNX Runtime joins
//! DequantizeLinear and MatMul again, and then rounds the activations to 8 bits, unless `session.qdq_matmulnbits_accuracy_level` is 0.
//!
//! A layer for which `auto-precision` chose a format takes that many bits, or is left alone.
//!
//! Run it last: what folds or fuses weights works on floats.

mod awq;
mod book;
mod formats;
#[cfg(test)]
mod golden;
mod gptq;
mod hqq;

use crate::common::activations::{BATCH, DATA, Inputs, SEQUENTIAL, each_layer};
use crate::common::codes::{Codes, Grid, Unit, narrow};
use crate::common::layers::{self, EMBEDDINGS, Form, HEAD, Layer, Scope};
use crate::common::nbits::{self, Dequantized};
use crate::common::quant::PRECISION;
use crate::common::{nothing_done, reference};
use book::Book;
use faer::Mat;
use lapidary_ir::{DType, Diagnostic, Graph, Result, Tensor, ValueId};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "quantize-weights";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "method",
        Kind::Choice(&["rtn", "hqq", "gptq", "awq", "nf4", "gobo", "fp8", "mxfp4", "nvfp4"]),
        Some("rtn"),
        "how codes are chosen, or the number format",
    ),
    OptionSpec::new("bits", Kind::Int, None, "bits of a code, 2 to 8 (default 4; gobo 3)"),
    OptionSpec::new("block", Kind::Int, None, "inputs that share a scale (default 32; nf4 64, nvfp4 16)"),
    OptionSpec::new("scheme", Kind::Choice(&["symmetric", "asymmetric"]), Some("asymmetric"), "whether a block has a zero point of its own"),
    OptionSpec::new("granularity", Kind::Choice(&["tensor", "channel", "block"]), None, "what shares a scale (default block; fp8 channel)"),
    OptionSpec::new("format", Kind::Choice(&["auto", "qdq", "matmulnbits"]), Some("auto"), "the operators that are written"),
    OptionSpec::new("clip", Kind::Bool, Some("false"), "rtn and gptq: whether ranges shrink to where the error is least"),
    OptionSpec::new("act_order", Kind::Bool, Some("false"), "gptq: whether columns with large inputs come first"),
    OptionSpec::new("static_groups", Kind::Bool, Some("false"), "gptq: whether scales are those of the weights as they came"),
    OptionSpec::new("double", Kind::Bool, Some("false"), "nf4: whether scales are stored in 8 bits"),
    DATA,
    BATCH,
    SEQUENTIAL,
    HEAD,
    EMBEDDINGS,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let plan = Plan::of(ctx)?;
    let mut found = layers::find(graph, ctx, NAME, Scope::of(ctx));
    plan.fits(graph, ctx, &mut found)?;
    // What awq changes first belongs to the float model too: it keeps that itself.
    if plan.method != "awq" {
        reference::keep(graph, ctx);
    }
    let mut done = Tally::default();
    let coded = plan.store(graph, ctx, &mut found, &mut done)?;
    // Tables and shapes that several weights need are there once.
    let mut shared = vec![];
    for (layer, stored) in found.iter().zip(coded) {
        done.written += write(graph, ctx, &plan, &mut shared, layer, &stored)?;
    }
    let mut out = Outcome::default();
    out.touch("weights", found.len());
    if found.is_empty() {
        nothing_done(ctx, NAME)?;
    } else {
        ctx.note(done.note(found.len()));
    }
    Ok(out)
}

/// What the options say.
struct Plan {
    method: String,
    bits: u32,
    unit: Unit,
    symmetric: bool,
    clip: bool,
    /// `auto`, `qdq` or `matmulnbits`.
    format: String,
    sweep: gptq::Sweep,
    double: bool,
}

/// A weight as it will be stored.
enum Stored {
    Codes(Codes),
    Book(Book),
    Floats(Floats),
}

/// A matrix of floats of 8 bits.
struct Floats {
    unit: Unit,
    dtype: DType,
    rows: usize,
    columns: usize,
    /// Row-major, without their scales.
    values: Vec<f64>,
    scales: Vec<f32>,
}

impl Floats {
    fn of(w: &Mat<f64>, grid: &Grid) -> Result<Floats> {
        const MOST: f64 = 448.0;
        let (rows, columns, width) = (w.nrows(), w.ncols(), grid.width(w.ncols()));
        let per = columns.div_ceil(width);
        let place = |r: usize, c: usize| if grid.unit == Unit::Matrix { 0 } else { r * per + c / width };
        let mut largest = vec![0f64; if grid.unit == Unit::Matrix { 1 } else { rows * per }];
        for r in 0..rows {
            for c in 0..columns {
                let at = &mut largest[place(r, c)];
                *at = at.max(w[(r, c)].abs());
            }
        }
        let scale = |v: f64| narrow(grid.dtype, (v / MOST) as f32);
        let scales: Vec<f32> = largest.into_iter().map(|v| if scale(v) < f32::MIN_POSITIVE { 1.0 } else { scale(v) }).collect();
        let quotients: Vec<f64> =
            (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))).map(|(r, c)| w[(r, c)] / f64::from(scales[place(r, c)])).collect();
        let values = Tensor::from_f64(DType::F8E4M3FN, &[quotients.len()], &quotients)?.to_f64().unwrap_or_default();
        Ok(Floats { unit: grid.unit, dtype: grid.dtype, rows, columns, values, scales })
    }
    fn matrix(&self) -> Mat<f64> {
        let width = if let Unit::Block(n) = self.unit { n.min(self.columns).max(1) } else { self.columns.max(1) };
        let per = self.columns.div_ceil(width);
        let scale = |r: usize, c: usize| self.scales[if self.unit == Unit::Matrix { 0 } else { r * per + c / width }];
        Mat::from_fn(self.rows, self.columns, |r, c| self.values[r * self.columns + c] * f64::from(scale(r, c)))
    }
}

impl Stored {
    fn matrix(&self) -> Mat<f64> {
        match self {
            Stored::Codes(c) => c.matrix(),
            Stored::Book(b) => b.matrix(),
            Stored::Floats(f) => f.matrix(),
        }
    }
}

impl Plan {
    fn of(ctx: &PassCtx<'_>) -> Result<Plan> {
        let wrong = |text: String, help: &str| Err(Diagnostic::error("pass-option", text).help(help).into());
        let o = &ctx.options;
        let method = o.text("method").unwrap_or("rtn").to_string();
        let bits = o.int("bits").unwrap_or(if method == "gobo" { 3 } else { 4 });
        if !(2..=8).contains(&bits) {
            return wrong(format!("'bits' is {bits}"), "codes have 2 to 8 bits");
        }
        let fixed = match method.as_str() {
            "nf4" | "mxfp4" | "nvfp4" => 4,
            "fp8" => 8,
            _ => bits,
        };
        if o.int("bits").is_some_and(|b| b != fixed) {
            return wrong(format!("'bits' is {bits}, and {method} has {fixed}"), "leave out 'bits'");
        }
        let whole = matches!(method.as_str(), "nf4" | "mxfp4" | "nvfp4" | "gobo");
        if whole && o.text("granularity").is_some_and(|g| g != "block") {
            return wrong(format!("{method} has a granularity of its own"), "leave out 'granularity'");
        }
        if o.flag("double") && method != "nf4" {
            return wrong(format!("'double' is of nf4, not of {method}"), "leave out 'double'");
        }
        let block = match method.as_str() {
            "nf4" => 64,
            "nvfp4" => 16,
            _ => 32,
        };
        let block = o.int("block").unwrap_or(block);
        if !(1..=1 << 20).contains(&block) {
            return wrong(format!("'block' is {block}"), "it is how many inputs share a scale; 32, 64 and 128 are usual");
        }
        let unit = match o.text("granularity") {
            Some("tensor") => Unit::Matrix,
            Some("channel") => Unit::Row,
            None if method == "fp8" => Unit::Row,
            _ => Unit::Block(block as usize),
        };
        if unit != Unit::Block(block as usize) && o.int("block").is_some() {
            return wrong("'block' is given, and scales are not those of blocks".into(), "leave out 'block', or write granularity=block");
        }
        let format = o.text("format").unwrap_or("auto").to_string();
        if format == "matmulnbits" && matches!(method.as_str(), "gobo" | "fp8" | "mxfp4" | "nvfp4") {
            return wrong(format!("MatMulNBits has no numbers of {method}"), "write format=auto");
        }
        let sweep = gptq::Sweep { act_order: o.flag("act_order"), static_groups: o.flag("static_groups") };
        let symmetric = o.text("scheme") == Some("symmetric");
        if method == "hqq" && symmetric {
            return wrong("hqq moves zero points, and a symmetric scheme has none".into(), "write scheme=asymmetric, or another method");
        }
        Ok(Plan { method, bits: bits as u32, unit, symmetric, clip: o.flag("clip"), format, sweep, double: o.flag("double") })
    }
    /// Removes the layers that the plan cannot take, with a reason.
    fn fits(&self, graph: &Graph, ctx: &mut PassCtx<'_>, found: &mut Vec<Layer>) -> Result<()> {
        let weighs = matches!(self.method.as_str(), "gptq" | "awq");
        if let (Some(i), true) = (found.iter().position(|l| l.form == Form::Table), weighs) {
            let text = format!("'{}' is a table: nothing is multiplied by it, and {} weighs by what is", found[i].name, self.method);
            return Err(Diagnostic::error("no-inputs", text).help("use method=rtn or hqq for tables").into());
        }
        self.follow(graph, ctx, found)?;
        found.retain(|l| {
            let float = matches!(graph.dtype(l.weight), DType::F32 | DType::F16 | DType::BF16);
            let finite = float && graph.as_constant(l.weight).and_then(|t| t.to_f64()).is_some_and(|v| v.iter().all(|v| v.is_finite()));
            if !finite {
                let reason =
                    if float { "its weight has elements that are not finite" } else { "its weight is f64, for which there is no dequantizer" };
                ctx.miss(NAME, graph, l.readers[0].0, reason);
            }
            finite
        });
        Ok(())
    }
    /// Leaves out the layers for which other formats were chosen.
    fn follow(&self, graph: &Graph, ctx: &mut PassCtx<'_>, found: &mut Vec<Layer>) -> Result<()> {
        let mut wrong = None;
        found.retain(|l| {
            let Some(chosen) = precision(graph, l) else { return true };
            let reason = match chosen {
                "float" => Some("it is to stay in floats, as an earlier pass says"),
                "int8" => Some("auto-precision chose int8 for it, with its inputs: calibrate, fake-quant and fold-quant do that"),
                _ => None,
            };
            if reason.is_none() && !matches!(self.method.as_str(), "rtn" | "hqq" | "gptq" | "awq") {
                wrong.get_or_insert_with(|| (l.name.clone(), chosen.to_string()));
            }
            if let Some(reason) = reason {
                ctx.miss(NAME, graph, l.readers[0].0, reason);
            }
            reason.is_none()
        });
        match wrong {
            None => Ok(()),
            Some((name, chosen)) => {
                let d =
                    Diagnostic::error("pass-option", format!("auto-precision chose {chosen} for '{name}', and {} has codes of its own", self.method));
                Err(d.help("use method=rtn, hqq, gptq or awq").into())
            }
        }
    }
    fn grid(&self, graph: &Graph, layer: &Layer) -> Grid {
        let chosen = precision(graph, layer).and_then(|p| p.trim_start_matches(|c: char| c.is_alphabetic()).parse().ok());
        let bits = chosen.filter(|b| (2..=8).contains(b)).unwrap_or(self.bits);
        Grid { bits, symmetric: self.symmetric, unit: self.unit, clip: self.clip, dtype: graph.dtype(layer.weight) }
    }
    /// Every layer as it will be stored, in the layers' order.
    fn store(&self, graph: &mut Graph, ctx: &mut PassCtx<'_>, found: &mut [Layer], done: &mut Tally) -> Result<Vec<Stored>> {
        let mut out: Vec<(String, Stored)> = vec![];
        match self.method.as_str() {
            "gptq" => each_layer(graph, ctx, NAME, found, true, &mut |graph, _, layer, seen: &Inputs| {
                let w = layer.matrix(graph);
                let codes = gptq::quantize(layer, &w, seen, &self.grid(graph, layer), self.sweep)?;
                let near = codes.matrix();
                done.add(&w, &near);
                // What later layers are measured on.
                layer.replace(graph, NAME, near.as_ref())?;
                out.push((layer.name.clone(), Stored::Codes(codes)));
                Ok(())
            })?,
            "awq" if !found.is_empty() => {
                let grids: Vec<Grid> = found.iter().map(|l| self.grid(graph, l)).collect();
                let clipped = awq::prepare(graph, ctx, found, &grids)?;
                reference::keep(graph, ctx);
                for ((layer, w), grid) in found.iter().zip(&clipped).zip(&grids) {
                    let codes = grid.round(w);
                    done.add(&layer.matrix(graph), &codes.matrix());
                    out.push((layer.name.clone(), Stored::Codes(codes)));
                }
            }
            _ => {
                for layer in found.iter() {
                    let w = layer.matrix(graph);
                    let stored = self.one(graph, layer, &w)?;
                    done.add(&w, &stored.matrix());
                    out.push((layer.name.clone(), stored));
                }
            }
        }
        let at = |name: &str| found.iter().position(|l| l.name == name);
        out.sort_by_key(|(name, _)| at(name));
        Ok(out.into_iter().map(|(_, c)| c).collect())
    }
    /// A layer by itself.
    fn one(&self, graph: &Graph, layer: &Layer, w: &Mat<f64>) -> Result<Stored> {
        let grid = self.grid(graph, layer);
        let block = if let Unit::Block(n) = self.unit { n } else { layer.columns };
        Ok(match self.method.as_str() {
            "hqq" => Stored::Codes(hqq::quantize(w, &grid, self.whole(graph, layer, &grid))),
            "nf4" => Stored::Book(formats::nf4(w, block, self.double, grid.dtype)),
            "gobo" => Stored::Book(formats::gobo(w, self.bits, grid.dtype)),
            "mxfp4" => Stored::Book(formats::mxfp4(w, block, grid.dtype)?),
            "nvfp4" => Stored::Book(formats::nvfp4(w, block, grid.dtype)?),
            "fp8" => Stored::Floats(Floats::of(w, &grid)?),
            _ => Stored::Codes(grid.round(w)),
        })
    }
    /// Whether zero points must be codes, where the layer will stand as DequantizeLinear.
    fn whole(&self, graph: &Graph, layer: &Layer, grid: &Grid) -> bool {
        let free = Codes { zeros: vec![0.5], ..Codes::empty(*grid, layer.rows, layer.columns) };
        self.format == "qdq" || nbits::not_nbits(graph, layer, &free).is_some()
    }
}

fn write(graph: &mut Graph, ctx: &mut PassCtx<'_>, plan: &Plan, shared: &mut Vec<ValueId>, layer: &Layer, stored: &Stored) -> Result<usize> {
    let refused = |graph: &Graph, reason: &str| {
        let d = Diagnostic::error("not-matmulnbits", format!("'{}' cannot be written as MatMulNBits: {reason}", layer.name));
        Err(d.at(graph.node(layer.readers[0].0)).help("write format=auto, or choose nodes with on(…)").into())
    };
    match stored {
        Stored::Codes(codes) => match (plan.format.as_str(), nbits::not_nbits(graph, layer, codes)) {
            ("auto" | "matmulnbits", None) => nbits::write_nbits(graph, NAME, layer, codes),
            ("matmulnbits", Some(reason)) => refused(graph, reason),
            _ => nbits::write_qdq(graph, ctx, NAME, layer, codes),
        },
        Stored::Book(book) => match (plan.format.as_str(), plan.method == "nf4" && book.fits_bnb4(graph, layer)) {
            ("auto" | "matmulnbits", true) => book.write_bnb4(graph, shared, layer),
            ("matmulnbits", false) => refused(graph, "MatMulBnb4 is a product with a matrix"),
            _ => book.write(graph, ctx, shared, layer),
        },
        Stored::Floats(f) => {
            let element = |r: usize, c: usize| f.values[r * f.columns + c];
            let (rows, columns, unit, dtype) = (f.rows, f.columns, f.unit, f.dtype);
            let d = Dequantized { rows, columns, unit, codes: DType::F8E4M3FN, dtype, element: &element, scales: &f.scales, zeros: None };
            nbits::write_dequantizer(graph, ctx, NAME, layer, &d)
        }
    }
}

/// The format that was chosen for a layer.
fn precision<'a>(graph: &'a Graph, layer: &Layer) -> Option<&'a str> {
    layer.readers.iter().find_map(|(n, _)| graph.node(*n).metadata.get(PRECISION)).map(|p| &**p)
}

/// What the ledger says of it.
#[derive(Default)]
struct Tally {
    weights: usize,
    float_bytes: usize,
    written: usize,
    power: f64,
    error: f64,
}

impl Tally {
    fn add(&mut self, w: &Mat<f64>, q: &Mat<f64>) {
        self.weights += w.nrows() * w.ncols();
        self.float_bytes += w.nrows() * w.ncols() * 4;
        for c in 0..w.ncols() {
            self.power += w.col(c).iter().map(|v| v * v).sum::<f64>();
            self.error += w.col(c).iter().zip(q.col(c).iter()).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        }
    }
    fn note(&self, matrices: usize) -> Diagnostic {
        let bits = self.written as f64 * 8.0 / self.weights.max(1) as f64;
        let noise = if self.error > 0.0 { format!("{:.1} dB", 10.0 * (self.power / self.error).log10()) } else { "no error".into() };
        let text = format!(
            "{} weights of {matrices} matrices take {bits:.3} bits each, scales and zero points included: {} bytes instead of {} as f32; signal to noise {noise}",
            self.weights, self.written, self.float_bytes
        );
        Diagnostic::error("weights-size", text)
    }
}
