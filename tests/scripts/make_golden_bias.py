#!/usr/bin/env python3
"""Bias correction of a small net written down in NumPy: tests/golden/bias.bin, which passes/correct_bias/golden.rs reads.

usage: make_golden_bias.py [--check]     (numpy)

A convolution, Relu, a mean over places and a product, with weights and with rounded weights: what each channel's mean lacks on the data, layer by layer
(`sequential`) and all at once.
"""
import argparse
from pathlib import Path

import numpy as np

import golden

TARGET = Path(__file__).resolve().parents[1] / "golden" / "bias.bin"


def conv(x, w, b):
    """3x3 without padding, in f64."""
    n, c, h, width = x.shape
    out = np.zeros((n, w.shape[0], h - 2, width - 2))
    for i in range(3):
        for j in range(3):
            out += np.einsum("nchw,mc->nmhw", x[:, :, i : i + h - 2, j : j + width - 2], w[:, :, i, j])
    return out + b[:, None, None]


def rounded(w, axis, bits=3):
    """Symmetric codes per channel, back in f32."""
    other = tuple(a for a in range(w.ndim) if a != axis)
    scale = np.abs(w).max(other, keepdims=True) / (2 ** (bits - 1) - 1)
    return (np.round(w / scale) * scale).astype(np.float32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((6, 2, 6, 6)) + 0.7).astype(np.float32)
    w, b, v = (a.astype(np.float32) for a in (rng.standard_normal((5, 2, 3, 3)), rng.standard_normal(5), rng.standard_normal((5, 4))))
    wq, vq = rounded(w, 0), rounded(v, 1)
    wide = [a.astype(np.float64) for a in (x, w, b, v, wq, vq)]
    X, W, B, V, WQ, VQ = wide

    def run(w, v, first=0):
        c = conv(X, w, B + first)
        return c.mean((0, 2, 3)), (np.maximum(c, 0).mean((2, 3)) @ v).mean(0)

    float_first, float_second = run(W, V)
    first = float_first - run(WQ, VQ)[0]
    out = {"x": x, "w": w, "b": b, "v": v, "wq": wq, "vq": vq, "first": first}
    out["second"] = float_second - run(WQ, VQ, first)[1]
    out["second.at_once"] = float_second - run(WQ, VQ)[1]
    golden.write(TARGET, out, check)


main()
