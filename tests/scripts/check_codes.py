#!/usr/bin/env python3
"""How many codes of a quantized model native code shares with ONNX Runtime and with the reference evaluator, layer by layer.

usage: check_codes.py [--lapidary BIN] [--inputs X.npz] [--no-evaluator] MODEL.onnx …

Each QuantizeLinear of activations is computed alone, from the codes that ONNX Runtime has before it, so that no layer inherits another's differences.  Inputs that no
file gives are drawn.  Exit code 1 where a code differs from ONNX Runtime's by more than one, or more than one in a thousand differs at all.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

import check_models
import onnx_tools as tools

MOST_DIFFERENT = 1e-3
TOKENS = 1000
SYMBOL = 32


def drawn(inputs):
    """An input of each kind: noise, tokens of a small vocabulary, a mask of ones."""
    rng, out = np.random.default_rng(5), {}
    for v in inputs:
        t = v.type.tensor_type
        batch_and_rest = [d.dim_value or (1 if i == 0 else SYMBOL) for i, d in enumerate(t.shape.dim)]
        if t.elem_type == onnx.TensorProto.FLOAT:
            out[v.name] = rng.standard_normal(batch_and_rest).astype(np.float32)
        elif "mask" in v.name:
            out[v.name] = np.ones(batch_and_rest, np.int64)
        else:
            out[v.name] = rng.integers(0, 1 if "type" in v.name else TOKENS, batch_and_rest)
    return out


class Layers:
    """The layers of a model: what lies between codes."""

    def __init__(self, path, arrays, work):
        self.model = onnx.shape_inference.infer_shapes(onnx.load(path))
        graph = self.model.graph
        self.weights = {t.name for t in graph.initializer}
        self.makers = {o: n for n in graph.node for o in n.output}
        inputs = [v for v in graph.input if v.name not in self.weights]
        self.codes = [n.output[0] for n in graph.node if n.op_type == "QuantizeLinear" and not self.is_constant(n.input[0])]
        whole = onnx.ModelProto()
        whole.CopyFrom(self.model)
        known = {v.name for v in graph.output}
        whole.graph.output.extend(helper.make_empty_tensor_value_info(q) for q in self.codes if q not in known)
        x = {**drawn(inputs), **arrays}
        onnx.save(whole, work / "whole.onnx")
        s = tools.session(work / "whole.onnx")
        given = {v.name: x[v.name] for v in inputs}
        self.values = given | dict(zip([o.name for o in s.get_outputs()], s.run(None, given)))

    def is_constant(self, name):
        return name in self.weights or name in self.makers and self.makers[name].op_type == "Constant"

    def layer(self, code):
        """The model of one layer, and the values that it reads."""
        nodes, reads, seen, work = set(), [], set(), [code]
        while work:
            name = work.pop()
            if name in seen or not name or name in self.weights:
                continue
            seen.add(name)
            if name != code and name in self.values:
                reads.append(name)
            elif name in self.makers:
                nodes.add(id(self.makers[name]))
                work.extend(self.makers[name].input)
        kept = [n for n in self.model.graph.node if id(n) in nodes]
        used = {name for n in kept for name in n.input}

        def info(name):
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(self.values[name].dtype), self.values[name].shape)

        weights = [t for t in self.model.graph.initializer if t.name in used]
        graph = helper.make_graph(kept, "layer", [info(r) for r in reads], [info(code)], weights)
        model = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        return model, {r: self.values[r] for r in reads}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=check_models.default_binary())
    parser.add_argument("--inputs")
    parser.add_argument("--no-evaluator", action="store_true")
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    args = parser.parse_args()
    arrays = dict(np.load(args.inputs)) if args.inputs else {}
    failed = 0
    for path in args.models:
        total, differ, most, differ_evaluated = 0, 0, 0, 0
        with tempfile.TemporaryDirectory(prefix="lapidary-codes-") as work:
            layers = Layers(path, arrays, Path(work))
            file, given, result = (Path(work) / n for n in ("layer.onnx", "in.npz", "out.npz"))

            def run(backend):
                command = [args.lapidary, "run", "-q", file, "--inputs", given, "--outputs", result, "--backend", backend]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{path}: layer '{code}': {done.stderr.strip()[:400]}")
                return np.load(result)[code].astype(int)

            for code in layers.codes:
                model, reads = layers.layer(code)
                onnx.save(model, file)
                np.savez(given, **reads)
                theirs = tools.session(file).run(None, reads)[0].astype(int)
                ours = run("native")
                apart = np.abs(ours - theirs)
                total, differ, most = total + apart.size, differ + np.count_nonzero(apart), max(most, int(apart.max(initial=0)))
                if not args.no_evaluator:
                    differ_evaluated += np.count_nonzero(ours != run("eval"))
        bad = most > 1 or differ > MOST_DIFFERENT * total
        failed += bad
        evaluated = "" if args.no_evaluator else f", {differ_evaluated} from the evaluator's"
        found = f"{len(layers.codes)} layers, {total} codes: {differ} differ from ONNX Runtime's by at most {most}{evaluated}"
        print(f"{'FAILED' if bad else 'ok    '} {Path(path).stem:20} {found}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
