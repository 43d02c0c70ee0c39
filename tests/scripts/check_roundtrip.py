#!/usr/bin/env python3
"""Whether a model that was read and written without passes is still the same model, by an independent reader.

usage: check_roundtrip.py [--lapidary BIN] [--show N] PATH…      (files, or folders that are searched for *.onnx)

Runs `lapidary opt -O0 M -o OUT` on each and compares both files with the onnx package, piece by piece: inputs, outputs, initializers,
sparse initializers, nodes with attributes and names, subgraphs, functions, opsets, metadata.  What may differ is ALLOWED below; all else
is a finding.  Prints how often each difference was seen.  Exit code 1 on findings.
"""
import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
from onnx import numpy_helper

from check_models import default_binary

# Normalizations: the same model, said differently.
ALLOWED = {
    "ir version": "the lowest version that holds the model is written",
    "value_info": "intermediate types are inferred again when they are needed",
    "producer": "the writer names itself",
    "node order": "nodes are written in an order in which producers come first; several are possible",
    "tensor storage": "elements are written as raw bytes, or beside the file, whatever the input used",
    "unused opset": "imports that no node uses are dropped, and the two names of the standard domain are one",
}


def tensor(t, folder):
    """Type, shape and content. Strings are compared as they are, all else by bytes."""
    if t.data_type == onnx.TensorProto.STRING:
        content = tuple(t.string_data)
    else:
        content = numpy_helper.to_array(t, base_dir=str(folder)).tobytes()
    return (t.data_type, tuple(t.dims), content)


def sparse(s, folder):
    return (tuple(s.dims), tensor(s.values, folder), tensor(s.indices, folder))


def attribute(a, folder):
    kind = onnx.AttributeProto
    if a.ref_attr_name:
        value = ("reference", a.ref_attr_name)
    elif a.type == kind.GRAPH:
        value = graph(a.g, folder)
    elif a.type == kind.GRAPHS:
        value = tuple(graph(g, folder) for g in a.graphs)
    elif a.type == kind.TENSOR:
        value = tensor(a.t, folder)
    elif a.type == kind.TENSORS:
        value = tuple(tensor(t, folder) for t in a.tensors)
    elif a.type == kind.SPARSE_TENSOR:
        value = sparse(a.sparse_tensor, folder)
    elif a.type == kind.SPARSE_TENSORS:
        value = tuple(sparse(s, folder) for s in a.sparse_tensors)
    elif a.type == kind.TYPE_PROTO:
        value = a.tp.SerializeToString(deterministic=True)
    elif a.type == kind.TYPE_PROTOS:
        value = tuple(t.SerializeToString(deterministic=True) for t in a.type_protos)
    elif a.type == kind.FLOAT:
        value = a.SerializeToString(deterministic=True) if a.f != a.f else a.f  # NaN equals itself here
    else:
        value = onnx.helper.get_attribute_value(a)
        value = tuple(value) if not isinstance(value, (bytes, int, float)) else value
    return (a.name, a.type, value)


def domain(name):
    return "" if name == "ai.onnx" else name


def properties(entries):
    return tuple(sorted((p.key, p.value) for p in entries))


def node(n, folder):
    attributes = tuple(sorted((attribute(a, folder) for a in n.attribute), key=lambda a: a[0]))
    return (domain(n.domain), n.op_type, n.overload, tuple(n.input), tuple(n.output), attributes, n.name, n.doc_string, properties(n.metadata_props))


def values(infos):
    return tuple((v.name, v.type.SerializeToString(deterministic=True), v.doc_string) for v in infos)


def graph(g, folder):
    """A graph as a dictionary of comparable pieces, hidden in a tuple so that it can be an attribute's value."""
    nodes = [node(n, folder) for n in g.node]
    return (
        ("graph name", g.name),
        ("graph text", g.doc_string),
        ("inputs", values(g.input)),
        ("outputs", values(g.output)),
        ("initializers", tuple(sorted((t.name,) + tensor(t, folder) for t in g.initializer))),
        ("sparse initializers", tuple(sorted((s.values.name,) + sparse(s, folder) for s in g.sparse_initializer))),
        ("nodes", tuple(sorted(nodes, key=repr))),
        ("graph metadata", properties(g.metadata_props)),
        ("quantization annotations", tuple(sorted(q.SerializeToString(deterministic=True) for q in g.quantization_annotation))),
    )


