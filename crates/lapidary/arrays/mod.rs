//! Files of arrays: `.npz` (compressed or not), `.safetensors`, one `.npy`, or a folder with `input_N.pb` or `NAME.npy`.
//!
//! A key of an `.npz` or `.safetensors` is the value's name or, so that one file can hold inputs and expected outputs, `in.` or `out.` before it; the exact
//! name wins. Files are opened once and read array by array: nothing is loaded that is not asked for.

mod npy;
mod stream;

pub use stream::Files;

use lapidary_ir::{DType, Diagnostic, Diagnostics, Graph, Result, Tensor, Type, nearest};
use lapidary_ops::Datum;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// An input or output of a model or library: what an array must fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub ty: Type,
}

/// The inputs of a graph, in order.
pub fn inputs_of(graph: &Graph) -> Vec<Port> {
    graph.inputs().iter().map(|v| Port { name: graph.value(*v).name.to_string(), ty: graph.ty(*v).clone() }).collect()
}

/// The outputs of a graph, in order.
pub fn outputs_of(graph: &Graph) -> Vec<Port> {
    graph.outputs().iter().map(|v| Port { name: graph.value(*v).name.to_string(), ty: graph.ty(*v).clone() }).collect()
}

/// Which side of a model a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Inputs,
    Outputs,
}

impl Side {
    fn prefix(self) -> &'static str {
        match self {
            Side::Inputs => "in.",
            Side::Outputs => "out.",
        }
    }
    fn word(self) -> &'static str {
        match self {
            Side::Inputs => "input",
            Side::Outputs => "output",
        }
    }
}

/// An opened file or folder of arrays.
pub struct Arrays {
    path: PathBuf,
    store: Store,
}

enum Store {
    Zip {
        names: BTreeSet<String>,
    },
    /// Slices of the file, which is mapped.
    Tensors(BTreeMap<String, Tensor>),
    One,
    Folder {
        by_name: BTreeMap<String, PathBuf>,
        numbered: BTreeMap<(&'static str, usize), PathBuf>,
    },
}

impl Arrays {
    /// Opens an `.npz`, a `.safetensors`, an `.npy` or a folder. Fails when there is no such file or it is none of them.
    pub fn open(path: &Path) -> Result<Arrays> {
        let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        let store = if meta.is_dir() { folder(path)? } else { file(path)? };
        Ok(Arrays { path: path.to_path_buf(), store })
    }
    /// Every name that can be asked for.
    pub fn names(&self) -> Vec<String> {
        match &self.store {
            Store::Zip { names } => names.iter().cloned().collect(),
            Store::Tensors(all) => all.keys().cloned().collect(),
            Store::One => vec![],
            Store::Folder { by_name, numbered } => {
                let numbered = numbered.keys().map(|(word, n)| format!("{word}_{n}.pb"));
                by_name.keys().cloned().chain(numbered).collect()
            }
        }
    }
    /// The value for port number `index`, or `None` where the file has none. A value that does not have the port's element type and rank
    /// is an error; `sizes` collects what symbols stand for, over all ports.
    pub fn value(&self, side: Side, index: usize, port: &Port, sizes: &mut BTreeMap<String, i64>) -> Result<Option<Datum>> {
        let found = self.read(side, index, port).map_err(|e| self.at(e, port))?;
        match found {
            Some(d) => {
                fit(side, port, &d, sizes).map_err(|d| self.at(d.into(), port))?;
                Ok(Some(d))
            }
            None => Ok(None),
        }
    }
    fn at(&self, mut e: Diagnostics, port: &Port) -> Diagnostics {
        for d in &mut e.0 {
            d.place.file.get_or_insert_with(|| self.path.display().to_string());
            d.place.value.get_or_insert_with(|| port.name.clone());
        }
        e
    }
    fn read(&self, side: Side, index: usize, port: &Port) -> Result<Option<Datum>> {
        let dtype = port.ty.dtype();
        match &self.store {
            Store::One => {
                let mut r = BufReader::new(File::open(&self.path).map_err(|e| unreadable(&self.path, &e))?);
                if index > 0 { Ok(None) } else { Ok(Some(npy::read(&mut r, dtype)?.into())) }
            }
            Store::Zip { names } => match key(|k| names.contains(k), side, &port.name) {
                None => Ok(None),
                Some(key) => {
                    let mut zip = self.zip()?;
                    let mut entry = entry(&mut zip, &key)?;
                    Ok(Some(npy::read(&mut entry, dtype)?.into()))
                }
            },
            Store::Tensors(all) => Ok(key(|k| all.contains_key(k), side, &port.name).and_then(|k| all.get(&k)).map(|t| t.clone().into())),
            Store::Folder { by_name, numbered } => {
                if let Some(path) = by_name.get(&port.name) {
                    let mut r = BufReader::new(File::open(path).map_err(|e| unreadable(path, &e))?);
                    return Ok(Some(npy::read(&mut r, dtype)?.into()));
                }
                let Some(path) = numbered.get(&(side.word(), index)) else { return Ok(None) };
                let data = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
                Ok(Some(lapidary_onnx::data::read_value(&data.into(), &port.ty)?))
            }
        }
    }
    fn zip(&self) -> Result<npyz::npz::NpzArchive<BufReader<File>>> {
        npyz::npz::NpzArchive::open(&self.path).map_err(|e| unreadable(&self.path, &e))
    }
}

/// The key under which a value stands, if it does: the exact name, else the name after `in.` or `out.`. (For outputs the prefix wins, so
/// that a value that is both input and output has an expectation of its own.)
fn key(known: impl Fn(&str) -> bool, side: Side, name: &str) -> Option<String> {
    let mut keys = [name.to_string(), format!("{}{name}", side.prefix())];
    if side == Side::Outputs {
        keys.reverse();
    }
    keys.into_iter().find(|k| known(k))
}

fn entry<'a, R: std::io::Read + Seek>(zip: &'a mut npyz::npz::NpzArchive<R>, key: &str) -> Result<npyz::zip::read::ZipFile<'a>> {
    let missing = |e: String| Diagnostics::from(Diagnostic::error("array-damaged", format!("array '{key}' cannot be read: {e}")));
    zip.zip_archive().by_name(&npyz::npz::file_name_from_array_name(key)).map_err(|e| missing(e.to_string()))
}

