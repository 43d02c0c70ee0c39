#!/usr/bin/env python3
"""What the compiler does to real models, against ONNX Runtime, onnxslim and task scores.

usage: check_models.py [--lapidary BIN] [--only NAME,…] [--lines 2,3,4,5,8,11,12] [--threads 1,2] [--scorer FILE] [--out FILE.json]

  line 2   compile at -O0 and -O3: no host call, outputs within 1e-4 · max at 1 and 2 threads and at two sizes of every symbolic dim,
           no undefined symbol but libc's, libm's and pthreads'
  line 3   opt -O3: ONNX Runtime loads it, same outputs, no more nodes than onnxslim leaves, at least 0.98 of the speed before
  line 4   calibrate, fake-quant, fold-quant: ONNX Runtime runs it, size, integer share of the multiply-adds, accuracy on the task
  line 5   latency of the native library against ONNX Runtime, interleaved (not part of the default)
  line 11  the kernels read back to the same text; none materializes a view, padding or windows; the report lists arena offsets; a run
           allocates only when sizes grow (not part of the default; tests/kernels.rs compares interpreter and native code)
  line 8   opt and compile with --jobs 1 and --jobs 2 write the same bytes (not part of the default)
  line 12  line 2 for the x86-64-v3 code alone, and with two static libraries linked into one program

The models lie below $LAPIDARY_MODELS.  --scorer names a program that is called as `score TASK --model M --data T` and prints JSON; without
it the scores of tasks.py count.  Exit code 1 when anything fails.
"""
import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx

import models
import onnx_tools as tools
import tasks
from native import CODES, DTYPES, Library

TOLERANCE = 1e-4
LEAST_SPEED = 0.98
MOST_NATIVE_RATIO = 2.0
MOST_SIZE = 0.30
LEAST_INTEGER = 0.90
WASTE = ("window", "padding", "view")  # what a kernel that only moves elements must not be, see docs/kernels.md
COMPILE_LIMIT_S = 1800
RUN_LIMIT_S = 600


