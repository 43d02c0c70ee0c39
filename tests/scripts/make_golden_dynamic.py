#!/usr/bin/env python3
"""What ONNX Runtime's quantize_dynamic makes of small models: tests/golden/dynamic.bin, which passes/quantize_dynamic/golden.rs reads.

usage: make_golden_dynamic.py [--check]     (numpy, onnx, onnxruntime)

A product and a convolution, weights in int8 and uint8, 8 and 7 bits, one scale for all or (the product) one per channel: inputs, weights, the codes, scales
and zero points that stand in the quantized model, and its outputs.
"""
import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import golden

TARGET = Path(__file__).resolve().parents[1] / "golden" / "dynamic.bin"


def model(op, x, w, b):
    inits = [numpy_helper.from_array(w, "w")] + ([numpy_helper.from_array(b, "b")] if b is not None else [])
    node = helper.make_node(op, ["x", "w"] + (["b"] if b is not None else []), ["y"], "n")
    value = lambda name, dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
    graph = helper.make_graph([node], "g", [value("x", list(x.shape))], [value("y", [None] * x.ndim)], inits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def quantized(source, folder, unsigned, per_channel, reduced):
    onnx.save(source, folder / "in.onnx")
    kind = QuantType.QUInt8 if unsigned else QuantType.QInt8
    quantize_dynamic(folder / "in.onnx", folder / "out.onnx", per_channel=per_channel, reduce_range=reduced, weight_type=kind)
    return onnx.load(folder / "out.onnx")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    rng, out = np.random.default_rng(0), {}
    cases = {
        "MatMul": (rng.standard_normal((5, 40)), rng.standard_normal((40, 7)) * np.exp(rng.standard_normal(7)), None),
        "Conv": (rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3)) * np.exp(rng.standard_normal((4, 1, 1, 1))), rng.standard_normal(4)),
    }
    for op, arrays in cases.items():
        x, w, b = (None if a is None else a.astype(np.float32) for a in arrays)
        out[f"{op}.x"], out[f"{op}.w"] = x, w
        if b is not None:
            out[f"{op}.b"] = b
        for unsigned in (False, True):
            for per_channel in (False, True):
                for reduced in (False, True):
                    # ONNX Runtime gives a convolution one scale all the same.
                    if op == "Conv" and per_channel:
                        continue
                    with tempfile.TemporaryDirectory() as folder:
                        m = quantized(model(op, x, w, b), Path(folder), unsigned, per_channel, reduced)
                    name = f"{op}.{'u' if unsigned else 'i'}8.{'channel' if per_channel else 'tensor'}.{7 if reduced else 8}"
                    inits = {t.name: numpy_helper.to_array(t) for t in m.graph.initializer}
                    codes = inits["w_quantized"]
                    out[f"{name}.codes"] = codes.view(np.uint8)
                    out[f"{name}.scale"] = inits["w_scale"].astype(np.float32)
                    out[f"{name}.zero"] = np.atleast_1d(inits["w_zero_point"]).view(np.uint8)
                    session = onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
                    out[f"{name}.y"] = session.run(None, {"x": x})[0]
    golden.write(TARGET, out, check)


main()
