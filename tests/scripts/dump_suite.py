#!/usr/bin/env python3
"""Write the ONNX backend suite to disk, so that `lapidary conformance DIR` can walk it.

usage: dump_suite.py DIR [--kinds node,simple,pytorch-converted,pytorch-operator,real]

Needs onnx 1.23.2 and numpy.  Layout: DIR/KIND/CASE/model.onnx with test_data_set_N/{input,output}_N.pb, and DIR/index.json with each
case's tolerance.  Node cases exist in the wheel as Python code only, so they are generated here; the other kinds are copied.  `real`
are the small stand-ins that the wheel carries for nine well-known nets: constant weights, an input that the suite defines, nothing
to download.
"""
import argparse
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader

EXPECTED_VERSION = "1.23.2"
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")


def value_bytes(value, info):
    """One input or output as the protobuf message that its declared type asks for."""
    kind = info.type.WhichOneof("value")
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name).SerializeToString()
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name).SerializeToString()
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name).SerializeToString()
    if isinstance(value, onnx.TensorProto):
        return value.SerializeToString()
    return numpy_helper.from_array(np.asarray(value), info.name).SerializeToString()


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_values(folder, stem, values, infos):
    for i, (value, info) in enumerate(zip(values, infos)):
        (folder / f"{stem}_{i}.pb").write_bytes(value_bytes(value, info))


def write_generated(case, folder):
    """A case that the wheel holds as Python: model and arrays from memory."""
    fresh(folder)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString(deterministic=True))
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir()
        write_values(data, "input", inputs, case.model.graph.input)
        write_values(data, "output", outputs, case.model.graph.output)


def write_light(case, folder):
    """A stand-in for a well-known net: the model and its output lie in the wheel, the input follows the suite's own rule."""
    from onnx.backend.test.runner import Runner

    source = Path(os.path.dirname(onnx.__file__)).parent / case.url
    model = onnx.load(source)
    fresh(folder)
    shutil.copyfile(source, folder / "model.onnx")
    data = folder / "test_data_set_0"
    data.mkdir()
    weights = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    make = Runner.generate_dummy_data
    values = [make(i, seed=0, name=case.model_name, random=False) for i in inputs]
    write_values(data, "input", values, inputs)
    for i in range(len(model.graph.output)):
        shutil.copyfile(f"{os.path.splitext(source)[0]}_output_{i}.pb", data / f"output_{i}.pb")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    args = parser.parse_args()
    if onnx.__version__ != EXPECTED_VERSION:
        print(f"warning: onnx is {onnx.__version__}; the counts in docs/conformance.md are for {EXPECTED_VERSION}", file=sys.stderr)
    warnings.filterwarnings("ignore")  # the cases overflow and divide by zero on purpose
    np.random.seed(0)

    index, counts = {}, {}
    for kind in args.kinds.split(","):
        if kind not in KINDS:
            parser.error(f"unknown kind '{kind}', expected one of {', '.join(KINDS)}")
        for case in sorted(loader.load_model_tests(kind=kind), key=lambda c: c.name):
            folder = args.dir / kind / case.name
            if case.model is not None:
                write_generated(case, folder)
            elif case.model_dir is not None:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(case.model_dir, folder)
            elif (case.url or "").startswith("onnx/backend/test/data/light/"):
                write_light(case, folder)
            else:
                print(f"left out {case.name}: it needs a download from {case.url}", file=sys.stderr)
                continue
            index[f"{kind}/{case.name}"] = {"rtol": case.rtol, "atol": case.atol}
            counts[kind] = counts.get(kind, 0) + 1
    (args.dir / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    print("  ".join(f"{kind} {n}" for kind, n in counts.items()), f" total {sum(counts.values())}")


if __name__ == "__main__":
    main()