class Check:
    """One run of the script: options, the place for files, and what was found."""

    def __init__(self, args):
        self.args = args
        self.set = models.model_set()
        self.work = Path(tempfile.mkdtemp(prefix="lapidary-check-"))
        self.threads = [int(t) for t in args.threads.split(",")]
        self.rows, self.failures = [], []

    def lapidary(self, *arguments):
        """Runs the compiler; its first error line becomes the exception."""
        command = [self.args.lapidary, *map(str, arguments)]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S)
        self.seconds = time.perf_counter() - start
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise RuntimeError(f"`lapidary {arguments[0]}` exit {done.returncode}: {' | '.join(lines[:2]) or 'no message'}")
        return done.stdout

    def report(self, line, name, ok, text, **values):
        self.rows.append({"line": line, "model": name, "ok": ok, "text": text, **values})
        if not ok:
            self.failures.append(f"line {line} {name}")
        print(f"{'ok    ' if ok else 'FAILED'} line {line:<2} {name:17} {text}", flush=True)

    def guarded(self, line, name, function, *arguments):
        try:
            function(line, name, *arguments)
        except Exception as error:
            self.report(line, name, False, f"{type(error).__name__}: {str(error)[:300]}")

    def reference(self, name, case):
        """(inputs, outputs) that ONNX Runtime gave for the model as written; made now if they are not stored."""
        path = self.set / "references" / f"{name}.{case}.npz"
        if not path.exists():
            import make_references

            for c, arrays in zip("ab", models.inputs(self.set, name)):
                arrays, outputs = make_references.run(models.model_path(self.set, name), arrays)
                keyed = {f"in.{k}": v for k, v in arrays.items()} | {f"out.{k}": v for k, v in outputs.items()}
                make_references.save(self.set / "references" / f"{name}.{c}.npz", keyed)
        data = np.load(path)
        part = lambda prefix: {key[len(prefix) :]: data[key] for key in data.files if key.startswith(prefix)}
        return part("in."), part("out.")

    # line 2 ------------------------------------------------------------------------------------------------------------------

    def native(self, line, name, level, cpu):
        """Compiles once, runs at every thread count and both sizes from that one library."""
        folder = self.work / f"{name}{level}{cpu}"
        folder.mkdir(exist_ok=True)
        library = folder / f"lib{name}.so"
        printed = self.lapidary("compile", models.model_path(self.set, name), "-o", library, level, "--cpu", cpu, "--report", "--format", "json")
        compile_s = self.seconds
        hosts = host_nodes(printed)
        worst = self.run_apart(library, name)
        foreign = foreign_symbols(library)
        size = sum(f.stat().st_size for f in folder.iterdir() if f.suffix in (".so", ".weights"))
        ok = worst <= TOLERANCE and not hosts and not foreign
        text = f"{level} {cpu:10} worst {worst:.1e}  {size / 1e6:7.2f} MB  compiled in {compile_s:.1f} s"
        text += f"  host calls: {', '.join(hosts[:4])} ({len(hosts)})" if hosts else ""
        text += f"  foreign symbols: {', '.join(foreign[:4])}" if foreign else ""
        self.report(line, name, ok, text, level=level, cpu=cpu, worst=worst, bytes=size, compile_s=compile_s, hosts=hosts)
        shutil.rmtree(folder)

    def run_apart(self, library, name):
        """Runs the library in a process of its own: a crash is a failure of one model, not the end of this program."""
        command = [sys.executable, __file__, "--run-library", str(library), name, ",".join(map(str, self.threads))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise RuntimeError(f"running the library: {lines[-1] if lines else f'ended with {done.returncode}'}")
        return float(done.stdout.split()[-1])

    def run_library(self, library, name, threads):
        """Worst difference over cases and thread counts; the first size comes twice, so that a grown arena is used for it again."""
        worst, bits = 0.0, {}
        for count in threads:
            opened = Library(library, count)
            for case in "aba":
                arrays, want = self.reference(name, case)
                opened.bind(arrays)
                opened.run()
                got = opened.results()
                worst = max(worst, tools.worst_difference(got, want))
                flat = b"".join(v.tobytes() for v in got.values())
                if bits.setdefault(case, flat) != flat:
                    raise RuntimeError("results depend on the thread count or on earlier runs")
            opened.close()
        return worst

    def line_2(self, line, name):
        for level in self.args.levels.split(","):
            self.native(line, name, f"-{level}", "auto")

    # line 3 ------------------------------------------------------------------------------------------------------------------

    def line_3(self, line, name):
        path, written = models.model_path(self.set, name), self.work / f"{name}.opt.onnx"
        self.lapidary("opt", "-O3", path, "-o", written)
        nodes, slim, before = tools.count_nodes(onnx.load(written)), tools.slim_count(path), tools.count_nodes(onnx.load(path))
        old, new, worst = tools.session(path), tools.session(written), 0.0
        for case in "ab":
            arrays, want = self.reference(name, case)
            got = dict(zip([o.name for o in new.get_outputs()], new.run(None, tools.feeds(new, arrays))))
            worst = max(worst, tools.worst_difference(got, want))
        arrays, _ = self.reference(name, "a")
        f_old, f_new = tools.feeds(old, arrays), tools.feeds(new, arrays)
        runs = [lambda: old.run(None, f_old), lambda: new.run(None, f_new)]
        speed, times = 0.0, [[], []]
        for _ in range(3):  # a shared machine: measure again, on all samples, before calling it slower
            interleave(runs, times, self.args.seconds)
            speed = float(np.median(times[0]) / np.median(times[1]))
            if speed >= LEAST_SPEED:
                break
        ok = worst <= TOLERANCE and nodes <= slim and speed >= LEAST_SPEED
        text = f"nodes {before} → {nodes} (onnxslim {slim})  worst {worst:.1e}  speed {speed:.3f}×"
        self.report(line, name, ok, text, nodes_before=before, nodes=nodes, onnxslim=slim, worst=worst, speed=speed)
        written.unlink()

    # line 4 ------------------------------------------------------------------------------------------------------------------

    def line_4(self, line, name):
        if name not in tasks.INT8:
            return
        task, data, bar, outside, key = tasks.INT8[name]
        path, written, calibration = models.model_path(self.set, name), self.work / f"{name}.int8.onnx", self.set / "calib" / f"{name}.npz"
        self.lapidary("opt", "--passes", f'calibrate{{data="{calibration}"}}, fake-quant, fold-quant', path, "-o", written)
        quantize_s = self.seconds
        size = written.stat().st_size / path.stat().st_size
        arrays, _ = self.reference(name, "a")
        share = tools.integer_share(path, written, arrays)
        if self.args.scorer:
            command = [sys.executable, self.args.scorer, "score", outside, "--model", str(written), "--data", str(self.set / data)]
            score = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[key]
        else:
            score = task(tools.session(written, 2), np.load(self.set / data))
        ok = size <= MOST_SIZE and share >= LEAST_INTEGER and score >= bar
        text = f"size {size:.1%}  integer {share:.1%} of the multiply-adds  accuracy {score:.4f} (at least {bar})  in {quantize_s:.1f} s"
        self.report(line, name, ok, text, size=size, integer=share, accuracy=score, bar=bar)

    # line 5 ------------------------------------------------------------------------------------------------------------------

    def line_5(self, line, name):
        library = self.work / f"lib{name}.so"
        self.lapidary("compile", models.model_path(self.set, name), "-o", library)
        arrays, want = self.reference(name, "a")
        for threads in self.threads:
            ours, theirs = Library(library, threads), tools.session(models.model_path(self.set, name), threads)
            ours.bind(arrays)
            ours.run()
            worst, fed, times = tools.worst_difference(ours.results(), want), tools.feeds(theirs, arrays), [[], []]
            interleave([ours.run, lambda: theirs.run(None, fed)], times, self.args.seconds)
            mine, peer = (float(np.median(t)) * 1e3 for t in times)
            ok = worst <= TOLERANCE and (threads > 1 or mine <= MOST_NATIVE_RATIO * peer)
            text = f"{threads} threads  {mine:9.3f} ms  ONNX Runtime {peer:9.3f} ms  {peer / mine:5.2f}× as fast  {ours.memory() / 1e6:.1f} MB"
            self.report(line, name, ok, text, threads=threads, ms=mine, ort_ms=peer, memory=ours.memory())
            ours.close()

    # line 8 ------------------------------------------------------------------------------------------------------------------

    def line_8(self, line, name):
        path, hashes = models.model_path(self.set, name), []
        for jobs in ("1", "2"):
            folder = self.work / f"{name}-{jobs}"
            folder.mkdir()
            self.lapidary("opt", path, "-o", folder / "out.onnx", "--jobs", jobs)
            self.lapidary("compile", path, "-o", folder / f"lib{name}.so", "--jobs", jobs)
            hashes.append({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())})
            shutil.rmtree(folder)
        differ = [file for file in hashes[0] if hashes[0][file] != hashes[1].get(file)]
        text = f"differ: {', '.join(differ)}" if differ else f"{len(hashes[0])} files equal"
        self.report(line, name, not differ and hashes[0].keys() == hashes[1].keys(), text)

    # line 11 -----------------------------------------------------------------------------------------------------------------

    def line_11(self, line, name):
        path, folder = models.model_path(self.set, name), self.work / f"{name}.kernels"
        folder.mkdir()
        written, library = folder / f"{name}.kernels", folder / f"lib{name}.so"
        self.lapidary("compile", "-q", path, "--emit", "kernels", "-o", written)
        same = self.lapidary("inspect", written, "--text").rstrip("\n") == written.read_text().rstrip("\n")
        kernels = json.loads(self.lapidary("inspect", written, "--format", "json"))["kernels"]
        moves = Counter(k["moves"] for k in kernels if k["moves"])
        waste = [f"{k['name']} ({k['moves']})" for k in kernels if k["moves"] in WASTE]
        report = json_of(self.lapidary("compile", path, "-o", library, "--cpu", "native", "--report", "--format", "json"))
        arena = report["arena"]["buffers"]
        placed = bool(arena) and all(isinstance(b["offset"], str) and b["offset"] for b in arena)
        allocations = self.allocations(library, name)
        ok = same and not waste and placed and allocations[0] > 0 and not any(allocations[1:])
        text = f"{len(kernels):4} kernels {'read back' if same else 'DIFFER when read back'}"
        text += f"  only moving: {', '.join(f'{n} {m}' for m, n in sorted(moves.items())) or 'none'}"
        text += f"  in vain: {', '.join(waste[:4])}" if waste else ""
        text += f"  {len(arena)} values in the arena{'' if placed else ' WITHOUT OFFSETS'}  allocations {'/'.join(map(str, allocations))}"
        self.report(line, name, ok, text, kernels=len(kernels), moves=moves, allocations=allocations)
        shutil.rmtree(folder)

    def allocations(self, library, name):
        """Calls of the allocator during: a first run on both sizes (which must allocate), then each size again twice (which must not)."""
        opened = Library(library, 2, counting=True)
        counts = [0]
        for case in "ab":
            opened.bind(self.reference(name, case)[0])
            before = opened.allocations
            opened.run()
            counts[0] += opened.allocations - before
        for case in "aabb":
            opened.bind(self.reference(name, case)[0])
            before = opened.allocations
            opened.run()
            counts.append(opened.allocations - before)
        opened.close()
        return counts

    # line 12 -----------------------------------------------------------------------------------------------------------------

    def line_12(self, line, name):
        self.native(line, name, "-O3", "x86-64-v3")

    def archives(self, line, pair):
        """Both models as static libraries in one program, against both references."""
        folder = self.work / "-".join(pair)
        folder.mkdir()
        for name in pair:
            self.lapidary("compile", models.model_path(self.set, name), "-o", folder / f"lib{name}.a")
        program, (a, b) = folder / "two", pair
        source = models.REPOSITORY / "tests" / "native" / "two_archives.c"
        definitions = [f'-DA_HEADER="{a}.h"', f"-DA_API={a}_v1", f'-DB_HEADER="{b}.h"', f"-DB_API={b}_v1"]
        libraries = [folder / f"lib{name}.a" for name in pair]
        subprocess.run(["cc", "-std=c11", "-O1", f"-I{folder}", *definitions, source, *libraries, "-o", program, "-lm", "-lpthread"], check=True)
        worst = 0.0
        for case in "ab":
            for threads in self.threads:
                files = []
                for name in pair:
                    arrays, _ = self.reference(name, case)
                    order = [i.name for i in onnx.load(models.model_path(self.set, name), load_external_data=False).graph.input if i.name in arrays]
                    write_values(folder / f"{name}.in", [arrays[key] for key in order])
                    files += [folder / f"{name}.in", folder / f"{name}.out"]
                done = subprocess.run([program, str(threads), *files], capture_output=True, text=True, timeout=RUN_LIMIT_S)
                if done.returncode:
                    raise RuntimeError(f"the program ended with {done.returncode}: {done.stderr.strip()[:200]}")
                for name in pair:
                    _, want = self.reference(name, case)
                    worst = max(worst, tools.worst_difference(dict(zip(want, read_values(folder / f"{name}.out"))), want))
        self.report(line, "+".join(pair), worst <= TOLERANCE, f"archives in one program  worst {worst:.1e}", worst=worst)
        shutil.rmtree(folder)


