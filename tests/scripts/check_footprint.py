#!/usr/bin/env python3
"""What a library takes besides time: bytes on disk, memory, the time until it is ready, and until its first result; against ONNX Runtime.

usage: check_footprint.py [--lapidary BIN] [--only NAME,…] [--rounds N] [--threads N]

For every model below $LAPIDARY_MODELS:

* `disk`: library and weights in parts of the model and its external data; at most 1.1 and 1 MiB more.
* `memory`: what `memory()` says after a run, in parts of the growth of resident memory from before a session is created to after its first run.
* `load`: loading a library until its context is ready, in parts of the creation of a session; files lie in the page cache. At most 1/5.
* `first`: the same, and the first run; at most load/5 of the session and 1.3 steady runs.

Each side is measured in processes of its own, in turns; the least of N rounds, as memory that a machine has not touched before costs either side by
chance. Exit code 1 when a bound does not hold.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import check_models
import models

ALLOWED_DISK = 1.1
SLACK_BYTES = 1 << 20
STEADY_RUNS = 5


# What decides the branches of a model is given when it is compiled.
FIXED = {"silero_vad": ["--fix-input", "sr=16000", "--dim", "_d4=1", "--dim", "_d5=576", "--dim", "_d6=1"]}
INPUTS = {"silero_vad": {"input": np.zeros([1, 576], np.float32), "state": np.zeros([2, 1, 128], np.float32), "sr": np.int64(16000)}}


def sources(folder):
    """All models of the set by name."""
    found = [p for part in ("exports", "registry", "trained/*", "quantized", "charlm") for p in sorted(folder.glob(f"{part}/*.onnx"))]
    return {p.parent.name if p.stem == "model" else p.stem: p for p in found}


def disk(path):
    """Bytes of a model, and of the files beside it that hold its weights."""
    import onnx

    names = {e.value for t in onnx.load(path, load_external_data=False).graph.initializer for e in t.external_data if e.key == "location"}
    return path.stat().st_size + sum((path.parent / name).stat().st_size for name in names)


def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def steady(run):
    times = []
    for _ in range(STEADY_RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_library(path, arrays, threads):
    from native import Library

    start = time.perf_counter()
    library = Library(path, threads)
    load = time.perf_counter() - start
    library.bind(arrays)
    start = time.perf_counter()
    library.run()
    first = time.perf_counter() - start
    return {"load": load, "first": load + first, "steady": steady(library.run), "memory": library.memory()}


def measure_session(path, arrays, threads):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    before, start = resident(), time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - start
    session.run(None, arrays)
    return {"load": load, "memory": resident() - before}


def inputs(path, to):
    """Inputs of a model, as a file: those that lie beside it, else drawn ones."""
    import onnxruntime

    beside = path.with_suffix(".npz")
    given = {k[3:]: v for k, v in np.load(beside).items() if k.startswith("in.")} if beside.exists() else {}
    given = given or INPUTS.get(path.stem, {})
    if not given:
        random = np.random.default_rng(0)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        large = {"ppocr_v4_det": [1, 3, 640, 640], "ppocr_v4_rec": [1, 3, 48, 320], "ppocr_v2_cls": [1, 3, 48, 192], "page_orientation": [1, 3, 224, 224]}
        for value in session.get_inputs():
            small = {"batch": 1, "N": 1}
            drawn = [d if isinstance(d, int) and d > 0 else small.get(d, 16) for d in value.shape]
            shape = large.get(path.stem, drawn)
            if "float" in value.type:
                given[value.name] = random.standard_normal(shape).astype(np.float32)
            elif "bool" in value.type:
                given[value.name] = np.ones(shape, bool)
            else:
                given[value.name] = np.ones(shape, np.int64 if "64" in value.type else np.int32)
    np.savez(to, **given)


def apart(kind, path, arrays, threads):
    done = subprocess.run([sys.executable, __file__, "--measure", kind, path, arrays, str(threads)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def main():
    if sys.argv[1:2] == ["--measure"]:
        kind, path, arrays, threads = sys.argv[2:]
        measure = measure_library if kind == "library" else measure_session
        print(json.dumps(measure(path, dict(np.load(arrays)), int(threads))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=check_models.default_binary())
    parser.add_argument("--only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    failed = []
    print(f"{'model':20} {'disk':>6} {'memory':>7} {'load':>6} {'first':>6}   bytes, memory, load, first run of both")
    for name, source in sources(models.model_set()).items():
        if args.only and name not in args.only.split(","):
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="lapidary-footprint-") as place:
                library, arrays = Path(place) / f"lib{name}.so", Path(place) / "inputs.npz"
                subprocess.run([args.lapidary, "compile", "-q", source, "-o", library, *FIXED.get(name, [])], check=True, capture_output=True, text=True)
                inputs(source, arrays)
                rounds = [(apart("library", library, arrays, args.threads), apart("session", source, arrays, args.threads)) for _ in range(args.rounds)]
                ours, theirs = ({k: min(r[side][k] for r in rounds) for k in rounds[0][side]} for side in (0, 1))
                bytes_, weights = disk(source), library.with_name(f"lib{name}.weights")
                written = library.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            failed.append(name)
            print(f"{name:20} {str(getattr(error, 'stderr', None) or error).strip().splitlines()[0][:120]}")
            continue
        allowed = theirs["load"] / 5 + 1.3 * ours["steady"]
        parts = {
            "disk": written / (ALLOWED_DISK * bytes_ + SLACK_BYTES),
            "memory": ours["memory"] / max(theirs["memory"], 1),
            "load": ours["load"] / (theirs["load"] / 5),
            "first": ours["first"] / allowed,
        }
        broken = [k for k, v in parts.items() if v > 1]
        failed += [f"{name} ({', '.join(broken)})"] if broken else []
        mib = 1 / (1 << 20)
        print(
            f"{name:20} {parts['disk']:6.2f} {parts['memory']:7.2f} {parts['load']:6.2f} {parts['first']:6.2f}   "
            f"{written * mib:.1f} of {bytes_ * mib:.1f} MiB, {ours['memory'] * mib:.1f} of {theirs['memory'] * mib:.1f} MiB, "
            f"{ours['load'] * 1e3:.1f} of {theirs['load'] * 1e3:.1f} ms, {ours['first'] * 1e3:.1f} (steady {ours['steady'] * 1e3:.1f}) ms",
            flush=True,
        )
    print("all within their bounds" if not failed else "beyond their bounds: " + "; ".join(failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
