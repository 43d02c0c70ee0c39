#!/usr/bin/env python3
"""What cutting buys: the native latency of cut models in parts of the whole one's.

usage: bench_cuts.py [--lapidary BIN] [--only NAME,…] [--ratio R] [--rounds N]

Each model is cut by `prune-channels{ratio=R, score=l1}`, or by `prune-heads` and `prune-width` where it has heads; where that leaves more than 70 %
of the multiply-adds, R grows in steps of 0.02. Both libraries run in one process on one thread, in turns; medians. Exit code 1 when a cut of 30 % gives more
than 0.8 of the latency. The models lie below $LAPIDARY_MODELS.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import check_models
import models
from native import Library

CHANNELS = ["prune-channels{{ratio={ratio}, score=l1}}"]
HEADS = ["prune-heads{{ratio={ratio}, score=magnitude}}", "prune-width{{ratio={ratio}, score=l1}}"]
CASES = {
    "mobilenet_v2": CHANNELS,
    "unet_small": CHANNELS,
    "detector_n": CHANNELS,
    "resnet50": CHANNELS,
    "bert_base": HEADS,
    "vit_b_16": HEADS,
    "gpt2": HEADS,
    "llama_100m": HEADS,
}
MOST_LATENCY = 0.8
LEFT = 0.7 + 0.005


def work(binary, model):
    done = subprocess.run([binary, "inspect", model, "--format", "json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["multiply_adds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=check_models.default_binary())
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--ratio", type=float, default=0.16)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    folder, slow = models.model_set(), []
    with tempfile.TemporaryDirectory(prefix="lapidary-cuts-") as place:
        for name in args.only.split(","):
            source, cut = folder / "exports" / f"{name}.onnx", Path(place) / f"{name}.cut.onnx"
            whole, ratio, share = work(args.lapidary, source), args.ratio, 1.0
            while share > LEFT and ratio < 0.6:
                passes = ", ".join(p.format(ratio=round(ratio, 3)) for p in CASES[name])
                subprocess.run([args.lapidary, "opt", "-q", source, "-o", cut, "--passes", passes], check=True)
                share, ratio = work(args.lapidary, cut) / whole, ratio + 0.02
            libraries = []
            for at, model in enumerate((source, cut)):
                target = Path(place) / f"lib{name}{at}.so"
                subprocess.run([args.lapidary, "compile", "-q", model, "-o", target], check=True, stdout=subprocess.DEVNULL)
                libraries.append(Library(target))
                libraries[-1].bind(models.stored(folder, name))
                libraries[-1].run()
            times = [[], []]
            for _ in range(args.rounds):
                for library, list_ in zip(libraries, times):
                    start = time.perf_counter()
                    library.run()
                    list_.append(time.perf_counter() - start)
            before, after = map(statistics.median, times)
            ok = after <= MOST_LATENCY * before
            print(f"{'ok  ' if ok else 'SLOW'} {name:14} multiply-adds {share:.3f}  latency {after / before:.3f}  ({before * 1e3:.1f} → {after * 1e3:.1f} ms)", flush=True)
            slow += [] if ok else [name]
            for library in libraries:
                library.close()
            cut.unlink()
    print("all hold" if not slow else f"too slow: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