def interleave(runs, times, seconds):
    """Takes turns, so that a slow moment of the machine hits all of them; appends seconds per run."""
    for run in runs:
        run()
        run()
    end, turns = time.perf_counter() + seconds * len(runs), 0
    while turns < 7 or (time.perf_counter() < end and turns < 2000):
        for run, taken in zip(runs, times):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
        turns += 1


def json_of(printed):
    """The first JSON object in what a command printed."""
    start = printed.find("{")
    if start < 0:
        raise RuntimeError("`compile --report --format json` printed no JSON")
    return json.JSONDecoder().raw_decode(printed[start:])[0]


def host_nodes(printed):
    """Names of the nodes that the report says are host calls."""
    report = json_of(printed)
    return [f"{n.get('op')} '{n.get('name')}'" for n in report["nodes"] if n.get("template") == "host"]


def foreign_symbols(library):
    """Undefined dynamic symbols that do not come from the C library (versioned GLIBC_) or the linker's own weak ones."""
    listed = subprocess.run(["nm", "-D", "--undefined-only", str(library)], capture_output=True, text=True, check=True).stdout
    found = []
    for line in listed.splitlines():
        kind, symbol = line.split()[-2:]
        if kind not in ("w", "v") and not re.search(r"@@?GLIBC_", symbol):
            found.append(symbol)
    return found


