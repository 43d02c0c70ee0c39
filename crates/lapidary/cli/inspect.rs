use super::args::{Global, dim};
use super::table::{bytes, count, grouped, table};
use super::{Outcome, Status, say, say_json};
use clap::Args;
use lapidary::DimRange;
use lapidary::inspect::{Summary, summary};
use lapidary::kernels;
use std::path::PathBuf;

/// Show inputs, outputs, operators, parameters, multiply-adds, and what runs natively
#[derive(Args)]
#[command(
    after_help = "Examples:\n  lapidary inspect model.onnx\n  lapidary inspect model.onnx --dim batch=8 --format json\n  lapidary inspect model.kernels                 what `compile --emit kernels -o model.kernels` wrote"
)]
pub struct Inspect {
    /// The model: ONNX, or Lapidary's text (.lap); or kernels (.kernels)
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// A size for a symbolic dim, for counting multiply-adds; others count as 1
    #[arg(long, value_name = "NAME=V", value_parser = dim)]
    dim: Vec<DimRange>,
    /// Print the graph's (or the kernels') text instead
    #[arg(long)]
    text: bool,
}

impl Inspect {
    pub fn run(&self, global: &Global) -> Outcome {
        if kernels::is_kernels(&self.model) {
            return self.kernels(global);
        }
        let model = global.open(&self.model)?;
        if self.text {
            say(model.to_text().trim_end());
            return Ok(Status::Done);
        }
        let sizes = self.dim.iter().map(|d| (d.symbol.clone(), d.low)).collect();
        let s = summary(&model, &sizes);
        if global.json() {
            say_json(&s);
            return Ok(Status::Done);
        }
        print(&s, std::fs::metadata(&self.model).map_or(0, |m| m.len()), !sizes.is_empty());
        Ok(Status::Done)
    }

    /// Reads kernels back: they are what was written, and sound, or this is an error.
    fn kernels(&self, global: &Global) -> Outcome {
        let program = kernels::read(&self.model)?;
        if self.text {
            say(program.to_text().trim_end());
            return Ok(Status::Done);
        }
        let s = kernels::summary(&program);
        if global.json() {
            say_json(&s);
            return Ok(Status::Done);
        }
        say(format_args!("{}", s.name));
        say(format_args!("  kernels    {} over {} buffers", s.kernels.len(), s.buffers));
        say(format_args!("  constants  {} of {} together", s.constants, bytes(s.constant_bytes)));
        let mut t = table(&["kernel", "template", "only moves", "nodes"], &[]);
        s.kernels.iter().for_each(|k| {
            t.add_row([k.name.as_str(), &k.template, k.moves.map_or("", |m| m.name()), &k.nodes.join(" ")]);
        });
        say(t.trim_fmt());
        Ok(Status::Done)
    }
}

fn print(s: &Summary, file_bytes: u64, sized: bool) {
    let opsets: Vec<String> = s.opsets.iter().map(|(d, v)| format!("{d} {v}")).collect();
    say(format_args!("{}", if s.name.is_empty() { "a graph without a name" } else { &s.name }));
    say(format_args!("  opset          {}, IR version {}", opsets.join(", "), s.ir_version));
    if !s.producer.is_empty() {
        say(format_args!("  made by        {}", s.producer));
    }
    say(format_args!("  file           {}{}", bytes(file_bytes), if s.external_data { ", weights in other files" } else { "" }));
    say(format_args!("  parameters     {} in {} of constants", grouped(s.parameters), bytes(s.constant_bytes)));
    let symbolic = s.multiply_adds_symbolic != s.multiply_adds.to_string() && s.multiply_adds_symbolic.len() <= 80;
    let of = if symbolic { format!(": {}", s.multiply_adds_symbolic) } else { String::new() };
    let one = if symbolic && !sized { " with every symbol 1" } else { "" };
    say(format_args!("  multiply-adds  {}{one}{of}", count(s.multiply_adds as f64)));
    if s.functions > 0 {
        say(format_args!("  functions      {}", s.functions));
    }
    say("");
    for (title, ports) in [("input", &s.inputs), ("output", &s.outputs)] {
        let mut t = table(&[title, "type"], &[]);
        ports.iter().for_each(|p| {
            t.add_row([&p.name, &p.ty]);
        });
        say(format_args!("{}\n", t.trim_fmt()));
    }
    let mut t = table(&["operator", "count", "multiply-adds", "native"], &["count", "multiply-adds"]);
    for o in &s.operators {
        let macs = if o.multiply_adds == 0 { String::new() } else { count(o.multiply_adds as f64) };
        t.add_row([o.op.clone(), o.count.to_string(), macs, o.native.clone()]);
    }
    t.add_row(["all".into(), s.nodes.to_string(), count(s.multiply_adds as f64), if s.native { "yes" } else { "no" }.to_string()]);
    say(t.trim_fmt());
    for p in s.native_problems.iter().filter(|p| !s.operators.iter().any(|o| p.starts_with(&format!("{}:", o.op)))) {
        say(format_args!("not native: {p}"));
    }
    if !s.metadata.is_empty() {
        let mut t = table(&["metadata", "value"], &[]);
        for (k, v) in &s.metadata {
            let short: String = v.chars().take(80).collect();
            t.add_row([k.clone(), if short.len() < v.len() { format!("{short}…") } else { short }]);
        }
        say(t.trim_fmt());
    }
    s.notes.iter().for_each(|n| say(format_args!("note: {n}")));
}
