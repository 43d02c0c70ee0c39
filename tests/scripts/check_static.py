#!/usr/bin/env python3
"""Static int8 with nothing but defaults, on models with trained weights: size, integer share, and accuracy in ONNX Runtime and natively.

usage: check_static.py [--lapidary BIN] [--only NAME,…] [--passes TEXT] [--runtime NAME] [--skip-native] [--keep DIR] [--float]

One command makes each model:  lapidary compress MODEL -o OUT --data calib/NAME.npz
Calibration data are those of the model set (minilm, ppocr_v4_rec) and of make_calibration.py (mnist_mobile, page_orientation).  The written
model must hold at most 30 % of the bytes, at least 90 % of the multiply-adds in integers, and the accuracy of tasks.STATIC, both as ONNX
Runtime runs it and as the library that `lapidary compile` makes of it.  --passes takes passes for `lapidary opt` instead, with {data} for the
calibration data; --runtime makes the models for another runtime (`lapidary compress --help`); --float scores the
float models instead.  The models lie below $LAPIDARY_MODELS.  Exit code 1 when anything fails.
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import check_models
import models
import onnx_tools as tools
import tasks
from native import Library

MOST_SIZE, LEAST_INTEGER = 0.30, 0.90


class Named:
    def __init__(self, name):
        self.name = name


class NativeSession:
    """A compiled library that is asked as an ONNX Runtime session is."""

    def __init__(self, path, threads):
        self.library = Library(path, threads)

    def get_inputs(self):
        return [Named(name) for name in self.library.inputs]

    def run(self, _, arrays):
        self.library.bind(arrays)
        self.library.run()
        return list(self.library.results().values())


def lapidary(binary, *arguments):
    start = time.perf_counter()
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`lapidary {arguments[0]}` ended with {done.returncode}: {done.stderr.strip()[:400]}")
    return time.perf_counter() - start


def shown(scores):
    return "  ".join(f"{key} {value:.4f}" for key, value in scores.items())


def check(name, args, folder, work):
    """Prints what is found; the list of what fails."""
    task, data, bars = tasks.STATIC[name]
    path, written, data = models.model_path(folder, name), work / f"{name}.onnx", np.load(folder / data)
    if args.float:
        print(f"       {name:17} as given       {shown(task(tools.session(path, 2), data))}", flush=True)
        return []
    calibration = folder / "calib" / f"{name}.npz"
    if args.passes:
        seconds = lapidary(args.lapidary, "opt", "-q", path, "-o", written, "--passes", args.passes.replace("{data}", str(calibration)))
    else:
        runtime = ["--runtime", args.runtime] if args.runtime else []
        seconds = lapidary(args.lapidary, "compress", "-q", path, "-o", written, "--data", calibration, *runtime)
    calibration = np.load(calibration)
    size = written.stat().st_size / path.stat().st_size
    share = tools.integer_share(path, written, {key: calibration[key][:2] for key in calibration.files})
    failed = [f"{name}: size {size:.1%}"] if size > MOST_SIZE else []
    failed += [f"{name}: {share:.1%} in integers"] if share < LEAST_INTEGER else []
    print(f"{'FAILED' if failed else 'ok    '} {name:17} size {size:.1%}  integer {share:.1%} of the multiply-adds  in {seconds:.1f} s", flush=True)
    sessions = {"ONNX Runtime": lambda: tools.session(written, 2)}
    if not args.skip_native:
        library = work / f"lib{name}.so"
        lapidary(args.lapidary, "compile", "-q", written, "-o", library)
        sessions["native"] = lambda: NativeSession(library, 2)
    for where, opened in sessions.items():
        scores = task(opened(), data)
        below = [f"{name}: {key} {scores[key]:.4f} in {where}" for key, bar in bars.items() if scores[key] < bar]
        bar = ", ".join(f"{key} {bar}" for key, bar in bars.items())
        print(f"{'FAILED' if below else 'ok    '} {name:17} {where:14} {shown(scores)}  (at least {bar})", flush=True)
        failed += below
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=check_models.default_binary())
    parser.add_argument("--only")
    parser.add_argument("--passes")
    parser.add_argument("--runtime")
    parser.add_argument("--skip-native", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--float", action="store_true")
    args = parser.parse_args()
    folder, failed = models.model_set(), []
    names = args.only.split(",") if args.only else list(tasks.STATIC)
    work = args.keep or Path(tempfile.mkdtemp(prefix="lapidary-static-"))
    work.mkdir(exist_ok=True)
    try:
        for name in names:
            try:
                failed += check(name, args, folder, work)
            except (RuntimeError, OSError, KeyError) as error:
                failed.append(f"{name}: {error}")
                print(f"FAILED {name:17} {type(error).__name__}: {error}", flush=True)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print("all hold" if not failed else f"{len(failed)} fail: " + "; ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
