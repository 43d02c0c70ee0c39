//! Calibration data as a stream: axis 0 is samples, one or many files, flat memory.

use super::{Arrays, Port, Side, Store, entry, fit, inputs_of, key, npy, unreadable};
use lapidary_ir::{Diagnostic, Diagnostics, Graph, Result, Tensor, Type};
use lapidary_ops::Datum;
use lapidary_rewrite::{DataSource, Samples};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

/// Data files by path, relative to `root`. The text of a `data=` option is one path, several separated by commas, or a folder; files of a
/// folder come in order of their names.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// What relative paths start from; the current folder when empty.
    pub root: PathBuf,
}

impl DataSource for Files {
    fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.root.join(path);
        std::fs::read(&path).map_err(|e| unreadable(&path, &e))
    }
    fn model(&self, path: &str) -> Result<Graph> {
        Ok(crate::Model::open(&self.root.join(path), &crate::OpenOptions::default())?.graph().clone())
    }
    fn open(&self, text: &str, graph: &Graph, batch: Option<usize>) -> Result<Box<dyn Samples + '_>> {
        Ok(Box::new(self.stream(text, inputs_of(graph), batch)?))
    }
    fn holds(&self, text: &str, name: &str) -> Result<bool> {
        let files = self.expand(text)?;
        let names = files.first().map(|f| Arrays::open(f)).transpose()?.map(|a| a.names()).unwrap_or_default();
        Ok(names.iter().any(|n| n == name))
    }
    fn open_with(&self, text: &str, graph: &Graph, name: &str, batch: Option<usize>) -> Result<Box<dyn Samples + '_>> {
        let mut ports = inputs_of(graph);
        ports.push(Port { name: name.into(), ty: Type::Unknown });
        Ok(Box::new(self.stream(text, ports, batch)?))
    }
}

impl Files {
    /// Batches of the arrays that `ports` name, which need not be a graph's inputs: labels too.
    pub(crate) fn stream(&self, text: &str, ports: Vec<Port>, batch: Option<usize>) -> Result<impl Samples + use<>> {
        Ok(Stream { ports, files: self.expand(text)?.into(), batch, now: None, given: 0, text: text.into() })
    }
    /// The files that a `data=` text names, in order.
    pub(crate) fn expand(&self, text: &str) -> Result<Vec<PathBuf>> {
        let whole = self.root.join(text);
        let paths = if whole.exists() { vec![whole] } else { text.split(',').map(|p| self.root.join(p.trim())).collect() };
        let mut out = vec![];
        for path in paths {
            if std::fs::metadata(&path).map_err(|e| unreadable(&path, &e))?.is_dir() { out.extend(in_folder(&path)?) } else { out.push(path) }
        }
        Ok(out)
    }
}

/// `.npz` and `.safetensors` files of a folder, else the folder itself when it holds `.npy` or `.pb` files, else its subfolders.
fn in_folder(path: &Path) -> Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<PathBuf>> = std::fs::read_dir(path).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
    let mut entries = entries.map_err(|e| unreadable(path, &e))?;
    entries.sort();
    let with = |ends: &[&str]| -> Vec<PathBuf> {
        entries.iter().filter(|p| p.extension().and_then(|e| e.to_str()).is_some_and(|e| ends.contains(&e))).cloned().collect()
    };
    let archives = with(&["npz", "safetensors"]);
    if !archives.is_empty() {
        return Ok(archives);
    }
    if !with(&["npy", "pb"]).is_empty() {
        return Ok(vec![path.to_path_buf()]);
    }
    let folders: Vec<PathBuf> = entries.into_iter().filter(|p| p.is_dir()).collect();
    if folders.is_empty() {
        let d = Diagnostic::error("array-format", format!("the folder '{}' holds no arrays", path.display()));
        return Err(d
            .file(path.display().to_string())
            .help("it may hold .npz or .safetensors files, or one NAME.npy or input_N.pb per input")
            .into());
    }
    Ok(folders)
}

/// Batches of the files, one file after the other.
struct Stream {
    ports: Vec<Port>,
    files: VecDeque<PathBuf>,
    batch: Option<usize>,
    now: Option<Slices>,
    given: usize,
    text: String,
}

