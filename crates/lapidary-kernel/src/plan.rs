use crate::f29::{self, F29};
use crate::{BufferId, BufferKind, Choices, Kernel, Program};
use lapidary_ir::{DType, Diagnostic, Dim, Dims, Name, Result};
use std::collections::BTreeMap;

/// Arena regions start at multiples of this many bytes: a cache line, and the widest vector.
pub const ARENA_ALIGN: i64 = 64;

/// A program whose kernels have schedules and whose buffers have places: what code generation starts from.
///
/// What it promises: every kernel has a schedule; every `Temp` has an offset that is a multiple of [`ARENA_ALIGN`], with
/// [`Plan::bytes_of`] bytes behind it that nobody else uses between its first and last kernel; every symbol that occurs anywhere is a
/// plain dim of some input port.
#[derive(Clone, Debug)]
pub struct Plan {
    pub program: Program,
    /// By buffer: the byte offset within the arena of a `Temp`, `None` for other kinds (and for a `Temp` that no kernel uses, or that is unpacked).
    pub offsets: Vec<Option<Dim>>,
    pub arena_bytes: Dim,
    /// By buffer: the byte offset within the context's own constants of a `Temp` that kernels compute from constants alone. Those kernels run
    /// once for each context; a kernel writes either only such buffers or none.
    pub unpacked: Vec<Option<i64>>,
    pub unpacked_bytes: i64,
    /// By buffer: the form in which the library keeps a constant of f32, where that is not as it is.
    pub f29: Vec<Option<F29>>,
    /// Runs of kernels that are computed strip by strip, in order.
    pub strips: Vec<Strips>,
    /// The program's inputs and outputs, in order.
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Bounds of symbols (`--dim N=LO..HI`); a symbol that is not listed may have any size.
    pub bounds: Vec<Bounds>,
    /// What lowering decided of each convolution and run of kernels that left a choice, and the tiles that were asked for.
    pub choices: Choices,
}

/// Neighbouring kernels, each of which reads what the one before wrote at the same points of the first axes: one point, a *strip*, can be taken
/// through all of them before the next. Computing the kernels one after the other gives the same, unless they are a recurrence, whose strips
/// are its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Strips {
    /// The first kernel, and how many there are.
    pub first: usize,
    pub kernels: usize,
    /// How many leading parallel axes, of each kernel, count the strips; contractions have them as their first batch axes.
    pub axes: usize,
    /// How many pieces there are that know nothing of each other.
    pub count: Dim,
    /// The strips of a piece, taken in order: the steps of a recurrence, elsewhere one.
    pub each: Dim,
    /// Buffers that only these kernels use, with the dims that the strips' axes walk: one strip of each is alive at a time, at this offset in
    /// the scratch memory of the thread that computes it.
    pub private: Vec<(BufferId, Vec<usize>, Dim)>,
    pub private_bytes: Dim,
}

impl Strips {
    /// The numbers of the run's kernels.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.kernels
    }
}

/// A graph input or output, as the C interface describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: Name,
    pub dtype: DType,
    pub dims: Dims,
    /// The buffer that holds it; `None` for an input that no kernel reads. One port, one buffer.
    pub buffer: Option<BufferId>,
}

/// The sizes that a symbol may take, both ends included.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    pub symbol: Name,
    pub low: i64,
    pub high: i64,
}

impl Plan {
    /// The plan without a planner: every `Temp` has memory of its own. Ports are made of the program's input and output buffers.
    pub fn unshared(program: Program) -> Result<Plan> {
        let mut offsets = vec![];
        let mut end = Dim::from(0);
        for b in &program.buffers {
            offsets.push((b.kind == BufferKind::Temp).then(|| end.clone()));
            if b.kind == BufferKind::Temp {
                end = &end + &align(&Plan::bytes_of(b.dtype, &b.elements()));
            }
        }
        let ports = |is_output: bool| -> Result<Vec<Port>> {
            let mut out: Vec<(u32, Port)> = vec![];
            for id in program.buffer_ids() {
                let b = program.buffer(id);
                match b.kind {
                    BufferKind::Input(n) if !is_output => out.push((n, port(b, id))),
                    BufferKind::Output(n) if is_output => out.push((n, port(b, id))),
                    _ => {}
                }
            }
            out.sort_by_key(|(n, _)| *n);
            if out.iter().enumerate().any(|(i, (n, _))| i as u32 != *n) {
                return Err(Diagnostic::error("plan", format!("the inputs or outputs of '{}' are not numbered 0, 1, 2, …", program.name)).into());
            }
            Ok(out.into_iter().map(|(_, p)| p).collect())
        };
        let (inputs, outputs) = (ports(false)?, ports(true)?);
        let (unpacked, f29) = (vec![None; program.buffers.len()], vec![None; program.buffers.len()]);
        let strips = program.recurrences();
        Ok(Plan {
            program,
            offsets,
            arena_bytes: end,
            unpacked,
            unpacked_bytes: 0,
            f29,
            strips,
            inputs,
            outputs,
            bounds: vec![],
            choices: Choices::default(),
        })
    }
    /// The names of the kernels, each once: of several with one name, the second is `name #2`.
    pub fn keys(&self) -> Vec<String> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut key = |name| {
            let n = seen.entry(name).or_insert(0);
            *n += 1;
            if *n == 1 { name.to_string() } else { format!("{name} #{n}") }
        };
        self.program.kernels.iter().map(|k| key(&*k.name)).collect()
    }
    /// The run that a kernel, by its number, is part of.
    pub fn strips_of(&self, kernel: usize) -> Option<&Strips> {
        self.strips.iter().find(|s| s.range().contains(&kernel))
    }
    /// Whether the kernel runs when a context is made, and never again.
    pub fn runs_once(&self, kernel: &Kernel) -> bool {
        kernel.writes().iter().any(|b| self.unpacked.get(b.0 as usize).is_some_and(|o| o.is_some()))
    }
    /// The form of a constant that is not kept as it is.
    pub fn f29(&self, b: BufferId) -> Option<F29> {
        self.f29.get(b.0 as usize).copied().flatten()
    }
    /// What is read of memory for so many bytes of a buffer.
    pub fn kept_bytes(&self, b: BufferId, bytes: f64) -> f64 {
        if self.f29(b).is_some() { bytes * f29::WORDS as f64 / f29::STEPS as f64 } else { bytes }
    }
    /// Bytes that `elements` elements take, elements smaller than a byte packed.
    pub fn bytes_of(dtype: DType, elements: &Dim) -> Dim {
        let bits = dtype.bits() as i64;
        if bits % 8 == 0 { elements * &Dim::from(bits / 8) } else { (elements * &Dim::from(bits)).ceil_div(&Dim::from(8)) }
    }
    /// The names of all symbols that input dims bind, in order of first occurrence: the order of the value table.
    pub fn symbols(&self) -> Vec<Name> {
        let mut out: Vec<Name> = vec![];
        for d in self.inputs.iter().flat_map(|p| &p.dims) {
            if let Some(s) = d.as_symbol()
                && !out.contains(s)
            {
                out.push(s.clone());
            }
        }
        out
    }
}

fn port(b: &crate::Buffer, id: BufferId) -> Port {
    Port { name: b.name.clone(), dtype: b.dtype, dims: b.dims.clone(), buffer: Some(id) }
}

/// Rounds up to [`ARENA_ALIGN`].
pub fn align(bytes: &Dim) -> Dim {
    let a = Dim::from(ARENA_ALIGN);
    &bytes.ceil_div(&a) * &a
}
