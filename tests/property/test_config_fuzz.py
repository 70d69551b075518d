"""Config text and `--set` values that nobody would write: every one is taken or refused, and none is unforeseen."""

import importlib
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.commands import run_command

from kcd_pipeline.config import Config, load_config, recipe_names, recipes_folder
from kcd_pipeline.config.section import section_of, sections_by_name
from kcd_pipeline.errors import UserError

SECONDS = 10  # which no value may take on 200 images of digits, also on a busy machine


def keys_of_schema() -> list[str]:
    """Return every key with its dots, also those of each loss."""
    keys = ["seed"]
    for name, field in Config.model_fields.items():
        section = section_of(field, None)
        for key, child in section.model_fields.items() if section else ():
            keys.append(f"{name}.{key}")
            keys += [
                f"{name}.{key}.{inner}" for part in sections_by_name(child).values() for inner in part.model_fields
            ]
    return keys


KEYS = keys_of_schema()
VALUES_IN_LINES = """
0 1 2 -1 010 1:30 1e3 0.5 1e308 1e-308 1e999 .nan .inf -.inf 0.001 1000 65536 512 1024 8192 100000 1000000000
2147483648 9223372036854775807 9223372036854775808 18446744073709551616 1_000 0x7f 0o17 2020-01-01 512MB 1B 9e9GB
99999999999999999999999999999999999999999999TB true no off null ~ none auto cpu mps kd kcd dkd dist pkt topk sample
int8 bitround float32 reflect pair random cosine resized-crop-flip imagefolder cifar10 tiny-imagenet imagenet x
fashion-mnist resnet20 vgg8 ShuffleV1 torchvision/resnet18 torchvision/x timm/x torchvision/inception_v3
torchvision/DEFAULT timm/pretrained fp16 bf16 ..:x a:b os:system torch.nn:Identity builtins:exec :x x: !!int
!!python/name:os.system ~/x ~nobody/x $HOME/x $NOPE $ . .. / /dev/null a/b/../c {seed} {student} {variant} {x} s3:/x
ftp://x/y memory://x file:///tmp/x file://host/x é 😀 ' " [ @ ` % C:\\x [] [1] [0,1] [0.5,0.5] [1e-4,1]
[0.001,1000] [1,1,1] [3,5] {} &a[*a]
"""
LONG = ["9" * 5000, "x" * 300, "a/" * 200, "[" * 3000, "&a " * 50]
ODD = [
    "",
    "\udcff",
    "\x00",
    "\x1b[31m",
    '"a\\0b"',
    '"\\ud800"',
    "{a: 1}",
    "{name: dkd}",
    "{a: {b: [1, .nan]}}",
    "&a [*a]",
]
VALUES = [*VALUES_IN_LINES.split(), *LONG, *ODD]

overrides = st.builds("{}={}".format, st.sampled_from(KEYS), st.sampled_from(VALUES) | st.text(max_size=12))


def loaded(name: str, chosen: Sequence[str]) -> tuple[str, Config | None]:
    """Return why a config is refused, or the config; any other error fails the test."""
    try:
        return "", load_config(name, chosen)
    except UserError as error:
        return str(error), None


@given(st.lists(overrides, max_size=4))
@settings(max_examples=80)
def test_any_override_is_taken_or_refused_in_one_paragraph(chosen: list[str]) -> None:
    refused, config = loaded("digits", chosen)
    assert config is not None or 0 < len(refused) < 10_000
    assert config is None or config.plain()["run"]["dir"]


SPOILING = [b"", b":", b"- ", b"\t", b"\0", b"\xff", b"'", b"[", b"}", b"*a", b"&a ", b"!!int ", b"\n", b"9" * 400]


def spoilt(text: str, seed: int) -> bytes:
    """Return a recipe with some bytes removed, doubled, exchanged or replaced."""
    draw, content = random.Random(seed), bytearray(text.encode())
    for _ in range(draw.randint(1, 8)):
        at = draw.randrange(len(content))
        content[at : at + draw.randint(0, 3)] = draw.choice(
            [
                b"",
                b":",
                b"- ",
                b"\t",
                b"\0",
                b"\xff",
                b"'",
                b"[",
                b"}",
                b"*a",
                b"&a ",
                b"!!int ",
                b"\n",
                content[:40],
                b"9" * 400,
            ]
        )
    return bytes(content)


@given(st.sampled_from(recipe_names()), st.integers(0, 2**32))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_taken_or_refused(tmp_path: Path, name: str, seed: int) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(spoilt((recipes_folder() / f"{name}.yaml").read_text(), seed))
    refused, config = loaded(str(file), ())
    assert config is not None or "own.yaml" in refused


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("fuzz") / "teacher.safetensors"
    ended = run_command("train-teacher", "digits", *sets(file))
    assert ended.exit_code == 0, ended.output
    return file


def sets(weights: Path, *more: str) -> list[str]:
    small = ["teacher.epochs=1", "data.limit_per_class=20", "store.views=2", "run.threads=1", "run.device=cpu"]
    places = [f"teacher.weights={weights}", f"store.path={weights.parent / 'store.zarr'}"]
    return [f"--set={setting}" for setting in (*small, *places, *more)]


# a thousand threads are allowed, but two cores would be busy with them for minutes
quick = overrides.filter(lambda override: not override.startswith("run.threads"))


@given(st.lists(quick, min_size=1, max_size=3))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_dry_run_of_any_config_ends_as_foreseen(
    weights: Path, monkeypatch: pytest.MonkeyPatch, chosen: list[str]
) -> None:
    monkeypatch.setattr(importlib.import_module("kcd_pipeline.extraction.estimate"), "TRIAL_SECONDS", 0)
    started = time.process_time()
    ended = run_command("extract-teacher", "digits", "--dry-run", *sets(weights, *chosen))
    torch.set_num_threads(1)
    assert ended.exit_code in (0, 1, 2), ended.exception
    assert "not foreseen" not in ended.output
    assert time.process_time() - started < SECONDS


def test_a_batch_larger_than_the_data_costs_a_dry_run_no_more(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("kcd_pipeline.extraction.estimate"), "TRIAL_SECONDS", 0)
    ended = run_command("extract-teacher", "digits", "--dry-run", *sets(weights, "store.batch_size=65536"))
    assert "from a trial of 400 rows" in ended.output  # twice all 200 images
