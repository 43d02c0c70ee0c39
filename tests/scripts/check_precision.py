"""What passes that change number formats do to models: file, agreement, scores, in ONNX Runtime and as a native library.

    LAPIDARY_MODELS=DIR python tests/scripts/check_precision.py --passes TEXT [--lapidary BIN] [--only A,B] [--native] [--keep DIR]

For each model: `lapidary opt --passes TEXT`, then the same inputs through ONNX Runtime before and after. Prints the size of the file in parts
of the original, the signal-to-noise ratio of the worst output in dB, the task's score before and after where the set has one (perplexity for
charlm: lower is better), and with `--native` the largest difference between a library compiled from the new file and ONNX Runtime on it, in
parts of the output's largest value. `CALIB` in the text stands for the model's calibration data. Exits with 1 when ONNX Runtime refuses a
file that was written.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import models
import tasks
from native import Library

CALIBRATION = {"charlm": "charlm/calib.npz", "charlm_outliers": "charlm/calib.npz"}
models.MODELS["charlm_outliers"] = "charlm/charlm_outliers.onnx"


def perplexity(session, data):
    total = []
    for i in range(0, len(data["tokens"]), 32):
        z = session.run(None, {session.get_inputs()[0].name: data["tokens"][i : i + 32].astype(np.int64)})[0].astype(np.float64)
        z -= z.max(-1, keepdims=True)
        z -= np.log(np.exp(z).sum(-1, keepdims=True))
        total.append(-np.take_along_axis(z, data["targets"][i : i + 32, :, None].astype(np.int64), -1).mean())
    return float(np.exp(np.mean(total)))


TASKS = {name: case[:2] for name, case in tasks.INT8.items()}
TASKS |= {name: (perplexity, "charlm/eval.npz") for name in ("charlm", "charlm_outliers")}
TASKS |= {name: (tasks.digits, f"trained/{name}/test.npz") for name in ("digits_mlp", "digits_cnn")}


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def noise(a, b):
    """Signal to noise in dB."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    error = ((a - b) ** 2).sum()
    return np.inf if error == 0 else 10 * np.log10((a**2).sum() / error)


def total_bytes(path):
    return sum(f.stat().st_size for f in path.parent.iterdir() if f.name == path.name or f.name.startswith(path.name + "."))


def check(folder, name, options, work):
    source = models.model_path(folder, name)
    calib = folder / CALIBRATION.get(name, f"calib/{name}.npz")
    target = work / f"{name}.onnx"
    text = options.passes.replace("CALIB", str(calib))
    done = subprocess.run([options.lapidary, "opt", source, "-o", target, "--passes", text, "-q"], capture_output=True, text=True)
    if done.returncode:
        return [name, "opt: " + (done.stderr.strip() or "failed").splitlines()[0]], True
    before = source.stat().st_size + (source.with_suffix(".onnx.data").stat().st_size if source.with_suffix(".onnx.data").exists() else 0)
    row = [name, f"{100 * total_bytes(target) / before:.1f} %"]
    feeds = models.inputs(folder, name.replace("_outliers", ""))[0]
    try:
        old, new = session(source), session(target)
    except Exception as e:  # what ONNX Runtime raises has no common base
        return row + [f"ONNX Runtime: {str(e)[:160]}"], False
    expected, got = old.run(None, feeds), new.run(None, feeds)
    floats = [(a, b) for a, b in zip(expected, got) if a.dtype.kind == "f"]
    row.append(f"{min(noise(a, b) for a, b in floats):.1f} dB")
    if name in TASKS:
        task, data = TASKS[name]
        data = np.load(folder / data)
        row.append(f"{task(old, data):.4f} -> {task(new, data):.4f}")
    else:
        row.append("")
    if options.native:
        library = work / f"lib{name}.so"
        done = subprocess.run([options.lapidary, "compile", target, "-o", library, "--cpu", "native", "-q"], capture_output=True, text=True)
        if done.returncode:
            return row + ["native: " + (done.stderr.strip() or "failed").splitlines()[0]], True
        native = Library(library)
        native.bind(feeds)
        native.run()
        results = native.results()
        worst = 0.0
        for o, b in zip(new.get_outputs(), got):
            if b.dtype.kind == "f":
                worst = max(worst, float(np.abs(results[o.name].astype(float) - b).max() / np.abs(b).max()))
        row.append(f"{worst:.1e}")
    return row, True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--passes", required=True)
    parser.add_argument("--lapidary", default=str(models.REPOSITORY / "target/release/lapidary"))
    parser.add_argument("--only")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--keep")
    options = parser.parse_args()
    folder, failed = models.model_set(), False
    print(f"{'model':16} file    agreement  score                 native", flush=True)
    for name in models.chosen(options.only):
        with tempfile.TemporaryDirectory() as work:
            work = Path(options.keep) if options.keep else Path(work)
            row, loads = check(folder, name, options, work)
            failed |= not loads
            print(f"{row[0]:16} " + "  ".join(f"{c:9}" for c in row[1:]), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
