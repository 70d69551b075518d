"""Whole commands on stores in S3: servers that are lost or absent, credentials, and keys that hold something else."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.s3 import BUCKET, Gateway, bucket, objects

from kcd_pipeline.cli import main
from kcd_stores import (
    KnowledgeStore,
)

for needed in ("boto3", "moto", "obstore"):
    pytest.importorskip(needed)


# --- whole commands -------------------------------------------------------------------------------------------


class Commands:
    """The commands, on a small recipe on real digits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, command: str, *options: str, store: str | Path, run: str = "run", **more: Any
    ) -> tuple[int, str]:
        settings = {
            "data.limit_per_class": 20,
            "teacher.model": "resnet8",
            "teacher.weights": self.folder / "teacher.safetensors",
            "teacher.epochs": 1,
            "teacher.batch_size": 256,
            "store.path": store,
            "store.views": 2,
            "store.batch_size": 64,
            "store.block_rows": 64,
            "distill.epochs": 2,
            "condense.interval": 1,
            "run.dir": self.folder / run,
            "run.device": "cpu",
            "run.threads": 1,
        } | {key.replace("__", "."): value for key, value in more.items()}
        given = [f"--set={key}={value}" for key, value in settings.items()]
        return self.plain(command, "digits", *given, *options)

    def plain(self, *arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(main, list(arguments))
        assert "Traceback" not in ended.output
        assert "not foreseen" not in ended.output, ended.output
        return ended.exit_code, " ".join(ended.output.split()) if "--json" not in arguments else ended.output


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The commands in a folder with a trained teacher and a whole local store."""
    made = Commands(tmp_path_factory.mktemp("remote"))
    assert made("train-teacher", store="unused")[0] == 0
    assert made("extract-teacher", store=made.folder / "local.zarr")[0] == 0
    return made


def same_logits(commands: Commands, url: str, views: int = 2) -> bool:
    local, remote = KnowledgeStore.open(commands.folder / "local.zarr"), KnowledgeStore.open(url)
    return all(np.array_equal(local.read_view(view), remote.read_view(view)) for view in range(views))


def test_every_command_takes_a_url(gateway: Gateway, commands: Commands) -> None:
    url = f"s3://{BUCKET}/whole/store.zarr"
    code, said = commands("extract-teacher", "--dry-run", store=url)
    assert (code, f"Nothing was written to {url}" in said) == (0, True), said
    assert objects("whole/") == {}
    code, said = commands("extract-teacher", store=url)
    assert (code, f"Store {url}: 400 rows" in said) == (0, True), said
    assert same_logits(commands, url)
    assert "nothing to do" in commands("extract-teacher", store=url)[1]

    code, said = commands.plain("inspect", url, "--json")
    facts = json.loads(said)
    assert (code, facts["path"], facts["complete"], facts["rows_complete"]) == (0, url, True, 400)
    assert commands.plain("inspect", url)[0] == 0

    for method in ("kd", "kcd"):
        assert commands("distill", "--method", method, store=url, run=f"there-{method}")[0] == 0
    assert commands("distill", "--method", "kcd", store=commands.folder / "local.zarr", run="here-kcd")[0] == 0
    weights = [(commands.folder / run / "weights.safetensors").read_bytes() for run in ("there-kcd", "here-kcd")]
    assert weights[0] == weights[1]
    code, said = commands.plain("report", *(str(commands.folder / run) for run in ("there-kd", "there-kcd")), "--json")
    assert (code, {run["store"] for run in json.loads(said)["runs"]}) == (0, {url}), said


def test_a_store_grows_there(gateway: Gateway, commands: Commands, url: str) -> None:
    assert commands("extract-teacher", store=url, store__views=1)[0] == 0
    first = objects(url.removeprefix(f"s3://{BUCKET}/") + "/logits/c/0")
    code, said = commands("extract-teacher", store=url)
    assert (code, "4 blocks made and 4 found" in said) == (0, True), said
    assert objects(url.removeprefix(f"s3://{BUCKET}/") + "/logits/c/0") == first
    assert same_logits(commands, url)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fate", ["drop", 503])
def test_a_server_lost_while_extracting(
    gateway: Gateway, commands: Commands, url: str, fate: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_some_blocks(method: str, path: str) -> str | int | None:
        return fate if gateway.count("PUT", within="/logits/c/") > 4 else None

    gateway.meddle = after_some_blocks
    began = time.monotonic()
    code, said = commands("extract-teacher", store=url)
    assert code == 1, said
    assert time.monotonic() - began < 30
    assert all(part in said for part in [url, gateway.url, "run the same command again"]), said

    gateway.clear()
    monkeypatch.setenv("KCD_STORE_PATIENCE", "30")
    code, said = commands("extract-teacher", store=url)
    assert code == 0, said
    assert "4 blocks made and 4 found" in said
    assert same_logits(commands, url)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers_is_not_waited_for_endlessly(
    gateway: Gateway, commands: Commands, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        code, said = commands("extract-teacher", store=url)
    assert (code, "no answer in time" in said) == (1, True), said
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
def test_a_server_that_is_not_there(
    gateway: Gateway, commands: Commands, url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, said = commands(command, store=url, run=f"never-{command}")
    assert code == 1, said
    assert all(part in said for part in [url, "http://127.0.0.1:9", "no connection", "Check the network"]), said
    assert not (commands.folder / f"never-{command}").exists()


@pytest.mark.parametrize("command", ["extract-teacher", "distill"])
def test_a_bucket_that_is_not_there(gateway: Gateway, commands: Commands, command: str) -> None:
    code, said = commands(command, store="s3://nowhere/s.zarr", run=f"never-{command}")
    assert (code, "there is no bucket 'nowhere'" in said, gateway.url in said) == (2, True, True), said
    assert commands.plain("inspect", "s3://nowhere/s.zarr")[0] == 2


def test_credentials_that_are_refused(gateway: Gateway, commands: Commands, url: str) -> None:
    gateway.meddle = lambda method, path: 403
    code, said = commands("extract-teacher", store=url)
    assert (code, "refused the request (403 Forbidden" in said, "AWS_ACCESS_KEY_ID" in said) == (2, True, True)


def test_credentials_that_are_missing(
    gateway: Gateway, commands: Commands, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    gateway.meddle = lambda method, path: 404  # no credentials in the machine's metadata
    code, said = commands("extract-teacher", store=url)
    assert (code, "no credentials were found" in said) == (2, True), said


def test_extraction_leaves_something_else_alone(gateway: Gateway, commands: Commands) -> None:
    bucket().put_object(Bucket=BUCKET, Key="phd/thesis.tex", Body=b"years of work")
    code, said = commands("extract-teacher", "--overwrite", store=f"s3://{BUCKET}/phd")
    assert (code, "not a knowledge store, so it is left alone" in said) == (2, True), said
    assert objects("phd") == {"phd/thesis.tex": b"years of work"}


def test_nothing_there_says_how_to_make_it(gateway: Gateway, commands: Commands, url: str) -> None:
    code, said = commands.plain("inspect", url)
    assert (code, f"there is no knowledge store at {url}" in said) == (2, True), said
