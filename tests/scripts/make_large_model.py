#!/usr/bin/env python3
"""A model of more than 2 GiB, which no single protobuf message can hold: its weights lie in a file beside it.

usage: make_large_model.py DIR [--gigabytes 2.2] [--check]

Writes DIR/large.onnx, DIR/large.bin and DIR/reference.npz (`in.x`, `out.y`).  The net is a chain of y = relu(x · W + b) blocks of
width 4096 with a symbolic batch; weights are drawn layer by layer and streamed, so that the script itself needs little memory.
--check runs ONNX Runtime on the result.  Needs onnx and numpy.  Then:

  lapidary inspect DIR/large.onnx
  lapidary opt DIR/large.onnx -o DIR/out.onnx
  lapidary compile DIR/large.onnx -o DIR/liblarge.so
  lapidary run DIR/liblarge.so --inputs DIR/reference.npz --expect DIR/reference.npz --max-rel 1e-4
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH = 4096
ALIGNMENT = 65536  # of each tensor in the data file, so that it can be mapped
BATCH = 2


def external(name, dims, offset, length):
    """A float tensor whose bytes lie in large.bin."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "large.bin"), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.2)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    layers = -(-int(args.gigabytes * 1e9) // (WIDTH * WIDTH * 4))
    if layers < 1:
        parser.error("--gigabytes must be positive")
    args.dir.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, WIDTH), dtype=np.float32)
    nodes, tensors, value, result = [], [], "x", x
    with open(args.dir / "large.bin", "wb") as data:

        def store(name, array):
            offset = -(-data.tell() // ALIGNMENT) * ALIGNMENT
            data.write(b"\0" * (offset - data.tell()))
            data.write(array.tobytes())
            tensors.append(external(name, array.shape, offset, array.nbytes))

        for layer in range(layers):
            # Variance 2 / width keeps the values' size through a ReLU.
            weight = rng.standard_normal((WIDTH, WIDTH), dtype=np.float32) * np.float32(np.sqrt(2 / WIDTH))
            bias = rng.standard_normal(WIDTH, dtype=np.float32) * np.float32(0.1)
            store(f"layers.{layer}.weight", weight)
            store(f"layers.{layer}.bias", bias)
            last = layer == layers - 1
            nodes.append(helper.make_node("MatMul", [value, f"layers.{layer}.weight"], [f"product_{layer}"], name=f"matmul_{layer}"))
            total = "y" if last else f"sum_{layer}"
            nodes.append(helper.make_node("Add", [f"product_{layer}", f"layers.{layer}.bias"], [total], name=f"add_{layer}"))
            result = result @ weight + bias
            if not last:
                value = f"relu_{layer}"
                nodes.append(helper.make_node("Relu", [total], [value], name=value))
                result = np.maximum(result, 0)
        size = data.tell()
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "large", info[:1], info[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, producer_name="make_large_model")
    (args.dir / "large.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.savez(args.dir / "reference.npz", **{"in.x": x, "out.y": result})
    print(f"{layers} layers, {size / 1e9:.2f} GB of weights in {args.dir / 'large.bin'}")
    if args.check:
        import onnxruntime as ort

        got = ort.InferenceSession(str(args.dir / "large.onnx"), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        worst = float(np.max(np.abs(got - result)) / np.max(np.abs(result)))
        print(f"ONNX Runtime: worst difference {worst:.1e} of the largest")
        return 0 if worst <= 1e-4 else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
