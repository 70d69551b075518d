"""Extraction by several processes: the store is that of one process, and what is not fit for it is refused."""

import os
import shutil
import signal
import sys
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from distributed import Client
from distributed.comm import CommClosedError
from tests.support.cluster import address, options, run, scale, settings, wait_for, with_set
from tests.support.files import knowledge_contents
from tests.support.plain_zarr import read_array

from kcd_pipeline.errors import UserError
from kcd_pipeline.extraction import Cluster, cluster_maker, extract_teacher
from kcd_pipeline.extraction.worker import FinishedBlock, Job, WorkerJob, block_facts
from kcd_pipeline.models import build_model, load_weights, save_weights
from kcd_pipeline.teacher_rows import Extractor
from kcd_stores import KnowledgeStore, KnowledgeWriter

# --- the same store -----------------------------------------------------------------------------------------


def test_workers_of_a_running_cluster_write_the_bytes_of_one_process(home: Path, running: Client) -> None:
    code, said = run("extract-teacher", "digits", *with_set(options(home, "two.zarr")), "--scheduler", address(running))
    assert code == 0, said
    assert knowledge_contents(home / "two.zarr") == knowledge_contents(home / "alone.zarr")
    assert np.isfinite(read_array(home / "two.zarr", "seconds")).all()


@pytest.mark.parametrize(
    ("name", "chosen", "steps"),
    [
        ("int8", {"store__encoding": "int8"}, [(3, 2)]),  # its range comes from the views that are asked for at first
        ("sample", {"store__encoding": "sample"}, [(1, 2), (3, 2)]),
        ("features", {"store__encoding": "topk", "store__features": True}, [(1, 1), (3, 3)]),
    ],
)
def test_any_encoding_views_added_later_and_any_number_of_workers_are_the_bytes_of_one_process(
    home: Path, running: Client, name: str, chosen: dict[str, Any], steps: list[tuple[int, int]]
) -> None:
    """Each step is a pair: the number of views in all, and the number of workers."""
    extract_teacher(settings(home, f"{name}-alone.zarr", **chosen))
    for views, workers in steps:
        scale(running, workers)
        shared = settings(home, f"{name}.zarr", **chosen, store__views=views)
        extract_teacher(shared, cluster=Cluster(scheduler=address(running)))
    scale(running, 2)
    assert knowledge_contents(home / f"{name}.zarr") == knowledge_contents(home / f"{name}-alone.zarr")


