"""The process environment, as accelerate and torch may read it: nothing there changes a result.

accelerate takes a strategy, a number of accumulated batches, a device and more from variables, some of which win over
the arguments that it is given. So while it is set up it sees none of them. What asks for another way of training, which
no recipe can record, is refused rather than ignored.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kcd_pipeline.errors import UserError

OFF = ("", "0", "1", "false", "no", "none", "off", "f", "n")  # "1": that many accumulated batches
UNKNOWN_STRATEGIES = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "fully sharded data parallelism",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a mesh of devices",
    "ACCELERATE_USE_SAGEMAKER": "SageMaker's own parallelism",
}
ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
FPMATH_MODES = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")  # may turn float32 into bfloat16 on a CPU
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"  # turns it off, or on, below torch

# what accelerate reads; those of MPI would make it join ranks by itself
OF_ACCELERATE = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_", "PMI_", "OMPI_COMM_", "MV2_COMM_")
OF_LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "FORK_LAUNCHED")


def require_plain_environment(environment: Mapping[str, str], *, on_gpu: bool) -> None:
    """Raise UserError, naming the variable, if one of `environment` asks for what a recipe cannot record.

    Parameters
    ----------
    on_gpu
        True if the model will be on a GPU of NVIDIA's.
    """
    for name, strategy in UNKNOWN_STRATEGIES.items():
        if environment.get(name, "").lower() in ("1", "true", "yes", "y", "on", "t"):
            raise UserError(
                f"the variable {name} is '{environment[name]}', which asks for {strategy}: models are trained here in "
                f"one process or by data parallelism alone. Unset it, or answer no to it in `accelerate config`."
            )
    if environment.get(ACCUMULATION, "").lower() not in OFF:
        raise UserError(
            f"the variable {ACCUMULATION} is '{environment[ACCUMULATION]}': a step would be taken for so many batches, "
            f"and no record of the run would say so. Unset it, and set the batch_size that you mean."
        )
    for name in FPMATH_MODES:
        if environment.get(name, "").upper() not in ("", "STRICT"):
            raise UserError(
                f"the variable {name} is '{environment[name]}', by which a CPU computes in another precision than "
                f"run.precision says. Unset it, or set it to STRICT."
            )
    if on_gpu and environment.get(TF32_OVERRIDE):
        raise UserError(
            f"the variable {TF32_OVERRIDE} is '{environment[TF32_OVERRIDE]}', which changes the precision of a GPU "
            f"behind torch's back. Unset it."
        )


@contextmanager
def hidden_from_accelerate(shown: Mapping[str, str]) -> Iterator[None]:
    """Hide every variable that accelerate reads within the block, except that it finds those in `shown`."""
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(OF_ACCELERATE) or name in OF_LAUNCHERS or name in shown
    }
    for name in hidden:
        del os.environ[name]
    os.environ.update(shown)
    try:
        yield
    finally:
        for name in (*OF_LAUNCHERS, *shown):  # accelerate sets some of them
            os.environ.pop(name, None)
        os.environ.update(hidden)
