//! Weights as numbers of a table: each code names one, and a scale for each block multiplies it. Written as Cast, Gather and Mul, which every
//! runtime has, or for NF4 as ONNX Runtime's MatMulBnb4.

use super::NAME;
use crate::common::layers::{Form, Layer};
use crate::common::nbits::{Store, instead};
use faer::Mat;
use lapidary_ir::{Attrs, DType, Graph, NodeId, OpName, Result, Tensor, Type, ValueId};
use lapidary_rewrite::{PassCtx, newest_op, replace_value};

/// What the blocks are multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    None,
    /// As they are.
    Plain(Vec<f32>),
    /// Powers of two, by their exponents.
    Powers(Vec<i8>),
    /// Numbers of the type E4M3, times one number.
    Small(Vec<f32>, f32),
    /// Codes of a table, times one number for every 256, plus an offset.
    Double {
        codes: Vec<u8>,
        table: Vec<f32>,
        largest: Vec<f32>,
        offset: f32,
    },
}

/// Scales that share one number, where scales are codes themselves.
pub const OF_SCALES: usize = 256;

impl Scales {
    /// One number for each block, in f32 as the written graph computes it.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Scales::None => vec![],
            Scales::Plain(v) => v.clone(),
            Scales::Powers(v) => v.iter().map(|e| f32::from(*e).exp2()).collect(),
            Scales::Small(v, by) => v.iter().map(|v| v * by).collect(),
            Scales::Double { codes, table, largest, offset } => {
                codes.iter().enumerate().map(|(i, c)| table[usize::from(*c)] * largest[i / OF_SCALES] + offset).collect()
            }
        }
    }
}

/// A matrix by the numbers of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    pub rows: usize,
    pub columns: usize,
    /// Elements that share a scale: neighbours in a row, or, `flat`, in the whole matrix row by row.
    pub block: usize,
    pub flat: bool,
    /// At most 256 numbers.
    pub table: Vec<f32>,
    /// Row-major.
    pub codes: Vec<u8>,
    pub scales: Scales,
    /// Elements that are kept as they are, by their place row by row.
    pub outliers: Vec<(usize, f32)>,
    pub dtype: DType,
}

impl Book {
    /// Rows and columns of the codes as they are stored: blocks never cross a row of these.
    fn extents(&self) -> (usize, usize) {
        if self.flat { (1, self.rows * self.columns) } else { (self.rows, self.columns) }
    }
    pub fn matrix(&self) -> Mat<f64> {
        let (_, columns) = self.extents();
        let per = columns.div_ceil(self.block);
        let scales = self.scales.values();
        let mut out: Vec<f64> = self.codes.iter().map(|c| f64::from(self.table[usize::from(*c)])).collect();
        if !scales.is_empty() {
            out.iter_mut().enumerate().for_each(|(i, v)| *v = f64::from(*v as f32 * scales[i / columns * per + i % columns / self.block]));
        }
        self.outliers.iter().for_each(|(i, v)| out[*i] = f64::from(*v));
        Mat::from_fn(self.rows, self.columns, |r, c| out[r * self.columns + c])
    }

    /// Whether MatMulBnb4 can stand for every reader.
    pub fn fits_bnb4(&self, graph: &Graph, layer: &Layer) -> bool {
        let products = layer.readers.iter().all(|(n, _)| graph.node(*n).is("MatMul")) && layer.form == Form::InputsFirst;
        products && self.flat && self.block >= 16 && self.block.is_power_of_two() && self.outliers.is_empty()
    }

    /// Puts MatMulBnb4 in the place of the readers; gives the bytes of its constants.
    pub fn write_bnb4(&self, graph: &mut Graph, shared: &mut Vec<ValueId>, layer: &Layer) -> Result<usize> {
        let Some((first, _)) = layer.readers.first().copied() else { return Ok(0) };
        let name = layer.name.clone();
        let mut store = Store { graph, pass: NAME, bytes: 0 };
        let bytes = self.bnb4_bytes();
        let b = store.constant(&name, "_Bnb4", Tensor::new(DType::U8, &[bytes.len()], bytes)?);
        let mut scales = self.write_scales(&mut store, shared, &name, first)?;
        if matches!(self.scales, Scales::Double { .. }) {
            let n = self.scales.values().len();
            scales = reshaped(&mut store, shared, &name, scales, self.dtype, &[n], first);
        }
        for (reader, _) in &layer.readers {
            let node = store.graph.node(*reader);
            let (Some(input), y, label) = (node.input(0), reader.out(0), node.name.to_string()) else { continue };
            let ty = store.graph.ty(y).clone();
            let attrs = Attrs::new().with("K", self.columns as i64).with("N", self.rows as i64);
            let attrs = attrs.with("block_size", self.block as i64).with("quant_type", 1);
            let hint = store.graph.value(y).name.to_string();
            let label = format!("{}_Bnb4", if label.is_empty() { &hint } else { &label });
            let op = OpName::new("com.microsoft", "MatMulBnb4", 0);
            let new = store.node(op, label, &[input, b, scales], attrs, (hint, ty), *reader);
            replace_value(store.graph, y, new);
            store.graph.detach_if_dead(*reader);
        }
        let bytes = store.bytes;
        graph.detach_if_dead(layer.weight.node);
        Ok(bytes)
    }

