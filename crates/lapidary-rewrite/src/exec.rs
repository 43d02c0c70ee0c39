use lapidary_ir::{Diagnostic, Diagnostics, Graph, Result, ValueId};
use lapidary_ops::{Datum, EvalOptions, evaluate_with};
use std::collections::BTreeSet;

/// Makes graphs ready to run, for passes that need to know what they compute: calibration, `--check`, the ledger's error columns.
pub trait Executor {
    /// What results are recorded under: executors may round differently.
    fn name(&self) -> &str;
    /// Makes a graph ready to be run many times, each time showing the values `taps`.
    fn load<'a>(&'a self, graph: &'a Graph, taps: &[ValueId]) -> Result<Box<dyn Runner + 'a>>;
}

/// A graph that is ready to run.
pub trait Runner {
    /// Runs it on `inputs` (in the order of the graph's inputs); `tap` sees each tapped value once, in no promised order.
    fn run(&mut self, inputs: Vec<Datum>, tap: &mut dyn FnMut(ValueId, &Datum)) -> Result<Vec<Datum>>;
}

/// The reference evaluator.
#[derive(Default)]
pub struct Evaluator {
    pub options: EvalOptions,
}

impl Executor for Evaluator {
    fn name(&self) -> &str {
        "evaluator"
    }
    fn load<'a>(&'a self, graph: &'a Graph, taps: &[ValueId]) -> Result<Box<dyn Runner + 'a>> {
        Ok(Box::new(Evaluation { graph, options: &self.options, taps: taps.iter().copied().collect() }))
    }
}

struct Evaluation<'a> {
    graph: &'a Graph,
    options: &'a EvalOptions,
    taps: BTreeSet<ValueId>,
}

impl Runner for Evaluation<'_> {
    fn run(&mut self, inputs: Vec<Datum>, tap: &mut dyn FnMut(ValueId, &Datum)) -> Result<Vec<Datum>> {
        evaluate_with(self.graph, inputs, self.options, &mut |v, d| {
            if self.taps.contains(&v) {
                tap(v, d)
            }
        })
    }
}

/// Inputs of a model, batch after batch, each batch in the order of the graph's inputs.
pub trait Samples {
    /// The next batch; `None` at the end. Earlier batches may be forgotten: memory stays flat.
    fn next(&mut self) -> Result<Option<Vec<Datum>>>;
}

/// Opens what passes' options name. Reading files is the façade's work.
pub trait DataSource {
    /// The bytes of a file.
    fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        Err(no_reader(path))
    }
    /// Another model.
    fn model(&self, path: &str) -> Result<Graph> {
        Err(no_reader(path))
    }
    /// Input data, by the text of a `data=` option.
    ///
    /// `batch`: how many samples (along axis 0) each batch holds; `None`: as stored, a whole file at once.
    fn open(&self, text: &str, graph: &Graph, batch: Option<usize>) -> Result<Box<dyn Samples + '_>>;
    /// Whether the data hold an array of this name besides the inputs, such as labels.
    fn holds(&self, text: &str, name: &str) -> Result<bool> {
        let _ = (text, name);
        Ok(false)
    }
    /// As `open`; each batch ends with the array `name`.
    fn open_with(&self, text: &str, graph: &Graph, name: &str, batch: Option<usize>) -> Result<Box<dyn Samples + '_>> {
        let _ = (graph, batch);
        Err(Diagnostic::error("no-data", format!("'{text}' has no array '{name}'")).into())
    }
}

/// A source for when there is none: every `open` is an error that says so.
pub struct NoData;

impl DataSource for NoData {
    fn open(&self, text: &str, _: &Graph, _: Option<usize>) -> Result<Box<dyn Samples + '_>> {
        Err(no_reader(text))
    }
}

fn no_reader(path: &str) -> Diagnostics {
    Diagnostic::error("no-data", format!("'{path}' cannot be read: no reader of files was given")).into()
}

/// Batches held in memory, for tests and programs that have their data already.
pub struct InMemory(pub Vec<Vec<Datum>>);

impl DataSource for InMemory {
    fn open(&self, _: &str, _: &Graph, _: Option<usize>) -> Result<Box<dyn Samples + '_>> {
        Ok(Box::new(self.0.iter().cloned()))
    }
}

impl<I: Iterator<Item = Vec<Datum>>> Samples for I {
    fn next(&mut self) -> Result<Option<Vec<Datum>>> {
        Ok(Iterator::next(self))
    }
}
