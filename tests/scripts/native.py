"""An emitted library, opened through its C interface with ctypes. The structures are those of the header that stands beside a library."""
import ctypes as C

import numpy as np

DTYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}
CODES = {np.dtype(text): code for code, text in DTYPES.items()}


class ValueInfo(C.Structure):
    _fields_ = [("name", C.c_char_p), ("dtype", C.c_int32), ("rank", C.c_int32), ("dims", C.POINTER(C.c_int64)), ("symbols", C.POINTER(C.c_char_p))]


class Tensor(C.Structure):
    _fields_ = [("data", C.c_void_p), ("dtype", C.c_int32), ("rank", C.c_int32), ("dims", C.POINTER(C.c_int64))]


class Options(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("threads", C.c_int32),
        ("weights_path", C.c_char_p),
        ("alloc", C.c_void_p),
        ("free", C.c_void_p),
        ("user", C.c_void_p),
    ]


Alloc = C.CFUNCTYPE(C.c_void_p, C.c_size_t, C.c_size_t, C.c_void_p)
Free = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p)


class Api(C.Structure):
    _fields_ = [
        ("abi_version", C.c_uint32),
        ("count", C.CFUNCTYPE(C.c_int32, C.c_int32)),
        ("describe", C.CFUNCTYPE(C.c_int32, C.c_int32, C.c_int32, C.POINTER(ValueInfo))),
        ("create", C.CFUNCTYPE(C.c_void_p, C.POINTER(Options))),
        ("run", C.CFUNCTYPE(C.c_int32, C.c_void_p, C.POINTER(Tensor), C.POINTER(Tensor))),
        ("memory", C.CFUNCTYPE(C.c_size_t, C.c_void_p)),
        ("error", C.CFUNCTYPE(C.c_char_p, C.c_void_p)),
        ("destroy", C.CFUNCTYPE(None, C.c_void_p)),
    ]


class Library:
    """A loaded library with one context. `run` may be timed: it does nothing but the call."""

    def __init__(self, path, threads=1, counting=False):
        """`counting`: the context takes its memory from here, and `allocations` says how often it did."""
        options = Options(size=C.sizeof(Options), threads=threads)
        self.allocations = 0
        if counting:
            self.libc = C.CDLL(None)
            self.libc.aligned_alloc.restype, self.libc.aligned_alloc.argtypes = C.c_void_p, [C.c_size_t, C.c_size_t]
            self.libc.free.argtypes = [C.c_void_p]
            # Kept, since the library calls them as long as the context lives.
            self.calls = (Alloc(self.allocate), Free(lambda data, user: self.libc.free(data)))
            options.alloc, options.free = (C.cast(call, C.c_void_p) for call in self.calls)
        entry = C.CDLL(str(path)).lapidary_v1
        entry.restype = C.POINTER(Api)
        self.api = entry().contents
        self.context = self.api.create(C.byref(options))
        if not self.context:
            raise RuntimeError(f"create: {(self.api.error(None) or b'no message').decode()}")
        self.inputs = [self.describe(0, i) for i in range(self.api.count(0))]
        self.outputs = [self.describe(1, i) for i in range(self.api.count(1))]
        self.out = (Tensor * max(1, len(self.outputs)))()

    def allocate(self, size, align, user):
        self.allocations += 1
        return self.libc.aligned_alloc(align, -(-size // align) * align)

    def describe(self, is_output, index):
        info = ValueInfo()
        if self.api.describe(is_output, index, C.byref(info)):
            raise RuntimeError(f"describe: {(self.api.error(None) or b'no message').decode()}")
        return info.name.decode()

    def bind(self, arrays):
        """Sets the inputs of later runs; arrays by name."""
        self.arrays = [np.ascontiguousarray(arrays[name]) for name in self.inputs]
        self.dims = [(C.c_int64 * max(1, a.ndim))(*a.shape) for a in self.arrays]
        self.ins = (Tensor * max(1, len(self.inputs)))()
        for tensor, array, dims in zip(self.ins, self.arrays, self.dims):
            tensor.data, tensor.dtype, tensor.rank, tensor.dims = array.ctypes.data, CODES[array.dtype], array.ndim, dims

    def run(self):
        for tensor in self.out:
            tensor.data = None
        if self.api.run(self.context, self.ins, self.out):
            raise RuntimeError(f"run: {(self.api.error(self.context) or b'no message').decode()}")

    def results(self):
        """Copies of what the last run left, by name."""
        copies = {}
        for name, tensor in zip(self.outputs, self.out):
            shape, dtype = tuple(tensor.dims[d] for d in range(tensor.rank)), np.dtype(DTYPES[tensor.dtype])
            count = int(np.prod(shape, dtype=np.int64))
            data = C.string_at(tensor.data, count * dtype.itemsize) if count else b""
            copies[name] = np.frombuffer(data, dtype).reshape(shape).copy()
        return copies

    def memory(self):
        return self.api.memory(self.context)

    def close(self):
        if self.context:
            self.api.destroy(self.context)
            self.context = None
