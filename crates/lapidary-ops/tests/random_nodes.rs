//! Nodes made at random from the schema table: no operator panics, whatever its operands and attributes, and where inference and
//! evaluation both succeed they agree on types and sizes.

use lapidary_ir::{Attr, Attrs, DType, Dim, Graph, NodeSpec, OpName, Tensor, Type, Value};
use lapidary_ops::schema::{Arity, AttrKind, Default, Schema, newest};
use lapidary_ops::{Datum, EvalOptions, OPS, evaluate_with, infer_types};

/// A small generator of numbers, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % sides
    }
    fn int(&mut self) -> i64 {
        [-9, -2, -1, 0, 0, 1, 1, 1, 2, 2, 3, 4][self.roll(12)]
    }
}

const WORDS: &[&str] = &[
    "nearest",
    "linear",
    "cubic",
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "reflect",
    "wrap",
    "edge",
    "CRD",
    "add",
    "max",
    "ij,jk->ik",
    "...i,ij",
    "align_corners",
    "bidirectional",
    "nonsense",
];

fn attrs(schema: &Schema, dice: &mut Dice) -> Attrs {
    let mut out = Attrs::new();
    for spec in schema.attrs {
        if !spec.required && dice.roll(3) > 0 {
            continue;
        }
        let count = dice.roll(5);
        let value = match spec.kind {
            AttrKind::Int => Attr::Int(dice.int()),
            AttrKind::Float => Attr::Float([0.0, 0.5, 1.0, -1.0, f32::NAN][dice.roll(5)]),
            AttrKind::Str => match (spec.default, dice.roll(2)) {
                (Default::Str(s), 0) => s.into(),
                _ => WORDS[dice.roll(WORDS.len())].into(),
            },
            AttrKind::Ints => Attr::Ints((0..count).map(|_| dice.int()).collect()),
            AttrKind::Floats => Attr::Floats((0..count).map(|_| dice.int() as f32).collect()),
            AttrKind::Strs => Attr::Strs((0..count).map(|_| "Tanh".into()).collect()),
            AttrKind::Tensor => Attr::Tensor(tensor(DType::F32, dice).into()),
            _ => continue,
        };
        out.set(spec.name, value);
    }
    out
}

fn tensor(dtype: DType, dice: &mut Dice) -> Tensor {
    let rank = [0, 1, 1, 1, 2, 2, 3, 3, 4, 5][dice.roll(10)];
    let sizes: Vec<usize> = (0..rank).map(|_| [0, 1, 1, 2, 2, 2, 3, 3, 4, 4][dice.roll(10)]).collect();
    let count = sizes.iter().product();
    if dtype == DType::String {
        return Tensor::strings(&sizes, (0..count).map(|_| "s".into()).collect()).unwrap();
    }
    let values: Vec<i64> = (0..count).map(|_| dice.int()).collect();
    Tensor::from_i64(dtype, &sizes, &values).or_else(|_| Tensor::zeros(dtype, &sizes)).unwrap()
}

/// Operands that fit the schema's types; a quarter of them of any other type.
fn operands(schema: &Schema, dice: &mut Dice) -> Vec<Option<Tensor>> {
    let mut bound: Vec<(&str, DType)> = vec![];
    let mut out = vec![];
    for p in schema.inputs {
        let count = match p.arity {
            Arity::One => 1,
            Arity::Optional => dice.roll(2),
            Arity::Variadic { min, .. } => min + dice.roll(3),
        };
        if count == 0 {
            out.push(None);
        }
        for _ in 0..count {
            let usual =
                [DType::F32, DType::I64, DType::Bool, DType::U8, DType::I8, DType::I32].into_iter().find(|d| p.types.tensors().any(|t| t == *d));
            let all: Vec<DType> = p.types.tensors().collect();
            let known = bound.iter().find(|(v, _)| *v == p.var).map(|(_, d)| *d);
            let dtype = match (known, usual, dice.roll(4)) {
                (Some(d), ..) => d,
                (None, Some(d), 1..) => d,
                _ if !all.is_empty() => all[dice.roll(all.len())],
                _ => DType::F32,
            };
            bound.push((p.var, dtype));
            out.push(Some(tensor(dtype, dice)));
        }
    }
    out
}

#[test]
fn random_nodes_give_results_or_errors() {
    let (mut done, mut wrong) = (0, vec![]);
    for def in OPS {
        let Some(schema) = newest(def.domain, def.name) else { continue };
        let mut dice = Dice(def.name.bytes().fold(1u64, |h, b| h.wrapping_mul(31).wrapping_add(b.into())));
        for case in 0..600 {
            let (attrs, operands) = (attrs(schema, &mut dice), operands(schema, &mut dice));
            let text = format!("{} case {case}: {attrs:?} {operands:?}", def.name);
            let mut g = Graph::new("g");
            let mut given = vec![];
            let mut slots = vec![];
            for (i, t) in operands.into_iter().enumerate() {
                slots.push(t.map(|t| match dice.roll(2) {
                    // Half of them are constants, so that inference sees contents.
                    0 => g.add_const(format!("c{i}"), t),
                    _ => {
                        let ty = if dice.roll(3) == 0 {
                            Type::tensor(t.dtype(), (0..t.rank()).map(|a| format!("n{i}_{a}")).map(Dim::symbol).collect::<Vec<_>>())
                        } else {
                            t.ty().into()
                        };
                        given.push(Datum::from(t));
                        g.add_input(format!("x{i}"), ty)
                    }
                }));
            }
            let outputs = (0..schema.outputs.len().max(1)).map(|o| Value::new(format!("y{o}"), Type::Unknown)).collect();
            let mut spec = NodeSpec::new(OpName::new(def.domain, def.name, schema.since), [], outputs).attrs(attrs);
            spec.inputs = slots;
            let id = g.add(spec);
            g.set_outputs(vec![id.out(0)]);
            let run = std::panic::catch_unwind(move || {
                let inferred = infer_types(&mut g).is_ok();
                let options = EvalOptions { max_value_bytes: 1 << 20 };
                let result = evaluate_with(&g, given, &options, &mut |_, _| {});
                (inferred, g.ty(id.out(0)).clone(), result)
            });
            let Ok((inferred, ty, result)) = run else {
                wrong.push(format!("panic in {text}"));
                break; // one example of each operator is enough to read
            };
            let Ok(result) = result else { continue };
            done += 1;
            let (Some(t), Type::Tensor(ty)) = (result[0].as_tensor(), &ty) else { continue };
            let same_size = |d: &[Dim]| d.len() == t.rank() && d.iter().zip(t.sizes()).all(|(d, s)| d.as_const().is_none_or(|d| d == *s as i64));
            let fits = (ty.dtype == t.dtype() || ty.dtype == DType::Unknown) && ty.shape.dims().is_none_or(same_size);
            if !inferred || !fits {
                wrong.push(format!("inferred {ty:?} ({inferred}), computed {t:?}: {text}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} operators:\n{}", wrong.len(), wrong.join("\n"));
    assert!(done > 3000, "only {done} nodes could be evaluated");
}