    /// Two codes to a byte, the first in the high half.
    pub fn bnb4_bytes(&self) -> Vec<u8> {
        // Behind the last code stands the one of 0.
        self.codes.chunks(2).map(|c| c[0] << 4 | c.get(1).copied().unwrap_or(7)).collect()
    }

    /// Puts Cast, Gather and Mul in the weight's place; gives the bytes of their constants.
    pub fn write(&self, graph: &mut Graph, ctx: &mut PassCtx<'_>, shared: &mut Vec<ValueId>, layer: &Layer) -> Result<usize> {
        let Some((first, _)) = layer.readers.first().copied() else { return Ok(0) };
        let old = graph.ty(layer.weight).clone();
        let sizes = old.sizes().map(|s| s.to_vec()).unwrap_or_default();
        let name = layer.name.clone();
        let small = self.table.len() <= 16;
        if small {
            ctx.raise_opset(21, "Cast reads codes of 4 bits since then");
        } else {
            ctx.raise_opset(13, "the weights' table is read with operators of that version");
        }
        if matches!(self.scales, Scales::Small(..)) {
            ctx.raise_opset(19, "Cast reads floats of 8 bits since then");
        }
        let (rows, columns) = self.extents();
        let scaled = self.scales != Scales::None;
        // Without scales, a row is a block.
        let block = if scaled { self.block } else { columns.max(1) };
        let per = columns.div_ceil(block);
        let mut codes = vec![];
        for row in self.codes.chunks(columns.max(1)) {
            codes.extend(row.iter().map(|c| i64::from(*c)));
            codes.resize(codes.len().next_multiple_of(block), 0);
        }
        let mut store = Store { graph, pass: NAME, bytes: 0 };
        let shape = [rows * per, block];
        let code_type = if small { DType::U4 } else { DType::U8 };
        let codes = store.constant(&name, "_codes", Tensor::from_i64(code_type, &shape, &codes)?);
        let table: Vec<f64> = self.table.iter().map(|v| f64::from(*v)).collect();
        let table = store.shared(shared, &name, "_table", Tensor::from_f64(self.dtype, &[table.len()], &table)?);
        let add = |store: &mut Store<'_>, op: &str, inputs: &[ValueId], attrs: Attrs, dtype: DType, sizes: &[usize]| {
            let out = (format!("{name}_{op}_Output"), Type::tensor(dtype, sizes.iter().copied()));
            store.node(newest_op(op), String::new(), inputs, attrs, out, first)
        };
        let to_i32 = Attrs::new().with("to", i64::from(DType::I32.onnx_code()));
        let numbers = add(&mut store, "Cast", &[codes], to_i32, DType::I32, &shape);
        let mut w = add(&mut store, "Gather", &[table, numbers], Attrs::new(), self.dtype, &shape);
        if scaled {
            let scales = self.write_scales(&mut store, shared, &name, first)?;
            let scales = match self.scales {
                Scales::Double { .. } | Scales::Plain(_) => reshaped(&mut store, shared, &name, scales, self.dtype, &[rows * per, 1], first),
                _ => scales,
            };
            w = add(&mut store, "Mul", &[w, scales], Attrs::new(), self.dtype, &shape);
        }
        if per * block != columns {
            w = reshaped(&mut store, shared, &name, w, self.dtype, &[rows, per * block], first);
            let ints: Vec<ValueId> = [("_starts", 0), ("_ends", columns as i64), ("_axes", 1)]
                .map(|(hint, v)| store.shared(shared, &name, hint, Tensor::from_slice(&[1], &[v])))
                .to_vec();
            w = add(&mut store, "Slice", &[w, ints[0], ints[1], ints[2]], Attrs::new(), self.dtype, &[rows, columns]);
        }
        if !self.outliers.is_empty() {
            w = reshaped(&mut store, shared, &name, w, self.dtype, &[self.rows * self.columns], first);
            let places: Vec<i32> = self.outliers.iter().map(|(i, _)| *i as i32).collect();
            let values: Vec<f64> = self.outliers.iter().map(|(_, v)| f64::from(*v)).collect();
            let places = store.constant(&name, "_outlier_places", Tensor::from_slice(&[places.len()], &places));
            let values = store.constant(&name, "_outliers", Tensor::from_f64(self.dtype, &[values.len()], &values)?);
            w = add(&mut store, "ScatterElements", &[w, places, values], Attrs::new(), self.dtype, &[self.rows * self.columns]);
        }
        if layer.form == Form::InputsFirst {
            w = reshaped(&mut store, shared, &name, w, self.dtype, &[self.rows, self.columns], first);
            w = add(&mut store, "Transpose", &[w], Attrs::new().with("perm", vec![1i64, 0]), self.dtype, &sizes);
        } else {
            w = reshaped(&mut store, shared, &name, w, self.dtype, &sizes, first);
        }
        let bytes = store.bytes;
        instead(graph, layer, w);
        Ok(bytes)
    }

    /// The scales as a value: a vector where they are plain, a column where they are computed.
    fn write_scales(&self, store: &mut Store<'_>, shared: &mut Vec<ValueId>, name: &str, before: NodeId) -> Result<ValueId> {
        let f = self.dtype;
        let add = |store: &mut Store<'_>, op: &str, inputs: &[ValueId], attrs: Attrs, dtype: DType, sizes: &[usize]| {
            let out = (format!("{name}_scale_{op}_Output"), Type::tensor(dtype, sizes.iter().copied()));
            store.node(newest_op(op), String::new(), inputs, attrs, out, before)
        };
        let to = |d: DType| Attrs::new().with("to", i64::from(d.onnx_code()));
        let reals = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        Ok(match &self.scales {
            Scales::None => store.constant(name, "_scale", Tensor::from_f64(f, &[1, 1], &[1.0])?),
            Scales::Plain(v) => store.constant(name, "_scale", Tensor::from_f64(f, &[v.len()], &reals(v))?),
            Scales::Powers(v) => {
                let sizes = [v.len(), 1];
                let exponents = store.constant(name, "_exponents", Tensor::from_slice(&sizes, v));
                let exponents = add(store, "Cast", &[exponents], to(f), f, &sizes);
                let two = store.shared(shared, name, "_two", Tensor::from_f64(f, &[], &[2.0])?);
                add(store, "Pow", &[two, exponents], Attrs::new(), f, &sizes)
            }
            Scales::Small(v, by) => {
                let sizes = [v.len(), 1];
                let codes = store.constant(name, "_scale", Tensor::from_f64(DType::F8E4M3FN, &sizes, &reals(v))?);
                let wide = add(store, "Cast", &[codes], to(f), f, &sizes);
                let by = store.constant(name, "_scale_of_scales", Tensor::from_f64(f, &[], &[f64::from(*by)])?);
                add(store, "Mul", &[wide, by], Attrs::new(), f, &sizes)
            }
            Scales::Double { codes, table, largest, offset } => {
                let count = codes.len();
                let mut all = codes.clone();
                all.resize(largest.len() * OF_SCALES, 0);
                let sizes = [largest.len(), OF_SCALES];
                // One group is stored as long as it is.
                let sizes = if largest.len() == 1 { [1, count] } else { sizes };
                all.truncate(sizes[0] * sizes[1]);
                let codes = store.constant(name, "_scale_codes", Tensor::from_slice(&sizes, &all));
                let table = store.shared(shared, name, "_scale_table", Tensor::from_f64(f, &[table.len()], &reals(table))?);
                let largest = store.constant(name, "_scale_largest", Tensor::from_f64(f, &[sizes[0], 1], &reals(largest))?);
                let offset = store.constant(name, "_scale_offset", Tensor::from_f64(f, &[], &[f64::from(*offset)])?);
                let numbers = add(store, "Cast", &[codes], to(DType::I32), DType::I32, &sizes);
                let v = add(store, "Gather", &[table, numbers], Attrs::new(), f, &sizes);
                let v = add(store, "Mul", &[v, largest], Attrs::new(), f, &sizes);
                let v = add(store, "Add", &[v, offset], Attrs::new(), f, &sizes);
                if sizes[0] * sizes[1] == count {
                    v
                } else {
                    let flat = reshaped(store, shared, name, v, f, &[sizes[0] * sizes[1]], before);
                    let ints: Vec<ValueId> = [("_scale_starts", 0), ("_scale_ends", count as i64), ("_scale_axes", 0)]
                        .map(|(hint, v)| store.shared(shared, name, hint, Tensor::from_slice(&[1], &[v])))
                        .to_vec();
                    add(store, "Slice", &[flat, ints[0], ints[1], ints[2]], Attrs::new(), f, &[count])
                }
            }
        })
    }
}

fn reshaped(store: &mut Store<'_>, shared: &mut Vec<ValueId>, name: &str, v: ValueId, dtype: DType, sizes: &[usize], before: NodeId) -> ValueId {
    let to: Vec<i64> = sizes.iter().map(|s| *s as i64).collect();
    let to = store.shared(shared, name, "_shape", Tensor::from_slice(&[to.len()], &to));
    let out = (format!("{name}_Reshape_Output"), Type::tensor(dtype, sizes.iter().copied()));
    store.node(newest_op("Reshape"), String::new(), &[v, to], Attrs::new(), out, before)
}