pub(crate) fn unreadable(path: &Path, e: &std::io::Error) -> Diagnostics {
    let place = path.display().to_string();
    let d = match e.kind() {
        std::io::ErrorKind::NotFound => Diagnostic::error("file-missing", format!("there is no file '{place}'")),
        _ => Diagnostic::error("file-unreadable", format!("'{place}' cannot be read: {e}")),
    };
    d.file(place).into()
}

fn file(path: &Path) -> Result<Store> {
    let place = path.display().to_string();
    let mut start = [0u8; 6];
    let mut f = File::open(path).map_err(|e| unreadable(path, &e))?;
    let n = std::io::Read::read(&mut f, &mut start).map_err(|e| unreadable(path, &e))?;
    if start[..n].starts_with(b"\x93NUMPY") {
        return Ok(Store::One);
    }
    if path.extension().is_some_and(|e| e == "safetensors") {
        let all = lapidary_onnx::mapping::open(path, lapidary_onnx::mapping::Access::Map)?;
        return Ok(Store::Tensors(lapidary_ir::safetensors::read(&all)?.into_iter().collect()));
    }
    let help = "arrays come as .npz, as .safetensors, as .npy, or as a folder with input_N.pb or NAME.npy";
    if !start[..n].starts_with(b"PK") {
        return Err(Diagnostic::error("array-format", format!("'{place}' is no file of arrays")).file(place).help(help).into());
    }
    let zip = npyz::npz::NpzArchive::open(path)
        .map_err(|e| Diagnostic::error("array-damaged", format!("'{place}' is damaged: {e}")).file(&place).help("write it again"))?;
    let names = zip.array_names().map(str::to_string).collect();
    Ok(Store::Zip { names })
}

