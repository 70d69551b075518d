"""Names of optimizers, those of torch and those of timm."""

from typing import Annotated

from pydantic import AfterValidator, Field

from kcd_pipeline.config.section import name_or_part

# by the names of torch.optim's classes in small letters
TORCH_OPTIMIZERS = {
    "sgd": "SGD",
    "adam": "Adam",
    "adamw": "AdamW",
    "adamax": "Adamax",
    "nadam": "NAdam",
    "radam": "RAdam",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
}
# by the names of timm's factory
TIMM_OPTIMIZERS = (
    "lion", "lamb", "lars", "adan", "adopt", "adabelief", "laprop", "mars", "madgrad", "nadamw", "sgdw", "rmsproptf",
)  # fmt: skip
OPTIMIZER_NAMES = (*TORCH_OPTIMIZERS, *TIMM_OPTIMIZERS)
WITHOUT_NAME = {
    "lbfgs": "evaluates the loss several times in a step, which training here does once",
    "sparseadam": "takes sparse gradients alone",
    "muon": "takes matrices alone, and models have other parameters too",
    "rprop": "is for steps on the whole training set",
    "asgd": "waits for the device in every step; torch.optim:ASGD names it all the same",
    "adafactor": "waits for the device in every step; torch.optim:Adafactor names it all the same",
}


def _require_named(text: str) -> str:
    """Raise ValueError with a reason if `text` is an optimizer of torch that is left out on purpose."""
    if text.lower() in WITHOUT_NAME:
        raise ValueError(
            f"{text} {WITHOUT_NAME[text.lower()]}. Expected one of {', '.join(OPTIMIZER_NAMES)}, or "
            f"package.module:callable"
        )
    return text


OptimizerName = Annotated[str, Field(max_length=200), AfterValidator(_require_named), name_or_part(*OPTIMIZER_NAMES)]
