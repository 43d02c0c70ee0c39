#!/usr/bin/env python3
"""Whether a model that was read and written without passes is still the same model, by an independent reader.

usage: check_roundtrip.py [--lapidary BIN] [--show N] PATH…      (files, or folders that are searched for *.onnx)

Runs `lapidary opt -O0 M -o OUT` on each and compares both files with the onnx package, piece by piece: inputs, outputs, initializers,
sparse initializers, nodes with attributes and names, subgraphs, functions, opsets, metadata.  What may differ is ALLOWED below, which is
the list of docs/round-trip.md; each is undone on both sides, counted, and all else is a finding.  Prints how often each was seen, in how
many files.  Exit code 1 on findings.
"""
import argparse
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from check_models import default_binary

# Normalizations: the same model, said differently.
ALLOWED = {
    "ir version": "the lowest version that holds the model is written",
    "value_info": "types of inner values are sharper, or dropped with the value that they were of",
    "producer": "the writer names itself",
    "node order": "nodes are written in an order in which producers come first; several are possible",
    "tensor storage": "elements are written as raw bytes, or beside the file, whatever the input used",
    "unused opset": "imports that no node uses are dropped, and the two names of the standard domain are one",
    "constant form": "`value_float`, `value_ints`, … of a Constant is written as `value`",
    "inputs with a value": "graph inputs that have an initializer are constants",
    "nameless dims": "dims of -1, of empty name and named `?` are nameless",
    "sharper types": "what a declared type leaves open is filled in where inference knows it",
    "omitted at the end": "operands and results that are omitted at the end are not written",
}
seen_in_file = threading.local()


def normalized(what):
    """Counts a normalization of ALLOWED for the model at hand."""
    seen_in_file.names.add(what)


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


def constant(a, folder):
    """An attribute of a Constant: plain values as the tensor that they are short for."""
    plain = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if a.name in plain:
        made = numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(a), plain[a.name]))
    elif a.name in ("value_string", "value_strings"):
        strings = [a.s] if a.name == "value_string" else list(a.strings)
        made = onnx.helper.make_tensor("", onnx.TensorProto.STRING, [] if a.name == "value_string" else [len(strings)], strings)
    else:
        return attribute(a, folder)
    normalized("constant form")
    return ("value", onnx.AttributeProto.TENSOR, tensor(made, folder))


def domain(name):
    return "" if name == "ai.onnx" else name


def properties(entries):
    return tuple(sorted((p.key, p.value) for p in entries))


def node(n, folder):
    read = constant if n.op_type == "Constant" and not domain(n.domain) else attribute
    attributes = tuple(sorted((read(a, folder) for a in n.attribute), key=lambda a: a[0]))
    return (domain(n.domain), n.op_type, n.overload, operands(n.input), operands(n.output), attributes, n.name, n.doc_string, properties(n.metadata_props))


def operands(names):
    names = list(names)
    while names and not names[-1]:
        normalized("omitted at the end")
        names.pop()
    return tuple(names)


class Declared:
    """The declared type of an input or output. What was written equals what was read when it says the same or more."""

    def __init__(self, proto):
        self.proto = onnx.TypeProto()
        self.proto.CopyFrom(proto)
        for shape in shapes(self.proto):
            for dim in shape.dim:
                if (dim.HasField("dim_value") and dim.dim_value < 0) or (dim.HasField("dim_param") and dim.dim_param in ("", "?")):
                    normalized("nameless dims")
                    dim.ClearField(dim.WhichOneof("value"))

    def __eq__(self, written):
        if self.proto == written.proto:
            return True
        filled = onnx.TypeProto()
        filled.CopyFrom(self.proto)
        if not fill(filled, written.proto):
            return False
        normalized("sharper types")
        return True

    def __repr__(self):
        return " ".join(str(self.proto).split())