impl Samples for Stream {
    fn next(&mut self) -> Result<Option<Vec<Datum>>> {
        loop {
            if let Some(slices) = &mut self.now {
                if let Some(batch) = slices.next()? {
                    self.given += 1;
                    return Ok(Some(batch));
                }
                self.now = None;
            }
            match self.files.pop_front() {
                Some(path) => self.now = Some(Slices::open(&path, &self.ports, self.batch)?),
                None if self.given == 0 => {
                    return Err(Diagnostic::error("no-samples", format!("'{}' holds no samples", self.text)).file(&*self.text).into());
                }
                None => return Ok(None),
            }
        }
    }
}

/// The samples of one file.
struct Slices {
    path: PathBuf,
    ports: Vec<Port>,
    inputs: Vec<Input>,
    /// Samples left, and how many each batch takes.
    left: usize,
    batch: usize,
}

/// What one input is read from.
enum Input {
    /// Rows as they come out of the file, from a thread that reads ahead by a batch.
    Rows(Receiver<Result<Tensor>>),
    /// Held in memory: a value that is the same for every sample, or that cannot be read in slices.
    Whole { value: Tensor, sliced: bool, at: usize },
    /// A sequence or optional: the same for every batch.
    Fixed(Datum),
}

impl Slices {
    fn open(path: &Path, ports: &[Port], batch: Option<usize>) -> Result<Slices> {
        let arrays = Arrays::open(path)?;
        let mut heads = vec![];
        let mut missing = vec![];
        for (i, port) in ports.iter().enumerate() {
            match samples_in(&arrays, i, port).map_err(|e| arrays.at(e, port))? {
                Some(n) => heads.push(n),
                None => missing.push(super::absent(Side::Inputs, port, &arrays)),
            }
        }
        if !missing.is_empty() {
            return Err(Diagnostics(missing));
        }
        // Where the first axis of some inputs is free, one that is fixed counts something else, the directions of a recurrent net's state say:
        // an array of that size is the same for every sample.
        let first = |p: &Port| p.ty.dims().and_then(|d| d.first().map(|d| d.as_const()));
        if ports.iter().any(|p| first(p) == Some(None)) {
            for (port, head) in ports.iter().zip(&mut heads) {
                *head = head.filter(|n| first(port).flatten() != i64::try_from(*n).ok());
            }
        }
        let counts: Vec<usize> = heads.iter().flatten().copied().collect();
        let samples = counts.iter().copied().max().unwrap_or(1);
        if let Some((port, n)) = ports.iter().zip(&heads).find_map(|(p, n)| n.filter(|n| *n != samples).map(|n| (p, n))) {
            let message = format!("input '{}' has {n} samples along its first axis, others have {samples}", port.name);
            return Err(Diagnostic::error("array-shape", message).file(path.display().to_string()).into());
        }
        // A model whose first axis is fixed takes that many samples at a time.
        let fixed = ports.iter().zip(&heads).filter(|(_, n)| n.is_some()).find_map(|(p, _)| p.ty.dims()?.first()?.as_const());
        let fixed = fixed.and_then(|c| usize::try_from(c).ok()).filter(|c| *c > 0);
        let batch = fixed.or(batch).unwrap_or(samples).clamp(1, samples.max(1));
        let mut inputs = vec![];
        for (i, (port, sliced)) in ports.iter().zip(&heads).enumerate() {
            inputs.push(Input::open(&arrays, i, port, sliced.is_some(), batch).map_err(|e| arrays.at(e, port))?);
        }
        Ok(Slices { path: path.to_path_buf(), ports: ports.to_vec(), inputs, left: samples, batch })
    }
    fn next(&mut self) -> Result<Option<Vec<Datum>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let take = self.batch.min(self.left);
        self.left -= take;
        let mut sizes = BTreeMap::new();
        let mut out = vec![];
        for (input, port) in self.inputs.iter_mut().zip(&self.ports) {
            let d = input.next(take)?;
            fit(Side::Inputs, port, &d, &mut sizes).map_err(|d| d.file(self.path.display().to_string()).value(&*port.name))?;
            out.push(d);
        }
        Ok(Some(out))
    }
}

