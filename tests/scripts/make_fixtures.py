#!/usr/bin/env python3
"""Small good and broken files for the tests of bad input: tests/fixtures/*.onnx and *.npz.

usage: make_fixtures.py [DIR]      (default tests/fixtures; the files are committed, this script says what they are)

Needs onnx and numpy.  tests/fixtures/bad_input.txt lists the command lines that must refuse them.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import make_references
import models

F, I = TensorProto.FLOAT, TensorProto.INT64
OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else models.REPOSITORY / "tests" / "fixtures"


def info(name, dims, dtype=F):
    return helper.make_tensor_value_info(name, dtype, dims)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"the_{op.lower()}", **attributes)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


WEIGHT = constant("weight", (np.arange(12, dtype=np.float32).reshape(4, 3) - 5) / 4)
BIAS = constant("bias", np.array([0.5, -1, 2], np.float32))


def model(nodes, inputs=None, outputs=None, tensors=(), opset=18, functions=()):
    inputs = inputs if inputs is not None else [info("x", ["batch", 4])]
    outputs = outputs if outputs is not None else [info("y", ["batch", 3])]
    graph = helper.make_graph(nodes, "fixture", inputs, outputs, list(tensors))
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(f.domain, 1) for f in functions]
    made = helper.make_model(graph, opset_imports=imports, ir_version=9, functions=list(functions))
    made.producer_name = "fixture"
    return made


def tiny(**changes):
    """y = relu(x · weight + bias) over x [batch, 4]."""
    nodes = [node("MatMul", "x weight", "product"), node("Add", "product bias", "sum"), node("Relu", "sum", "y")]
    return model(**{"nodes": nodes, "tensors": [WEIGHT, BIAS]} | changes)


def external(location, offset=0, length=48):
    """tiny, its weight in another file."""
    made = tiny()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return made


def with_tensor(change):
    made = tiny()
    change(made.graph.initializer[0])
    return made


def nested(depth):
    """`If` in `If` in `If` …, as bytes: the protobuf package itself refuses to hold that many levels."""

    def field(number, content):
        size, length = len(content), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        return bytes([number << 3 | 2]) + bytes(length + bytes([size])) + content

    leaf = lambda name: helper.make_graph([node("Identity", "x", "v")], name, [], [info("v", ["batch", 4])]).SerializeToString()
    output = field(12, info("v", ["batch", 4]).SerializeToString())
    inner = node("Identity", "x", "v").SerializeToString()
    for level in range(depth):
        kind = b"\xa0\x01\x05"  # AttributeProto.type = GRAPH
        then = field(1, b"then_branch") + field(6, field(1, inner) + field(2, b"then") + output) + kind
        other = field(1, b"else_branch") + field(6, leaf("else")) + kind
        inner = field(1, b"c") + field(2, b"v") + field(3, b"if_%d" % level) + field(4, b"If") + field(5, then) + field(5, other)
    main = field(1, inner) + field(1, node("Relu", "v", "y").SerializeToString()) + field(2, b"fixture")
    for number, value in ((11, info("x", ["batch", 4])), (11, info("c", [], TensorProto.BOOL)), (12, info("y", ["batch", 4]))):
        main += field(number, value.SerializeToString())
    return b"\x08\x09" + field(7, main) + field(8, helper.make_opsetid("", 18).SerializeToString())


def recursive_function():
    call = helper.make_node("Again", ["a"], ["b"], domain="own", name="inner")
    again = helper.make_function("own", "Again", ["a"], ["b"], [call], [helper.make_opsetid("own", 1)])
    return model([helper.make_node("Again", ["x"], ["y"], domain="own", name="outer")], outputs=[info("y", ["batch", 4])], functions=[again])


def doubling_functions(levels):
    """Each function calls the one below twice: 2^levels nodes when expanded."""
    functions = []
    for level in range(levels):
        below = lambda i, o: node("Relu", i, o) if level == 0 else helper.make_node(f"F{level - 1}", [i], [o], domain="own", name=f"call_{level}_{o}")
        imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"F{level}", ["a"], ["b"], [below("a", "m"), below("m", "b")], imports))
    made = model([helper.make_node(f"F{levels - 1}", ["x"], ["y"], domain="own", name="outer")], outputs=[info("y", ["batch", 4])])
    made.functions.extend(functions)
    made.opset_import.append(helper.make_opsetid("own", 1))
    return made


def bytes_of(made):
    return made.SerializeToString(deterministic=True)


def files():
    """Every file by name; values are models or bytes."""
    good = bytes_of(tiny())
    damaged = bytearray(good)
    damaged[good.index(b"weight") - 1] = 0xFF  # the length of a name becomes a varint that runs past its message
    big = [2**20, 2**20, 2**10]
    return {
        "tiny": tiny(),
        "unknown_operator": tiny(nodes=[node("Frobnicate", "x weight", "product"), node("Add", "product bias", "y")]),
        # not a model at all
        "empty": b"",
        "text": b"this is a text file, not a model\n" * 4,
        "truncated": good[: len(good) * 2 // 3],
        "corrupted": bytes(damaged),
        "no_graph": onnx.ModelProto(ir_version=9, opset_import=[helper.make_opsetid("", 18)]),
        "no_opset": onnx.ModelProto(ir_version=9, graph=tiny().graph),
        "future_opset": tiny(opset=9999),
        # a graph that is none
        "cycle": model([node("Add", "x back", "sum"), node("Relu", "sum", "back"), node("Identity", "back", "y")], outputs=[info("y", ["batch", 4])]),
        "undefined_value": tiny(nodes=[node("MatMul", "x nowhere", "product"), node("Add", "product bias", "y")]),
        "two_producers": tiny(nodes=[node("MatMul", "x weight", "y"), node("Add", "y bias", "y")]),
        "missing_output": tiny(nodes=[node("MatMul", "x weight", "product")]),
        # types and shapes
        "shape_conflict": tiny(inputs=[info("x", ["batch", 5])]),
        "output_conflict": tiny(outputs=[info("y", ["batch", 7])]),
        "type_error": tiny(inputs=[info("x", ["batch", 4], I)]),
        "wrong_arity": tiny(nodes=[node("MatMul", "x", "y")]),
        "wrong_attribute": model([node("Transpose", "x", "y", perm="upside down")], outputs=[info("y", [4, "batch"])]),
        "bad_permutation": model([node("Transpose", "x", "y", perm=[0, 7])], outputs=[info("y", [4, "batch"])]),
        # tensors
        "short_tensor": with_tensor(lambda t: setattr(t, "raw_data", t.raw_data[:20])),
        "long_tensor": with_tensor(lambda t: setattr(t, "raw_data", t.raw_data + b"1234")),
        "negative_dim": with_tensor(lambda t: t.dims.__setitem__(0, -4)),
        "huge_tensor": with_tensor(lambda t: (t.ClearField("raw_data"), t.ClearField("dims"), t.dims.extend(big * 2))),
        "unknown_type": with_tensor(lambda t: setattr(t, "data_type", 99)),
        # data outside the file
        "external_missing": external("nowhere.bin"),
        "external_short": external("external.bin", 0, 4800),
        "external_past": external("external.bin", 2**62, 48),
        "external_parent": external("../fixtures/external.bin"),
        "external_absolute": external("/etc/hostname"),
        "external": external("external.bin"),
        # more than anybody needs
        "nested": nested(20),
        "deep": nested(45),
        "deepest": nested(500),
        "recursive_function": recursive_function(),
        "doubling_functions": doubling_functions(40),
        "huge_fill": model(
            [node("ConstantOfShape", "shape", "big"), node("ReduceSum", "big", "total", keepdims=0), node("Add", "x total", "y")],
            outputs=[info("y", ["batch", 4])],
            tensors=[constant("shape", np.array(big, np.int64))],
        ),
    }


def arrays():
    x = (np.arange(8, dtype=np.float32).reshape(2, 4) - 3) / 2
    weight, bias = numpy_helper.to_array(WEIGHT), numpy_helper.to_array(BIAS)
    return {
        "tiny": {"in.x": x, "out.y": np.maximum(x @ weight + bias, 0)},
        "wrong_name": {"z": x},
        "wrong_dtype": {"x": x.astype(np.float64)},
        "wrong_shape": {"x": x[:, :3]},
        "wrong_rank": {"x": x[None]},
        "wrong_expectation": {"in.x": x, "out.y": np.maximum(x @ weight + bias, 0) + 1},
        "wrong_expected_name": {"in.x": x, "out.z": x},
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (OUT / f"{name}.onnx").write_bytes(content if isinstance(content, bytes) else bytes_of(content))
    (OUT / "external.bin").write_bytes(WEIGHT.raw_data)
    for name, content in arrays().items():
        make_references.save(OUT / f"{name}.npz", content)
    (OUT / "text.npz").write_bytes(b"no archive\n")
    (OUT / "truncated.npz").write_bytes((OUT / "tiny.npz").read_bytes()[:100])
    print(f"{sum(1 for _ in OUT.glob('*.onnx'))} models, {sum(f.stat().st_size for f in OUT.iterdir())} bytes")


if __name__ == "__main__":
    main()
