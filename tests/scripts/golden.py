"""The files of named arrays that the tests read as references: for each array its name and values, with their lengths as u32 in front and a
letter for the type between. All little endian; `passes/common/golden.rs` reads them.
"""
import struct

import numpy as np

KINDS = {np.dtype(np.uint8): b"u", np.dtype(np.float32): b"f", np.dtype(np.float64): b"d"}


def write(path, arrays, check):
    """Writes arrays by name; with `check` fails instead where the file holds anything else."""
    data = b""
    for name, values in arrays.items():
        values = np.ascontiguousarray(values)
        data += struct.pack("<I", len(name)) + name.encode() + KINDS[values.dtype] + struct.pack("<I", values.size) + values.tobytes()
    if not check:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        print(f"{path}: {len(arrays)} arrays, {len(data)} bytes")
    elif path.read_bytes() != data:
        raise SystemExit(f"{path} is not what this script writes")
