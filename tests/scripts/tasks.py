"""Accuracy of a model on its labelled data: one function per task, `(session, arrays) -> score` (or scores by name)."""
import numpy as np

import models


def digits(session, data):
    """Share of images whose digit is right."""
    logits = session.run(None, {session.get_inputs()[0].name: data["x"]})[0]
    return float((logits.argmax(1) == data["y"]).mean())


def read_line(classes, characters):
    """The greedy reading of a CTC output: repeats merge, class 0 is a gap."""
    text, previous = [], 0
    for c in classes:
        if c != previous and c != 0:
            text.append(characters[c])
        previous = c
    return "".join(text)


def edits(a, b):
    """How many characters to insert, delete or replace to make `b` of `a`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        before, row = row, [i + 1]
        for j, y in enumerate(b):
            row.append(min(before[j + 1] + 1, row[j] + 1, before[j] + (x != y)))
    return row[-1]


def readings(session, data):
    """Pairs of what was read and what is written; spaces and case do not count."""
    plain = lambda text: text.replace(" ", "").lower()
    images, found = models.gray_to_image(data["x"]), []
    for start in range(0, len(images), 8):
        scores = session.run(None, {session.get_inputs()[0].name: images[start : start + 8]})[0]
        for row, classes in enumerate(scores.argmax(-1)):
            found.append((plain(read_line(classes, data["chars"])), plain(str(data["text"][start + row]))))
    return found


def text_lines(session, data):
    """Share of lines that are read without any error."""
    pairs = readings(session, data)
    return sum(read == written for read, written in pairs) / len(pairs)


def text(session, data):
    """Shares of lines and of characters that are read rightly."""
    pairs = readings(session, data)
    wrong, count = sum(edits(read, written) for read, written in pairs), sum(len(written) for _, written in pairs)
    return {"exact": sum(read == written for read, written in pairs) / len(pairs), "characters": 1 - wrong / count}


def turns(session, data):
    """Share of pages whose turn is right."""
    x, right = models.page_image(data["x"]).astype(np.float32), 0
    for start in range(0, len(x), 8):
        logits = session.run(None, {session.get_inputs()[0].name: x[start : start + 8]})[0]
        right += int((logits.argmax(1) == data["y"][start : start + 8]).sum())
    return right / len(x)


def vectors(session, data):
    """Mean token vectors of length 1, of all texts."""
    ids, mask, vectors = data["ids"].astype(np.int64), data["mask"].astype(np.int64), []
    for start in range(0, len(ids), 16):
        rows = slice(start, start + 16)
        length = int(mask[rows].sum(1).max())
        m = mask[rows, :length]
        feeds = {"input_ids": ids[rows, :length], "attention_mask": m, "token_type_ids": np.zeros_like(m)}
        hidden = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})[0]
        vectors.append((hidden * m[:, :, None]).sum(1) / m.sum(1)[:, None])
    vectors = np.concatenate(vectors)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def nearest(vectors, data):
    pairs, documents = int(data["npairs"]), int(data["ndocs"])
    questions, texts = vectors[2 * pairs : 2 * pairs + documents], vectors[2 * pairs + documents :]
    similarity = questions @ texts.T
    return float((similarity <= np.diag(similarity)[:, None]).all(1).mean())


def recall(session, data):
    """Recall@1: how often a summary line is nearest to its own text, by cosine of the mean token vectors."""
    return nearest(vectors(session, data), data)


def sentences(session, data):
    """Recall@1, and the rank correlation of the cosine of pairs with how similar people called them."""
    from scipy.stats import spearmanr

    found, pairs = vectors(session, data), int(data["npairs"])
    cosines = (found[:pairs] * found[pairs : 2 * pairs]).sum(1)
    return {"recall": nearest(found, data), "spearman": float(spearmanr(cosines, data["gold"]).statistic)}


# model: (task, its data below the set, what ONNX Runtime's best static int8 reaches, the task's name in an outside scorer, its key)
INT8 = {
    "digits_cnn": (digits, "trained/digits_cnn/test.npz", 0.9955, "classify", "accuracy"),
    "ppocr_v4_rec": (text_lines, "data/ocr_rec_v4.npz", 0.875, "ocr_rec_v4", "exact"),
    "minilm": (recall, "data/minilm_numpy.npz", 0.326, "minilm_numpy", "recall_at_1"),
}

# What static int8 with nothing but defaults must keep. model: (task, its data below the set, bars)
STATIC = {
    "minilm": (sentences, "data/minilm_numpy.npz", {"recall": 0.326, "spearman": 0.90}),
    "ppocr_v4_rec": (text, "data/ocr_rec_v4.npz", {"characters": 0.990, "exact": 0.90}),
    "mnist_mobile": (lambda s, d: {"accuracy": digits(s, d)}, "trained/mnist_mobile/test.npz", {"accuracy": 0.984}),
    "page_orientation": (lambda s, d: {"accuracy": turns(s, d)}, "data/orientation.npz", {"accuracy": 0.995}),
}
