//! What was read and written again is the same model, apart from what `docs/round-trip.md` lists.

mod support;

use bytes::Bytes;
use lapidary_ir::Type;
use lapidary_onnx::proto::*;
use lapidary_onnx::*;
use prost::Message;
use std::path::Path;
use support::*;

fn read(m: &ModelProto, options: &ReadOptions) -> Model {
    let model = model_from_proto(m.clone(), options).unwrap_or_else(|e| panic!("{e}"));
    let found = model.graph.verify();
    assert!(found.is_empty(), "{found:?}");
    model
}

/// Through the graph and back, with the operators as they are.
fn again(m: &ModelProto) -> ModelProto {
    let model = read(m, &ReadOptions { lift: false, ..ReadOptions::default() });
    model_to_proto(&model, &WriteOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn assert_same(a: &ModelProto, b: &ModelProto) {
    let nowhere = Path::new("m.onnx");
    let (x, y) = (canonical(a.clone(), nowhere), canonical(b.clone(), nowhere));
    assert!(x == y, "{}", difference(&x, &y));
}

/// Where two canonical models first differ.
fn difference(x: &[u8], y: &[u8]) -> String {
    let show = |bytes: &[u8]| format!("{:#?}", ModelProto::decode(bytes).unwrap());
    let (x, y) = (show(x), show(y));
    let line = x.lines().zip(y.lines()).position(|(a, b)| a != b).unwrap_or(0);
    let near = |t: &str| t.lines().skip(line.saturating_sub(8)).take(16).map(str::trim).collect::<Vec<_>>().join(" ");
    format!("before: {}\nafter: {}", near(&x), near(&y))
}

#[test]
fn one_of_everything_survives() {
    let m = kitchen_sink();
    assert_same(&m, &again(&m));
}

#[test]
fn writing_twice_gives_the_same_bytes() {
    let model = read(&kitchen_sink(), &ReadOptions::default());
    let once = model_to_bytes(&model, &WriteOptions::default()).unwrap();
    assert_eq!(once, model_to_bytes(&model, &WriteOptions::default()).unwrap());
    let read_again = model_from_bytes(&Bytes::from(once.clone()), &ReadOptions::default()).unwrap();
    assert_eq!(once, model_to_bytes(&read_again, &WriteOptions::default()).unwrap());
}

#[test]
fn captures_are_operands_inside_and_captures_again_outside() {
    let model = read(&kitchen_sink(), &ReadOptions::default());
    let id = model.graph.operators().into_iter().find(|n| model.graph.node(*n).is("If")).unwrap();
    let node = model.graph.node(id);
    let operands: Vec<&str> = node.inputs().iter().map(|v| &*model.graph.value(v.unwrap()).name).collect();
    // The last is the capture of the other branch, apart from the node's own operand.
    assert_eq!(operands, ["c", "x", "w", "c"]);
    let region = &node.regions[0];
    assert_eq!((&*region.name, region.captures.as_slice()), ("else_branch", &[1, 2][..]));
    assert_eq!(region.graph.inputs().len(), 2);
    assert_eq!(region.graph.ty(region.graph.inputs()[0]), model.graph.ty(node.input(1).unwrap()));
}

#[test]
fn a_local_name_never_hides_a_captured_value() {
    let mut model = read(&kitchen_sink(), &ReadOptions::default());
    // A pass renames the captured value to what the body calls its own.
    let x = model.graph.inputs()[0];
    model.graph.value_mut(x).name = "inner".into();
    let m = model_to_proto(&model, &WriteOptions::default()).unwrap();
    let node = m.graph.unwrap().node.into_iter().find(|n| n.op_type() == "If").unwrap();
    let body = node.attribute[0].g.clone().unwrap();
    assert_eq!(body.node[0].input, ["inner", "w"]);
    assert_eq!(body.node[0].output, ["inner_1"]);
    assert_eq!(body.node[1].input, ["inner_1"]);
}

#[test]
fn leftovers_of_passes_are_not_written_and_unused_initializers_are() {
    let mut model = read(&kitchen_sink(), &ReadOptions::default());
    model.graph.add_const("leftover", lapidary_ir::Tensor::scalar(1f32));
    let m = model_to_proto(&model, &WriteOptions::default()).unwrap();
    let names: Vec<String> = m.graph.unwrap().initializer.iter().map(|t| t.name().to_owned()).collect();
    assert_eq!(names, ["w", "unused"]);
}

#[test]
fn writes_the_lowest_ir_version() {
    let g = GraphProto {
        input: vec![value("x", 1, &[2])],
        output: vec![value("y", 1, &[2])],
        node: vec![node_of("Relu", &["x"], &["y"])],
        ..Default::default()
    };
    assert_eq!(again(&model_of(17, g.clone())).ir_version, Some(8));
    assert_eq!(again(&model_of(21, g)).ir_version, Some(10));
}

#[test]
fn inputs_with_initial_values_are_constants_unless_asked_otherwise() {
    let mut m = kitchen_sink();
    m.graph.as_mut().unwrap().input.push(value("w", 1, &[2]));
    let model = read(&m, &ReadOptions::default());
    assert_eq!(model.graph.inputs().len(), 3);
    assert!(model.notes.iter().any(|d| d.code == codes::DEFAULTS));
    let kept = read(&m, &ReadOptions { keep_defaults: true, ..ReadOptions::default() });
    assert_eq!((kept.graph.inputs().len(), kept.defaults.len()), (4, 1));
    let written = model_to_proto(&kept, &WriteOptions::default()).unwrap().graph.unwrap();
    assert!(written.input.iter().any(|i| i.name() == "w") && written.initializer.iter().any(|t| t.name() == "w"));
}

#[test]
fn stale_declarations_are_dropped_with_a_note() {
    let mut m = kitchen_sink();
    m.graph.as_mut().unwrap().value_info.push(value("gone", 1, &[2]));
    let model = read(&m, &ReadOptions::default());
    assert!(model.notes.iter().any(|d| d.code == codes::STALE && d.message.contains("'gone'")));
}

#[test]
fn declares_types_as_asked() {
    let g = GraphProto {
        input: vec![value("x", 1, &[2])],
        output: vec![value("z", 1, &[2])],
        node: vec![node_of("Relu", &["x"], &["y"]), node_of("Relu", &["y"], &["z"])],
        ..Default::default()
    };
    let mut model = read(&model_of(17, g), &ReadOptions::default());
    let y = model.graph.values_by_name()["y"];
    model.graph.value_mut(y).ty = Type::tensor(lapidary_ir::DType::F32, [2]);
    let written = |value_info| model_to_proto(&model, &WriteOptions { value_info, ..Default::default() }).unwrap().graph.unwrap().value_info.len();
    assert_eq!([written(ValueInfo::Kept), written(ValueInfo::All), written(ValueInfo::None)], [0, 1, 0]);
}

#[test]
fn nodes_out_of_order_are_put_in_order() {
    let g = GraphProto {
        input: vec![value("x", 1, &[2])],
        output: vec![value("z", 1, &[2])],
        node: vec![node_of("Relu", &["y"], &["z"]), node_of("Neg", &["x"], &["y"])],
        ..Default::default()
    };
    let ops: Vec<String> = again(&model_of(17, g)).graph.unwrap().node.iter().map(|n| n.op_type().to_owned()).collect();
    assert_eq!(ops, ["Neg", "Relu"]);
}

#[test]
fn external_weights_go_out_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let mut m = kitchen_sink();
    m.graph.as_mut().unwrap().initializer.push(floats("big", &vec![0.5; 5000]));
    let model = read(&m, &ReadOptions::default());
    let side = WriteOptions { external: ExternalData::Side { threshold: 4 }, ..Default::default() };
    let written = write_model(&model, &path, &side).unwrap();
    assert!(written.data.is_some_and(|(_, bytes)| bytes > 20_000) && written.model_bytes < 10_000);
    for access in [Access::Map, Access::Read] {
        let back = read_model(&path, &ReadOptions { access, lift: false, ..Default::default() }).unwrap();
        assert!(back.external);
        assert_same(&m, &model_to_proto(&back, &WriteOptions::default()).unwrap());
        // What came with external data leaves with it, also over itself.
        assert!(write_model(&back, &path, &WriteOptions::default()).unwrap().data.is_some());
    }
}

/// An old form that nothing touched comes back as it was; a touched one is lowered by its operator's rule.
#[test]
fn untouched_nodes_get_their_old_form_back() {
    let g = GraphProto {
        input: vec![value("x", 1, &[2, 3])],
        output: vec![value("y", 1, &[2, 3])],
        node: vec![NodeProto {
            attribute: vec![AttributeProto { i: Some(-1), ..attribute("axis", attribute_proto::AttributeType::Int) }],
            ..node_of("Softmax", &["x"], &["y"])
        }],
        ..Default::default()
    };
    let mut model = read(&model_of(11, g), &ReadOptions::default());
    lapidary_ops::infer_types(&mut model.graph).unwrap();
    let id = model.graph.operators()[0];
    assert_eq!(model.graph.node(id).op.version, 13);
    let axis = |m: &Model| {
        let node = model_to_proto(m, &WriteOptions::default()).unwrap().graph.unwrap().node.remove(0);
        node.attribute.iter().find(|a| a.name() == "axis").map(AttributeProto::i)
    };
    assert_eq!(axis(&model), Some(-1));
    model.graph.node_mut(id).attrs.set("axis", 1);
    // Whatever way the rule says it, axis 1 of two is meant.
    assert!(matches!(axis(&model), None | Some(1)));
}

/// The whole backend suite, twice: operators as they are, and lifted to their newest forms and back.
#[test]
fn backend_suite_survives() {
    let Some(suite) = std::env::var_os("LAPIDARY_SUITE") else {
        eprintln!("skipped: LAPIDARY_SUITE names no folder (tests/scripts/dump_suite.py DIR makes one)");
        return;
    };
    let models = models_beneath(Path::new(&suite));
    assert!(!models.is_empty(), "no models in {suite:?}");
    let (mut failed, mut unsupported, mut lifted) = (vec![], 0, 0);
    for path in &models {
        let file = mapping::open(path, Access::Map).unwrap();
        let before = canonical(decode::model(&file).unwrap(), path);
        let round = |lift: bool| -> lapidary_ir::Result<Vec<u8>> {
            let mut model = read_model(path, &ReadOptions { lift, ..Default::default() })?;
            if lift {
                // As `opt` does: some forms can be undone only where shapes are known.
                lapidary_ops::infer_types(&mut model.graph)?;
            }
            Ok(canonical(model_to_proto(&model, &WriteOptions { value_info: ValueInfo::Kept, ..Default::default() })?, path))
        };
        match round(false) {
            Ok(after) if after == before => {}
            Ok(after) => failed.push(format!("{}: {}", path.display(), difference(&before, &after))),
            Err(e) if e.0.iter().all(|d| d.severity == lapidary_ir::Severity::Unsupported) => unsupported += 1,
            Err(e) => failed.push(format!("{}: {e}", path.display())),
        }
        match round(true) {
            Ok(after) if nodes(&after) == nodes(&before) => lifted += 1,
            Ok(_) => failed.push(format!("{}: lifted and lowered, it has other nodes", path.display())),
            // What inference refuses is not this test's matter.
            Err(e) => eprintln!("{}: {e}", path.display()),
        }
    }
    eprintln!("{} models: {} failed, {unsupported} unsupported; {lifted} equal after lifting and lowering", models.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Operators and attributes alone: types are refined by inference on the way.
fn nodes(model: &[u8]) -> Vec<Vec<u8>> {
    fn untyped(nodes: &mut [NodeProto]) {
        for g in nodes.iter_mut().flat_map(|n| &mut n.attribute).flat_map(|a| a.g.iter_mut().chain(&mut a.graphs)) {
            g.value_info.clear();
            g.input.iter_mut().chain(&mut g.output).for_each(|v| v.r#type = None);
            untyped(&mut g.node);
        }
    }
    let mut nodes = ModelProto::decode(model).unwrap().graph.unwrap().node;
    untyped(&mut nodes);
    nodes.iter().map(Message::encode_to_vec).collect()
}

/// The larger model set: round trip, and reading that does not depend on the weights' size.
#[test]
fn public_models_survive_and_open_at_once() {
    let Some(set) = std::env::var_os("LAPIDARY_MODELS") else {
        eprintln!("skipped: LAPIDARY_MODELS names no folder (see tests/scripts/README.md)");
        return;
    };
    let mut failed = vec![];
    for path in models_beneath(Path::new(&set)) {
        let bytes = std::fs::metadata(&path).unwrap().len();
        let start = std::time::Instant::now();
        let result = read_model(&path, &ReadOptions { lift: false, ..Default::default() });
        let read = start.elapsed();
        let checked = result.and_then(|model| {
            let start = std::time::Instant::now();
            let after = model_to_proto(&model, &WriteOptions::default())?;
            let made = start.elapsed();
            eprintln!("{:>8.1} MB read in {read:?}, messages made in {made:?}: {} {:?}", bytes as f64 / 1e6, path.display(), model.notes);
            let before = decode::model(&mapping::open(&path, Access::Map)?)?;
            Ok((canonical(before, &path), canonical(after, &path)))
        });
        match checked {
            Ok((a, b)) if a == b => {}
            Ok((a, b)) => failed.push(format!("{}: {}", path.display(), difference(&a, &b))),
            Err(e) => failed.push(format!("{}: {e}", path.display())),
        }
        let lifted = read_model(&path, &ReadOptions::default()).and_then(|mut model| {
            lapidary_ops::infer_types(&mut model.graph)?;
            let before = canonical(decode::model(&mapping::open(&path, Access::Map)?)?, &path);
            let after = canonical(model_to_proto(&model, &WriteOptions::default())?, &path);
            let (before, after) = (nodes(&before), nodes(&after));
            let show = |n: Option<&Vec<u8>>| n.map(|n| NodeProto::decode(n.as_slice()).unwrap());
            let at = (0..before.len().max(after.len())).find(|i| before.get(*i) != after.get(*i));
            Ok(at.map(|i| format!("{:?}\nbecame\n{:?}", show(before.get(i)), show(after.get(i)))))
        });
        match lifted {
            Ok(None) => {}
            Ok(Some(other)) => failed.push(format!("{}: lifted and lowered, a node differs: {other}", path.display())),
            Err(e) => eprintln!("{}: {e}", path.display()),
        }
        // Generous: a mapped half gigabyte takes milliseconds.
        assert!(read.as_secs_f64() < 1.0, "{}: read in {read:?}", path.display());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
