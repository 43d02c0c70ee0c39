"""The models that the numeric checks run on: where they lie, and inputs for two sizes of every symbolic dim.

Everything is found below the folder that LAPIDARY_MODELS names (tests/scripts/README.md says how to fill it); the models of
examples/models/ are found in the repository when the folder lacks them.
"""
import os
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]

# name: path below the set.  The order is from small to large.
MODELS = {
    "digits_mlp": "trained/digits_mlp/model.onnx",
    "digits_cnn": "trained/digits_cnn/model.onnx",
    "mnist_mobile": "trained/mnist_mobile/model.onnx",
    "ppocr_v2_cls": "registry/ppocr_v2_cls.onnx",
    "charlm": "charlm/charlm.onnx",
    "char_gpt": "trained/char_gpt/model.onnx",
    "ppocr_v4_det": "registry/ppocr_v4_det.onnx",
    "page_orientation": "registry/page_orientation.onnx",
    "ppocr_v4_rec": "registry/ppocr_v4_rec.onnx",
    "mobilenet_v2": "exports/mobilenet_v2.onnx",
    "resnet18_ts13": "exports/resnet18_ts13.onnx",
    "minilm": "registry/minilm.onnx",
    "resnet50": "exports/resnet50.onnx",
    "bert_base": "exports/bert_base.onnx",
    "gpt2": "exports/gpt2.onnx",
}


def model_set():
    """The folder of the model set; ends the program with the way to build it when there is none."""
    folder = os.environ.get("LAPIDARY_MODELS")
    if not folder or not Path(folder).is_dir():
        sys.exit(
            "LAPIDARY_MODELS names no folder: set it to the model set, built by tests/scripts/fetch_models.py; tests/scripts/README.md says what lies in it"
        )
    return Path(folder)


def chosen(only):
    """The names of `--only A,B`, or all; an unknown name ends the program."""
    names = only.split(",") if only else list(MODELS)
    unknown = [n for n in names if n not in MODELS]
    if unknown:
        sys.exit(f"unknown model '{unknown[0]}', expected one of {', '.join(MODELS)}")
    return names


def model_path(folder, name):
    return folder / MODELS[name]


def gray_to_image(pixels):
    """Grey bytes [n, h, w] as three planes in −1 … 1, the way the OCR models want them."""
    return np.repeat(pixels.astype(np.float32)[:, None] / 127.5 - 1, 3, 1)


def page_image(pixels):
    mean, deviation = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    return (np.repeat(pixels.astype(np.float32)[:, None] / 255, 3, 1) - mean[:, None, None]) / deviation[:, None, None]


def test_arrays(folder, name):
    return np.load(folder / "trained" / name / "test.npz")


def pictures(folder, task, count, height, width):
    """Grey test images of a task, or noise where the set holds no data for it."""
    path = folder / "data" / f"{task}.npz"
    if path.exists():
        return np.load(path)["x"][:count]
    return np.random.default_rng(3).integers(0, 256, (count, height, width), np.uint8)


def stored(folder, name):
    """The example inputs that lie beside an exported model."""
    data = np.load(folder / "exports" / f"{name}.npz")
    return {key[3:]: data[key] for key in data.files if key.startswith("in.")}


def sentences(folder, rows, length):
    path = folder / "data" / "minilm_numpy.npz"
    if not path.exists():
        count = rows.stop - rows.start
        ids = np.random.default_rng(5).integers(1000, 30000, (count, length))
        mask = (np.arange(length) < np.linspace(length, length // 2, count)[:, None]).astype(np.int64)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    data = np.load(path)
    ids, mask = data["ids"][rows, :length].astype(np.int64), data["mask"][rows, :length].astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def photos(folder, name, size):
    """`a` is the stored image; `b` is `size` images: the stored one turned, mirrored, and noise."""
    first = stored(folder, name)
    ((key, image),) = first.items()
    noise = np.random.default_rng(7).standard_normal(image.shape).astype(np.float32)
    batch = np.concatenate([image[:, :, ::-1], image[:, :, :, ::-1], noise])[:size]
    return first, {key: np.ascontiguousarray(batch)}


def inputs(folder, name):
    """Two sets of inputs, `(a, b)`, that differ in every symbolic dim. Real or stored arrays wherever they exist."""
    if name in ("digits_mlp", "digits_cnn"):
        x = test_arrays(folder, name)["x"]
        return {"input": x[:16]}, {"input": x[16:19]}
    if name == "mnist_mobile":
        x = test_arrays(folder, name)["x"].astype(np.float32)
        return {"input": x[:4]}, {"input": x[4:5]}
    if name == "char_gpt":
        ids = test_arrays(folder, name)["ids"].astype(np.int64)
        return {"input_ids": ids[None, :64]}, {"input_ids": ids[64 : 64 + 3 * 17].reshape(3, 17)}
    if name == "charlm":
        tokens = np.load(folder / "charlm" / "eval.npz")["tokens"]
        return {"tokens": tokens[:1]}, {"tokens": tokens[1:4, :23]}
    if name == "minilm":
        return sentences(folder, slice(0, 1), 64), sentences(folder, slice(1, 4), 23)
    if name == "ppocr_v2_cls":
        x = gray_to_image(pictures(folder, "ocr_cls", 5, 48, 192))
        # Taller, not lower: below 48 rows the last pool has no whole window, where runtimes differ on what floor means.
        return {"x": x[:1]}, {"x": np.ascontiguousarray(np.concatenate([x, x[:, :, :16]], 2)[1:5, :, :, :128])}
    if name == "ppocr_v4_rec":
        x = gray_to_image(pictures(folder, "ocr_rec_v4", 3, 48, 320))
        return {"x": x[:1]}, {"x": np.ascontiguousarray(x[1:3, :, :, :200])}
    if name == "ppocr_v4_det":
        x = gray_to_image(pictures(folder, "ocr_det_v4", 3, 640, 640))
        return {"x": x[:1]}, {"x": np.ascontiguousarray(x[1:3, :, 96:256, 64:288])}
    if name == "page_orientation":
        x = page_image(pictures(folder, "orientation", 4, 224, 224))
        return {"x": x[:1]}, {"x": x[1:4]}
    if name in ("mobilenet_v2", "resnet18_ts13", "resnet50"):
        return photos(folder, name, 2 if name == "resnet50" else 3)
    if name == "bert_base":
        first = stored(folder, name)
        second = {key: np.concatenate([value[:, :37], value[:, 50:87]]) for key, value in first.items()}
        second["attention_mask"] = second["attention_mask"].copy()
        second["attention_mask"][1, 30:] = 0  # a padded row, as in a batch of unequal sentences
        return first, second
    if name == "gpt2":
        first = stored(folder, name)
        return first, {key: np.concatenate([value[:, :19], value[:, 30:49]]) for key, value in first.items()}
    raise KeyError(name)
