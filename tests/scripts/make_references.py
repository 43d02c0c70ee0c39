#!/usr/bin/env python3
"""Reference outputs by ONNX Runtime, for two sizes of every symbolic dim.

usage: make_references.py [--only NAME,…] [--examples]

Writes $LAPIDARY_MODELS/references/NAME.a.npz and NAME.b.npz with keys `in.INPUT` and `out.OUTPUT`.  With --examples it writes the
small files of examples/models/ instead (reference_a.npz and reference_b.npz beside each model.onnx).  Needs onnxruntime and numpy.
"""
import argparse
import zipfile

import numpy as np

import models


def run(path, arrays):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Optimized, as users run it: without, a Dropout that was exported in training mode draws at random.
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    arrays = {i.name: arrays[i.name] for i in session.get_inputs()}
    return arrays, dict(zip([o.name for o in session.get_outputs()], session.run(None, arrays)))


def save(path, arrays):
    """An npz whose bytes depend on the arrays alone: numpy's own writer stamps the time of day."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9 if path.name.startswith("reference_") else 1) as archive:
        for key, value in arrays.items():
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(value), allow_pickle=False)


def example_inputs(folder, name):
    """Fewer rows than the full references, so that the committed files stay small."""
    first, second = models.inputs(folder, name)
    if name == "char_gpt":
        return {"input_ids": first["input_ids"][:, :32]}, {"input_ids": second["input_ids"][:2, :11]}
    return first, second


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only")
    parser.add_argument("--examples", action="store_true")
    args = parser.parse_args()
    folder = models.model_set()
    if args.examples:
        names, make = ["digits_cnn", "char_gpt"], example_inputs
    else:
        names, make = models.chosen(args.only), models.inputs
    for name in names:
        path = models.model_path(folder, name)
        for case, arrays in zip("ab", make(folder, name)):
            arrays, outputs = run(path, arrays)
            if args.examples:
                target = models.REPOSITORY / "examples" / "models" / name / f"reference_{case}.npz"
            else:
                target = folder / "references" / f"{name}.{case}.npz"
            keyed = {f"in.{k}": v for k, v in arrays.items()} | {f"out.{k}": v for k, v in outputs.items()}
            save(target, keyed)
            shapes = "  ".join(f"{k}{list(v.shape)}" for k, v in keyed.items())
            print(f"{name:18} {case}  {shapes}  {target.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
