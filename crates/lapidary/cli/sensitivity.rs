use super::args::{BackendArg, Global};
use super::table::{bytes, table};
use super::{Outcome, Status, progress, say, say_json, supervise};
use clap::Args;
use lapidary::difference::{self, Explained, Pair, Source};
use lapidary::sensitivity::{self, Effect, Format, Metric, Options, Profile, Sensitivities};
use lapidary::{Backend, Tolerance};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Example:
  lapidary sensitivity examples/models/digits_cnn/model.onnx \\
      --data examples/models/digits_cnn/calibration.npz --formats int8,int4,int2

Each layer is quantized while all others stay as they are, and the model runs on the data. The table of a format lists the layers, the most
harmful first: 'layer dB' is the signal-to-noise ratio of what the layer computes from unchanged inputs, 'output dB' that of the model's
noisiest output. A layer with little noise of its own and much at the output is one to leave in floats or in more bits:

  lapidary opt model.onnx -o out.onnx --passes 'on(name!=head){quantize-weights{bits=4}}'

Formats: int8 (weights and inputs, as calibrate, fake-quant and fold-quant make it, by the smallest and largest input), w8 and int7 to int2
(weights alone, as quantize-weights{method=rtn} makes it).

--quantized MODEL.int8.onnx explains a model that some tool has quantized already (ONNX Runtime's QDQ and QOperator models too). For every
value that corresponds to one of the model in floats: 'SQNR dB' with both models as they are; 'own dB' with the quantized model fed with
the values in floats, so that only what this layer loses counts, the rounding of what it reads among it ('input dB': where that is as bad,
the input is at fault, by outliers or masks in its range; masks, of 1e9 and more, do not count); 'output dB' of the model in floats if this layer
alone were so.

  lapidary sensitivity model.onnx --quantized model.int8.onnx --data x.npz

The metric is accuracy where the data hold 'labels' beside the inputs, perplexity where they hold 'targets', else the noise of the outputs.";

/// Show which layers suffer from which number format, the most harmful first
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Sensitivity {
    /// The model in floats
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Samples: .npz or .safetensors files separated by commas, or a folder; axis 0 is samples. Read as a stream
    #[arg(long, value_name = "DATA")]
    data: String,
    /// Explain this quantized model, of whatever tool, instead of trying formats
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["formats", "block", "embeddings"])]
    quantized: Option<PathBuf>,
    /// Formats to try, separated by commas: int8, w8, int7 … int2
    #[arg(long, value_name = "LIST", default_value = "int8,int4")]
    formats: String,
    /// What layers are ranked by: sqnr, kl, max-rel, agreement, accuracy (of 'labels'), perplexity (of 'targets') [default: by the data]
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Inputs that share a scale where weights alone are quantized
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    block: u32,
    /// Samples run at a time: memory grows with it
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Samples used at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Try tables of Gather too
    #[arg(long)]
    embeddings: bool,
    /// Rows of each table; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// What runs the model [default: native where code generation is built in]
    #[arg(long, value_enum)]
    backend: Option<BackendArg>,
}

impl Sensitivity {
    pub fn run(&self, global: &Global) -> Outcome {
        let formats = Format::parse_list(&self.formats)?;
        let metric = self.metric.as_deref().map(Metric::parse).transpose()?;
        let backend = self.backend.unwrap_or_else(BackendArg::default_here);
        if backend == BackendArg::Native
            && let Some(outcome) = supervise::run(&self.model, global)
        {
            return outcome;
        }
        let backend = if backend == BackendArg::Native { Backend::Native } else { Backend::Eval };
        match &self.quantized {
            Some(path) => self.explain(global, path, metric, backend),
            None => self.layers(global, formats, metric, backend),
        }
    }