/// How many samples an input's array holds: `Some(None)` for a value that all samples share (rank 0, sequences), `None` for no array.
fn samples_in(arrays: &Arrays, index: usize, port: &Port) -> Result<Option<Option<usize>>> {
    let size = |h: npy::Head| h.sizes.first().copied();
    match &arrays.store {
        Store::Zip { names } => match key(|k| names.contains(k), Side::Inputs, &port.name) {
            None => Ok(None),
            Some(key) => Ok(Some(size(npy::head(&mut entry(&mut arrays.zip()?, &key)?)?))),
        },
        Store::One if index > 0 => Ok(None),
        Store::One => Ok(Some(size(npy::head(&mut open(&arrays.path)?)?))),
        Store::Folder { by_name, .. } => match by_name.get(&port.name) {
            Some(path) => Ok(Some(size(npy::head(&mut open(path)?)?))),
            None => whole(arrays, index, port),
        },
        Store::Tensors(_) => whole(arrays, index, port),
    }
}

fn whole(arrays: &Arrays, index: usize, port: &Port) -> Result<Option<Option<usize>>> {
    Ok(arrays.read(Side::Inputs, index, port)?.map(|d| d.as_tensor().and_then(|t| t.sizes().first().copied())))
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(|e| unreadable(path, &e))
}

impl Input {
    fn open(arrays: &Arrays, index: usize, port: &Port, sliced: bool, batch: usize) -> Result<Input> {
        let dtype = port.ty.dtype();
        let stream: Option<Producer> = match &arrays.store {
            Store::Zip { names } if sliced => {
                let key = key(|k| names.contains(k), Side::Inputs, &port.name).unwrap_or_default();
                let path = arrays.path.clone();
                Some(Box::new(move |send| {
                    let mut zip = match npyz::npz::NpzArchive::open(&path) {
                        Ok(zip) => zip,
                        Err(e) => {
                            send(Err(unreadable(&path, &e)));
                            return;
                        }
                    };
                    match entry(&mut zip, &key) {
                        Ok(mut r) => rows(&mut r, dtype, batch, send),
                        Err(e) => {
                            send(Err(e));
                        }
                    }
                }))
            }
            Store::One if sliced => Some(of_file(arrays.path.clone(), dtype, batch)),
            Store::Folder { by_name, .. } if sliced && by_name.contains_key(&port.name) => {
                by_name.get(&port.name).map(|path| of_file(path.clone(), dtype, batch))
            }
            _ => None,
        };
        if let Some(stream) = stream {
            let (sender, receiver) = sync_channel(1);
            // The thread ends when the array does, or when nobody takes its rows any more.
            std::thread::spawn(move || stream(&mut |t| sender.send(t).is_ok()));
            return Ok(Input::Rows(receiver));
        }
        match arrays.read(Side::Inputs, index, port)? {
            Some(Datum::Tensor(value)) => Ok(Input::Whole { value, sliced, at: 0 }),
            Some(other) => Ok(Input::Fixed(other)),
            None => Err(super::absent(Side::Inputs, port, arrays).into()),
        }
    }
    fn next(&mut self, take: usize) -> Result<Datum> {
        match self {
            Input::Rows(rows) => {
                let ended = || Err(Diagnostic::error("array-damaged", "an array ended early").into());
                Ok(rows.recv().unwrap_or_else(|_| ended())?.into())
            }
            Input::Whole { value, sliced: false, .. } => Ok(value.clone().into()),
            Input::Whole { value, at, .. } => {
                let slice = slice_rows(value, *at, take)?;
                *at += take;
                Ok(slice.into())
            }
            Input::Fixed(d) => Ok(d.clone()),
        }
    }
}

type Producer = Box<dyn FnOnce(&mut dyn FnMut(Result<Tensor>) -> bool) + Send>;

fn of_file(path: PathBuf, dtype: lapidary_ir::DType, batch: usize) -> Producer {
    Box::new(move |send| match open(&path) {
        Ok(mut r) => rows(&mut r, dtype, batch, send),
        Err(e) => {
            send(Err(e));
        }
    })
}

/// Sends an array in slices of `batch` rows.
fn rows(r: &mut impl Read, dtype: lapidary_ir::DType, batch: usize, send: &mut dyn FnMut(Result<Tensor>) -> bool) {
    let mut attempt = || -> Result<()> {
        let h = npy::head(r)?;
        let total = h.sizes.first().copied().unwrap_or(1);
        if !h.sliceable() {
            let bytes = h.sizes.iter().product::<usize>() * h.item_bytes;
            let whole = h.tensor(&h.sizes, npy::take(r, bytes)?, dtype)?;
            let mut at = 0;
            while at < total && send(slice_rows(&whole, at, batch.min(total - at))) {
                at += batch;
            }
            return Ok(());
        }
        let row_bytes = h.sizes[1..].iter().product::<usize>() * h.item_bytes;
        let mut left = total;
        while left > 0 {
            let mut sizes = h.sizes.clone();
            sizes[0] = batch.min(left);
            left -= sizes[0];
            let data = npy::take(r, row_bytes * sizes[0])?;
            if !send(h.tensor(&sizes, data, dtype)) {
                break;
            }
        }
        Ok(())
    };
    if let Err(e) = attempt() {
        send(Err(e));
    }
}

