"""docs/results/scaling.md shows the results of its formulas, and the formulas agree with real stores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.benchmarks.scaling import ENCODINGS, IMAGENET, LARGE, objects, ranking_bytes, raw_bytes, tables

from kcd_stores import KnowledgeWriter, choose_layout, make_encoding, row_bytes

PAGE = Path(__file__).parents[2] / "docs" / "results" / "scaling.md"


@pytest.mark.parametrize(("heading", "table"), tables().items(), ids=lambda part: part.split("|")[0])
def test_the_page_holds_the_table(heading: str, table: str) -> None:
    assert table in PAGE.read_text(encoding="utf-8"), f"print '{heading}' anew: python tests/benchmarks/scaling.py"


@pytest.mark.parametrize(("name", "settings"), ENCODINGS.items(), ids=list(ENCODINGS))
def test_a_real_store_has_the_objects_and_at_most_the_bytes_of_the_formula(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    encoding, classes, samples, views = make_encoding(name, **settings), 100, 1281, 2
    row = row_bytes(encoding, classes)
    layout = choose_layout(views=views, samples=samples, classes=classes, row_bytes=row)
    writer = KnowledgeWriter.create(tmp_path / "store.zarr", layout=layout, encoding=encoding, made_from={})
    random = np.random.default_rng(0)
    for view, block in layout.all_blocks():
        logits = random.uniform(-25, 45, (len(layout.rows(block)), classes)).astype(np.float32)
        writer.write_block(view, block, logits, seconds=0)
    store = writer.store
    assert layout.blocks == 2
    assert store.inventory.files() == layout.objects(len(encoding.arrays(classes)))
    assert (
        store.inventory.bytes_on_disk() <= views * samples * row * 1.02 + 20_000
    )  # metadata, which takes more than so few rows


def test_hand_worked_numbers() -> None:
    float16 = make_encoding("float16")
    assert raw_bytes(IMAGENET, float16, views=16) == 16 * 1_281_167 * 1000 * 2
    assert objects(IMAGENET, float16, views=1) == 40 + 3 + 1 + 1 + 3  # shards, records, metadata
    assert objects(LARGE, make_encoding("topk", k=8), views=1) == 3 * 191 + (2 + 10) + 1 + 3 + 3  # 524,288 rows a block
    # marks and indices are in files: two chunks in work with counts of their keys, and the smallest zone and its keys
    assert ranking_bytes(10**8, kept=0.7, blended=0.3) == 2 * (48 * 2**20 + 5 * 10**6) + 2**16 * (28 + 2 * 8)
    assert ranking_bytes(10**10, kept=0.7, blended=0.3) == ranking_bytes(10**8, kept=0.7, blended=0.3)
