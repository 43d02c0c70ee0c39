#!/usr/bin/env python3
"""Calibration of mobilenet_v2 with generated inputs: memory that does not grow with the samples, and entropy calibration against ONNX Runtime.

usage: check_calibration.py [--lapidary BIN] [--samples 10000] [--parts memory,speed] [--threads N] [--rounds N]

memory  peak resident memory of `lapidary calib collect` over 100 samples and over --samples, within 5 % of each other
speed   seconds of `lapidary opt --passes 'calibrate{method=entropy}'` and of onnxruntime.quantization's entropy calibrator (its defaults, and
        one sample at a time as its own examples do) on the same 100 samples, in turns, on as many cores; at least 3× as fast

The model lies below $LAPIDARY_MODELS.  Exit code 1 when either does not hold.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import check_models
import models

FEW = 100
MOST_GROWTH = 0.05
LEAST_SPEED = 3.0

# In a process of its own, so that its memory goes again.
PEER = """
import sys, time
import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator
class Reader(CalibrationDataReader):
    def __init__(self, x): self.rows = iter(x)
    def get_next(self):
        row = next(self.rows, None)
        return None if row is None else {"input": row[None]}
start = time.perf_counter()
c = create_calibrator(sys.argv[1], None, augmented_model_path=sys.argv[3], calibrate_method=CalibrationMethod.Entropy)
c.collect_data(Reader(np.load(sys.argv[2])["input"]))
ranges = c.compute_data()
print(time.perf_counter() - start)
"""


def peak(command):
    """Peak resident bytes of a command."""
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"`{command[1]}` ended with {status}")
    return usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=check_models.default_binary())
    parser.add_argument("--samples", type=int, default=10000)
    parser.add_argument("--parts", default="memory,speed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    model, failed = models.model_path(models.model_set(), "mobilenet_v2"), []
    with tempfile.TemporaryDirectory(prefix="lapidary-calibration-") as work:
        work = Path(work)
        part = work / "part.npz"
        np.savez(part, input=np.random.default_rng(1).standard_normal((FEW, 3, 224, 224), np.float32))
        if "memory" in args.parts:
            peaks = []
            for count in (FEW, args.samples):
                folder = work / str(count)
                folder.mkdir()
                for i in range(count // FEW):
                    (folder / f"{i:05}.npz").symlink_to(part)
                peaks.append(peak([args.lapidary, "calib", "collect", "-q", model, "--data", folder, "-o", work / "out.stats"]))
                print(f"memory  {count:6} samples: peak {peaks[-1] / 1e6:.1f} MB", flush=True)
            if peaks[1] > peaks[0] * (1 + MOST_GROWTH):
                failed.append("memory")
        if "speed" in args.parts:
            ours, theirs = [], []
            passes = f'calibrate{{data="{part}", method=entropy}}'
            for _ in range(args.rounds):
                start = time.perf_counter()
                subprocess.run([args.lapidary, "opt", "-q", model, "-o", work / "out.onnx", "--passes", passes], check=True)
                ours.append(time.perf_counter() - start)
                peer = [sys.executable, "-c", PEER, model, part, work / "augmented.onnx"]
                theirs.append(float(subprocess.run(peer, check=True, capture_output=True, text=True).stdout.split()[-1]))
            mine, peer = min(ours), min(theirs)
            print(f"speed   entropy on {FEW} samples: {mine:.1f} s, ONNX Runtime {peer:.1f} s, {peer / mine:.1f}× as fast", flush=True)
            if peer < LEAST_SPEED * mine:
                failed.append("speed")
    print("all hold" if not failed else f"fails: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
