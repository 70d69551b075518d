"""Processes that start in a fraction of a second, because they are forked from one that has everything loaded."""

import multiprocessing
from multiprocessing.context import ForkServerContext

# what a command loads by and by takes three times as long as a tiny run does
PRELOADED = [
    "kcd_pipeline.cli",
    "kcd_pipeline.distillation",
    "kcd_pipeline.extraction",
    "kcd_pipeline.verification",
    "distributed",
    "pytest",
    "sklearn.datasets",
    "tensorboard",
    "torch._dynamo",
    "torch.utils.flop_counter",
    "torch.utils.tensorboard",
]


def forks() -> ForkServerContext:
    """Return the context of processes that are forked from a server; all tests of a process of pytest share one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