    /// Where a quantized model loses what.
    fn explain(&self, global: &Global, path: &Path, metric: Option<Metric>, backend: Backend) -> Outcome {
        let (model, quantized) = (global.open(&self.model)?, global.open(path)?);
        let metric = metric.map_or_else(|| sensitivity::metric_of(&model, &self.data), Ok)?;
        let options = difference::Options {
            tolerance: Tolerance::MaxRel(1e-6),
            metric,
            effects: if self.top == 0 { usize::MAX } else { 2 * self.top },
            batch: self.batch as usize,
            samples: self.samples as usize,
            backend,
        };
        let bar = progress::bar(global, 0, "opening");
        let found = difference::explain(&model, &quantized, &Source::Files(&self.data), &options, &mut |what, done, of| {
            bar.set_message(what.to_string());
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        let ranked = explained(&found);
        if global.json() {
            say_json(&serde_json::json!({ "explained": found, "ranking": ranked.iter().map(|p| p.node.clone()).collect::<Vec<_>>() }));
            return Ok(Status::Done);
        }
        let task = !matches!(metric, Metric::Sqnr);
        let mut header = vec!["layer", "operator", "module", "SQNR dB", "input dB", "own dB", "output dB"];
        if task {
            header.push(metric.name());
        }
        let mut t = table(&header, &header[3..]);
        let rows = if self.top == 0 { ranked.len() } else { self.top.min(ranked.len()) };
        for p in ranked.iter().take(rows) {
            let e = p.effect.as_ref();
            let mut row = vec![p.node.clone(), p.reference_op.clone(), p.module.clone().unwrap_or_default(), db(p.total.sqnr_db)];
            row.push(p.reads.as_ref().map_or(String::new(), |r| format!("{:.1}", r.sqnr_db)));
            row.push(db(p.own.sqnr_db));
            row.push(e.map_or("–".into(), |e| db(e.output_db)));
            if task {
                row.push(e.and_then(|e| e.metric).map_or("–".into(), |v| metric.show(v)));
            }
            t.add_row(row);
        }
        let cut = if rows < ranked.len() { format!(" (the first {rows} of {})", ranked.len()) } else { String::new() };
        say(format_args!("where '{}' loses what, the most harmful first{cut}", path.display()));
        say(t.trim_fmt());
        say("");
        let change = match (found.start, found.end) {
            (Some(a), Some(b)) if task => format!(", {} {} → {}", metric.name(), metric.show(a), metric.show(b)),
            (None, Some(b)) if task => format!(", {} {}", metric.name(), metric.show(b)),
            _ => String::new(),
        };
        say(format_args!("the whole model: output dB {}{change}, on {} samples", db(found.output_db), found.samples));
        say(format_args!("{} values correspond to values of the model in floats", found.pairs.len()));
        Ok(Status::Done)
    }

    fn layers(&self, global: &Global, formats: Vec<Format>, metric: Option<Metric>, backend: Backend) -> Outcome {
        let model = global.open(&self.model)?;
        let options = Options {
            formats,
            metric,
            block: self.block as usize,
            batch: self.batch as usize,
            samples: self.samples as usize,
            embeddings: self.embeddings,
            backend,
        };
        let bar = progress::bar(global, 0, "opening");
        let (found, left_out) = sensitivity::sensitivity(&model, &self.data, &options, &mut |what, done, of| {
            bar.set_message(what.to_string());
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        if global.json() {
            say_json(&serde_json::json!({ "sensitivities": found, "ranking": ranking(&found), "left_out": left_out }));
            return Ok(Status::Done);
        }
        for (f, format) in found.formats.iter().enumerate() {
            self.show(&found, f, *format);
        }
        let start = found.start.map_or(String::new(), |v| format!(", {} {} as it is", found.metric.name(), found.metric.show(v)));
        say(format_args!("{} layers on {} samples, run by {}{start}", found.layers.len(), found.samples, found.executor));
        if !left_out.is_empty() && !global.quiet {
            say(format_args!("{} nodes were left out{}", left_out.len(), if global.verbose > 0 { ":" } else { " (-v lists them)" }));
            if global.verbose > 0 {
                left_out.iter().for_each(|m| say(format_args!("  {} '{}': {}", m.op, m.node, m.reason)));
            }
        }
        Ok(Status::Done)
    }

    /// The table of one format.
    fn show(&self, found: &Sensitivities, f: usize, format: Format) {
        let metric = found.metric;
        let task = !matches!(metric, Metric::Sqnr);
        let modules = found.layers.iter().any(|l| l.module.is_some());
        let mut header = vec!["layer", "operator"];
        if modules {
            header.push("module");
        }
        header.extend(["layer dB", "output dB"]);
        if task {
            header.push(metric.name());
        }
        header.push("bytes");
        let mut t = table(&header, &["layer dB", "output dB", metric.name(), "bytes"]);
        let ranked = ranked(found, f);
        let rows = if self.top == 0 { ranked.len() } else { self.top.min(ranked.len()) };
        for (layer, e) in ranked.iter().take(rows) {
            let mut row = vec![layer.node.clone(), layer.op.clone()];
            if modules {
                row.push(layer.module.clone().unwrap_or_default());
            }
            row.extend([db(e.layer_db), db(e.output_db)]);
            if task {
                row.push(e.metric.map_or("–".into(), |v| metric.show(v)));
            }
            row.push(bytes(e.bytes));
            t.add_row(row);
        }
        let cut = if rows < ranked.len() { format!(" (the first {rows} of {})", ranked.len()) } else { String::new() };
        say(format_args!("{format}: one layer at a time, the most harmful first{cut}"));
        say(t.trim_fmt());
        say("");
    }
}

/// Layers by what a format does to them, the worst first: by the metric, then by the noise of the outputs, then in the graph's order.
fn ranked(found: &Sensitivities, format: usize) -> Vec<(&Profile, &Effect)> {
    let mut all: Vec<(&Profile, &Effect)> = found.layers.iter().filter_map(|l| Some((l, l.effects.get(format)?))).collect();
    let noise = |e: &Effect| e.output_db.unwrap_or(f64::INFINITY);
    all.sort_by(|(_, a), (_, b)| b.loss.total_cmp(&a.loss).then(noise(a).total_cmp(&noise(b))));
    all
}

/// Values that lose something by themselves, the worst for the outputs first; those whose effect was not measured stand behind, by their
/// own noise.
fn explained(found: &Explained) -> Vec<&Pair> {
    let mut all: Vec<&Pair> = found.pairs.iter().filter(|p| !p.own.equal && p.own.sqnr_db.is_some()).collect();
    let key = |p: &Pair| {
        let e = p.effect.as_ref();
        let noise = e.map_or(f64::INFINITY, |e| e.output_db.unwrap_or(1e3));
        (e.map_or(-1.0, |e| e.loss), noise, p.own.sqnr_db.unwrap_or(f64::INFINITY))
    };
    all.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        b.0.total_cmp(&a.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2))
    });
    all
}

/// The names of the layers in each format, the worst first.
fn ranking(found: &Sensitivities) -> serde_json::Value {
    let names = |f: usize| ranked(found, f).iter().map(|(l, _)| l.node.clone()).collect::<Vec<_>>();
    found.formats.iter().enumerate().map(|(f, format)| (format.to_string(), names(f).into())).collect::<serde_json::Map<_, _>>().into()
}

pub fn db(v: Option<f64>) -> String {
    v.map_or("∞".into(), |d| format!("{d:.1}"))
}