def test_workers_that_do_not_see_the_weights_are_sent_them(
    home: Path, running: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    original = cluster_maker._weights_to_send

    def noting(extractor: Any) -> Any:
        sent.append(original(extractor))
        return sent[-1]

    monkeypatch.setattr(cluster_maker, "file_is_visible", lambda path: False)
    monkeypatch.setattr(cluster_maker, "_weights_to_send", noting)
    extract_teacher(settings(home, "sent.zarr"), cluster=Cluster(scheduler=address(running)))
    assert len(sent) == 1
    assert knowledge_contents(home / "sent.zarr") == knowledge_contents(home / "alone.zarr")


def test_the_loss_of_the_last_worker_is_reported_although_its_block_arrives_late(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster_maker, "QUIET_SECONDS", 0.01)
    told, ended = (
        FinishedBlock(view=1, block=2, seconds=0.5, checksums=np.zeros(2, np.uint32), worker="another"),
        SimpleQueue[Any](),
    )
    future = Mock(status="finished", result=Mock(side_effect=[TimeoutError(), TimeoutError(), told]))
    ended.put(future)
    alone = cluster_maker.ClusterMaker(Mock(status="running", nthreads=dict), Mock())
    assert alone._next(ended) == (future, told)
    assert capsys.readouterr().err.count("no worker is left") == 1


def test_a_block_that_every_worker_dies_of_ends_the_command(
    home: Path, running: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def allow(failures: int, dask_scheduler: Any) -> int:
        before: int = dask_scheduler.allowed_failures
        dask_scheduler.allowed_failures = failures
        return before

    monkeypatch.setattr(cluster_maker, "make_block", deadly)
    assert running.run_on_scheduler(allow, 0) == 3, "the fourth death is the last one, as the documentation says"
    chosen = options(home, "deadly.zarr", store__views=1, store__block_rows=512)
    try:
        code, said = run("extract-teacher", "digits", *with_set(chosen), "--scheduler", address(running))
    finally:
        running.run_on_scheduler(allow, 3)
    assert code == 1, said
    assert "a block was given up" in said
    assert "use fewer, or smaller ones (store.block_rows)" in said
    wait_for(running, 2)


def test_a_scheduler_that_is_lost_ends_the_command(
    home: Path, running: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(future: Any) -> None:
        raise CommClosedError("in <TCP>: Stream is closed")

    monkeypatch.setattr(cluster_maker, "_result", lost)
    code, said = run(
        "extract-teacher", "digits", *with_set(options(home, "lost.zarr")), "--scheduler", address(running)
    )
    assert code == 1
    assert "the scheduler of the cluster was lost. What is complete is kept" in said


def test_a_time_that_runs_out_in_a_worker_is_no_reason_to_wait(
    home: Path, running: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> None:
        raise TimeoutError("of a server")

    monkeypatch.setattr(cluster_maker, "make_block", slow)
    with pytest.raises(TimeoutError, match="of a server"):
        extract_teacher(settings(home, "slow.zarr"), cluster=Cluster(scheduler=address(running)))


def test_a_teacher_that_says_nothing_finite_ends_the_command(home: Path, running: Client) -> None:
    model = build_model("resnet8", channels=1, classes=10)
    torch.nn.init.constant_(model.get_parameter("fc.bias"), float("nan"))
    save_weights(home / "nan.safetensors", model, {})
    chosen = options(home, "alone.zarr", teacher__weights=home / "nan.safetensors")
    before = knowledge_contents(home / "alone.zarr")
    code, said = run("extract-teacher", "digits", *with_set(chosen), "--overwrite", "--scheduler", address(running))
    assert code == 1
    assert "is nan" in said
    assert knowledge_contents(home / "alone.zarr") == before


# --- workers that are not fit -------------------------------------------------------------------------------


def become(what: str, other: Path | None = None) -> None:
    """Give the calling worker another version, teacher, data set or store; "itself" undoes it."""
    import kcd_pipeline.data.digits as digits
    import kcd_pipeline.extraction.worker as worker
    import kcd_pipeline.teacher.description as description
    import kcd_pipeline.teacher.load as load_module
    from kcd_pipeline import versions

    versions.__version__ = "0.1.0"  # type: ignore[attr-defined]  # imported there, not exported
    description.load_weights = load_module.load_weights = load_weights  # type: ignore[attr-defined]  # imported there, not exported
    digits.load = getattr(digits, "true_load", digits.load)
    worker.KnowledgeWriter = KnowledgeWriter  # type: ignore[attr-defined]  # imported there, not exported
    if what == "version":
        versions.__version__ = "0.0.9"  # type: ignore[attr-defined]  # imported there, not exported
    if what == "teacher":
        description.load_weights = load_module.load_weights = lambda path: load_weights(other)  # type: ignore[attr-defined,arg-type]
    if what == "data":
        digits.true_load = load = digits.load  # type: ignore[attr-defined]  # imported there, not exported

        def load_another() -> Any:
            train, test, classes = load()
            train.images[7, 0, 0, 0] += 1
            return train, test, classes

        digits.load = load_another
    if what == "store":
        assert other is not None
        own = other / str(os.getpid())

        class Elsewhere:
            @staticmethod
            def join(path: str, *, identity: str) -> KnowledgeWriter:
                shutil.copytree(path, own)
                return KnowledgeWriter.join(own, identity=identity)

        worker.KnowledgeWriter = Elsewhere  # type: ignore[attr-defined,assignment]


@pytest.mark.parametrize(
    ("what", "difference"),
    [
        ("version", "software.kcd-pipeline: found 0.0.9, expected 0.1.0"),
        ("teacher", "teacher.weights_sha256: found"),
        ("data", "dataset.fingerprint: found"),
    ],
)
def test_a_worker_that_has_something_else_is_refused(home: Path, running: Client, what: str, difference: str) -> None:
    wait_for(running, 2)
    workers = list(running.nthreads())
    running.run(become, what, home / "other.safetensors", workers=workers[1:])
    before = knowledge_contents(home / "alone.zarr")
    try:
        code, said = run(
            "extract-teacher", "digits", *with_set(options(home, "alone.zarr")), "--overwrite",
            "--scheduler", address(running),
        )  # fmt: skip
    finally:
        running.run(become, "itself")
    assert code == 2, said
    assert difference in said
    assert workers[1] in said
    assert workers[0] not in said
    assert knowledge_contents(home / "alone.zarr") == before, "refused before anything is replaced"


def test_a_store_that_only_the_workers_see_is_noticed(home: Path, running: Client, tmp_path: Path) -> None:
    running.run(become, "store", tmp_path)
    chosen = options(home, "unseen.zarr")
    try:
        code, said = run("extract-teacher", "digits", *with_set(chosen), "--scheduler", address(running))
    finally:
        running.run(become, "itself")
    assert code == 1, said
    assert f"is not at {home / 'unseen.zarr'} as seen from here" in said
    assert not KnowledgeStore.open(home / "unseen.zarr").complete().any()


def test_all_libraries_are_compared_before_and_when_a_worker_joins(home: Path) -> None:
    found = block_facts(Extractor(settings(home, "alone.zarr")))
    assert {*found["software"], *found["compression"]} == {"python", *cluster_maker.LIBRARIES}


def test_a_worker_that_joins_later_is_looked_at_before_its_first_block(home: Path) -> None:
    config = settings(home, "alone.zarr")
    expected = block_facts(Extractor(config))
    expected["software"] = expected["software"] | {"torch": "2.0.0"}
    job = WorkerJob(Job(key="k", config=config, block_facts=expected, weights=None), "late at tcp://127.0.0.1:1")
    with pytest.raises(UserError, match=r"late at tcp://127.0.0.1:1 would make other knowledge[\s\S]*software.torch"):
        _ = job.extractor


def test_a_worker_of_other_libraries_is_refused_before_it_is_sent_anything(
    home: Path, running: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = running.get_versions

    def versions(self: Client, packages: list[str]) -> Any:
        found = original(packages=packages)
        next(iter(found["workers"].values()))["packages"]["torch"] = "2.0.0"
        return found

    monkeypatch.setattr(Client, "get_versions", versions)
    with pytest.raises(UserError, match=r"other libraries[\s\S]*torch: found 2.0.0, expected"):
        extract_teacher(settings(home, "never.zarr"), cluster=Cluster(scheduler=address(running)))
    assert not (home / "never.zarr").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are glibc's")
def test_memory_that_layers_free_is_used_again_in_a_worker() -> None:
    def faults_of_next_use() -> int:
        import resource

        import numpy as np

        from kcd_pipeline.freed_memory import memory_is_kept

        with memory_is_kept():
            for _ in range(2):
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                for size in (48, 24, 96):  # in MiB, as activations are
                    np.ones(size << 20, np.uint8)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    with Cluster(workers=1).connect() as client:
        assert client.submit(faults_of_next_use).result() < 500  # of 43,000 pages
