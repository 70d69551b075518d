"""Device, precision and threads of a run, by accelerate."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import distributed, nn

from kcd_pipeline.config import RunConfig
from kcd_pipeline.errors import UserError

PRECISIONS = {"float32": "no", "fp16": "fp16", "bf16": "bf16"}  # run.precision -> accelerate's mixed_precision


def make_accelerator(config: RunConfig) -> Any:
    """Return an `accelerate.Accelerator` for the device and precision of `run`; set torch's thread count.

    Ranks must have been joined before (`kcd_pipeline.training.ranks`).

    Raises
    ------
    UserError
        If torch does not find the device, or the device cannot compute in that precision.
    """
    _require_device(config)
    AcceleratorState._reset_state(reset_partial_state=True)  # one process may train several models in turn
    # accelerate finds the CPU by itself in a single process, but must be told to use it among ranks
    on_cpu = config.device == "cpu" or (distributed.is_initialized() and not torch.cuda.is_available())
    try:
        accelerator = Accelerator(mixed_precision=PRECISIONS[config.precision], cpu=on_cpu)
    except ValueError as error:
        raise UserError(
            f"run.precision is {config.precision}, which this machine cannot compute in: {str(error).rstrip('.')}. Set "
            f"it to float32."
        ) from error
    _set_threads(config)
    if accelerator.device.type == "cuda":
        torch.backends.cudnn.benchmark = False  # its choice may differ between a run and its resumption
        torch.backends.cudnn.deterministic = True
    return accelerator


def _require_device(config: RunConfig) -> None:
    available = {
        "auto": True,
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[config.device]:
        raise UserError(
            f"run.device is '{config.device}', but torch {torch.__version__} finds none on this machine. Set it to "
            f"auto or cpu, or install a torch that supports this machine's device."
        )


def _set_threads(config: RunConfig) -> None:
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def seed_torch(seed: int) -> None:
    """Seed torch's global generator, which draws initial weights and nothing else."""
    torch.manual_seed(seed)


def prepare_for_inference(model: nn.Module, config: RunConfig) -> tuple[nn.Module, torch.device]:
    """Return `model` on the device of `run`, in evaluation mode and channels last, and that device.

    Raises
    ------
    UserError
        If the device or precision is not available.
    """
    device: torch.device = make_accelerator(config).device
    return model.to(device, memory_format=torch.channels_last).eval(), device  # type: ignore[call-overload]  # torch's hints lack it