def shapes(proto):
    """The shapes within a type."""
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        part = getattr(proto, kind)
        return [part.shape] if part.HasField("shape") else []
    inner = {"sequence_type": "elem_type", "optional_type": "elem_type", "map_type": "value_type"}.get(kind)
    return shapes(getattr(getattr(proto, kind), inner)) if inner else []


def fill(before, after):
    """Whether `after` says all that `before` says: the same kind, elements and rank, and a number only where there was none or a name."""
    kind = before.WhichOneof("value")
    if kind is None:
        return True
    if kind != after.WhichOneof("value") or before.denotation != after.denotation:
        return False
    a, b = getattr(before, kind), getattr(after, kind)
    inner = {"sequence_type": "elem_type", "optional_type": "elem_type", "map_type": "value_type"}.get(kind)
    if inner:
        return (kind != "map_type" or a.key_type == b.key_type) and fill(getattr(a, inner), getattr(b, inner))
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return a == b
    if a.elem_type != b.elem_type:
        return False
    if not a.HasField("shape"):
        return True
    if not b.HasField("shape") or len(a.shape.dim) != len(b.shape.dim):
        return False
    for x, y in zip(a.shape.dim, b.shape.dim):
        sharper = not x.HasField("dim_value") and (y.HasField("dim_value") or not x.HasField("dim_param"))
        if x.denotation != y.denotation or not (x == y or sharper):
            return False
    return True


def values(infos, initialized=()):
    """Inputs or outputs: name, declared type, documentation, metadata. Inputs that have an initializer are left out."""
    listed = [v for v in infos if v.name not in initialized]
    if len(listed) < len(infos):
        normalized("inputs with a value")
    return tuple((v.name, Declared(v.type), v.doc_string, properties(v.metadata_props)) for v in listed)


def graph(g, folder, outermost=False):
    """A graph as a dictionary of comparable pieces, hidden in a tuple so that it can be an attribute's value."""
    nodes = [node(n, folder) for n in g.node]
    # By what a node computes: types, which may be sharper, come late, and names of results are unique.
    by_results = lambda n: (n[4], n[3], n[1], n[6], repr(n) if not n[4] else "")
    return (
        ("graph name", g.name),
        ("graph text", g.doc_string),
        ("inputs", values(g.input, {t.name for t in g.initializer} if outermost else ())),
        ("outputs", values(g.output)),
        ("initializers", tuple(sorted((t.name,) + tensor(t, folder) + (t.doc_string, properties(t.metadata_props)) for t in g.initializer))),
        ("sparse initializers", tuple(sorted((s.values.name,) + sparse(s, folder) for s in g.sparse_initializer))),
        ("nodes", tuple(sorted(nodes, key=by_results))),
        ("graph metadata", properties(g.metadata_props)),
        ("quantization annotations", tuple(sorted(q.SerializeToString(deterministic=True) for q in g.quantization_annotation))),
    )


def function(f, folder):
    attributes = tuple(sorted((attribute(a, folder) for a in f.attribute_proto), key=lambda a: a[0]))
    opsets = tuple(sorted((domain(o.domain), o.version) for o in f.opset_import))
    body = tuple(sorted((node(n, folder) for n in f.node), key=repr))
    return (domain(f.domain), f.name, f.overload, tuple(f.input), tuple(f.output), tuple(f.attribute), attributes, opsets, body, f.doc_string, properties(f.metadata_props))


def used_domains(model):
    from onnx_tools import bodies

    return {domain(n.domain) for nodes in bodies(model) for n in nodes}


def pieces(model, folder):
    return dict(graph(model.graph, folder, outermost=True)) | {
        "functions": tuple(sorted((function(f, folder) for f in model.functions), key=repr)),
        "metadata": properties(model.metadata_props),
        "model text": (model.domain, model.model_version, model.doc_string),
        "opsets": {domain(o.domain): o.version for o in model.opset_import},
    }


def differences(before, after, folders):
    """Names of the pieces that differ, and of the normalizations that were seen."""
    seen_in_file.names = set()
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
    return found + sorted(seen_in_file.names)


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
