"""Data sets that are folders of pictures, decoded into memory or on the fly."""

from kcd_pipeline.data.folders.load import FOLDER_SETS, load_folders

__all__ = ["FOLDER_SETS", "load_folders"]