def function(f, folder):
    attributes = tuple(sorted((attribute(a, folder) for a in f.attribute_proto), key=lambda a: a[0]))
    opsets = tuple(sorted((domain(o.domain), o.version) for o in f.opset_import))
    body = tuple(sorted((node(n, folder) for n in f.node), key=repr))
    return (domain(f.domain), f.name, f.overload, tuple(f.input), tuple(f.output), tuple(f.attribute), attributes, opsets, body, f.doc_string)


def used_domains(model):
    from onnx_tools import bodies

    return {domain(n.domain) for nodes in bodies(model) for n in nodes}


def pieces(model, folder):
    return dict(graph(model.graph, folder)) | {
        "functions": tuple(sorted((function(f, folder) for f in model.functions), key=repr)),
        "metadata": properties(model.metadata_props),
        "model text": (model.domain, model.model_version, model.doc_string),
        "opsets": {domain(o.domain): o.version for o in model.opset_import},
    }


def differences(before, after, folders):
    """Names of the pieces that differ."""
    a, b = pieces(before, folders[0]), pieces(after, folders[1])
    found = []
    opsets = a.pop("opsets"), b.pop("opsets")
    if opsets[0] != opsets[1]:
        used = used_domains(before)
        found.append("unused opset" if {d: v for d, v in opsets[0].items() if d in used} == {d: v for d, v in opsets[1].items() if d in used} else "opsets")
    found += [key for key in a if a[key] != b[key]]
    if before.ir_version != after.ir_version:
        found.append("ir version")
    if [n.output for n in before.graph.node] != [n.output for n in after.graph.node]:
        found.append("node order")
    if len(before.graph.value_info) != len(after.graph.value_info):
        found.append("value_info")
    if before.producer_name != after.producer_name or before.producer_version != after.producer_version:
        found.append("producer")
    if [t.HasField("raw_data") for t in before.graph.initializer] != [t.HasField("raw_data") for t in after.graph.initializer]:
        found.append("tensor storage")
    return found


def check(lapidary, path):
    """(path, differences); a refusal counts as the difference 'refused' with the compiler's first words."""
    try:
        before = onnx.load(path, load_external_data=False)
    except Exception as error:
        return path, [f"onnx cannot read it: {type(error).__name__}"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.onnx"
        done = subprocess.run([lapidary, "opt", "-O0", "-q", path, "-o", out], capture_output=True, text=True, timeout=600)
        if done.returncode or not out.exists():
            words = (done.stderr.strip().splitlines() or ["no message"])[0]
            return path, [f"refused: {words[:100]}"]
        return path, differences(before, onnx.load(out, load_external_data=False), (path.parent, out.parent))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--lapidary", default=default_binary())
    parser.add_argument("--show", type=int, default=20, help="how many findings to print")
    args = parser.parse_args()
    files = [f for p in args.paths for f in (sorted(p.rglob("*.onnx")) if p.is_dir() else [p])]
    if not files:
        parser.error("no .onnx file there")
    seen, findings = Counter(), []
    with ThreadPoolExecutor(2) as pool:
        for path, found in pool.map(lambda f: check(args.lapidary, f), files):
            seen.update("refused" if f.startswith("refused") else f for f in found)
            bad = [f for f in found if f not in ALLOWED]
            if bad:
                findings.append((path, bad))
    for path, bad in findings[: args.show]:
        print(f"{path}: {', '.join(bad)}")
    if len(findings) > args.show:
        print(f"… and {len(findings) - args.show} more")
    for difference, count in seen.most_common():
        print(f"{count:6}  {difference}" + (f" ({ALLOWED[difference]})" if difference in ALLOWED else ""))
    print(f"{len(files) - len(findings)} passed, {len(findings)} failed")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