/// Rows `at .. at + count` along axis 0.
fn slice_rows(t: &Tensor, at: usize, count: usize) -> Result<Tensor> {
    let mut sizes = t.sizes().to_vec();
    let total = sizes.first().copied().unwrap_or(1);
    let at = at.min(total);
    let count = count.min(total - at);
    sizes.iter_mut().take(1).for_each(|n| *n = count);
    if let Some(strings) = t.as_strings() {
        let row = strings.len() / total.max(1);
        return Tensor::strings(&sizes, strings[at * row..(at + count) * row].to_vec());
    }
    if t.dtype().is_packed() {
        let codes = t.to_i64().unwrap_or_default();
        let row = codes.len() / total.max(1);
        return Tensor::from_i64(t.dtype(), &sizes, &codes[at * row..(at + count) * row]);
    }
    let row = t.bytes().len() / total.max(1);
    Tensor::new(t.dtype(), &sizes, t.bytes().slice(at * row..(at + count) * row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapidary_ir::{DType, Dim, Type};

    fn graph() -> Graph {
        let mut g = Graph::new("g");
        let x = g.add_input("x", Type::tensor(DType::F32, [Dim::symbol("N"), Dim::from(2)]));
        g.add_output(x);
        g
    }

    fn batches(path: &str, batch: Option<usize>) -> Vec<Vec<f32>> {
        let (files, graph) = (Files::default(), graph());
        let mut samples = files.open(path, &graph, batch).unwrap();
        let mut out = vec![];
        while let Some(b) = samples.next().unwrap() {
            out.push(b[0].as_tensor().unwrap().to_vec().unwrap());
        }
        out
    }

    #[test]
    fn slices_files_along_axis_0_one_file_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        for (name, start) in [("a.npz", 0), ("b.npz", 6)] {
            let t = Tensor::from_slice(&[3, 2], &(start..start + 6).map(|v| v as f32).collect::<Vec<_>>());
            super::super::save(&dir.path().join(name), &[("x".into(), t.into())]).unwrap();
        }
        let folder = dir.path().display().to_string();
        let want = [vec![0., 1., 2., 3.], vec![4., 5.], vec![6., 7., 8., 9.], vec![10., 11.]];
        assert_eq!(batches(&folder, Some(2)), want);
        assert_eq!(batches(&format!("{folder}/a.npz,{folder}/b.npz"), Some(2)), want);
        assert_eq!(batches(&folder, None).len(), 2);
    }

    #[test]
    fn an_input_of_a_fixed_first_axis_is_shared_by_samples() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz").display().to_string();
        let mut graph = graph();
        graph.add_input("state", Type::tensor(DType::F32, [Dim::from(2), Dim::from(1)]));
        let arrays = [("x", Tensor::from_slice(&[3, 2], &[0f32; 6])), ("state", Tensor::from_slice(&[2, 1], &[7f32, 8.]))];
        super::super::save(Path::new(&path), &arrays.map(|(n, t)| (n.into(), t.into()))).unwrap();
        let files = Files::default();
        let mut samples = files.open(&path, &graph, Some(1)).unwrap();
        let mut count = 0;
        while let Some(b) = samples.next().unwrap() {
            assert_eq!(b[0].as_tensor().unwrap().sizes(), [1, 2]);
            assert_eq!(b[1].as_tensor().unwrap().to_vec::<f32>().unwrap(), [7., 8.]);
            count += 1;
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn says_which_input_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz");
        super::super::save(&path, &[("y".into(), Tensor::scalar(1f32).into())]).unwrap();
        let (files, graph) = (Files::default(), graph());
        let text = path.display().to_string();
        let e = files.open(&text, &graph, None).and_then(|mut s| s.next()).unwrap_err();
        assert_eq!(e.0[0].code, "array-missing");
    }
}
