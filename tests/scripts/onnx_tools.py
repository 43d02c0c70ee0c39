"""Looking into ONNX files: node counts, ONNX Runtime sessions, and which multiply-adds run in integers."""
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

ort.set_default_logger_severity(4)

WEIGHTED = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
# What ONNX Runtime makes of a weighted operator that stays in floats.
FLOAT_FUSED = {"FusedConv", "FusedMatMul", "FusedGemm", "TransposeMatMul", "NhwcFusedConv", "BiasGelu", "Attention", "MultiHeadAttention"}


def bodies(model):
    """Every list of nodes: the main graph, subgraphs, function bodies."""

    def walk(graph):
        yield graph.node
        for node in graph.node:
            for attribute in node.attribute:
                for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    yield from walk(body)

    yield from walk(model.graph)
    for function in model.functions:
        yield function.node


def count_nodes(model):
    """Nodes of the standard domain; functions and subgraphs count, Constants do not."""
    return sum(n.domain in ("", "ai.onnx") and n.op_type != "Constant" for nodes in bodies(model) for n in nodes)


def slim_count(path):
    """What onnxslim leaves."""
    import onnxslim

    return count_nodes(onnxslim.slim(str(path)))


def session(path, threads=1, level=None, save_to=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if level is not None:
        options.graph_optimization_level = level
    if save_to:
        options.optimized_model_filepath = str(save_to)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feeds(s, arrays):
    return {i.name: arrays[i.name] for i in s.get_inputs()}


def multiply_adds(path, arrays):
    """Multiply-adds of each float Conv, ConvTranspose, MatMul and Gemm of a model on these inputs: {node index: count}.

    The shapes come from a run in which the operators' inputs and outputs are graph outputs, so nothing has to be inferred.
    """
    model = onnx.load(path)
    nodes = [(i, n) for i, n in enumerate(model.graph.node) if n.op_type in WEIGHTED | FLOAT_FUSED]
    constants = {t.name: list(t.dims) for t in model.graph.initializer}
    for n in model.graph.node:
        if n.op_type == "Constant":
            constants.update({n.output[0]: list(a.t.dims) for a in n.attribute if a.name == "value"})
    declared = {o.name for o in model.graph.output} | {i.name for i in model.graph.input}
    wanted = []
    for _, n in nodes:
        for name in [n.input[0], n.input[1], n.output[0]]:
            if name not in constants and name not in declared and name not in wanted:
                wanted.append(name)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.onnx"
        onnx.save(model, probe)
        s = session(probe, 2, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        names = [o.name for o in s.get_outputs()]
        shapes = {name: list(value.shape) for name, value in zip(names, s.run(names, feeds(s, arrays)))}
    shapes |= constants | {name: list(value.shape) for name, value in arrays.items()}

    counts = {}
    for i, n in nodes:
        x, w, y = (shapes[name] for name in (n.input[0], n.input[1], n.output[0]))
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        if "ConvTranspose" in n.op_type:
            counts[i] = int(np.prod(x)) * int(np.prod(w[1:]))
        elif "Conv" in n.op_type:
            counts[i] = int(np.prod(y)) * int(np.prod(w[1:]))
        else:
            counts[i] = int(np.prod(y)) * (x[-2] if attributes.get("transA") else x[-1])
    return counts


def integer_share(float_path, quantized_path, arrays):
    """Which share of the float model's multiply-adds ONNX Runtime runs in integers, read off the graph that it really executes."""
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / "executed.onnx"
        session(quantized_path, 1, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, executed)
        left = sum(multiply_adds(executed, arrays).values())
    return 1 - left / sum(multiply_adds(float_path, arrays).values())


def worst_difference(got, want):
    """max|got − want| / max|want| over all outputs; shapes, types and the places of NaN and infinities must be equal."""
    worst = 0.0
    for name, w in want.items():
        if name not in got:
            raise RuntimeError(f"output '{name}' is missing")
        g = got[name]
        if g.shape != w.shape or g.dtype != w.dtype:
            raise RuntimeError(f"output '{name}' is {g.dtype}{list(g.shape)}, expected {w.dtype}{list(w.shape)}")
        if not w.size:
            continue
        if w.dtype.kind != "f":
            if not np.array_equal(g, w):
                raise RuntimeError(f"output '{name}' differs")
            continue
        finite = np.isfinite(w)
        if not np.array_equal(g[~finite], w[~finite], equal_nan=True) or not np.isfinite(g[finite]).all():
            raise RuntimeError(f"output '{name}': NaN or infinities stand elsewhere")
        if finite.any():
            a, b = g[finite].astype(np.float64), w[finite].astype(np.float64)
            scale = np.max(np.abs(b))
            error = np.max(np.abs(a - b))
            worst = max(worst, float(error / scale) if scale else (0.0 if error == 0 else np.inf))
    return worst
