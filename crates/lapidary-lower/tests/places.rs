//! Temporaries that are needed at the same time lie apart, whatever sizes symbols have; and those that are not share memory.

use lapidary_kernel::{BufferId, Plan};
use lapidary_lower::lower;
use std::fmt::Write;

/// Products of matrices of these widths, one after the other, of which every third is added to one that was computed four before.
fn chain(rows: &str, widths: &[usize]) -> Plan {
    let (mut body, mut known) = (String::new(), vec![]);
    let mut width = 8;
    for (i, w) in widths.iter().enumerate() {
        let from = if i == 0 { "x".into() } else { format!("t{}", i - 1) };
        writeln!(body, "  const %w{i} : f32[{width}, {w}] = splat(0.25)").unwrap();
        writeln!(body, "  %p{i} = MatMul(%{from}, %w{i}) : f32[{rows}, {w}]").unwrap();
        let old = if i % 3 == 2 { known.iter().rev().find(|(_, x)| x == w) } else { None };
        match old {
            Some((old, _)) => writeln!(body, "  %t{i} = Add(%p{i}, %{old}) : f32[{rows}, {w}]").unwrap(),
            None => writeln!(body, "  %t{i} = Tanh(%p{i}) : f32[{rows}, {w}]").unwrap(),
        }
        known.push((format!("t{i}"), *w));
        width = *w;
    }
    let source = format!("graph @g(%x: f32[{rows}, 8]) {{\n{body}  return %t{}\n}}\n", widths.len() - 1);
    let mut graph = lapidary_ir::text::parse(&source, &Default::default()).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let facts = lapidary_ops::infer_types(&mut graph).unwrap_or_else(|e| panic!("{e}"));
    lower(&graph, &facts, &Default::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// Where a temporary lies, and from which kernel to which it is needed.
fn places(plan: &Plan, n: i64) -> Vec<(BufferId, std::ops::Range<i64>, std::ops::RangeInclusive<usize>)> {
    let p = &plan.program;
    let places = p.buffer_ids().filter_map(|b| {
        let start = plan.offsets[b.0 as usize].as_ref()?.eval(&|_| Some(n))?;
        let bytes = Plan::bytes_of(p.buffer(b).dtype, &p.buffer(b).elements()).eval(&|_| Some(n))?;
        let run = |k: usize| plan.strips.iter().map(|s| s.range()).find(|r| r.contains(&k)).unwrap_or(k..k + 1);
        let using = |k: &usize| p.kernels[*k].writes().contains(&b) || p.kernels[*k].reads().contains(&b);
        let (first, last) = ((0..p.kernels.len()).find(using)?, (0..p.kernels.len()).rfind(using)?);
        Some((b, start..start + bytes, run(first).start..=run(last).end - 1))
    });
    places.collect()
}

fn lie_apart(plan: &Plan, n: i64) {
    let all = places(plan, n);
    let arena = plan.arena_bytes.eval(&|_| Some(n)).unwrap();
    for (i, (a, bytes, life)) in all.iter().enumerate() {
        assert!(bytes.start % 64 == 0 && bytes.end <= arena, "{a:?} at {bytes:?} of {arena}");
        for (b, others, other_life) in &all[..i] {
            let together = life.start() <= other_life.end() && other_life.start() <= life.end();
            assert!(!together || bytes.end <= others.start || others.end <= bytes.start, "{a:?} and {b:?} at {bytes:?} and {others:?}");
        }
    }
}

#[test]
fn known_sizes_symbols_and_both() {
    let widths: Vec<usize> = (0..40).map(|i| 8 + 8 * ((i * i * 7 + 3 * i) % 11)).collect();
    for rows in ["12", "N", "N, 3", "N, M"] {
        let plan = chain(rows, &widths);
        for n in [0, 1, 5, 64] {
            lie_apart(&plan, n);
        }
        let (sum, arena) = (places(&plan, 64).iter().map(|(_, b, _)| b.end - b.start).sum::<i64>(), plan.arena_bytes.eval(&|_| Some(64)).unwrap());
        assert!(arena * 3 < sum, "{rows}: {arena} of {sum} bytes");
    }
}
