"""The comparison with what people keep rows in instead: every one of them gives what was written, and is timed."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.peer_storages import BATCH, PEERS, Epoch, Peer
from tests.benchmarks.peers import bytes_below, main, peaked, require_what_was_written

from kcd_stores import cut_batches

OWN = [peer for peer in PEERS if peer.package == "kcd-pipeline"]


@pytest.mark.loops
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_an_epoch_of_each_peer_has_the_rows_that_were_written(tmp_path: Path, peer: Peer) -> None:
    pytest.importorskip(peer.package.replace("-", "_"))
    logits = peaked(2 * BATCH + 40, 12)
    peer.write(tmp_path, logits)
    order = np.random.default_rng(0).permutation(len(logits))
    require_what_was_written(peer, tmp_path, order, logits)
    seen = np.concatenate([index for index, _ in peer.epoch(tmp_path, order)])
    assert sorted(seen) == list(range(len(logits)))
    assert seen.tolist() != sorted(seen)


def test_the_table_has_a_line_for_each_and_ends_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rows", "1024", "--classes", "10", "--turns", "1", "--only", *(peer.name for peer in OWN), "numpy memmap"])
    *shown, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert (found["rows"], found["classes"], found["batch"]) == (1024, 10, 256)
    names = [line["name"] for line in found["results"]]
    assert sorted(names) == sorted([*(peer.name for peer in OWN), "numpy memmap"])
    assert [row.split(" | ")[0].removeprefix("| ") for row in shown[2:]] == names
    by_name = {line["name"]: line for line in found["results"]}
    # a row is 10 float16, after a head of 128 bytes for 1,024 rows
    assert by_name["numpy memmap"]["bytes_per_row"] == round((1024 * 10 * 2 + 128) / 1024, 1)
    rates = [line["rows_per_second"] for line in found["results"]]
    assert rates == sorted(rates, reverse=True)


def test_rows_of_another_sample_are_found(tmp_path: Path) -> None:
    def shifted(folder: Path, order: np.ndarray) -> Epoch:
        for index in cut_batches(order, BATCH):
            yield index, np.roll(logits, 1, axis=0)[index]

    logits = peaked(1024, 10)
    wrong = Peer(name="wrong", package="numpy", keeps="", write=lambda *_: None, epoch=shifted)
    with pytest.raises(AssertionError, match="wrong: the likeliest class"):
        require_what_was_written(wrong, tmp_path, np.arange(1024), logits)


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"12345")
    (tmp_path / "c").write_bytes(b"123")
    assert bytes_below(tmp_path) == 8
