"""The page docs/results/encodings-frontier.md: bytes a row against what is lost of a teacher of 1,000 classes.

    python tests/benchmarks/frontier_logits.py FOLDER ...     # once: the teacher's logits
    python -m tests.benchmarks.frontier FOLDER [--picture docs/results/encodings-frontier.svg]
    python -m tests.benchmarks.frontier FOLDER --bound    # what no code of Gaussian components goes below
    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.frontier FOLDER --decoding    # how long decoding takes

Tries the package's encodings and others (tests/benchmarks/frontier_candidates.py) on all views of some pictures.
Whatever is fitted is fitted to the files of the trial; what needs several views of a sample, to the first pictures,
which are not measured. Prints a table in Markdown, on which a dot is what no other beats in bytes and in divergence at
T = 4 both, and a line of JSON.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
from numpy.typing import NDArray
from tests.benchmarks import frontier_candidates as candidates
from tests.benchmarks.frontier_candidates import Logits, Trial

from kcd_stores import fitted_pca, fitted_pq, make_encoding, widened_range
from kcd_stores.encodings import Encoding, encoding_label

BATCH = 256  # rows that are decoded at once
FITTED_PICTURES = 64  # of the views, for what is fitted to several views
PCA = ((16, 0), (16, 2), (32, 0), (32, 4), (48, 0), (48, 4), (64, 0), (64, 8), (96, 0), (96, 8), (128, 8), (192, 16))
LARGE_PCA = ((255, 16), (384, 8), (480, 0), (480, 8), (640, 16))
PQ = ((4, 0), (8, 0), (12, 0), (16, 0), (20, 0), (26, 0), (32, 0), (48, 0), (64, 0), (96, 0), (128, 0), (196, 0))
CORRECTED = ("", ", corrected")
CORRECTED_PQ = ((8, 1), (16, 4), (24, 8), (48, 8), (96, 8), (128, 16), (192, 16))


def load(folder: Path) -> tuple[Logits, Logits]:
    """Return the rows of the trial `[n, C]` and all views `[pictures, v, C]`."""
    trial, views = (
        np.concatenate([np.load(file) for file in sorted(folder.glob(f"{name}-?????.npy"))])
        for name in ("trial", "views")
    )
    return trial[:, 0], views


def trials(fitted: Logits, known: Logits, views: Logits) -> Iterator[Trial]:
    """Try everything on `views[pictures, v, C]`, fitted to `fitted[n, C]` or to `known[pictures, v, C]`."""
    rows = views.reshape(-1, views.shape[-1])
    low, high = widened_range(fitted)
    plain: dict[str, dict[str, Any]] = {
        "float16": {},
        "bitround": {"keep_bits": 7},
        "int8": {"low": low, "high": high},
    }
    for name, settings in plain.items():
        yield candidates.of_package(name, "", make_encoding(name, **settings), rows)
    for k in (4, 8, 16, 32, 64, 128):
        yield candidates.of_package("topk", f"k={k}", make_encoding("topk", k=k), rows)
    for components, k in PCA + LARGE_PCA:
        encoding = fitted_pca(fitted, components=components, k=k)
        yield candidates.of_package(f"pca{CORRECTED[k > 0]}", f"{components}, k={k}", encoding, rows)
    for code_bytes, k in PQ + CORRECTED_PQ:
        words = fitted_pq(fitted, code_bytes=code_bytes, k=k)
        yield candidates.of_package(f"pq{CORRECTED[k > 0]}", f"{code_bytes}, k={k}", words, rows)
    for step in (0.25, 0.5, 1.0, 2.0):
        yield candidates.even_steps(rows, step)
        yield candidates.beside_mean_view(views, step)
    for bits in (8, 4, 2):
        yield candidates.of_own_range(rows, bits)
    for k, bits in ((8, 8), (16, 4), (16, 8), (64, 6), (128, 8)):
        yield candidates.packed_top(rows, k, bits)
    for mass in (0.5, 0.8, 0.95):
        yield candidates.by_mass(rows, mass)
    for k in (16, 64, 256):
        yield candidates.fitted_curve(rows, k)
    yield candidates.with_dictionary(rows, fitted, 0.5)
    for components, k in ((8, 2), (16, 4), (32, 4), (64, 8)):
        yield candidates.components_beside_mean_view(views, fitted, known, components, k)


def log_softmax(logits: Logits, temperature: float) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))


def compared(trial: Trial, rows: Logits, teacher: dict[float, NDArray[np.float64]]) -> dict[str, Any]:
    """Return bytes a row, the mean KL(teacher || stored) in nats at each temperature, and top-1 agreement."""
    found: dict[str, Any] = {"family": trial.family, "settings": trial.settings, "bytes": trial.row_bytes}
    for temperature, logs in teacher.items():
        stored = log_softmax(trial.logits, temperature)
        found[f"kl_{temperature:g}"] = float((np.exp(logs) * (logs - stored)).sum(axis=1).mean())
    found["top1"] = float((trial.logits.argmax(axis=1) == rows.argmax(axis=1)).mean())
    return found


def mark_frontier(lines: list[dict[str, Any]]) -> None:
    """Mark the lines that no other beats in bytes and in divergence at T = 4 both."""
    for line in lines:
        line["frontier"] = not any(
            other["bytes"] <= line["bytes"] and other["kl_4"] <= line["kl_4"] for other in lines if other is not line
        )


def time_decoding(fitted: Logits, rows: Logits) -> None:
    """Print, for some encodings, how long decoding batches of 256 rows in random order takes, in microseconds a row."""
    low, high = widened_range(fitted)
    encodings: list[Encoding] = [
        make_encoding("float16"),
        make_encoding("int8", low=low, high=high),
        make_encoding("topk", k=8),
    ]
    encodings += [fitted_pca(fitted, components=components, k=8) for components in (32, 64, 255)]
    encodings += [fitted_pq(fitted, code_bytes=code_bytes, k=k) for code_bytes, k in ((20, 0), (32, 8), (96, 8))]
    order = np.random.default_rng(0).permutation(len(rows))
    batches = np.split(order, range(BATCH, len(order), BATCH))
    for encoding in encodings:
        parts = encoding.encode(rows, view=0, first=0)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for batch in batches:
                encoding.decode({name: part[batch] for name, part in parts.items()}, rows.shape[1]).astype(np.float32)
            times.append(time.perf_counter() - started)
        print(f"{encoding_label(encoding)}: {min(times) / len(rows) * 1e6:.2f} µs")


def print_bound(fitted: Logits, rows: Logits) -> None:
    """Print the least divergence at T = 4, to second order, of Gaussian components as wide as those of `rows[n, C]`.

    Components are fitted to `fitted[n, C]`, weighed by its mean distribution. By reverse water-filling (Cover and
    Thomas 2006, "Elements of Information Theory", theorem 10.3.3): a component takes log2(variance / level) / 2 bits.
    """
    shares = np.exp(log_softmax(fitted, 4)).mean(axis=0)

    def weighed(logits: Logits) -> NDArray[np.float64]:
        return (logits - (logits @ shares)[:, None]) * np.sqrt(shares)

    mean = weighed(fitted).mean(axis=0)
    _, _, directions = np.linalg.svd(weighed(fitted) - mean, full_matrices=False)
    variances = (((weighed(rows) - mean) @ directions.T) ** 2).mean(axis=0)
    levels = np.geomspace(variances.max(), variances.max() * 1e-9, 20_000)
    for row_bytes in (8, 20, 48, 96, 200):
        level = next(each for each in levels if np.log2(np.maximum(variances / each, 1)).sum() / 2 >= 8 * row_bytes)
        print(f"{row_bytes} bytes: {np.minimum(variances, level).sum() / 2 / 4**2:.2e}")


PANELS = {
    "kl_4": "mean KL at T = 4 (nats)",
    "kl_1": "mean KL at T = 1 (nats)",
    "disagreement": "share of rows with another largest class",
}
LEAST = {"kl_4": 1e-6, "kl_1": 1e-5, "disagreement": 3e-4}  # less is drawn there
WISHES = ({"bytes": 20, "kl_4": 1e-2}, {"bytes": 200, "kl_4": 1e-3})


def draw(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return an SVG of bytes a row against divergence at T = 4 and 1, and against disagreement, a line for a family."""
    values = [dict(line) | {"disagreement": 1 - line["top1"]} for line in lines]
    for value in values:
        value |= {key: max(value[key], least) for key, least in LEAST.items()}
    families = list(dict.fromkeys(line["family"] for line in lines))
    bytes_axis = {"field": "bytes", "type": "quantitative", "scale": {"type": "log"}, "title": "bytes a row"}
    family = {"field": "family", "type": "nominal", "sort": families, "title": None}

    def panel(key: str, title: str) -> dict[str, Any]:
        height = {"field": key, "type": "quantitative", "scale": {"type": "log"}, "title": None}
        layers: list[dict[str, Any]] = [
            {"mark": {"type": "point", "filled": True, "size": 35}, "encoding": {"shape": family | {"legend": None}}},
        ]
        if key != "disagreement":  # where a family has no order in bytes
            layers.append({"mark": {"type": "line", "strokeWidth": 1}, "encoding": {}})
        if key == "kl_4":
            mark = {"type": "point", "shape": "M-1,0L1,0M0,-1L0,1", "size": 120}
            layers.append({"data": {"values": list(WISHES)}, "mark": mark, "encoding": {"color": {"value": "black"}}})
        encoding = {"x": bytes_axis, "y": height, "color": family}
        return {"title": title, "width": 330, "height": 320, "layer": layers, "encoding": encoding}

    spec = {
        "data": {"values": values},
        "background": "white",
        "hconcat": [panel(key, title) for key, title in PANELS.items()],
        "config": {"range": {"category": {"scheme": "tableau20"}}},
    }
    return vl_convert.vegalite_to_svg(spec)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--decoding", action="store_true")
    parser.add_argument("--bound", action="store_true")
    given = parser.parse_args()
    fitted, everything = load(given.folder)
    known, views = everything[:FITTED_PICTURES], everything[FITTED_PICTURES:]
    rows = views.reshape(-1, views.shape[-1])
    if given.bound:
        print_bound(fitted, rows)
        return
    if given.decoding:
        time_decoding(fitted, rows)
        return
    teacher = {temperature: log_softmax(rows, temperature) for temperature in (1.0, 4.0)}
    lines = [compared(trial, rows, teacher) for trial in trials(fitted, known, views)]
    mark_frontier(lines)
    print("| encoding | settings | bytes a row | KL, T = 4 | KL, T = 1 | top-1 | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for line in sorted(lines, key=lambda line: line["bytes"]):
        print(
            f"| {line['family']} | {line['settings']} | {line['bytes']:.1f} | {line['kl_4']:.1e} | {line['kl_1']:.1e} "
            f"| {line['top1']:.1%} | {'•' if line['frontier'] else ''} |"
        )
    facts = {"fitted_rows": len(fitted), "pictures": len(views), "views": views.shape[1], "classes": rows.shape[1]}
    print(json.dumps({"benchmark": "frontier", **facts, "lines": lines}))
    if given.picture:
        given.picture.write_text(draw(lines))


if __name__ == "__main__":
    main()
