"""A cluster that cannot be used is named, and so are options that contradict each other."""

import gc
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from tests.support.cluster import options, run, with_set

from kcd_pipeline.extraction import cluster
from kcd_pipeline.extraction.client import TidyClient

# --- no cluster ---------------------------------------------------------------------------------------------


def test_a_scheduler_that_does_not_answer_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    for wrong in ("tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1:notaport"):
        code, said = run("extract-teacher", "digits", *with_set(options(home, "never.zarr")), "--scheduler", wrong)
        assert code == 2, said
        assert f"no dask scheduler answers at {wrong}" in said


@pytest.mark.parametrize("wrong", ["tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1:notaport"])
def test_a_client_that_cannot_connect_is_closed_at_once(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """dask closes its client when it is collected; that has waited for ever while another loop was being started."""
    collected: list[str] = []
    monkeypatch.setattr(Client, "__del__", lambda client: collected.append(client.status))
    with pytest.raises((OSError, ValueError)):
        TidyClient(wrong, timeout=1)
    gc.collect()
    assert set(collected) == {"closed"}


def test_a_scheduler_without_workers_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "FIRST_WORKER_SECONDS", 1)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty:
        code, said = run(
            "extract-teacher", "digits", *with_set(options(home, "never.zarr")),
            "--scheduler", empty.scheduler_address,
        )  # fmt: skip
    assert code == 2, said
    assert "has no workers" in said


def test_options_that_contradict_each_other_are_refused() -> None:
    assert run("extract-teacher", "digits", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1")[0] == 2
    assert run("extract-teacher", "digits", "--workers", "2", "--dry-run")[0] == 2
    assert run("extract-teacher", "digits", "--workers", "0")[0] == 2
