#!/usr/bin/env python3
"""What `fake-quant` and `fold-quant` write, in ONNX Runtime: every type and profile loads, both forms agree, trained pairs fold bit for bit.

usage: check_integers.py [--lapidary BIN]        (needs torch, onnx and onnxruntime; the models are those of examples/models and made here)

types     digits_cnn with each type of activations and weights, each granularity and profile: ONNX Runtime loads it and most digits stay
forms     fold-quant{format=qoperator} against format=qdq: results within one step of their scale
back      convert-quantized of the operators on integers gives pairs again, within one step
trained   a net with PyTorch's fake quantization, trained a little, exported and folded with bias=float: ONNX Runtime, without optimizations,
          gives the same bits before and after, and no weight is left in floats
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

import check_models
import models
import onnx_tools as tools

FORMS = [
    "activations=int8",
    "activations=uint16",
    "activations=int16",
    "activations=uint4",
    "activations=int4",
    "weights=int4",
    "weights=int16",
    "weights=int4, granularity=block, block=16",
    "granularity=block",
    "granularity=tensor",
    "profile=tensorrt",
    "profile=openvino",
]


def lapidary(binary, model, out, passes):
    done = subprocess.run([binary, "opt", "-q", model, "-o", out, "--passes", passes], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"`{passes}` ended with {done.returncode}: {done.stderr.strip()[:400]}")


def run(path, x, optimize=True):
    s = tools.session(path, 1, None if optimize else ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    return s.run(None, {s.get_inputs()[0].name: x})[0]


def trained(path):
    """A small net with fake quantization as PyTorch trains it; gives its inputs."""
    import torch
    from torch import nn

    class Quantized(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8 * 16, 10)

        def rounded(self, x, scale, zero):
            return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)

        def weights(self, w):
            # A constant of the exported graph, as an observer's result is.
            scale = torch.tensor((w.detach().flatten(1).abs().amax(1) / 127).clamp(min=1e-6).tolist())
            return torch.fake_quantize_per_channel_affine(w, scale, torch.zeros(len(w), dtype=torch.int32), 0, -128, 127)

        def forward(self, x):
            x = self.rounded(x, 1 / 255, 0)
            x = torch.relu(nn.functional.conv2d(x, self.weights(self.a.weight), self.a.bias, padding=1))
            x = nn.functional.max_pool2d(self.rounded(x, 0.02, 0), 2).flatten(1)
            return nn.functional.linear(x, self.weights(self.b.weight), self.b.bias)

    torch.manual_seed(1)
    net, data = Quantized(), np.load(models.REPOSITORY / "examples/models/digits_cnn/reference_a.npz")
    x, y = torch.from_numpy(data["in.input"]), torch.from_numpy(data["out.logits"]).argmax(1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.onnx.export(net.eval(), (x,), str(path), opset_version=17, dynamo=False, input_names=["x"], do_constant_folding=True)
    return x.numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=check_models.default_binary())
    args = parser.parse_args()
    folder = models.REPOSITORY / "examples/models/digits_cnn"
    model, failed = folder / "model.onnx", []
    x = np.load(folder / "reference_a.npz")["in.input"]
    calibrate = f'calibrate{{data="{folder / "calibration.npz"}"}}'

    def report(ok, text):
        print(f"{'ok    ' if ok else 'FAILED'} {text}", flush=True)
        if not ok:
            failed.append(text)

    with tempfile.TemporaryDirectory(prefix="lapidary-integers-") as work:
        work = Path(work)
        want = run(model, x)
        for form in FORMS:
            out = work / "form.onnx"
            lapidary(args.lapidary, model, out, f"{calibrate}, fake-quant{{{form}}}, fold-quant{{format=qdq}}")
            agree = float((run(out, x).argmax(1) == want.argmax(1)).mean())
            report(agree >= (0.8 if "4" in form else 1.0), f"types    {form:45} {agree:.1%} of the digits stay, opset {onnx.load(out).opset_import[0].version}")
        pairs, integers, back = work / "pairs.onnx", work / "integers.onnx", work / "back.onnx"
        lapidary(args.lapidary, model, pairs, f"{calibrate}, fake-quant, fold-quant{{format=qdq}}")
        lapidary(args.lapidary, model, integers, f"{calibrate}, fake-quant, fold-quant{{format=qoperator}}")
        lapidary(args.lapidary, integers, back, "convert-quantized{to=qdq}")
        left = sum(n.op_type in ("Conv", "Gemm", "MatMul") for n in onnx.load(integers).graph.node)
        step = np.abs(want).max() / 127
        for name, path in (("forms", integers), ("back", back)):
            worst = float(np.abs(run(path, x) - run(pairs, x, False)).max() / step)
            report(worst <= 1 and (name == "back" or left == 0), f"{name:8} results differ by {worst:.3f} of a step, {left} products left in floats")
        source, folded = work / "trained.onnx", work / "folded.onnx"
        inputs = trained(source)
        lapidary(args.lapidary, source, folded, "fold-quant{format=qdq, bias=float}")
        same = np.array_equal(run(source, inputs, False), run(folded, inputs, False))
        codes = sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1 for t in onnx.load(folded).graph.initializer)
        report(same and codes == 2, f"trained  {'the same bits' if same else 'OTHER BITS'} before and after folding, {codes} weights in int8")
    print("all hold" if not failed else f"{len(failed)} fail")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
