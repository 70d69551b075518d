"""Encodings that are fitted to rows: settings, rows that suit them, and stores of such rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores import Encoding, KnowledgeStore, KnowledgeWriter, choose_layout, fitted_pca, fitted_pq, row_bytes

CORRELATED_CLASSES = 40


def pca_settings(classes: int, *, components: int = 2, k: int = 1) -> dict[str, Any]:
    """Return settings of `pca` that fit normal noise of deviation 4, and rows of one number between -40 and 40."""
    return fitted_pca(_noise(classes), components=components, k=k).settings()


def pq_settings(classes: int, *, code_bytes: int = 2, k: int = 1) -> dict[str, Any]:
    """Return settings of `pq` that fit normal noise of deviation 4, and rows of one number between -40 and 40."""
    return fitted_pq(_noise(classes), code_bytes=code_bytes, k=k).settings()


def _noise(classes: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(9).normal(0, 4, (500, classes))
    return np.concatenate([noise, np.full((1, classes), -40), np.full((1, classes), 40)]).astype(np.float32)


def correlated(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Return logits of six hidden causes and a little noise, as classes that resemble another vary together."""
    causes = np.random.default_rng(5).normal(0, 1, (6, CORRELATED_CLASSES)) * np.geomspace(3, 0.5, 6)[:, None]
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, (rows, 6)) @ causes + random.normal(0, 0.2, (rows, CORRELATED_CLASSES))
    return (noise - 1).astype(np.float32)


def write_view(path: Path, rows: NDArray[np.float32], encoding: Encoding, *, stopped: bool = False) -> KnowledgeStore:
    """Write `rows` to a store of one view, in blocks of 128; if `stopped`, by a writer each, the later blocks first."""
    samples, classes = rows.shape
    layout = choose_layout(
        views=1, samples=samples, classes=classes, row_bytes=row_bytes(encoding, classes), block_rows=128
    )
    writer = KnowledgeWriter.create(path, layout=layout, encoding=encoding, made_from={})
    blocks = [block for _, block in layout.all_blocks()]
    for block in reversed(blocks) if stopped else blocks:
        span = layout.rows(block)
        writer.write_block(0, block, rows[span.start : span.stop], seconds=0)
        writer = KnowledgeWriter.open(path) if stopped else writer
    return KnowledgeStore.open(path)


def shards(path: Path, *names: str) -> dict[str, bytes]:
    """Return the content of each shard of the arrays `names` of the store at `path`."""
    files = (file for name in names for file in (path / name / "c").rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def change_basis(path: Path) -> None:
    """Change the first letter of the basis in the attributes of the store at `path`."""
    metadata = path / "zarr.json"
    document = json.loads(metadata.read_text())
    found = document["attributes"]["encoding"]["basis"]
    document["attributes"]["encoding"]["basis"] = ("B" if found[0] == "A" else "A") + found[1:]
    metadata.write_text(json.dumps(document))
