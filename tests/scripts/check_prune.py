"""Checks that a cut model is the masked one: what a pass removed, set to zero in the model as it was, gives the same outputs.

    LAPIDARY_MODELS=DIR python tests/scripts/check_prune.py [--lapidary BIN] [--only NAME] [--cut TEXT | --passes TEXT]

For each model of the set and each kind of cut that applies: `lapidary opt` cuts; this script finds out by itself, from the weights of both
files, which rows and columns are gone, sets them to zero in the original, and runs both in ONNX Runtime. Layer norms over columns that are
gone take their statistics over the rest in the masked model too (as a narrower model does). For removed layers the original is rewired with
`onnx` alone. Prints a table; exits with 1 when an output differs by more than 1e-5 of its largest value (by more
than what one rounding of the inputs does, in models that amplify it).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

CHANNELS = 'prune-channels{ratio=0.3}'
HEADS = 'prune-heads{ratio=0.25, score=magnitude}'
WIDTH = 'prune-width{ratio=0.3}'
HIDDEN = 'prune-width{ratio=0.25, hidden=true}'
LAYERS = 'prune-layers{layers="1|2"}'

# Model, the cuts that apply, sizes for the symbols of its inputs.
CASES = [
    ('exports/resnet50', [CHANNELS, LAYERS]),
    ('exports/mobilenet_v2', [CHANNELS, LAYERS]),
    ('exports/unet_small', [CHANNELS]),
    ('exports/detector_n', [CHANNELS]),
    ('exports/resnet18_ts13', [CHANNELS, 'prune-channels{ratio=0.3, score=bn-gamma}']),
    ('exports/vit_b_16', [HEADS, WIDTH, HIDDEN, LAYERS]),
    ('exports/bert_base', [HEADS, WIDTH, LAYERS]),
    ('exports/gpt2', [HEADS, WIDTH, HIDDEN, LAYERS]),
    ('exports/llama_100m', [HEADS, WIDTH, HIDDEN, LAYERS]),
    ('exports/gpt_sdpa_op23', [HEADS, WIDTH, HIDDEN, LAYERS]),
    ('charlm/charlm', [HEADS, WIDTH, HIDDEN, LAYERS]),
    ('registry/minilm', [HEADS, WIDTH, LAYERS]),
    ('registry/ppocr_v4_rec', [CHANNELS]),
    ('trained/author_bilstm/model', [WIDTH]),
    ('trained/digits_mlp/model', [WIDTH]),
    ('trained/digits_cnn/model', [CHANNELS]),
    ('trained/mnist_mobile/model', [CHANNELS]),
]
TOLERANCE = 1e-5


def kept_lanes(old, new):
    """For each axis that got shorter, the indices that are left; `None` where the values do not tell."""
    axes = [d for d in range(old.ndim) if old.shape[d] != new.shape[d]]
    if not axes or len(axes) > 2:
        return None
    rest = [d for d in range(old.ndim) if d not in axes]
    a = np.ascontiguousarray(old.transpose(axes + rest)).reshape([old.shape[d] for d in axes] + [-1])
    b = np.ascontiguousarray(new.transpose(axes + rest)).reshape([new.shape[d] for d in axes] + [-1])

    def subsequence(long, short):
        """Places of the rows of `short` in `long`, when there is one way only."""
        rows = {}
        for i, r in enumerate(long):
            rows.setdefault(r.tobytes(), []).append(i)
        found = [rows.get(r.tobytes(), []) for r in short]
        if any(len(f) != 1 for f in found):
            return None
        return [f[0] for f in found]

    if len(axes) == 1:
        found = subsequence(a, b)
        return None if found is None else {axes[0]: found}
    for i, j in np.argwhere((a == b[0, 0]).all(-1)):
        # One axis by a single row; the other then by all that is left of its rows, which numbers that happen to be equal do not confuse.
        rows, columns = subsequence(a[:, j], b[:, 0]), subsequence(a[i], b[0])
        if columns:
            rows = subsequence(np.ascontiguousarray(a[:, columns]), b)
        elif rows:
            columns = subsequence(np.ascontiguousarray(a[rows].swapaxes(0, 1)), np.ascontiguousarray(b.swapaxes(0, 1)))
        if rows and columns and np.array_equal(a[np.ix_(rows, columns)], b):
            return {axes[0]: rows, axes[1]: columns}
    return None


def masked(old, new, report):
    """The original with zeros where the cut model has nothing."""
    out = onnx.ModelProto()
    out.CopyFrom(old)
    before = {t.name: t for t in old.graph.initializer}
    after = {t.name: t for t in new.graph.initializer}
    for n in old.graph.node:
        if n.op_type == 'Constant':
            before[n.output[0]] = n.attribute[0].t
    for n in new.graph.node:
        if n.op_type == 'Constant':
            after[n.output[0]] = n.attribute[0].t
    nodes = {o: n for n in new.graph.node for o in n.output if o}
    stream = None
    cache = {}
    for n in out.graph.node:
        twin = next((nodes[o] for o in n.output if o in nodes), None)
        if twin is None:
            continue
        for slot, name in enumerate(n.input):
            if name not in before or slot >= len(twin.input) or twin.input[slot] not in after:
                continue
            a, b = before[name], after[twin.input[slot]]
            if list(a.dims) == list(b.dims) or a.data_type not in (1, 10, 11, 16) or len(a.dims) != len(b.dims):
                continue
            key = (name, twin.input[slot])
            if key not in cache:
                x, y = numpy_helper.to_array(a), numpy_helper.to_array(b)
                lanes = kept_lanes(x, y)
                if lanes is None:
                    # A bias of equal numbers: what reads it is masked, so it may stay.
                    report['open'] += int(sum(d > 1 for d in x.shape) > 1)
                    cache[key] = name
                    continue
                x = x.copy()
                for axis, left in lanes.items():
                    gone = np.ones(x.shape[axis], bool)
                    gone[left] = False
                    x[(slice(None),) * axis + (gone,)] = 0
                cache[key] = f'masked_{len(cache)}'
                out.graph.initializer.append(numpy_helper.from_array(x, cache[key]))
                report['masked'] += 1
                if n.op_type == 'Gather' and 1 in lanes:
                    stream = (x.shape[1], lanes[1])
                if n.op_type == 'Conv' and 0 in lanes and stream is None:
                    stream = (x.shape[0], lanes[0])
            n.input[slot] = cache[key]
    if report['hidden'] and stream:
        mask_statistics(out, new, *stream)
    return out


def mask_statistics(model, new, size, left):
    """Layer norms and means over the stream: over what is left."""
    mask = np.zeros(size, np.float32)
    mask[left] = 1
    g = model.graph
    g.initializer.append(numpy_helper.from_array(mask, 'stream_mask'))
    g.initializer.append(numpy_helper.from_array(np.float32(len(left)), 'stream_left'))
    g.initializer.append(numpy_helper.from_array(np.float32(size / len(left)), 'stream_scale'))
    g.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), 'last_axis'))
    nodes = []
    for i, n in enumerate(g.node):
        if n.op_type == 'LayerNormalization':
            p = f'mln{i}_'
            eps = next((a.f for a in n.attribute if a.name == 'epsilon'), 1e-5)
            g.initializer.append(numpy_helper.from_array(np.float32(eps), p + 'eps'))
            make = helper.make_node
            nodes += [
                make('Mul', [n.input[0], 'stream_mask'], [p + 'x']),
                make('ReduceSum', [p + 'x', 'last_axis'], [p + 's'], keepdims=1),
                make('Div', [p + 's', 'stream_left'], [p + 'm']),
                make('Sub', [p + 'x', p + 'm'], [p + 'd0']),
                make('Mul', [p + 'd0', 'stream_mask'], [p + 'd']),
                make('Mul', [p + 'd', p + 'd'], [p + 'q']),
                make('ReduceSum', [p + 'q', 'last_axis'], [p + 'qs'], keepdims=1),
                make('Div', [p + 'qs', 'stream_left'], [p + 'v']),
                make('Add', [p + 'v', p + 'eps'], [p + 've']),
                make('Sqrt', [p + 've'], [p + 'r']),
                make('Div', [p + 'd', p + 'r'], [p + 'n']),
                make('Mul', [p + 'n', n.input[1]], [p + 'w']),
                make('Add', [p + 'w', n.input[2]], [n.output[0]]),
            ]
        elif n.op_type == 'ReduceMean':
            inner = f'mean{i}'
            out = n.output[0]
            n.output[0] = inner
            nodes += [n, helper.make_node('Mul', [inner, 'stream_scale'], [out])]
        else:
            nodes.append(n)
    del g.node[:]
    g.node.extend(nodes)


def rewired(old, new):
    """The original with the inputs of the nodes that are left taken from the cut model: removed layers are replaced by identity."""
    out = onnx.ModelProto()
    out.CopyFrom(old)
    nodes = {o: n for n in new.graph.node for o in n.output if o}
    known = {o for n in old.graph.node for o in n.output} | {i.name for i in old.graph.input}
    count = 0
    for n in out.graph.node:
        twin = next((nodes[o] for o in n.output if o in nodes), None)
        for slot, name in enumerate(n.input):
            if twin is not None and slot < len(twin.input) and twin.input[slot] != name and twin.input[slot] in known:
                n.input[slot] = twin.input[slot]
                count += 1
    return out, count


def inputs_of(model, seed=0):
    """Random inputs: numbers below the size of the smallest table for integers."""
    rng = np.random.default_rng(seed)
    sizes = {'batch': 2, 'seq': 16}
    rows = [t.dims[0] for t in model.graph.initializer if len(t.dims) == 2 and any(t.name == n.input[0] for n in model.graph.node if n.op_type == 'Gather')]
    out = {}
    initializers = {t.name for t in model.graph.initializer}
    for i in model.graph.input:
        if i.name in initializers:
            continue
        t = i.type.tensor_type
        shape = [d.dim_value or sizes.get(d.dim_param, 2) for d in t.shape.dim]
        if len(shape) == 4 and t.elem_type == 1:
            shape = [s if d.dim_value or k < 2 else (48 if k == 2 else 320) for k, (d, s) in enumerate(zip(t.shape.dim, shape))]
        if t.elem_type == 1:
            out[i.name] = rng.standard_normal(shape, dtype=np.float32)
        elif 'mask' in i.name:
            out[i.name] = np.ones(shape, np.int64)
        else:
            out[i.name] = rng.integers(0, min(rows or [2]), shape, dtype=np.int64)
    return out


def parameters(model):
    tensors = list(model.graph.initializer) + [n.attribute[0].t for n in model.graph.node if n.op_type == 'Constant']
    return sum(int(np.prod(t.dims)) for t in tensors if t.data_type in (1, 10, 11))


def run(model, feeds, folder):
    # A model exported in training mode draws numbers.
    for n in model.graph.node:
        if n.op_type == 'Dropout':
            del n.input[2:]
    # Models above 2 GB cannot be passed as bytes; none here is, but files keep the peak low.
    path = Path(folder) / 'run.onnx'
    onnx.save(model, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Fusions round differently on the two models; what is compared here is the function.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider']).run(None, feeds)


# What char-LM must not exceed after a cut; no bar where none is promised.
PERPLEXITIES = [
    ('prune-heads{count=10, data="DATA", batch=48}', 3.9),
    ('prune-heads{count=10, metric=kl, data="DATA", batch=48}', 3.9),
    ('prune-heads{count=10, score=bonsai, runs=120, data="DATA", batch=48}', None),
    ('prune-heads{count=10, score=magnitude}', None),
    ('prune-width{ratio=0.25, data="DATA"}', None),
    ('prune-width{ratio=0.25, score=activation, data="DATA"}', None),
    ('prune-width{ratio=0.25}', None),
    ('prune-width{ratio=0.5, data="DATA"}', None),
    ('prune-width{ratio=0.25, hidden=true, data="DATA"}', None),
    ('prune-layers{count=1, data="DATA"}', None),
    ('prune-layers{count=1, score=ablation, metric=kl, data="DATA", batch=48}', None),
]


def perplexities(lapidary, folder):
    """Perplexity of char-LM on its test data after cuts that were chosen on its calibration data; returns how many miss their bar."""
    bad = 0
    test = np.load(folder / 'eval.npz')

    def perplexity(path):
        session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
        losses = []
        for i in range(0, len(test['tokens']), 32):
            z = session.run(None, {session.get_inputs()[0].name: test['tokens'][i : i + 32].astype(np.int64)})[0].astype(np.float64)
            z -= z.max(-1, keepdims=True)
            z -= np.log(np.exp(z).sum(-1, keepdims=True))
            losses.append(-np.take_along_axis(z, test['targets'][i : i + 32, :, None].astype(np.int64), -1).mean())
        return float(np.exp(np.mean(losses)))

    print(f'char-LM, perplexity {perplexity(folder / "charlm.onnx"):.3f}')
    for passes, bar in PERPLEXITIES:
        with tempfile.TemporaryDirectory() as out:
            path = Path(out) / 'cut.onnx'
            text = passes.replace('DATA', str(folder / 'calib.npz'))
            done = subprocess.run([lapidary, 'opt', str(folder / 'charlm.onnx'), '-o', str(path), '--passes', text, '-q'], capture_output=True, text=True)
            if done.returncode != 0:
                bad += 1
                print(f'  {passes:80} FAILED: {done.stderr.strip()[:400]}')
                continue
            value = perplexity(path)
            missed = bar is not None and value > bar
            bad += missed
            print(f'  {passes:80} {value:7.3f} {"" if bar is None else f"<= {bar}"} {"FAILED" if missed else ""}', flush=True)
    return bad


def rounding(shape):
    """Random signs."""
    return np.sign(np.random.default_rng(1).standard_normal(shape, dtype=np.float32))


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--lapidary', default='target/release/lapidary')
    p.add_argument('--only', default='')
    p.add_argument('--cut', default='', help='only cuts with this in their text')
    p.add_argument('--passes', help='this pipeline in place of the list of cuts')
    args = p.parse_args()
    root = os.environ.get('LAPIDARY_MODELS')
    if not root:
        sys.exit('LAPIDARY_MODELS is not set: the folder of the model set (see tests/scripts/README.md)')
    bad = skipped = 0
    print(f'{"model":28} {"cut":58} {"parameters":>10} {"difference":>10}')
    for name, cuts in CASES:
        source = Path(root) / f'{name}.onnx'
        if args.only not in name:
            continue
        if not source.exists():
            skipped += len(cuts)
            print(f'{name:28} skipped: no such file')
            continue
        old = onnx.load(source)
        feeds = inputs_of(old)
        for cut in [args.passes] if args.passes else [c for c in cuts if args.cut in c]:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / 'cut.onnx'
                began = time.time()
                done = subprocess.run([args.lapidary, 'opt', str(source), '-o', str(path), '--passes', cut, '-q'], capture_output=True, text=True)
                if done.returncode != 0:
                    bad += 1
                    print(f'{name:28} {cut:58} FAILED: {done.stderr.strip()[:400]}')
                    continue
                new = onnx.load(path)
                report = {'open': 0, 'masked': 0, 'hidden': 'hidden' in cut}
                if 'layers' in cut:
                    reference, report['masked'] = rewired(old, new)
                else:
                    reference = masked(old, new, report)
                a, b = run(new, feeds, folder), run(reference, feeds, folder)
                difference = max(float(np.abs(x - y).max() / max(np.abs(y).max(), 1e-30)) for x, y in zip(a, b) if x.dtype.kind == 'f')
                bound = TOLERANCE
                if difference > bound:
                    # A model that amplifies rounding is held to what its own inputs, off by one rounding, do to it.
                    off = {k: v * (1 + np.float32(2e-7) * rounding(v.shape)) if v.dtype.kind == 'f' else v for k, v in feeds.items()}
                    shaken = run(reference, off, folder)
                    bound = 2 * max(float(np.abs(x - y).max() / max(np.abs(y).max(), 1e-30)) for x, y in zip(shaken, b) if x.dtype.kind == 'f')
                ok = difference <= bound and report['open'] == 0 and report['masked'] > 0
                bad += not ok
                share = parameters(new) / parameters(old)
                print(f'{name:28} {cut:58} {100 * share:9.1f}% {difference:10.1e} {"" if ok else "FAILED " + str(report)} {time.time() - began:.0f} s', flush=True)
    if args.only in 'charlm/charlm' and not args.passes and not args.cut:
        bad += perplexities(args.lapidary, Path(root) / 'charlm')
    print(f'{bad} failed, {skipped} skipped')
    sys.exit(bad > 0)


if __name__ == '__main__':
    main()
