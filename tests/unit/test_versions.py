"""The versions that are recorded are those that the packages give themselves."""

import importlib

import pytest

from kcd_pipeline.versions import software_versions


@pytest.mark.parametrize(
    ("name", "package"), {"torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "pillow": "PIL"}.items()
)
def test_a_recorded_version_is_the_packages_own(name: str, package: str) -> None:
    """Stores are compared by it, so it may not change its form: that of torchvision has its build, as +cu130."""
    assert software_versions()[name] == importlib.import_module(package).__version__
