//! The examples in the operators' manual pages hold: every ` ```lap ` block of an operator's module comment is a test. Nothing needs to be
//! listed here.
//!
//! ```text
//! input %x : f32[N, T] = [[1, 2, 3], [4, 5, 6]]        an input; the value gives N and T
//! const %axis : i64[] = 1                              a constant, as in the IR's text
//! %y = CumProd(%x, %axis)                              nodes
//! // %y : f32[N, T] = [[1, 2, 6], [4, 20, 120]]        a result: the type that inference gives, and its elements
//! ```
//!
//! Inference must give the type, the evaluator the elements, and the kernels, as lowered and as optimized, the same elements.

use lapidary_ir::text::{ParseOptions, parse, parse_type};
use lapidary_ir::{Tensor, Type};
use lapidary_kernel::interp;
use lapidary_ops::{Datum, OPS, OpDef, evaluate, infer_types, schema};
use std::collections::BTreeMap;

fn newest(domain: &str, name: &str) -> u32 {
    schema::newest(domain, name).map_or(0, |s| s.since)
}

/// `%name : type = value` with symbols in the type: the name, the type, and the tensor, whose sizes are those of the nested lists.
fn given(line: &str) -> Result<(String, Type, Tensor), String> {
    let wrong = || format!("'{line}' is not '%name : type = value'");
    let (name, rest) = line.split_once(':').ok_or_else(wrong)?;
    let (ty, value) = rest.split_once('=').ok_or_else(wrong)?;
    let (name, ty, value) = (name.trim(), ty.trim(), value.trim());
    let mut sizes: Vec<String> = vec![];
    // The sizes of a nested list: elements of the first list of each depth.
    let mut inner = value;
    while let Some(list) = inner.strip_prefix('[') {
        let mut depth = 0;
        let ends = list.char_indices().find(|(_, c)| {
            depth += (*c == '[') as i32 - (*c == ']') as i32;
            depth < 0
        });
        let list = &list[..ends.ok_or_else(wrong)?.0];
        let mut depth = 0;
        let commas = list.chars().filter(|c| {
            depth += (*c == '[') as i32 - (*c == ']') as i32;
            depth == 0 && *c == ','
        });
        sizes.push(if list.trim().is_empty() { 0 } else { commas.count() + 1 }.to_string());
        inner = list.trim_start();
    }
    let dtype = ty.split('[').next().unwrap_or_default();
    let text = format!("graph @value() {{ const %v : {dtype}[{}] = {value} return %v }}", sizes.join(", "));
    let graph = parse(&text, &ParseOptions::default()).map_err(|e| format!("{line}\n{e}"))?;
    let tensor = graph.as_constant(graph.outputs()[0]).ok_or_else(wrong)?;
    Ok((name.to_owned(), parse_type(ty).map_err(|e| e.to_string())?, (**tensor).clone()))
}

fn check(def: &OpDef, example: &[&str]) -> Result<(), String> {
    let (mut inputs, mut body, mut wanted) = (vec![], String::new(), vec![]);
    for line in example {
        match (line.strip_prefix("input "), line.strip_prefix("// ")) {
            (Some(input), _) => inputs.push(given(input)?),
            (_, Some(result)) => wanted.push(given(result)?),
            _ => body += &format!("  {line}\n"),
        }
    }
    if wanted.is_empty() || !body.contains(&format!("{}(", def.name)) {
        return Err(format!("an example shows a node of {} and a line '// %y : type = value'", def.name));
    }
    let parameters: Vec<String> = inputs.iter().map(|(name, ty, _)| format!("{name}: {ty}")).collect();
    let results: Vec<&str> = wanted.iter().map(|w| w.0.as_str()).collect();
    let text = format!("graph @example({}) {{\n{body}  return {}\n}}\n", parameters.join(", "), results.join(", "));
    let mut graph = parse(&text, &ParseOptions { newest: &newest, ..ParseOptions::default() }).map_err(|e| format!("{text}{e}"))?;
    let mut symbols = BTreeMap::new();
    for (name, ty, tensor) in &inputs {
        let dims = ty.dims().filter(|d| d.len() == tensor.rank()).ok_or(format!("the value of {name} does not have its rank"))?;
        for (d, size) in dims.iter().zip(tensor.sizes()) {
            d.symbols().into_iter().for_each(|s| _ = symbols.insert(s.to_string(), *size as i64));
        }
    }

    let facts = infer_types(&mut graph).map_err(|e| format!("infer: {e}"))?;
    for ((name, ty, _), value) in wanted.iter().zip(graph.outputs()) {
        if graph.ty(*value) != ty {
            return Err(format!("infer: {name} is {}, the page says {ty}", graph.ty(*value)));
        }
    }
    if def.eval.is_none() {
        return Err("eval: there is no evaluator".into());
    }
    let tensors: Vec<Tensor> = inputs.into_iter().map(|i| i.2).collect();
    let got = evaluate(&graph, tensors.iter().cloned().map(Datum::Tensor).collect()).map_err(|e| format!("eval: {e}"))?;
    for ((name, _, want), got) in wanted.iter().zip(&got) {
        same(name, got.as_tensor().ok_or("eval: not a tensor")?, want).map_err(|e| format!("eval: {e}"))?;
    }
    if def.lower.is_none() {
        return Ok(());
    }
    let mut program = lapidary_lower::lower_graph(&graph, &facts).map_err(|e| format!("lower: {e}"))?;
    for stage in ["lower", "lower, optimized"] {
        let got = interp::interpret(&program, &tensors, &|n| symbols.get(n).copied()).map_err(|e| format!("{stage}: {e}"))?;
        for ((name, _, want), got) in wanted.iter().zip(&got) {
            same(name, got, want).map_err(|e| format!("{stage}: {e}"))?;
        }
        lapidary_lower::optimize(&mut program, &Default::default()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Elements equal to five digits, as far as a page would print them; integers and booleans exactly.
fn same(name: &str, got: &Tensor, want: &Tensor) -> Result<(), String> {
    let (Some(a), Some(b)) = (got.to_f64(), want.to_f64()) else { return Err(format!("{name} holds no numbers")) };
    let close = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan()) || (want.dtype().is_float() && (x - y).abs() <= 2e-5 * (1.0 + y.abs()));
    if got.sizes() != want.sizes() || got.dtype() != want.dtype() || !a.iter().zip(&b).all(|(x, y)| close(*x, *y)) {
        return Err(format!("{name} is {got:?}, the page says {want:?}"));
    }
    Ok(())
}

#[test]
fn examples_of_the_manual_pages_hold() {
    let (mut wrong, mut count) = (vec![], 0);
    for def in OPS {
        let manual = def.manual();
        let mut lines = manual.lines();
        while lines.any(|l| l == "```lap") {
            let example: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").filter(|l| !l.is_empty()).collect();
            count += 1;
            if let Err(e) = check(def, &example) {
                wrong.push(format!("{}: {e}", def.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} examples do not hold:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 0);
}