fn folder(path: &Path) -> Result<Store> {
    let mut by_name = BTreeMap::new();
    let mut numbered = BTreeMap::new();
    for e in std::fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
        let file = e.map_err(|e| unreadable(path, &e))?.path();
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match file.extension().and_then(|e| e.to_str()) {
            Some("npy") => {
                by_name.insert(stem, file);
            }
            Some("pb") => {
                for word in ["input", "output"] {
                    if let Some(n) = stem.strip_prefix(word).and_then(|s| s.strip_prefix('_')).and_then(|n| n.parse().ok()) {
                        numbered.insert((word, n), file.clone());
                    }
                }
            }
            _ => {}
        }
    }
    if by_name.is_empty() && numbered.is_empty() {
        let d = Diagnostic::error("array-format", format!("the folder '{}' holds no arrays", path.display())).file(path.display().to_string());
        return Err(d.help("it may hold input_0.pb, input_1.pb, … in the order of the inputs, or NAME.npy").into());
    }
    Ok(Store::Folder { by_name, numbered })
}

/// Checks element type, rank and sizes against what a port declares.
fn fit(side: Side, port: &Port, value: &Datum, sizes: &mut BTreeMap<String, i64>) -> Result<(), Diagnostic> {
    let what = side.word();
    let name = &port.name;
    let (declared, t) = match (&port.ty, value) {
        (Type::Tensor(ty), Datum::Tensor(t)) => (ty, t),
        (Type::Unknown, _) | (Type::Sequence(_), Datum::Sequence(..)) | (Type::Optional(_), Datum::Optional(..)) => return Ok(()),
        (ty, d) => {
            let kind = match d {
                Datum::Tensor(t) => t.ty().to_string(),
                Datum::Sequence(..) => "a sequence".into(),
                Datum::Optional(..) => "an optional".into(),
            };
            return Err(Diagnostic::error("array-type", format!("{what} '{name}' is {ty}, but the file has {kind}")));
        }
    };
    if declared.dtype != DType::Unknown && declared.dtype != t.dtype() {
        let d = Diagnostic::error("array-type", format!("{what} '{name}' takes {}, but the file has {}", declared.dtype, t.dtype()));
        return Err(d.help(format!("store it with astype('{}')", numpy_name(declared.dtype))));
    }
    let Some(dims) = declared.shape.dims() else { return Ok(()) };
    let conflict = |why: String| Diagnostic::error("array-shape", format!("{what} '{name}' takes {declared}, but the file has {}", t.ty())).note(why);
    if dims.len() != t.rank() {
        return Err(conflict(format!("it has {} axes instead of {}", t.rank(), dims.len())));
    }
    for (axis, (dim, size)) in dims.iter().zip(t.sizes()).enumerate() {
        if let Some(symbol) = dim.as_symbol() {
            let known = *sizes.entry(symbol.to_string()).or_insert(*size as i64);
            if known != *size as i64 {
                return Err(conflict(format!("'{symbol}' is {known} elsewhere and {size} on axis {axis}")));
            }
        } else if let Some(c) = dim.eval(&|n| sizes.get(n).copied())
            && c != *size as i64
        {
            return Err(conflict(format!("axis {axis} is {size} long instead of {c}")));
        }
    }
    Ok(())
}

fn numpy_name(d: DType) -> &'static str {
    match d {
        DType::F16 => "float16",
        DType::F32 => "float32",
        DType::F64 => "float64",
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::U8 => "uint8",
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        DType::U64 => "uint64",
        DType::C64 => "complex64",
        DType::C128 => "complex128",
        DType::String => "str",
        other => other.name(),
    }
}

/// One value per input, in order. A missing one is an error that names the nearest key.
pub fn load_inputs(ports: &[Port], path: &Path) -> Result<Vec<Datum>> {
    load(Side::Inputs, ports, &Arrays::open(path)?)
}

/// One expected value per output, in order; all must be there.
pub fn load_expected(ports: &[Port], path: &Path) -> Result<Vec<Datum>> {
    load(Side::Outputs, ports, &Arrays::open(path)?)
}

