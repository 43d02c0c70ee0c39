#!/usr/bin/env python3
"""The LoRA cases of tests/golden/lora: adapters as PEFT saves them, the exported base, and what PEFT's merged model computes.

usage: make_lora_cases.py [--only NAME,…]

Each folder gets base.onnx, adapter/ (and adapter2/), and expected.safetensors with the tensors `in.NAME` and `out.NAME`; case.json says
how the pass is called and how near results must be.  Needs torch, peft, transformers, onnx, onnxruntime, safetensors; see README.md.
"""
import argparse
import json
import os
import pathlib
import shutil
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "lora"


class Block(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        return x + self.fc2(torch.tanh(self.fc1(self.norm(x))))


class Mlp(nn.Module):
    """Linear layers in blocks, behind an input that has a sequence: MatMul and Add."""

    def __init__(self, width=8, inner=12):
        super().__init__()
        self.blocks = nn.ModuleList([Block(width, inner), Block(width, inner)])
        self.head = nn.Linear(width, 5, bias=False)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Flat(nn.Module):
    """Linear layers on rows: Gemm."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


class Turned(nn.Module):
    """Conv1D keeps its weight [in, out]; square, so that only the operator tells."""

    def __init__(self):
        super().__init__()
        self.c_attn, self.c_proj = Conv1D(8, 8), Conv1D(4, 8)

    def forward(self, x):
        return self.c_proj(torch.tanh(self.c_attn(x)))


class Image(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.point, self.plain = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 1), nn.Conv2d(8, 4, (3, 1))

    def forward(self, x):
        return self.plain(torch.relu(self.point(torch.relu(self.stem(x)))))


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 6, 3), nn.Conv1d(6, 4, 5)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


class Words(nn.Module):
    def __init__(self, tied=False):
        super().__init__()
        self.wte, self.proj, self.lm_head = nn.Embedding(11, 8), nn.Linear(8, 8), nn.Linear(8, 11, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, ids):
        return self.lm_head(torch.tanh(self.proj(self.wte(ids))))


class Attention(nn.Module):
    """Grouped queries: keys and values have fewer rows."""

    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x):
        return torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x)], -1)


class Joined(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = Attention()

    def forward(self, x):
        return self.attn(x)


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.Module()
        self.attn.c_attn = nn.Linear(8, 16)

    def forward(self, x):
        return self.attn.c_attn(x)


def fill(model, seed):
    """Adapters start as nothing: give every trained tensor values that matter."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.requires_grad and "magnitude" in name:
            p.data = p.data * (1 + 0.3 * torch.rand(p.shape, generator=g))
        elif p.requires_grad:
            p.data = torch.randn(p.shape, generator=g) * 0.3
    return model


def save_adapter(base, config, folder, seed):
    model = fill(get_peft_model(base(), config), seed).eval()
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    return model


def clean(model):
    """Without paths and stack traces; the properties that exporters write about modules stay."""
    keep = {"namespace", "pkg.torch.onnx.name_scopes"}
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for item in [*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]:
        kept = [(p.key, p.value) for p in item.metadata_props if p.key in keep]
        del item.metadata_props[:]
        item.doc_string = ""
        for k, v in kept:
            item.metadata_props.add(key=k, value=v)
    return model


def export(model, args, path, names, dynamo=True, fold=True):
    with tempfile.TemporaryDirectory() as folder:
        temporary = pathlib.Path(folder) / "m.onnx"
        kwargs = dict(dynamo=True, external_data=False, optimize=fold) if dynamo else dict(dynamo=False, do_constant_folding=fold)
        torch.onnx.export(model, args, str(temporary), input_names=names, output_names=["y"], opset_version=18, **kwargs)
        onnx.save(clean(onnx.load(temporary)), path)


def nameless(path, keep_bias=False):
    """Takes away what says which module a weight belongs to."""
    m = onnx.load(path)
    new = {}
    for i, t in enumerate(m.graph.initializer):
        if not (keep_bias and t.name.endswith("bias")):
            new[t.name] = f"onnx::MatMul_{100 + i}"
            t.name = new[t.name]
    for n in m.graph.node:
        del n.metadata_props[:]
        n.name = ""
        n.input[:] = [new.get(i, i) for i in n.input]
    onnx.save(m, path)
    return new


CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def build(out, base, config, inputs, seed=1, options=None, names=("x",), merged=None, tolerance=1e-6, after=None, **exporting):
    torch.manual_seed(0)
    state = {k: v.clone() for k, v in base().state_dict().items()}

    def fresh():
        m = base()
        m.load_state_dict(state)
        return m.eval()

    save_adapter(fresh, config, out / "adapter", seed)
    export(fresh(), inputs, out / "base.onnx", list(names), **exporting)
    said = after(out, fresh) if after else {}
    if merged is None:
        model = PeftModel.from_pretrained(fresh(), str(out / "adapter")).eval().merge_and_unload().eval()
    else:
        model = merged(fresh, out)
    finish(out, model, inputs, names, {**(options or {}), **(said or {})}, tolerance)


def finish(out, model, inputs, names, options, tolerance):
    with torch.no_grad():
        y = model(*inputs)
    tensors = {f"in.{n}": t.contiguous() for n, t in zip(names, inputs)} | {"out.y": y.float().contiguous()}
    save_file(tensors, str(out / "expected.safetensors"))
    (out / "case.json").write_text(json.dumps(dict(options=options, tolerance=tolerance), indent=1) + "\n")


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


LINEAR = dict(r=3, lora_alpha=5, target_modules=["fc1", "fc2"])


@case
def linear_by_scope(out):
    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),))


