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

*Evaluator* runs every operator by its reference meaning. *Native* compiles each model; it fails where an operator has no native code, or where a
size or list of axes is known at run time alone.

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
