"""Writes crates/lapidary-ops/src/schema/table.rs from the operator schemas of the installed onnx package.

    python tests/scripts/make_schema_table.py            # rewrites the table
    python tests/scripts/make_schema_table.py --check    # exit code 1 if the table is stale

The table holds every version of every operator that onnx defines: since-version, inputs, outputs, attributes. Parameter and
attribute lists that occur more than once are written once.
"""
import pathlib
import sys

import onnx
import onnx.defs

TARGET = pathlib.Path(__file__).resolve().parents[2] / "crates/lapidary-ops/src/schema/table.rs"

DTYPES = {
    "bool": "Bool", "uint2": "U2", "int2": "I2", "uint4": "U4", "int4": "I4", "uint8": "U8", "int8": "I8", "uint16": "U16",
    "int16": "I16", "uint32": "U32", "int32": "I32", "uint64": "U64", "int64": "I64", "float4e2m1": "F4E2M1",
    "float8e4m3fn": "F8E4M3FN", "float8e4m3fnuz": "F8E4M3FNUZ", "float8e5m2": "F8E5M2", "float8e5m2fnuz": "F8E5M2FNUZ",
    "float8e8m0": "F8E8M0", "float16": "F16", "bfloat16": "BF16", "float": "F32", "double": "F64", "complex64": "C64",
    "complex128": "C128", "string": "String",
}
ORDER = list(DTYPES)
# Element types that no released model file can hold yet.
IGNORED = {"float6e2m3", "float6e3m2"}


def split_type(text):
    """('seq', 'float') for 'seq(tensor(float))', and the like; maps keep no element type."""
    kind = []
    while "(" in text:
        head, text = text.split("(", 1)
        text = text[:-1]
        kind.append({"tensor": "", "sparse_tensor": "sparse"}.get(head, head))
        if head == "map":
            return "_".join(kind), None
    return "_".join(k for k in kind if k), text


class Interner:
    def __init__(self, prefix, kind):
        self.prefix, self.kind, self.names, self.lines = prefix, kind, {}, []

    def name(self, text):
        if text not in self.names:
            self.names[text] = f"{self.prefix}{len(self.names)}"
            self.lines.append(f"static {self.names[text]}: {self.kind} = {text};")
        return self.names[text]


types = Interner("T", "Types")
params = Interner("P", "[Param; {n}]")
attrs = Interner("A", "[AttrSpec; {n}]")


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def types_of(param):
    sets = {}
    for t in param.types:
        kind, dtype = split_type(t)
        if dtype not in IGNORED:
            sets.setdefault(kind, set()).add(dtype)
    fields = []
    for kind, field in [("", "tensor"), ("seq", "sequence"), ("optional", "optional"), ("optional_seq", "optional_sequence")]:
        if kind in sets:
            names = ", ".join(DTYPES[d] for d in ORDER if d in sets[kind])
            fields.append(f"{field}: bits(&[{names}])")
        sets.pop(kind, None)
    for kind in sorted(sets):
        if kind not in ("map", "seq_map"):
            raise SystemExit(f"unknown container type '{kind}'")
        fields.append({"map": "map: true", "seq_map": "map_sequence: true"}[kind])
    fields.append("..NONE")
    return types.name("Types { " + ", ".join(fields) + " }")


def param_list(list_):
    rows = []
    for p in list_:
        option = str(p.option).split(".")[-1]
        t = types_of(p)
        head = f"{quote(p.name)}, {quote(p.type_str)}, &{t}"
        if option == "Variadic":
            rows.append(f"variadic({head}, {p.min_arity}, {str(p.is_homogeneous).lower()})")
        else:
            rows.append(f"{'one' if option == 'Single' else 'optional'}({head})")
    return array(params, rows)


def array(interner, rows):
    if not rows:
        return "&[]"
    text = "[" + ", ".join(rows) + "]"
    known = text in interner.names
    name = interner.name(text)
    if not known:
        interner.lines[-1] = interner.lines[-1].replace("{n}", str(len(rows)), 1)
    return "&" + name


KINDS = {
    "INT": "Int", "FLOAT": "Float", "STRING": "Str", "TENSOR": "Tensor", "GRAPH": "Graph", "SPARSE_TENSOR": "Sparse",
    "TYPE_PROTO": "Type", "INTS": "Ints", "FLOATS": "Floats", "STRINGS": "Strs", "TENSORS": "Tensors", "GRAPHS": "Graphs",
    "TYPE_PROTOS": "Types", "SPARSE_TENSORS": "Sparses",
}


def default_of(a):
    d = a.default_value
    kind = onnx.AttributeProto.AttributeType.Name(d.type)
    number = lambda v: repr(float(f"{v:.9g}"))
    if kind == "INT":
        return f"Default::Int({d.i})"
    if kind == "FLOAT":
        return f"Default::Float({number(d.f)})"
    if kind == "STRING":
        return f"Default::Str({quote(d.s.decode())})"
    if kind == "INTS":
        return "Default::Ints(&[" + ", ".join(map(str, d.ints)) + "])"
    if kind == "FLOATS":
        return "Default::Floats(&[" + ", ".join(map(number, d.floats)) + "])"
    if kind == "STRINGS":
        return "Default::Strs(&[" + ", ".join(quote(s.decode()) for s in d.strings) + "])"
    return "Default::None"  # tensors: an operator's own rule says what is meant when absent


def attr_list(schema):
    rows = []
    for name in sorted(schema.attributes):
        a = schema.attributes[name]
        kind = KINDS[str(a.type).split(".")[-1]]
        rows.append(f"attr({quote(name)}, {kind}, {str(a.required).lower()}, {default_of(a)})")
    return array(attrs, rows)


def main():
    schemas = sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: (s.domain, s.name, s.since_version))
    rows = []
    for s in schemas:
        deprecated = str(s.deprecated).lower()
        rows.append(
            f"    schema({quote(s.domain)}, {quote(s.name)}, {s.since_version}, {deprecated}, "
            f"{param_list(s.inputs)}, {param_list(s.outputs)}, {attr_list(s)}),"
        )
    text = "\n".join(
        [
            f"//! Written by tests/scripts/make_schema_table.py from onnx {onnx.__version__}. Do not edit.",
            "#![cfg_attr(rustfmt, rustfmt_skip)]",
            "",
            "use super::AttrKind::*;",
            "use super::{AttrSpec, Default, NONE, Param, Schema, Types, attr, bits, one, optional, schema, variadic};",
            "use lapidary_ir::DType::*;",
            "",
            f"pub const NEWEST_OPSET: u32 = {onnx.defs.onnx_opset_version()};",
            "",
            "/// Sorted by domain, name, since-version.",
            f"pub static SCHEMAS: [Schema; {len(rows)}] = [",
            *rows,
            "];",
            "",
            *types.lines,
            "",
            *params.lines,
            "",
            *attrs.lines,
            "",
        ]
    )
    if "--check" in sys.argv:
        if TARGET.read_text() != text:
            raise SystemExit(f"{TARGET} is stale: run this script without --check")
        return
    TARGET.write_text(text)
    print(f"{TARGET}: {len(rows)} schemas, {len(text)} bytes")


main()