def write_values(path, arrays):
    """The file format of tests/native/two_archives.c."""
    with open(path, "wb") as file:
        file.write(struct.pack("<i", len(arrays)))
        for array in arrays:
            file.write(struct.pack(f"<ii{array.ndim}q", CODES[array.dtype], array.ndim, *array.shape))
            file.write(np.ascontiguousarray(array).tobytes())


def read_values(path):
    data, at, arrays = path.read_bytes(), 4, []
    for _ in range(struct.unpack_from("<i", data)[0]):
        code, rank = struct.unpack_from("<ii", data, at)
        shape = struct.unpack_from(f"<{rank}q", data, at + 8)
        at += 8 + 8 * rank
        dtype, count = np.dtype(DTYPES[code]), int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(data, dtype, count, at).reshape(shape))
        at += count * dtype.itemsize
    return arrays


def default_binary():
    target = Path(os.environ.get("CARGO_TARGET_DIR", models.REPOSITORY / "target"))
    return os.environ.get("LAPIDARY") or str(target / "release" / "lapidary")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lapidary", default=default_binary())
    parser.add_argument("--only")
    parser.add_argument("--lines", default="2,3,4,12")
    parser.add_argument("--levels", default="O0,O3")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=2.0, help="per side and model, for speeds")
    parser.add_argument("--scorer")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--run-library", nargs=3, help=argparse.SUPPRESS)  # LIBRARY MODEL THREADS: see run_apart
    args = parser.parse_args()

    check = Check(args)
    try:
        if args.run_library:
            library, name, threads = args.run_library
            print(check.run_library(library, name, [int(t) for t in threads.split(",")]))
            return 0
        names, lines = models.chosen(args.only), args.lines.split(",")
        missing = [name for name in names if not models.model_path(check.set, name).exists()]
        if missing:
            print(f"skipped {len(missing)} models that the set lacks: {', '.join(missing)}")
        names = [name for name in names if name not in missing]
        for line in lines:
            function = {"2": check.line_2, "3": check.line_3, "4": check.line_4, "5": check.line_5, "8": check.line_8, "11": check.line_11, "12": check.line_12}.get(line)
            if function is None:
                parser.error(f"unknown line '{line}', expected 2, 3, 4, 5, 8, 11 or 12")
            for name in names:
                check.guarded(line, name, function)
            if line == "12":
                for pair in zip(names[::2], names[1::2]):
                    try:
                        check.archives(line, pair)
                    except Exception as error:
                        check.report(line, "+".join(pair), False, f"{type(error).__name__}: {str(error)[:300]}")
    finally:
        shutil.rmtree(check.work, ignore_errors=True)
    if args.out:
        args.out.write_text(json.dumps(check.rows, indent=1) + "\n")
    print(f"{len(check.rows) - len(check.failures)} passed, {len(check.failures)} failed" + (": " + ", ".join(check.failures) if check.failures else ""))
    return 1 if check.failures or not check.rows else 0


if __name__ == "__main__":
    sys.exit(main())
