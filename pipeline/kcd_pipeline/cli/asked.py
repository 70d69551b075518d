"""The recipe that a command was asked to work on, remembered for advice that can be pasted into a shell."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import click

from kcd_pipeline.config import Config, load_config
from kcd_stores import StoreError, is_vacant

PLACEHOLDER = re.compile(r"(?<=`kcd-pipeline )(train-teacher|extract-teacher|distill) CONFIG")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A recipe as the user named it, and what it says.

    Attributes
    ----------
    command
        The command that was called.
    words
        The recipe and its overrides, quoted for a shell.
    settings
        Its validated config.
    """

    command: str
    words: str
    settings: Config

    def filled_in(self, message: str) -> str:
        """Return a message with the recipe in place of CONFIG in the commands that it names."""
        return PLACEHOLDER.sub(lambda found: f"{found[1]} {self.words}", message)

    def chain(self) -> str:
        """Return the commands that make what this one needs and does not find, then this one, in one line of shell."""
        from kcd_pipeline.models.external import is_published  # it loads torch

        parts = self.settings.each_teacher()
        weights = [part.teacher.weights for part in parts]
        steps = [] if all(file.exists() or is_published(file) for file in weights) else ["train-teacher"]
        steps += ["extract-teacher"] if any(_is_missing(part.store.path) for part in parts) else []
        return " && ".join(f"kcd-pipeline {step} {self.words}" for step in (*steps, self.command))


def _is_missing(store: str) -> bool:
    try:
        return is_vacant(store)
    except StoreError:  # the error that asks for advice says it already
        return False


def read_asked(config: str, overrides: Sequence[str]) -> Config:
    """Return the config of the recipe `config` with `overrides`, as `load_config` does, and remember it for advice."""
    settings = load_config(config, overrides)
    context = click.get_current_context()
    words = shlex.join([config, *(word for override in overrides for word in ("--set", override))])
    context.find_root().obj = Asked(command=str(context.info_name), words=words, settings=settings)
    return settings
