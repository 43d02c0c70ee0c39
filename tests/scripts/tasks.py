"""Accuracy of a model on its labelled data: one function per task, `(session, arrays) -> score`."""
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


def text_lines(session, data):
    """Share of lines that are read without any error; spaces and case do not count."""
    plain = lambda text: text.replace(" ", "").lower()
    images, right = models.gray_to_image(data["x"]), 0
    for start in range(0, len(images), 8):
        scores = session.run(None, {session.get_inputs()[0].name: images[start : start + 8]})[0]
        for row, classes in enumerate(scores.argmax(-1)):
            right += plain(read_line(classes, data["chars"])) == plain(str(data["text"][start + row]))
    return right / len(images)


def recall(session, data):
    """Recall@1: how often a summary line is nearest to its own text, by cosine of the mean token vectors."""
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
    pairs, documents = int(data["npairs"]), int(data["ndocs"])
    questions, texts = vectors[2 * pairs : 2 * pairs + documents], vectors[2 * pairs + documents :]
    similarity = questions @ texts.T
    return float((similarity <= np.diag(similarity)[:, None]).all(1).mean())


# model: (task, its data below the set, what ONNX Runtime's best static int8 reaches, the task's name in an outside scorer, its key)
INT8 = {
    "digits_cnn": (digits, "trained/digits_cnn/test.npz", 0.9955, "classify", "accuracy"),
    "ppocr_v4_rec": (text_lines, "data/ocr_rec_v4.npz", 0.875, "ocr_rec_v4", "exact"),
    "minilm": (recall, "data/minilm_numpy.npz", 0.326, "minilm_numpy", "recall_at_1"),
}
