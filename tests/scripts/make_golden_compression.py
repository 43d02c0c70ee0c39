#!/usr/bin/env python3
"""What other tools make of the same weights: tests/golden/compression.bin, which passes/common/golden.rs reads.

usage: make_golden_compression.py [--check]     (bitsandbytes, hqq, ml_dtypes, numpy, onnxruntime, torch)

ONNX Runtime's MatMulNBits quantizer and its scales and zero points, bitsandbytes' NF4, the package of HQQ's authors, ml_dtypes' small floats,
torch's 8-bit floats; GPTQ, AWQ, SmoothQuant, Wanda, SparseGPT and SVD-LLM written down in NumPy from the papers.
"""
import argparse
from pathlib import Path

import ml_dtypes
import numpy as np
import torch
from bitsandbytes import functional as bnb
from hqq.core.quantize import Quantizer
from onnxruntime.capi import _pybind_state as ort
from onnxruntime.quantization.quant_utils import compute_scale_zp

import golden

TARGET = Path(__file__).resolve().parents[1] / "golden" / "compression.bin"
f32 = np.float32


class Draw:
    """Numbers that Rust can draw too."""

    def __init__(self, state):
        self.state = state

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return ((self.state >> 40) - 2**23) * 2.0 ** -(10 + (self.state >> 32) % 16)


def ranges():
    """Scale and zero point of 10 000 ranges: any, all positive, all negative, constant, nothing."""
    draw, scales, zeros, symmetric = Draw(1), [], [], []
    for i in range(10_000):
        a, b = draw.next(), draw.next()
        if i % 7 == 0:
            a, b = abs(a), abs(b)
        if i % 7 == 1:
            a, b = -abs(a), -abs(b)
        if i % 11 == 0:
            b = a
        if i % 101 == 0:
            a = b = 0.0
        low, high = f32(min(a, b)), f32(max(a, b))
        zero, scale = compute_scale_zp(low, high, np.array(0, np.uint8), np.array(255, np.uint8))
        scales.append(f32(scale))
        zeros.append(int(zero))
        symmetric.append(f32(compute_scale_zp(low, high, np.array(-127, np.int8), np.array(127, np.int8), symmetric=True)[1]))
    return np.array(scales), np.array(zeros, np.uint8), np.array(symmetric)


def fit(values, bits, symmetric):
    """Scale and zero point of a block as ONNX Runtime chooses them."""
    low, high = f32(min(values.min(), 0)), f32(max(values.max(), 0))
    top = f32(2**bits - 1)
    if symmetric:
        return (high if abs(high) > abs(low) else low) / f32(-(2 ** (bits - 1))), f32(2 ** (bits - 1))
    scale = (high - low) / top
    zero = -low / scale if scale != 0 else low
    return scale, f32(np.clip(np.floor(zero + f32(0.5)), 0, top))


def code(v, p, bits):
    v = f32(v) * (f32(1) / p[0] if p[0] != 0 else f32(0)) + p[1]
    rounded = np.sign(v) * np.floor(np.abs(v) + 0.5)
    return float(np.clip(rounded, 0, 2**bits - 1))


def real(c, p):
    return float((f32(c) - p[1]) * p[0])


