use super::args::Global;
use super::table::table;
use super::{Outcome, Status, say, say_json};
use clap::Args;
use lapidary::difference::graphs;
use std::path::PathBuf;

/// Show what differs between the graphs of two models
///
/// Lines of the text form that only one of them has; the order of nodes does not count. Exit code 1 where anything differs.
#[derive(Args)]
#[command(after_help = "Example:\n  lapidary diff model.onnx small.onnx")]
pub struct Diff {
    /// The model before
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The model after
    #[arg(value_name = "B")]
    b: PathBuf,
}

impl Diff {
    pub fn run(&self, global: &Global) -> Outcome {
        let found = graphs(&global.open(&self.a)?, &global.open(&self.b)?);
        if global.json() {
            say_json(&found);
        } else {
            found.removed.iter().for_each(|l| say(format_args!("- {l}")));
            found.added.iter().for_each(|l| say(format_args!("+ {l}")));
            if !found.operators.is_empty() {
                let mut t = table(&["operator", "before", "after"], &["before", "after"]);
                found.operators.iter().for_each(|(op, a, b)| {
                    t.add_row([op.clone(), a.to_string(), b.to_string()]);
                });
                say(t.trim_fmt());
            }
            say(match (found.removed.len(), found.added.len()) {
                (0, 0) => "the graphs are equal".into(),
                (r, a) => format!("{r} lines gone, {a} lines new"),
            });
        }
        Ok(if found.is_empty() { Status::Done } else { Status::Findings })
    }
}
