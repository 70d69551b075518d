"""Normalisations that were measured before, so that a part of a data set starts without the whole being decoded."""

import json
from pathlib import Path

import PIL

from kcd_pipeline.augmentation import CentreCrop
from kcd_pipeline.data.normalisation import Normalisation
from kcd_pipeline.data.pictures.fingerprint_cache import cache_file, keep, kept
from kcd_pipeline.data.pictures.picture import Reading
from kcd_pipeline.data.pictures.source import PictureSource


def normalisation_file(
    source: PictureSource, crop: CentreCrop | None, reading: Reading, *, pictures: int
) -> Path | None:
    """Return the file for the normalisation of so many `pictures` of `source`, or None if there is no place for it.

    Its name depends on all that their pixels depend on: the stamp of the source, how pictures are read and cropped, and
    the decoder.
    """
    cropped = None if crop is None else (crop.size, crop.resize)
    return cache_file(source, (cropped, reading.describe(), pictures, PIL.__version__), "normalisation")


def kept_normalisation(file: Path | None) -> Normalisation | None:
    """Return the normalisation in `file`, or None if it is to be measured."""
    line = kept(file)
    if line is None:
        return None
    mean, std = json.loads(line)
    return tuple(mean), tuple(std)


def keep_normalisation(file: Path | None, measured: Normalisation) -> Normalisation:
    """Write a normalisation to `file`, and return it."""
    keep(file, json.dumps(measured))
    return measured
