"""Distil image classifiers from cached teacher knowledge.

The functions below are the Python interface. Each is loaded when it is first asked for, so that importing the package
takes no time and no torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcd_pipeline.api.condensing import condense
    from kcd_pipeline.api.datasets import load_dataset
    from kcd_pipeline.api.looking import inspect, report
    from kcd_pipeline.api.recipes import load_config
    from kcd_pipeline.api.students import distill, open_run
    from kcd_pipeline.api.teachers import extract_teacher, train_teacher
    from kcd_pipeline.handover import load_student

__version__ = version("kcd-pipeline")

__all__ = [
    "__version__",
    "condense",
    "distill",
    "extract_teacher",
    "inspect",
    "load_config",
    "load_dataset",
    "load_student",
    "open_run",
    "report",
    "train_teacher",
]

_MODULES = {
    "condense": "kcd_pipeline.api.condensing",
    "distill": "kcd_pipeline.api.students",
    "extract_teacher": "kcd_pipeline.api.teachers",
    "inspect": "kcd_pipeline.api.looking",
    "load_config": "kcd_pipeline.api.recipes",
    "load_dataset": "kcd_pipeline.api.datasets",
    "load_student": "kcd_pipeline.handover",
    "open_run": "kcd_pipeline.api.students",
    "report": "kcd_pipeline.api.looking",
    "train_teacher": "kcd_pipeline.api.teachers",
}


def __getattr__(name: str) -> Any:
    """Return a function of the interface, loading its module."""
    if name not in _MODULES:
        raise AttributeError(f"module 'kcd_pipeline' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
