#!/usr/bin/env python3
"""Every pass on every model: `opt --check` keeps its promise, and ONNX Runtime runs what it writes.

usage: check_passes.py [--lapidary BIN] [--only NAME,…] [--passes TEXT] [--every] [--limit SECONDS] [--out FILE.json]

`--check` compares results before and after each pass with what the pass promises, and those of the written file with the graph's, bit for
bit. A pass may refuse (exit 2, a message, nothing written): that is counted apart. ONNX Runtime loads what was written and runs it on the
same inputs: its results are within the pass's promise too (for passes that lose on purpose: finite where the model's are).
The models lie below $LAPIDARY_MODELS. Exit code 1 when anything fails.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime

import models

# What keeps results is checked pass by pass within one run.
EXACT = [
    "lift-constants, fold-constants, canonicalize, cse, dce",
    "equalize-layers",
    "smooth-quant{data=DATA, batch=2}",
]
ROUNDING = [
    "lift-constants, fold-constants, simplify-arithmetic, fuse-conv-bn, fuse-layer-norm, fuse-gelu, fuse-attention, fuse-activations, fuse-matmul-add",
]
LOSSY = [
    "quantize-weights",
    "quantize-weights{bits=8, format=qdq}",
    "quantize-weights{method=hqq, bits=3}",
    "quantize-weights{method=nf4}",
    "quantize-weights{method=gobo, bits=4}",
    "quantize-weights{method=fp8}",
    "quantize-weights{method=mxfp4}",
    "quantize-weights{method=nvfp4}",
    "quantize-weights{method=awq, data=DATA, batch=2}",
    "quantize-weights{method=gptq, data=DATA, batch=2}",
    "quantize-weights, convert-quantized{to=qdq}",
    "sparsify",
    'sparsify{pattern="2:4"}',
    "sparsify{method=wanda, data=DATA, batch=2}",
    "sparsify{method=sparsegpt, data=DATA, batch=2}",
    "factorize-low-rank",
    "factorize-low-rank{method=svd-llm, data=DATA, batch=2}",
    "factorize-low-rank{method=tucker}",
    "calibrate{data=DATA, batch=2}, fake-quant",
    "calibrate{data=DATA, batch=2}, fake-quant, fold-quant",
    "calibrate{data=DATA, batch=2}, fake-quant, fold-quant{format=qoperator}",
    "decompose-outliers{data=DATA, batch=2}, calibrate{data=DATA, batch=2}, fake-quant, fold-quant",
    "quantize-dynamic",
    "quantize-dynamic{activations=token}",
    "quantize-weights, correct-bias{data=DATA, batch=2}",
    "convert-float{to=f16}",
    "convert-float{to=bf16}",
    "prune-channels{ratio=0.3, score=l1}",
    "prune-heads{ratio=0.25, score=magnitude}",
    "prune-width{ratio=0.3, score=l1}",
    "prune-layers{count=1, data=DATA, batch=2}",
]
# One of each family, for models whose every run takes long.
FEW = EXACT + ROUNDING + [
    "quantize-weights",
    "quantize-weights{method=nf4}",
    "sparsify",
    "factorize-low-rank",
    "calibrate{data=DATA, batch=2}, fake-quant, fold-quant",
    "quantize-dynamic",
    "quantize-dynamic{activations=token}",
    "quantize-weights, correct-bias{data=DATA, batch=2}",
    "convert-float{to=f16}",
    "prune-channels{ratio=0.3, score=l1}",
    "prune-heads{ratio=0.25, score=magnitude}",
    "prune-width{ratio=0.3, score=l1}",
]
LARGE = 60_000_000  # bytes

MORE = {
    "magika": "registry/magika.onnx",
    "silero_vad": "registry/silero_vad.onnx",
    "silero_vad_sequence": "registry/silero_vad_sequence.onnx",
    "mtcnn_pnet": "registry/mtcnn_pnet.onnx",
    "mtcnn_rnet": "registry/mtcnn_rnet.onnx",
    "author_bilstm": "trained/author_bilstm/model.onnx",
    "charlm_outliers": "charlm/charlm_outliers.onnx",
    "gpt_sdpa_op23": "exports/gpt_sdpa_op23.onnx",
    "unet_small": "exports/unet_small.onnx",
    "detector_n": "exports/detector_n.onnx",
    "llama_100m": "exports/llama_100m.onnx",
    "vit_b_16": "exports/vit_b_16.onnx",
    "gpt2_past": "exports/gpt2_past.onnx",
}
# Sizes of inputs where only some will do, or most are needlessly large.
SIZES = {("silero_vad", "input"): [1, 576], ("silero_vad", "state"): [2, 1, 128], ("magika", "bytes"): [2, 2048]}
# Larger than any sum of rounding errors in another order that the promises of `Rounding` are about, for models as deep as these.
RUNTIME_BOUND = 1e-4


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Near to what was written: its basic optimizations take away Dropout, which would draw numbers in training mode.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs_of(folder, name, path):
    """One set of inputs: the smaller of the model's own, or drawn for the types and sizes that the model asks for."""
    if name in models.MODELS:
        return min(models.inputs(folder, name), key=lambda arrays: sum(a.size for a in arrays.values()))
    if name == "charlm_outliers":
        return models.inputs(folder, "charlm")[0]
    if (folder / "exports" / f"{name}.npz").exists():
        return models.stored(folder, name)
    rng, out = np.random.default_rng(1), {}
    for value in session(path).get_inputs():
        sizes = SIZES.get((name, value.name)) or [d if isinstance(d, int) else {"batch": 2}.get(d, 16) for d in value.shape]
        if "int" in value.type:
            out[value.name] = rng.integers(0, 20, sizes).astype(np.int64 if "64" in value.type else np.int32)
        else:
            out[value.name] = rng.standard_normal(sizes).astype(np.float32)
    if "sr" in out:
        out["sr"] = np.array(16000, out["sr"].dtype)
    return out


