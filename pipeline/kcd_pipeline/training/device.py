"""Device, precision, threads and seeds of a run, by accelerate."""

import os
import random
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import distributed, nn

from kcd_pipeline.config import RunConfig
from kcd_pipeline.errors import UserError
from kcd_pipeline.progress import say
from kcd_pipeline.training.environment import hidden_from_accelerate, require_plain_environment
from kcd_pipeline.training.launch import read_launch
from kcd_stores.philox import MODEL_STREAM, philox

PRECISIONS = {"float32": "no", "fp16": "fp16", "bf16": "bf16"}  # run.precision -> accelerate's mixed_precision


def make_accelerator(config: RunConfig) -> Any:
    """Return an `accelerate.Accelerator` for the device and precision of `run`; set torch's thread count.

    Ranks must have been joined before (`kcd_pipeline.training.ranks`).

    Raises
    ------
    UserError
        If torch does not find the device, the device cannot compute in that precision, or a variable of the
        environment asks for another way of training.
    """
    _require_device(config)
    among_ranks = distributed.is_initialized()
    # accelerate finds the CPU by itself in a single process, but must be told to use it among ranks
    on_cpu = config.device == "cpu" or (among_ranks and not torch.cuda.is_available())
    require_plain_environment(os.environ, on_gpu=not on_cpu and torch.cuda.is_available())
    _set_threads(config)
    AcceleratorState._reset_state(reset_partial_state=True)  # one process may train several models in turn
    launch = read_launch(os.environ) if among_ranks else None
    try:
        with hidden_from_accelerate({} if launch is None else launch.variables()):
            accelerator = Accelerator(mixed_precision=PRECISIONS[config.precision], cpu=on_cpu)
    except ValueError as error:
        raise UserError(
            f"run.precision is {config.precision}, which this machine cannot compute in: {str(error).rstrip('.')}. Set "
            f"it to float32."
        ) from error
    if config.precision == "bf16" and accelerator.device.type == "cpu" and not _has_bf16():
        say("run.precision is bf16, which this processor has no instructions for: float32 may be ten times as fast.")
    if accelerator.device.type == "cuda":
        torch.backends.cudnn.benchmark = False  # its choice may differ between a run and its resumption
        torch.backends.cudnn.deterministic = True
        torch.backends.cuda.matmul.allow_tf32 = False  # torch's own default, which some containers change by a variable
    return accelerator


def device_of(accelerator: Any) -> torch.device:
    """Return the device that `accelerator` computes on, a GPU with its number, as tensors that lie there name it.

    Without ranks accelerate says `cuda` alone, which is not equal to the `cuda:0` of a tensor.
    """
    device: torch.device = accelerator.device
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_bf16() -> bool:
    """Return whether torch computes in bfloat16 on this processor by its instructions, and not number by number."""
    supported: bool = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported


def _require_device(config: RunConfig) -> None:
    available = {
        "auto": True,
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[config.device]:
        raise UserError(
            f"run.device (or --device) is '{config.device}', but torch {torch.__version__} finds none on this machine. "
            f"Set it to auto or cpu, or install a torch that supports this machine's device."
        )


def _set_threads(config: RunConfig) -> None:
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def seed_generators(seed: int) -> None:
    """Seed the global generators of torch, numpy and Python, from which models draw their initial weights.

    Models of the zoo draw from torch's alone, the constructor of a model of the user's from any of them.
    """
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the legacy generator is the one that other people's code draws from


def seed_epoch(seed: int, epoch: int, rank: int) -> None:
    """Seed the global generators for an epoch, in which dropout and stochastic depth draw from them.

    So a run that is resumed draws what it would have drawn, on every rank, and ranks draw apart from each other.
    """
    high, low, _, _ = philox(seed, (epoch, rank, 0, MODEL_STREAM)).tolist()
    seed_generators(high << 32 | low)


def prepare_for_inference(model: nn.Module, config: RunConfig) -> tuple[nn.Module, torch.device]:
    """Return `model` on the device of `run`, in evaluation mode and channels last, and that device.

    Raises
    ------
    UserError
        If the device or precision is not available.
    """
    device = device_of(make_accelerator(config))
    return model.to(device, memory_format=torch.channels_last).eval(), device  # type: ignore[call-overload]  # torch's hints lack it
