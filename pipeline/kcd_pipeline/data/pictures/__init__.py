"""Pictures as files have them: read, checked, decoded into memory or on the fly, and fingerprinted."""

from kcd_pipeline.data.pictures.load import PictureFacts, PictureSplits, load_pictures
from kcd_pipeline.data.pictures.source import PictureFile, PictureSource

__all__ = ["PictureFacts", "PictureFile", "PictureSource", "PictureSplits", "load_pictures"]