def gptq(w, gram, bits, block, act_order):
    w, rows, columns = w.astype(np.float64), *w.shape
    h = gram.copy()
    mean = np.mean(np.diag(h))
    h[np.diag(h) == 0, np.diag(h) == 0] = 1
    h += 0.01 * mean * np.eye(columns)
    order = np.argsort(-np.diag(gram), kind="stable") if act_order else np.arange(columns)
    fixed = [[fit(w[r, b : b + block].astype(f32), bits, False) for b in range(0, columns, block)] for r in range(rows)]
    w, h = w[:, order], h[order][:, order]
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    codes = np.zeros((rows, columns), np.uint8)
    for c in range(columns):
        for r in range(rows):
            if c % block == 0 and not act_order:
                fixed[r][c // block] = fit(w[r, c : c + block].astype(f32), bits, False)
            p = fixed[r][order[c] // block]
            q = code(w[r, c], p, bits)
            codes[r, order[c]] = q
            w[r, c:] -= (w[r, c] - real(q, p)) / u[c, c] * u[c, c:]
    return codes


def rounded(w, bits, block):
    out = np.zeros_like(w, dtype=np.float64)
    codes = np.zeros(w.shape, np.uint8)
    for r in range(w.shape[0]):
        for b in range(0, w.shape[1], block):
            p = fit(w[r, b : b + block].astype(f32), bits, False)
            for c in range(b, min(b + block, w.shape[1])):
                codes[r, c] = code(w[r, c], p, bits)
                out[r, c] = real(codes[r, c], p)
    return out, codes


def awq(w, x, bits, block):
    w, gram, mean = w.astype(np.float64), x.T @ x, np.abs(x).mean(0)
    best = (np.inf, None)
    for step in range(20):
        s = np.maximum(mean ** (step / 20), 1e-4)
        s /= np.sqrt(s.max() * s.min())
        d = w - rounded(w * s, bits, block)[0] / s
        loss = np.sum((d @ gram) * d)
        if loss < best[0]:
            best = (loss, s)
    s = best[1]
    w, gram = w * s, gram / np.outer(s, s)
    for r in range(w.shape[0]):
        for b in range(0, w.shape[1], block):
            part, g = w[r, b : b + block], gram[b : b + block, b : b + block]
            choices = []
            for step in range(10):
                bound = np.abs(part).max() * (1 - step / 20)
                d = part - rounded(np.clip(part, -bound, bound)[None], bits, block)[0][0]
                choices.append((d @ g @ d, -step, bound))
            least = min(c[0] for c in choices)
            bound = next(c[2] for c in choices if c[0] == least)
            w[r, b : b + block] = np.clip(part, -bound, bound)
    return s, rounded(w, bits, block)[1]


def smooth(x, w, alpha):
    """SmoothQuant's scale of each channel, from its inputs (samples, channels) and weights (outputs, channels), as the nearest power of two."""
    scale = np.abs(x).max(0) ** alpha / np.abs(w).max(0) ** (1 - alpha)
    return 2.0 ** np.round(np.log2(scale))


def wanda(w, x, ratio):
    """What stays: in each row, all but the part `ratio` with the lowest |w| times the norm of the column's inputs."""
    score = np.abs(w) * np.sqrt(np.mean(x * x, 0))
    keep = np.ones(w.shape, np.uint8)
    lowest = np.argsort(score, axis=1, kind="stable")[:, : int(w.shape[1] * ratio)]
    np.put_along_axis(keep, lowest, 0, axis=1)
    return keep


def neighbours(score, keep, of):
    """What stays of each `of` columns side by side: the `keep` with the highest scores."""
    groups = score.reshape(score.shape[0], -1, of)
    out = np.ones(groups.shape, np.uint8)
    np.put_along_axis(out, np.argsort(groups, axis=2, kind="stable")[:, :, : of - keep], 0, axis=2)
    return out.reshape(score.shape)


def sparsegpt(w, gram, ratio, step, pattern=None):
    w, columns = w.astype(np.float64), w.shape[1]
    h = gram + 0.01 * np.mean(np.diag(gram)) * np.eye(columns)
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    for first in range(0, columns, step):
        part = slice(first, min(first + step, columns))
        score = w[:, part] ** 2 / np.diag(u)[part] ** 2
        if pattern:
            keep = neighbours(score, *pattern)
        else:
            # The lowest of the whole block of columns, not row by row.
            keep = np.ones(score.size, np.uint8)
            keep[np.argsort(score.ravel(), kind="stable")[: int(np.round(score.size * ratio))]] = 0
            keep = keep.reshape(score.shape)
        for c in range(part.start, part.stop):
            gone = keep[:, c - first] == 0
            error = np.where(gone, w[:, c] / u[c, c], 0)
            w[:, c:] -= error[:, None] * u[c, c:]
            w[gone, c] = 0
    return w


def svd_llm(w, gram, rank):
    """The best product of that rank for `w · x`."""
    s = np.linalg.cholesky(gram + 1e-4 * np.mean(np.diag(gram)) * np.eye(len(gram)))
    u, sigma, v = np.linalg.svd(w @ s, full_matrices=False)
    return (u[:, :rank] * sigma[:rank]) @ np.linalg.solve(s.T, v[:rank].T).T


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true", help="compare with the file that is there")
    check = arguments.parse_args().check
    rng, out = np.random.default_rng(0), {}

    out["range.scale"], out["range.zero"], out["range.symmetric"] = ranges()

    w = (rng.standard_normal((6, 80)) * rng.uniform(0.1, 3, (6, 1))).astype(f32)
    w[0, :32] = np.abs(w[0, :32])
    w[1, :32] = 0
    out["rtn.w"] = w
    padded = np.ascontiguousarray(np.pad(w.T, ((0, 16), (0, 0))))
    for bits, quantize in ((2, ort.quantize_matmul_2bits), (4, ort.quantize_matmul_4bits), (8, ort.quantize_matmul_8bits)):
        for symmetric in (False, True):
            codes = np.zeros((6, 3, 32 * bits // 8), np.uint8)
            scales, zeros = np.zeros((6, 3), f32), np.zeros((6, -(-3 * bits // 8)), np.uint8)
            quantize(codes, padded, scales, zeros, 32, 6, 80, symmetric)
            name = f"rtn.{bits}.{'symmetric' if symmetric else 'asymmetric'}"
            out[f"{name}.codes"], out[f"{name}.scales"], out[f"{name}.zeros"] = codes, scales, zeros

    # Whole blocks, enough of them for two groups of scales; and a last block that is not full.
    for name, shape in (("nf4", (20, 832)), ("nf4.ragged", (7, 33))):
        w = rng.standard_normal(shape).astype(f32) * rng.uniform(0.1, 2, (shape[0], 1)).astype(f32)
        codes, state = bnb.quantize_4bit(torch.tensor(w), blocksize=64, quant_type="nf4")
        double = bnb.quantize_4bit(torch.tensor(w), blocksize=64, quant_type="nf4", compress_statistics=True)[1]
        out[f"{name}.w"], out[f"{name}.codes"], out[f"{name}.absmax"] = w, codes.numpy().ravel(), state.absmax.numpy()
        out[f"{name}.double"], out[f"{name}.largest"] = double.absmax.numpy(), double.state2.absmax.numpy()
        out[f"{name}.offset"] = np.array([double.offset.item()], f32)
    out["nf4.table"] = bnb.create_dynamic_map().numpy()

    w = rng.standard_normal((16, 128)).astype(f32)
    out["hqq.w"] = w
    for bits in (2, 3, 4, 8):
        codes, meta = Quantizer.quantize(torch.tensor(w), nbits=bits, group_size=32, axis=1, bitpack=False, device="cpu")
        out[f"hqq.{bits}.codes"] = codes.numpy().astype(np.uint8)
        out[f"hqq.{bits}.scales"], out[f"hqq.{bits}.zeros"] = meta["scale"].numpy(), meta["zero"].numpy()

    w, x = rng.standard_normal((8, 160)).astype(f32), rng.standard_normal((400, 160)) @ (np.eye(160) + 0.1 * rng.standard_normal((160, 160)))
    x = (x * np.exp(rng.standard_normal(160))).astype(f32).astype(np.float64)
    x[:, 5] = 0
    out["gptq.w"], out["gptq.gram"] = w, (x.T @ x)[np.triu_indices(160)]
    w[:, 5] = 0
    for bits in (2, 3, 4):
        for act_order in (False, True):
            out[f"gptq.{bits}.{'ordered' if act_order else 'plain'}"] = gptq(w, x.T @ x, bits, 32, act_order)

    w, x = rng.standard_normal((8, 64)).astype(f32), (rng.standard_normal((100, 64)) * np.exp(1.5 * rng.standard_normal(64))).astype(f32).astype(np.float64)
    out["awq.w"], out["awq.x"] = w, x.astype(f32)
    for bits in (2, 3, 4):
        out[f"awq.{bits}.scales"], out[f"awq.{bits}.codes"] = awq(w, x, bits, 32)

    w, x = out["awq.w"].astype(np.float64), out["awq.x"].astype(np.float64)
    for alpha in (0.25, 0.5, 0.75):
        out[f"smooth.{alpha}"] = smooth(x, w, alpha)

    # Twenty layers, drawn on both sides.
    draw = Draw(5)
    for layer in range(20):
        rows, columns = 16 + layer, 37 + 4 * layer
        w = np.array([draw.next() for _ in range(rows * columns)]).reshape(rows, columns)
        x = np.array([draw.next() for _ in range(8 * columns)]).reshape(8, columns)
        out[f"wanda.{layer}"] = np.packbits(wanda(w, x, 0.3 + 0.02 * layer))

    w, x = out["gptq.w"].astype(np.float64), np.zeros((160, 160))
    x[np.triu_indices(160)] = out["gptq.gram"]
    gram = x + np.triu(x, 1).T
    gram[5, 5] = 1  # a column without inputs
    w[:, 5] = 0
    out["sparsegpt.free"] = sparsegpt(w, gram, 0.5, 128).astype(f32)
    out["sparsegpt.2:4"] = sparsegpt(w, gram, None, 4, (2, 4)).astype(f32)
    out["svd-llm"] = svd_llm(w, gram, 3).astype(f32)

    w = (rng.standard_normal((4, 64)) * np.exp2(rng.integers(-6, 6, (4, 64)))).astype(f32)
    w[0, :32] *= f32(7.5) / np.abs(w[0, :32]).max()
    w[3, :32] = 0
    out["mx.w"] = w
    blocks = w.reshape(-1, 32).astype(np.float64)
    amax = np.abs(blocks).max(1, keepdims=True)
    exponents = np.where(amax > 0, np.floor(np.log2(np.where(amax > 0, amax, 1))) - 2, -126)
    e2m1 = lambda v: np.clip(v, -6, 6).astype(f32).astype(ml_dtypes.float4_e2m1fn).view(np.uint8) & 15
    out["mx.codes"], out["mx.exponents"] = e2m1(blocks / np.exp2(exponents)), exponents.astype(np.int8).view(np.uint8)
    blocks = w.reshape(-1, 16)
    whole = f32(np.abs(w).max() / f32(448 * 6))
    scales = (np.abs(blocks).max(1, keepdims=True).astype(np.float64) / 6 / whole).astype(f32).astype(ml_dtypes.float8_e4m3fn)
    product = scales.astype(np.float64) * np.float64(whole)
    out["nv.codes"], out["nv.scales"] = e2m1(np.divide(blocks, product, out=np.zeros(blocks.shape), where=product != 0)), scales.view(np.uint8)
    out["nv.whole"] = np.array([whole])

    halves = np.arange(0x5F41, dtype=np.uint16).view(np.float16)
    out["fp8.codes"] = torch.tensor(halves).to(torch.float8_e4m3fn).view(torch.uint8).numpy()

    golden.write(TARGET, dict(sorted(out.items())), check)


if __name__ == "__main__":
    main()
