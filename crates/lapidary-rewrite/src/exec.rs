use lapidary_ir::{Graph, Result, ValueId};
use lapidary_ops::{Datum, EvalOptions, evaluate_with};

/// Runs a graph for a pass that needs to know what it computes: calibration, `--check`, the ledger's error columns.
pub trait Executor {
    /// What results are recorded under: executors may round differently.
    fn name(&self) -> &str;
    /// Runs the graph on `inputs` (in the order of the graph's inputs); `tap` sees every value for which `wanted` says yes as it is made.
    fn run(&self, graph: &Graph, inputs: Vec<Datum>, wanted: &dyn Fn(ValueId) -> bool, tap: &mut dyn FnMut(ValueId, &Datum)) -> Result<Vec<Datum>>;
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
    fn run(&self, graph: &Graph, inputs: Vec<Datum>, wanted: &dyn Fn(ValueId) -> bool, tap: &mut dyn FnMut(ValueId, &Datum)) -> Result<Vec<Datum>> {
        evaluate_with(graph, inputs, &self.options, &mut |v, d| {
            if wanted(v) {
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

/// Opens input data by the text of a `data=` option. Reading files is the façade's work.
pub trait DataSource {
    /// `batch`: how many samples (along axis 0) each batch holds; `None`: as stored, a whole file at once.
    fn open(&self, text: &str, graph: &Graph, batch: Option<usize>) -> Result<Box<dyn Samples + '_>>;
}

/// A source for when there is none: every `open` is an error that says so.
pub struct NoData;

impl DataSource for NoData {
    fn open(&self, text: &str, _: &Graph, _: Option<usize>) -> Result<Box<dyn Samples + '_>> {
        let d = lapidary_ir::Diagnostic::error("no-data", format!("'{text}' cannot be read: no reader of data files was given"));
        Err(d.into())
    }
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
