"""Data sets, in memory or on disk; `load_dataset` is the entry point."""

from kcd_pipeline.data.dataset import Dataset
from kcd_pipeline.data.load import load_dataset
from kcd_pipeline.data.sources.own import dataset_from
from kcd_pipeline.data.split import ImageSplit, InMemorySplit

__all__ = ["Dataset", "ImageSplit", "InMemorySplit", "dataset_from", "load_dataset"]
