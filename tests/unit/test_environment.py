"""The process environment: what a recipe cannot record is refused by name, and nothing else that is there counts."""

import os
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kcd_pipeline.config import RunConfig
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.training.device import device_of, make_accelerator, seed_generators
from kcd_pipeline.training.environment import require_plain_environment
from kcd_pipeline.training.launch import Launch, read_launch
from kcd_pipeline.training.ranks import join_ranks, rank_wait

ON_CPU = RunConfig(device="cpu")
RANK_OF_TWO = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "auto"),
        ("ACCELERATE_USE_DEEPSPEED", "true"),
        ("ACCELERATE_USE_FSDP", "True"),
        ("ACCELERATE_USE_MEGATRON_LM", "1"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
        ("DNNL_DEFAULT_FPMATH_MODE", "any"),
    ],
)
def test_what_asks_for_another_training_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"the variable {name} is '{value}'"):
        make_accelerator(ON_CPU)


def test_what_changes_the_arithmetic_of_a_gpu_alone_is_refused_there_alone() -> None:
    require_plain_environment({"NVIDIA_TF32_OVERRIDE": "1"}, on_gpu=False)
    with pytest.raises(UserError, match="NVIDIA_TF32_OVERRIDE is '1'"):
        require_plain_environment({"NVIDIA_TF32_OVERRIDE": "1"}, on_gpu=True)


def test_what_launchers_set_by_themselves_is_taken_as_no() -> None:
    require_plain_environment(
        {
            "ACCELERATE_USE_DEEPSPEED": "false",
            "ACCELERATE_USE_FSDP": "",
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
            "ONEDNN_DEFAULT_FPMATH_MODE": "strict",
        },
        on_gpu=True,
    )


def test_accelerate_sees_none_of_its_variables_and_all_are_there_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ACCELERATE_MIXED_PRECISION": "bf16",
        "ACCELERATE_TORCH_DEVICE": "meta",
        "ACCELERATE_DYNAMO_BACKEND": "inductor",
        "ACCELERATE_DEBUG_MODE": "perhaps",
        "FSDP_VERSION": "x",
        "OMPI_COMM_WORLD_SIZE": "4",  # a shell that mpirun started
        "WORLD_SIZE": "1",
        "RANK": "0",
        "LOCAL_RANK": "0",
    }.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    accelerator = make_accelerator(ON_CPU)
    assert dict(os.environ) == before
    assert accelerator.device == torch.device("cpu")
    assert accelerator.mixed_precision == "no"
    assert accelerator.num_processes == 1
    assert accelerator.gradient_accumulation_steps == 1
    assert accelerator.state.dynamo_plugin.backend.value == "NO"
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bf16_is_said_to_be_slow_where_the_processor_has_no_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has_instructions: bool
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_instructions)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_instructions)
    make_accelerator(RunConfig(device="cpu", precision="bf16"))
    assert ("this processor has no instructions" in capsys.readouterr().err) is not has_instructions
    make_accelerator(ON_CPU)
    assert "processor" not in capsys.readouterr().err


# --- launchers -------------------------------------------------------------------------------------------


def test_a_process_that_was_started_alone_or_as_the_only_rank_is_alone() -> None:
    assert read_launch({}) is None
    assert read_launch({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}) is None
    assert read_launch({"MASTER_ADDR": "left.over", "MASTER_PORT": "29500"}) is None


def test_a_launch_is_read_and_described_again_as_it_was() -> None:
    launch = Launch(rank=1, ranks=2, local_rank=1, address="node0", port=29500)
    assert read_launch(RANK_OF_TWO) == launch
    assert launch.variables() == RANK_OF_TWO
    without = {name: value for name, value in RANK_OF_TWO.items() if name != "LOCAL_RANK"}
    assert read_launch(without) == Launch(rank=1, ranks=2, local_rank=0, address="node0", port=29500)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK"])
def test_a_rank_without_the_number_of_ranks_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"the variable {name} is '0', .* WORLD_SIZE, their number, is not set"):
        read_launch({name: "0"})


@pytest.mark.parametrize("name", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_one_of_several_ranks_that_lacks_a_variable_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"this is one of several ranks, but {name} is not set.* unset WORLD_SIZE"):
        read_launch({key: value for key, value in RANK_OF_TWO.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORLD_SIZE", "two"),
        ("WORLD_SIZE", "0"),
        ("WORLD_SIZE", "-2"),
        ("WORLD_SIZE", "9" * 5000),
        ("RANK", "2"),
        ("RANK", "-1"),
        ("LOCAL_RANK", "first"),
        ("MASTER_PORT", "http"),
        ("MASTER_PORT", "99999"),
    ],
)
def test_a_variable_of_a_launch_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"the variable {name} is '{value}', expected"):
        read_launch(RANK_OF_TWO | {name: value})


@pytest.mark.parametrize("value", ["soon", "0", "-3", "9" * 5000])
def test_a_patience_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("KCD_RANKS_PATIENCE", value)
    with pytest.raises(UserError, match=f"KCD_RANKS_PATIENCE is '{value}'"):
        rank_wait()


def test_ranks_that_nobody_answers_end_in_bounded_time_and_say_where_they_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (RANK_OF_TWO | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KCD_RANKS_PATIENCE", "1")
    with (
        pytest.raises(FailedError, match=r"could not join the others at 127.0.0.1:1 within 1 s.*left over from"),
        join_ranks(ON_CPU),
    ):
        pass


# --- seeds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 3, 2**63 - 1])
def test_a_seed_gives_the_same_numbers_of_every_generator(seed: int) -> None:
    def draw() -> tuple[float, float, float]:
        return float(torch.rand(())), random.random(), np.random.rand()  # noqa: NPY002  # as people's models draw

    seed_generators(seed)
    first = draw()
    seed_generators(seed)
    assert draw() == first
    seed_generators(seed ^ 1)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize(
    ("said", "expected"), [("cuda", "cuda:3"), ("cuda:1", "cuda:1"), ("cpu", "cpu"), ("mps", "mps")]
)
def test_a_gpu_is_named_with_its_number(said: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert device_of(SimpleNamespace(device=torch.device(said))) == torch.device(expected)
