"""Extraction by processes that are killed, and by those that decode pictures: the store is that of one process."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from PIL import Image
from tests.support.cluster import address, options, run, settings, wait_for, wait_for_a_block, with_set
from tests.support.files import knowledge_contents

from kcd_pipeline.config import load_config
from kcd_pipeline.extraction import Cluster, cluster_maker, extract_teacher
from kcd_pipeline.models import build_model, save_weights
from kcd_stores import KnowledgeStore


@pytest.mark.loops
def test_two_processes_of_its_own_decode_pictures_and_write_the_same_bytes(tmp_path: Path) -> None:
    """The workers here start processes that decode."""
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for number in range(24):
            file = tmp_path / "pictures" / part / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(file)
    (tmp_path / "pictures.yaml").write_text(
        f"data: {{name: imagefolder, root: {tmp_path / 'pictures'}, on_the_fly: true, image_size: 8, workers: 1}}\n"
        "augmentation: {name: resized-crop-flip}\n"
        f"teacher: {{model: resnet8, weights: {tmp_path / 'teacher.safetensors'}}}\n"
        f"store: {{path: {tmp_path / 'two.zarr'}, views: 2, block_rows: 8, batch_size: 8}}\n"
        "student: {model: resnet8}\n"
        "run: {threads: 1}\n"
    )
    save_weights(tmp_path / "teacher.safetensors", build_model("resnet8", channels=3, classes=2), {})
    code, said = run("extract-teacher", str(tmp_path / "pictures.yaml"), "--workers", "2")
    assert code == 0, said
    assert "6 blocks made and 0 found" in said
    extract_teacher(load_config(str(tmp_path / "pictures.yaml"), [f"store.path={tmp_path / 'one.zarr'}"]))
    assert knowledge_contents(tmp_path / "two.zarr") == knowledge_contents(tmp_path / "one.zarr")


@pytest.fixture(scope="module")
def long(home: Path) -> dict[str, bytes]:
    """A store of 24 views that one process made."""
    extract_teacher(settings(home, "long-alone.zarr", store__views=24))
    return knowledge_contents(home / "long-alone.zarr")


@pytest.mark.loops
@pytest.mark.parametrize("victims", [1, 2])
def test_blocks_of_workers_that_are_killed_are_made_by_those_left_or_that_come(
    home: Path,
    running: Client,
    long: dict[str, bytes],
    victims: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster_maker, "QUIET_SECONDS", 0.05)  # a nanny needs a third of a second
    store, killed = home / f"killed-{victims}.zarr", []
    pids = list(running.run(os.getpid).values())

    def kill() -> None:
        wait_for_a_block(store)
        for pid in pids[:victims]:
            os.kill(pid, signal.SIGKILL)
        killed.append(KnowledgeStore.open(store).complete().mean())

    killer = threading.Thread(target=kill)
    killer.start()
    extract_teacher(settings(home, store.name, store__views=24), cluster=Cluster(scheduler=address(running)))
    killer.join()
    assert 0 < killed[0] < 1, "they died in the middle"
    assert knowledge_contents(store) == long
    assert ("no worker is left; waiting for one to join" in capsys.readouterr().err) == (victims == 2)
    wait_for(running, 2)


@pytest.mark.loops
def test_ctrl_c_ends_everything_and_one_process_finishes_the_store(home: Path, long: dict[str, bytes]) -> None:
    command = [sys.executable, "-m", "kcd_pipeline", "extract-teacher", "digits", "--workers", "1"]
    process = subprocess.Popen(
        [*command, *with_set(options(home, "stopped.zarr", store__views=24))],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_a_block(home / "stopped.zarr")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    assert "Interrupted. What was complete is kept" in said
    assert "Traceback" not in said
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    store = KnowledgeStore.open(home / "stopped.zarr")
    assert 0 < store.complete().sum() < store.complete().size
    extract_teacher(settings(home, "stopped.zarr", store__views=24))
    assert knowledge_contents(home / "stopped.zarr") == long
