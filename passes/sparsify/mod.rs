//! sparsify: set the least important weights to zero.
//!
//! Covers every constant weight of MatMul, Gemm and Conv but the head (`head=true` includes it, `embeddings=true` tables of Gather). The
//! ratio holds for each matrix.
//!
//! * `magnitude` (the default): the smallest absolute values of the matrix go. Needs no data.
//! * `wanda`: in each row, the smallest |w| · ‖x‖ go, with `x` the column's input on `data`. Source: Sun et al., "A simple and effective
//!   pruning approach for large language models" (2023).
//! * `sparsegpt`: column by column, weights go where the remaining ones can make up for them best, and do. Source: Frantar and Alistarh,
//!   "SparseGPT" (2023).
//!
//! `pattern="2:4"` keeps 2 of every 4 neighbours along the inputs; `pattern="1x16"` removes whole blocks, of 1 output by 16 inputs.
//!
//! The zeros are stored like other numbers: neither the file nor the native library gets smaller or faster by them. Hardware with sparse
//! units reads the 2:4 pattern; what makes models smaller everywhere are `prune-heads`, `prune-channels`, `prune-width`, `prune-layers`.

#[cfg(test)]
mod golden;
mod gpt;
mod mask;

use crate::common::activations::{BATCH, DATA, Inputs, SEQUENTIAL, each_layer};
use crate::common::layers::{self, EMBEDDINGS, HEAD, Layer, Scope};
use crate::common::nothing_done;
use faer::Mat;
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};
use mask::Pattern;

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "sparsify";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("method", Kind::Choice(&["magnitude", "wanda", "sparsegpt"]), Some("magnitude"), "how weights are chosen"),
    OptionSpec::new("ratio", Kind::Float, None, "the part of each matrix that becomes zero, 0 to 1 (default 0.5; a pattern N:M says it itself)"),
    OptionSpec::new("pattern", Kind::Text, None, "N:M (keep N of M neighbours) or RxC (whole blocks go)"),
    DATA,
    BATCH,
    SEQUENTIAL,
    HEAD,
    EMBEDDINGS,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let method = ctx.options.text("method").unwrap_or("magnitude").to_string();
    let pattern = Pattern::of(ctx)?;
    let mut found = layers::find(graph, ctx, NAME, Scope::of(ctx));
    if let (Some(i), true) = (found.iter().position(|l| l.form == layers::Form::Table), method != "magnitude") {
        let name = &found[i].name;
        return Err(Diagnostic::error("no-inputs", format!("'{name}' is a table: nothing is multiplied by it, and {method} weighs by what is"))
            .help("use method=magnitude for tables")
            .into());
    }
    let (mut zeros, mut all) = (0usize, 0usize);
    let mut store = |graph: &mut Graph, layer: &mut Layer, w: &Mat<f64>| {
        zeros += (0..w.ncols()).map(|c| w.col(c).iter().filter(|v| **v == 0.0).count()).sum::<usize>();
        all += w.nrows() * w.ncols();
        layer.replace(graph, NAME, w.as_ref())
    };
    if method == "magnitude" {
        for layer in &mut found {
            let mut w = layer.matrix(graph);
            let scores = Mat::from_fn(w.nrows(), w.ncols(), |r, c| w[(r, c)].abs());
            pattern.apply(&mut w, &scores, false);
            store(graph, layer, &w)?;
        }
    } else {
        let gram = method == "sparsegpt";
        each_layer(graph, ctx, NAME, &mut found, gram, &mut |graph, _, layer, seen| {
            let mut w = layer.matrix(graph);
            if gram {
                gpt::prune(layer, &mut w, seen, &pattern)?
            } else {
                wanda(layer, &mut w, seen, &pattern)
            }
            store(graph, layer, &w)
        })?;
    }
    let mut out = Outcome::default();
    out.touch("weights", found.len());
    if found.is_empty() {
        nothing_done(ctx, NAME)?;
    } else {
        let share = 100.0 * zeros as f64 / all as f64;
        let text =
            format!("{share:.2} % of the weights of {} matrices are zero, stored as before: nothing gets smaller or faster by it", found.len());
        ctx.note(Diagnostic::error("zeros", text));
    }
    Ok(out)
}

fn wanda(layer: &Layer, w: &mut Mat<f64>, seen: &Inputs, pattern: &Pattern) {
    let rows_of_a_group = layer.rows / layer.groups();
    let n = seen.count.max(1) as f64;
    let scores = Mat::from_fn(w.nrows(), w.ncols(), |r, c| {
        let column = r / rows_of_a_group * layer.columns + c;
        w[(r, c)].abs() * (seen.squares[column] / n).sqrt()
    });
    pattern.apply(w, &scores, true);
}