class Sweep:
    def __init__(self, args):
        self.args, self.set = args, models.model_set()
        self.work = Path(tempfile.mkdtemp(prefix="lapidary-passes-"))
        self.rows = []

    def report(self, model, passes, verdict, text, seconds):
        self.rows.append({"model": model, "passes": passes, "verdict": verdict, "text": text, "seconds": round(seconds, 1)})
        print(f"{verdict:8} {model:19} {passes[:60]:60} {seconds:6.1f} s  {text}", flush=True)
        if self.args.out:
            self.args.out.write_text(json.dumps(self.rows, indent=1))

    def model(self, name):
        path = self.set / {**models.MODELS, **MORE}[name]
        if not path.exists():
            return print(f"skipped  {name}: the set has no {path.name}")
        try:
            inputs = inputs_of(self.set, name, path)
            before = session(path).run(None, inputs)
        except Exception as e:
            return self.report(name, "-", "FAILED", f"no inputs for it: {e}", 0)
        data = self.work / f"{name}.npz"
        np.savez(data, **inputs)
        every = FEW if path.stat().st_size > LARGE and not self.args.every else EXACT + ROUNDING + LOSSY
        for text in [self.args.passes] if self.args.passes else every:
            self.one(name, path, text, data, inputs, before)

    def one(self, name, path, text, data, inputs, before):
        target, start = self.work / "out.onnx", time.perf_counter()
        target.unlink(missing_ok=True)
        passes = text.replace("DATA", json.dumps(str(data)))
        command = [self.args.lapidary, "opt", path, "-o", target, "--passes", passes, "--check", "--inputs", data, "--format", "json"]
        try:
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=self.args.limit, cwd=self.work)
        except subprocess.TimeoutExpired:
            return self.report(name, text, "late", f"more than {self.args.limit} s", self.args.limit)
        seconds = time.perf_counter() - start
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        if done.returncode == 2:
            ok = not target.exists() and lines and "internal" not in lines[0] and "panick" not in done.stderr
            return self.report(name, text, "refused" if ok else "FAILED", " | ".join(lines[:1])[:160], seconds)
        if done.returncode:
            return self.report(name, text, "FAILED", f"exit {done.returncode}: {' | '.join(lines[:2])[:300] or done.stdout[-300:]}", seconds)
        entries = [e for e in json.loads(done.stdout)["report"]["ledger"]["entries"] if e["changed"]]
        noise = (entries[-1].get("error") or {}).get("sqnr_db") if entries else None
        try:
            after = session(target).run(None, inputs)
        except Exception as e:
            return self.report(name, text, "FAILED", f"ONNX Runtime: {str(e).splitlines()[0][:200]}", seconds)
        worst = 0.0
        for a, b in zip(before, after, strict=True):
            if not isinstance(a, np.ndarray) or a.dtype.kind != "f" or not a.size or text.startswith("prune-layers"):
                continue
            if a.shape != b.shape or not np.isfinite(b[np.isfinite(a)]).all():
                return self.report(name, text, "FAILED", f"ONNX Runtime gives {b.shape}, not {a.shape}, or what is not finite", seconds)
            worst = max(worst, float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)))
        kept = text not in LOSSY and text != self.args.passes
        verdict = "FAILED" if kept and worst > RUNTIME_BOUND else "ok" if entries else "nothing"
        self.report(name, text, verdict, f"in ONNX Runtime {worst:.1e}" + (f", SQNR {noise:.1f} dB" if noise is not None else ""), seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=str(models.REPOSITORY / "target/debug/lapidary"))
    parser.add_argument("--only", help="names of models, with commas")
    parser.add_argument("--passes", help="one pipeline instead of all; DATA stands for the model's inputs")
    parser.add_argument("--every", action="store_true", help="every pipeline on large models, too, not one of each family")
    parser.add_argument("--limit", type=float, default=600, help="seconds for each run")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    sweep = Sweep(args)
    for name in args.only.split(",") if args.only else [*models.MODELS, *MORE]:
        sweep.model(name)
    counts = Counter(row["verdict"] for row in sweep.rows)
    print(", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    sys.exit(1 if counts["FAILED"] else 0)


if __name__ == "__main__":
    main()
