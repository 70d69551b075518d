"""Data sets by name, as a recipe gives them: what they hold, and the message of those that are refused."""

from pathlib import Path
from typing import Any

import pytest

from kcd_pipeline.config import DataConfig
from kcd_pipeline.data import load_dataset
from kcd_pipeline.errors import UserError


def load(name: str, root: Path = Path("nowhere"), **more: Any) -> Any:
    return load_dataset(DataConfig.model_validate({"name": name, "root": root, **more}))


def refusal(name: str, root: Path, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(name, root, **more)
    return str(caught.value)
