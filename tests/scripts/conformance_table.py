"""Runs ONNX's backend suite on both backends and writes docs/conformance.md.

usage: conformance_table.py SUITE [--lapidary BIN] [--out docs/conformance.md] [--jobs N]

SUITE is what dump_suite.py wrote. Every case counts: what is not supported has failed.
"""
import argparse
import json
import pathlib
import subprocess

HEAD = """\
# Conformance

ONNX's own backend tests (onnx 1.23.2: {total} cases, written to disk by `tests/scripts/dump_suite.py`), each at the tolerance that ONNX gives it.
A case that is not supported has failed; there are no skips.

| backend | passed | failed |
|---|---|---|
{summary}

*Evaluator* runs every operator by its reference meaning. *Native* compiles each model; it fails where an operator has no native code, or where the
size of a result follows from data alone. Axes, starts, pads and scales may be inputs where the model states the sizes of the result.

What fails by its numbers, in both backends, and stays so:

* `training_dropout` (4 cases): the expected elements come from one random generator's stream, which is no part of the operator's meaning.
* Attention in 16 bits (10 cases in bf16 and the expanded f16 one): the expected results were computed step by step in the small type. The
  softmax's exponentials, their sum and the quotient are each rounded to it, and in bf16 the sum is rounded after every single addition, so
  that the order of additions shows. The tolerance of 1e-3 is below bf16's spacing of 4e-3 to 8e-3: only the same steps in the same order
  give the same result. Lapidary keeps scores and sums in f32 and rounds the result once, which is nearer to the exact value.

`tests/scripts/conformance_table.py SUITE` repeats this; `lapidary conformance SUITE --failures` says why each failed case failed.

## By operator

A case counts for every operator in its model, so a case of several operators stands in several lines. `a/b`: a of b cases passed.

| operator | evaluator | native |
|---|---|---|
"""


def run(lapidary, suite, backend, jobs):
    command = [lapidary, "conformance", suite, "--backend", backend, "--format", "json"] + (["--jobs", str(jobs)] if jobs else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--lapidary", default="target/release/lapidary")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[2] / "docs/conformance.md")
    parser.add_argument("--jobs", type=int)
    args = parser.parse_args()
    results = {name: run(args.lapidary, args.suite, backend, args.jobs) for name, backend in [("evaluator", "eval"), ("native", "native")]}
    summary = "\n".join(f"| {name} | {r['passed']} | {r['failed']} |" for name, r in results.items())
    total = {r["passed"] + r["failed"] for r in results.values()}.pop()
    lines = []
    for op in sorted({op for r in results.values() for op in r["operators"]}, key=lambda op: ("." in op, op)):
        cells = []
        for r in results.values():
            counts = r["operators"].get(op, {"passed": 0, "failed": 0})
            cells.append(f"{counts['passed']}/{counts['passed'] + counts['failed']}")
        lines.append(f"| {op} | {cells[0]} | {cells[1]} |")
    args.out.write_text(HEAD.format(total=total, summary=summary) + "\n".join(lines) + "\n")
    print(summary)


if __name__ == "__main__":
    main()