pub(crate) fn load(side: Side, ports: &[Port], arrays: &Arrays) -> Result<Vec<Datum>> {
    let mut sizes = BTreeMap::new();
    let mut out = vec![];
    let mut missing = vec![];
    for (i, port) in ports.iter().enumerate() {
        match arrays.value(side, i, port, &mut sizes)? {
            Some(d) => out.push(d),
            None => missing.push(absent(side, port, arrays)),
        }
    }
    if missing.is_empty() { Ok(out) } else { Err(Diagnostics(missing)) }
}

fn absent(side: Side, port: &Port, arrays: &Arrays) -> Diagnostic {
    let names = arrays.names();
    let shown = if names.len() > 12 { format!("{}, …", names[..12].join(", ")) } else { names.join(", ") };
    let message = format!("there is no array for {} '{}' ({})", side.word(), port.name, port.ty);
    let d = Diagnostic::error("array-missing", message).file(arrays.path.display().to_string()).value(&*port.name);
    let d = d.note(if names.is_empty() { "the file holds one array without a name".into() } else { format!("the file holds: {shown}") });
    match nearest(&port.name, names.iter().map(|n| n.trim_start_matches(side.prefix()))) {
        Some(near) => d.help(format!("is '{near}' meant? keys are the {}'s name, or '{}' and the name", side.word(), side.prefix())),
        None => d.help(format!("keys are the {}'s name, or '{}' and the name", side.word(), side.prefix())),
    }
}

/// Pseudo-random values for ports, equal for equal sizes on every machine.
pub fn random(ports: &[Port], sizes: &BTreeMap<String, i64>) -> Result<Vec<Datum>> {
    let mut graph = Graph::new("inputs");
    for p in ports {
        graph.add_input(p.name.as_str(), p.ty.clone());
    }
    lapidary_rewrite::random_inputs(&graph, sizes, 0)
}

/// The first batch of up to `count` samples of a `data=` text, as a list of one; empty where the data hold none.
pub fn first_samples(graph: &Graph, text: &str, count: usize) -> Result<Vec<Vec<Datum>>> {
    use lapidary_rewrite::{DataSource, Samples};
    let files = Files::default();
    let mut samples = files.open(text, graph, Some(count))?;
    Ok(Samples::next(&mut *samples)?.into_iter().collect())
}

/// Writes values under bare names as a compressed `.npz`, at once or not at all. Elements of a sequence become `NAME.0`, `NAME.1`, …; an
/// empty optional is left out.
pub fn save(path: &Path, values: &[(String, Datum)]) -> Result<()> {
    crate::files::replace(path, &|f| {
        let mut zip = npyz::zip::ZipWriter::new(BufWriter::new(f));
        for (name, value) in values {
            write_value(&mut zip, name, value)?;
        }
        zip.finish().map_err(std::io::Error::other)?.flush()
    })
}

fn write_value<W: Write + Seek>(zip: &mut npyz::zip::ZipWriter<W>, name: &str, value: &Datum) -> std::io::Result<()> {
    match value {
        Datum::Tensor(t) => write_entry(zip, name, t),
        Datum::Sequence(_, parts) => parts.iter().enumerate().try_for_each(|(i, d)| write_value(zip, &format!("{name}.{i}"), d)),
        Datum::Optional(_, part) => part.as_ref().map_or(Ok(()), |d| write_value(zip, name, d)),
    }
}

fn write_entry<W: Write + Seek>(zip: &mut npyz::zip::ZipWriter<W>, name: &str, t: &Tensor) -> std::io::Result<()> {
    // A fixed date, so that equal values give equal files.
    let options = npyz::zip::write::FileOptions::default()
        .compression_method(npyz::zip::CompressionMethod::Deflated)
        .last_modified_time(npyz::zip::DateTime::default())
        .large_file(t.byte_size() >= 1 << 31);
    zip.start_file(npyz::npz::file_name_from_array_name(name), options).map_err(std::io::Error::other)?;
    npy::write(zip, t)
}