@case
def linear_by_node_name(out):
    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),), dynamo=False)


@case
def linear_by_map(out):
    def after(out, fresh):
        new = nameless(out / "base.onnx")
        olds = [k for k in new if k.startswith("val_") or k.endswith("weight")]
        shapes = {t.name: list(t.dims) for t in onnx.load(out / "base.onnx").graph.initializer}
        weights = [new[k] for k in olds if len(shapes[new[k]]) == 2 and shapes[new[k]] != [8, 5]]
        modules = [f"blocks.{i}.{n}" for i in range(2) for n in ("fc1", "fc2")]
        assert len(weights) == 4
        return dict(map=",".join(f"{m}={w}" for m, w in zip(modules, weights)))

    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),), after=after)


@case
def linear_by_bias(out):
    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),), after=lambda o, f: nameless(o / "base.onnx", keep_bias=True) and None)


@case
def linear_by_value(out):
    def after(out, fresh):
        nameless(out / "base.onnx")
        save_file({k: v.contiguous() for k, v in fresh().state_dict().items()}, str(out / "model.safetensors"))
        return dict(base="@/model.safetensors")

    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),), after=after)


@case
def linear_by_shape(out):
    build(out, Mlp, LoraConfig(r=2, lora_alpha=4, target_modules=["head"]), (randn(2, 3, 8),), after=lambda o, f: nameless(o / "base.onnx") and None)


@case
def gemm(out):
    build(out, Flat, LoraConfig(r=2, lora_alpha=3, target_modules=["a", "b"]), (randn(4, 6),))


@case
def transposed(out):
    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),), dynamo=False, fold=False)


@case
def conv1d_fan_in_fan_out(out):
    build(out, Turned, LoraConfig(r=2, lora_alpha=3, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True), (randn(2, 3, 8),))


@case
def conv2d(out):
    build(out, Image, LoraConfig(r=2, lora_alpha=3, target_modules=["stem", "point", "plain"]), (randn(1, 3, 5, 5),))


@case
def conv1d(out):
    build(out, Sound, LoraConfig(r=2, lora_alpha=3, target_modules=["first", "second"]), (randn(1, 3, 12),))


@case
def embedding(out):
    ids = torch.tensor([[0, 3, 10], [7, 7, 1]])
    build(out, Words, LoraConfig(r=2, lora_alpha=3, target_modules=["wte", "lm_head"]), (ids,), names=["ids"])


@case
def embedding_tied(out):
    """The head shares the table, and has no adapter: PEFT's unmerged model says what is meant (its merge changes both)."""
    ids = torch.tensor([[0, 3, 10], [7, 7, 1]])
    unmerged = lambda fresh, out: PeftModel.from_pretrained(fresh(), str(out / "adapter")).eval()
    build(out, lambda: Words(tied=True), LoraConfig(r=2, lora_alpha=3, target_modules=["wte"]), (ids,), names=["ids"], merged=unmerged)


@case
def rank_stabilized_patterns(out):
    config = LoraConfig(**LINEAR, use_rslora=True, rank_pattern={"fc1": 4, r"blocks\.1\.fc[2-9]": 7}, alpha_pattern={r"^blocks\.0\.fc2$": 11})
    build(out, Mlp, config, (randn(2, 3, 8),))


