"""Where and how arithmetic runs, by accelerate."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import distributed, nn

from kcd_pipeline.config import RunConfig
from kcd_pipeline.errors import UserError

PRECISIONS = {"float32": "no", "fp16": "fp16", "bf16": "bf16"}


def make_accelerator(config: RunConfig) -> Any:
    """An `accelerate.Accelerator` for the device and precision of `run`; sets torch's thread count.

    Ranks that were started together have been joined before (kcd_pipeline.training.ranks).

    Raises
    ------
    UserError
        If the device is not there, or cannot work in that precision.
    """
    there = {
        "auto": True,
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[config.device]:
        raise UserError(f"run.device is '{config.device}', but torch {torch.__version__} finds none on this machine")
    AcceleratorState._reset_state(reset_partial_state=True)  # one process may train several models in turn
    # among ranks accelerate asks to be told of the CPU, which it finds by itself where it is alone
    on_cpu = config.device == "cpu" or (distributed.is_initialized() and not torch.cuda.is_available())
    try:
        accelerator = Accelerator(mixed_precision=PRECISIONS[config.precision], cpu=on_cpu)
    except ValueError as error:
        raise UserError(f"run.precision {config.precision} cannot be had here: {error}") from error
    _set_threads(config)
    if accelerator.device.type == "cuda":
        torch.backends.cudnn.benchmark = False  # its choice may differ between a run and its resumption
        torch.backends.cudnn.deterministic = True
    return accelerator


def _set_threads(config: RunConfig) -> None:
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def seed_torch(seed: int) -> None:
    """Seed torch's global generator, from which initial weights come; nothing else draws from it."""
    torch.manual_seed(seed)


def prepare_for_inference(model: nn.Module, config: RunConfig) -> tuple[nn.Module, torch.device]:
    """`model` in evaluation mode, channels last, on the device of `run`, and that device."""
    device: torch.device = make_accelerator(config).device
    return model.to(device, memory_format=torch.channels_last).eval(), device  # type: ignore[call-overload]  # torch's hints lack it
