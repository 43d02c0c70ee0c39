#!/usr/bin/env python3
"""How PyTorch rounds to f16 and bf16: tests/golden/floats.txt, which passes/convert_float/golden.rs reads.

usage: make_golden_floats.py [--check]     (numpy, torch)

For each type a line per special case (`case f16 BITS CODE`: f32 bits, 16-bit code, hexadecimal), the hash of what all 65 536 codes are in
f32, and the hash of the codes of 1 000 000 f32 that Rust can draw too. NaNs are told apart from other numbers only, not from each other.
"""
import argparse
from pathlib import Path

import numpy as np
import torch

TARGET = Path(__file__).resolve().parents[1] / "golden" / "floats.txt"
TYPES = {"f16": (torch.float16, 5), "bf16": (torch.bfloat16, 8)}


def fnv(values):
    """FNV-1a over little-endian bytes."""
    h = 0xCBF29CE484222325
    for b in values.tobytes():
        h = (h ^ b) * 0x100000001B3 % 2**64
    return h


def drawn(count):
    """Bit patterns of f32: anything, and every fourth within the range of f16, where ties and subnormal numbers are."""
    out, state = np.empty(count, np.uint32), 1
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        bits = state >> 32
        if i % 4 == 0:  # exponents from 2^-27 to 2^17
            bits = bits & 0x807FFFFF | (100 + (state >> 8) % 45) << 23
        if i % 8 == 0:  # few bits: ties
            bits &= 0xFFFFF000
        out[i] = bits
    return out


def codes(bits, dtype):
    """16-bit codes, all NaNs the same."""
    x = torch.from_numpy(bits.view(np.float32).copy())
    c = x.to(dtype).view(torch.int16).numpy().view(np.uint16).copy()
    c[np.isnan(bits.view(np.float32))] = 0xFFFF
    return c


def specials(exponent_bits):
    """±0, ±inf, NaNs, the ends of the range, subnormal numbers, ties and their neighbours on either side."""
    mantissa, bias = 15 - exponent_bits, 2 ** (exponent_bits - 1) - 1
    values = [0.0, 2.0 ** (1 - bias), 2.0 ** (1 - bias - mantissa), 2.0 ** (-bias - mantissa), 1.0, 1e-12, 3.4028234663852886e38]
    values += [1 + 2.0 ** -(mantissa + 1), 1 + 3 * 2.0 ** -(mantissa + 1), 3 * 2.0 ** (-bias - mantissa)]
    largest = (2 - 2.0**-mantissa) * 2.0**bias
    values += [largest, (2 - 2.0 ** -(mantissa + 1)) * 2.0**bias]
    v = np.array(values, np.float32)
    v = np.concatenate([v, np.nextafter(v, np.float32(np.inf)), np.nextafter(v, np.float32(-np.inf)), np.float32([np.inf])])
    bits = np.concatenate([v.view(np.uint32), np.uint32([0x7F800001, 0x7FC00000, 0x7FFFFFFF, 1, 0x007FFFFF])])
    return np.unique(np.concatenate([bits, bits ^ 0x80000000]).astype(np.uint32))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    lines, bits = [], drawn(1_000_000)
    for name, (dtype, exponent_bits) in TYPES.items():
        for b, c in zip(specials(exponent_bits), codes(specials(exponent_bits), dtype)):
            lines.append(f"case {name} {b:08x} {c:04x}")
        wide = torch.from_numpy(np.arange(65536, dtype=np.uint16).view(np.int16).copy()).view(dtype).float().numpy().view(np.uint32).copy()
        wide[np.isnan(wide.view(np.float32))] = 0xFFFFFFFF
        lines.append(f"widened {name} {fnv(wide):016x}")
        lines.append(f"drawn {name} {fnv(codes(bits, dtype)):016x}")
    text = "\n".join(lines) + "\n"
    if check:
        assert TARGET.read_text() == text, f"{TARGET} is not what the script writes"
    else:
        TARGET.write_text(text)


main()