@case
def dora_linear(out):
    build(out, Mlp, LoraConfig(**LINEAR, use_dora=True), (randn(2, 3, 8),))


@case
def dora_conv1d_fan_in_fan_out(out):
    build(out, Turned, LoraConfig(r=2, lora_alpha=3, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, use_dora=True), (randn(2, 3, 8),))


@case
def dora_conv2d(out):
    build(out, Image, LoraConfig(r=2, lora_alpha=3, target_modules=["stem", "point"], use_dora=True), (randn(1, 3, 5, 5),))


@case
def dora_embedding(out):
    ids = torch.tensor([[0, 3, 10], [7, 7, 1]])
    build(out, Words, LoraConfig(r=2, lora_alpha=3, target_modules=["wte"], use_dora=True), (ids,), names=["ids"])


@case
def bias_all(out):
    build(out, Mlp, LoraConfig(**LINEAR, bias="all"), (randn(2, 3, 8),))


@case
def bias_lora_only(out):
    build(out, Flat, LoraConfig(r=2, lora_alpha=3, target_modules=["a"], bias="lora_only"), (randn(4, 6),), dynamo=False)


@case
def lora_bias(out):
    build(out, Mlp, LoraConfig(**LINEAR, lora_bias=True), (randn(2, 3, 8),))


@case
def modules_to_save(out):
    build(out, Mlp, LoraConfig(**LINEAR, modules_to_save=["head", "norm"]), (randn(2, 3, 8),))


def fused(out, targets):
    """The optimizer of another project joined queries, keys and values."""

    def after(out, fresh):
        a = fresh().attn
        w = torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]).detach().T.contiguous().numpy()
        b = torch.cat([a.q_proj.bias, a.k_proj.bias, a.v_proj.bias]).detach().numpy()
        nodes = [helper.make_node("MatMul", ["x", "attn.qkv_proj.MatMul.weight"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
        value = lambda n, c: helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3, c])
        weights = [numpy_helper.from_array(w, "attn.qkv_proj.MatMul.weight"), numpy_helper.from_array(b, "b")]
        graph = helper.make_graph(nodes, "joined", [value("x", 8)], [value("y", 16)], weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), out / "base.onnx")

    build(out, Joined, LoraConfig(r=2, lora_alpha=3, target_modules=targets, lora_bias=True), (randn(2, 3, 8),), after=after)


@case
def fused_qkv(out):
    fused(out, ["q_proj", "k_proj", "v_proj"])


@case
def fused_qv_only(out):
    fused(out, ["q_proj", "v_proj"])


@case
def split_qkv(out):
    """The adapter has one module where the graph has three weights."""

    def after(out, fresh):
        weight, bias = fresh().attn.c_attn.weight.detach(), fresh().attn.c_attn.bias.detach()
        nodes, constants, at = [], [], 0
        for name, rows in (("q_proj", 8), ("k_proj", 4), ("v_proj", 4)):
            w, b = f"attn.{name}.MatMul.weight", f"attn.{name}.Add.bias"
            constants += [numpy_helper.from_array(weight[at : at + rows].T.contiguous().numpy(), w), numpy_helper.from_array(bias[at : at + rows].numpy(), b)]
            nodes += [helper.make_node("MatMul", ["x", w], [f"{name}_m"]), helper.make_node("Add", [f"{name}_m", b], [name])]
            at += rows
        nodes.append(helper.make_node("Concat", ["q_proj", "k_proj", "v_proj"], ["y"], axis=-1))
        value = lambda n, c: helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3, c])
        graph = helper.make_graph(nodes, "split", [value("x", 8)], [value("y", 16)], constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), out / "base.onnx")

    build(out, Whole, LoraConfig(r=2, lora_alpha=3, target_modules=["c_attn"]), (randn(2, 3, 8),), after=after)


def several(out, options, combination, second=None, weights=(0.7, -0.4), **kwargs):
    config = LoraConfig(**LINEAR)

    def merged(fresh, out):
        save_adapter(fresh, second or LoraConfig(**{**LINEAR, "lora_alpha": 2}), out / "adapter2", 2)
        m = PeftModel.from_pretrained(fresh(), str(out / "adapter"), adapter_name="one")
        m.load_adapter(str(out / "adapter2"), adapter_name="two")
        m.add_weighted_adapter(["one", "two"], list(weights), "both", combination_type=combination, **kwargs)
        m.set_adapter("both")
        return m.eval().merge_and_unload().eval()

    options = {"adapter": "@/adapter,@/adapter2", "weights": ",".join(map(str, weights)), **options}
    build(out, Mlp, config, (randn(2, 3, 8),), options=options, merged=merged)


