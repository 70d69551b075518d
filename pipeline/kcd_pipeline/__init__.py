"""Distil image classifiers from cached teacher knowledge."""

from importlib.metadata import version

__version__ = version("kcd-pipeline")