@case
def several_cat(out):
    several(out, {}, "cat", LoraConfig(r=2, lora_alpha=4, target_modules=["fc2", "head"]))


@case
def several_linear_factors(out):
    several(out, {"of": "factors"}, "linear")


@case
def several_ties_factors(out):
    several(out, {"of": "factors", "combine": "ties", "density": 0.6}, "ties", density=0.6)


@case
def several_ties_frequency(out):
    options = {"of": "factors", "combine": "ties", "density": 0.6, "sign": "frequency"}
    several(out, options, "ties", density=0.6, majority_sign_method="frequency")


@case
def several_ties_deltas(out):
    several(out, {"combine": "ties", "density": 0.5, "rank": 4}, "ties_svd", density=0.5, svd_rank=4)


@case
def several_magnitude(out):
    several(out, {"combine": "magnitude", "density": 0.5, "rank": 3}, "magnitude_prune_svd", density=0.5, svd_rank=3)


@case
def half(out):
    """A base of 16 bits: merged in full precision, stored as it was."""

    def after(out, fresh):
        m = onnx.load(out / "base.onnx")
        for t in m.graph.initializer:
            if len(t.dims) == 2 and t.data_type == TensorProto.FLOAT:
                t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float16), t.name + "_half"))
        halves = {t.name[:-5] for t in m.graph.initializer if t.name.endswith("_half")}
        for name in halves:
            m.graph.node.insert(0, helper.make_node("Cast", [name + "_half"], [name], to=TensorProto.FLOAT))
        onnx.save(m, out / "base.onnx")

    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),), after=after, tolerance=2e-3)


def quantized(out, tolerance, rounding, opset=18):
    """Weights of whole numbers behind a DequantizeLinear; the reference is merged in full precision."""

    def after(out, fresh):
        m = onnx.load(out / "base.onnx")
        m.opset_import[0].version, m.ir_version = opset, 10
        kept = [t for t in m.graph.initializer if not (len(t.dims) == 2 and t.data_type == TensorProto.FLOAT)]
        for t in [t for t in m.graph.initializer if t not in kept]:
            codes, scale, zero, attrs = rounding(numpy_helper.to_array(t))
            operands = {f"{t.name}_quantized": codes, f"{t.name}_scale": scale} | ({f"{t.name}_zero_point": zero} if zero is not None else {})
            kept += [numpy_helper.from_array(v, k) for k, v in operands.items()]
            m.graph.node.insert(0, helper.make_node("DequantizeLinear", list(operands), [t.name], **attrs))
        del m.graph.initializer[:]
        m.graph.initializer.extend(kept)
        onnx.checker.check_model(m)
        onnx.save(m, out / "base.onnx")

    build(out, Mlp, LoraConfig(**LINEAR), (randn(2, 3, 8),), after=after, tolerance=tolerance)


@case
def quantized_per_channel(out):
    def rounding(w):
        scale = (np.abs(w).max(0) / 127).astype(np.float32)
        return np.round(w / scale).astype(np.int8), scale, None, dict(axis=1)

    quantized(out, 0.02, rounding)


@case
def quantized_asymmetric(out):
    def rounding(w):
        low, high = min(w.min(), 0), max(w.max(), 0)
        scale = np.float32((high - low) / 255)
        zero = np.uint8(round(-low / scale))
        return np.clip(np.round(w / scale) + zero, 0, 255).astype(np.uint8), np.array(scale), np.array(zero), {}

    quantized(out, 0.03, rounding)


@case
def quantized_blocks(out):
    def rounding(w):
        blocks = w.reshape(-1, 4, w.shape[1])
        scale = (np.abs(blocks).max(1) / 127).astype(np.float32)
        codes = np.round(blocks / scale[:, None]).astype(np.int8).reshape(w.shape)
        return codes, scale, np.zeros_like(scale, dtype=np.int8), dict(axis=0, block_size=4)

    quantized(out, 0.02, rounding, opset=21)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.only.split(",") if args.only else CASES:
        out = GOLDEN / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        CASES[name](out)
        print(name, sum(f.stat().st_size for f in out.rglob("*") if f.is_file()))


if __name__ == "__main__":
    main()
