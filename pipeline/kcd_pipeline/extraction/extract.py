"""Stage 1: the teacher's logits for every view of every sample, block by block, into a knowledge store."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kcd_pipeline.augmentation import Augmentation, Identity, build_augmentation
from kcd_pipeline.config import Config
from kcd_pipeline.data import Dataset, load_dataset
from kcd_pipeline.errors import FailedError, UserError
from kcd_pipeline.models.tap import FeatureTap
from kcd_pipeline.models.weights import parameter_count, weights_hash
from kcd_pipeline.progress import human_seconds, log_line, progress_bar, say
from kcd_pipeline.provenance import encoding_settings, expected_origin, software, wanted_encoding
from kcd_pipeline.teacher import load_teacher
from kcd_pipeline.training.device import for_inference
from kcd_pipeline.training.trainer import evaluate
from kcd_stores import (
    Encoding,
    Fidelity,
    KnowledgeStore,
    Layout,
    Location,
    WithFeatures,
    choose_layout,
    is_condensed,
    make_encoding,
    measure_fidelity,
    one_writer,
    row_bytes,
    widened_range,
)

RANGE_ROWS = 8192  # from which int8's range is taken
FIDELITY_ROWS = 2048  # of the first view, on which a new store's encoding is measured, however many views it has
TRIAL_SPANS = 16  # at least, for neighbours are often of one class


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What a call of `extract_teacher` did."""

    store: KnowledgeStore
    blocks_made: int
    blocks_found: int


class Extractor:
    """The teacher over the views of a training set: ready to make any block."""

    def __init__(self, config: Config, dataset: Dataset | None = None) -> None:
        self.config = config
        self.dataset: Dataset = dataset or load_dataset(config.data)
        self.augmentation: Augmentation = build_augmentation(config.augmentation)
        self.model: nn.Module = load_teacher(config, self.dataset)
        self.model, self._device = for_inference(self.model, config.run)
        self._tap: FeatureTap | None = None
        if config.store.features:
            shape, classes = self.dataset.image_shape, len(self.dataset.classes)
            self._tap = FeatureTap(self.model, image_shape=shape, classes=classes)
        self._views = self.dataset.train_views(self.augmentation, self._device)
        self._test = self.dataset.test_views(Identity(), self._device)

    @cached_property
    def encoding(self) -> Encoding:
        """The encoding of a new store of this recipe; int8's range, if the recipe leaves it open, from a trial.

        Raises
        ------
        UserError
            If its settings do not fit the data set.
        """
        wanted, classes = self.config.store, len(self.dataset.classes)
        name, settings = wanted.encoding, encoding_settings(wanted)
        if name == "int8" and not settings:
            settings["low"], settings["high"] = widened_range(self._seen[:, :classes])
        encoding = make_encoding(name, **settings)
        try:
            encoding.arrays(classes)
        except ValueError as error:
            raise UserError(f"store.encoding {name} does not fit {self.dataset.name}: {error}") from error
        if self._tap is None:
            return encoding
        of: dict[str, float] = {}
        if wanted.features_encoding == "int8":
            of["low"], of["high"] = widened_range(self._seen[:, classes:])
        return WithFeatures(logits=encoding, of=make_encoding(wanted.features_encoding, **of), extra=self._tap.width)

    @cached_property
    def _seen(self) -> NDArray[np.float32]:
        """What ranges of int8 are taken from."""
        return self.trial(RANGE_ROWS, self.config.store.views)

    def trial(self, rows: int, views: int) -> NDArray[np.float32]:
        """What `logits` gives for about so many samples, spread over the data set and over its first `views`."""
        samples, spans = len(self.dataset.train), max(views, TRIAL_SPANS)
        size = -(-min(rows, samples) // spans)
        starts = (span * max(samples - size, 0) // (spans - 1) for span in range(spans))
        return np.concatenate(
            [self.logits(n % views, range(start, min(start + size, samples))) for n, start in enumerate(starts)]
        )

    def layout(self) -> Layout:
        """The layout of a new store of this recipe."""
        return choose_layout(
            views=self.config.store.views,
            samples=len(self.dataset.train),
            classes=len(self.dataset.classes),
            row_bytes=row_bytes(self.encoding, len(self.dataset.classes)),
            block_rows=self.config.store.block_rows,
        )

    def origin(self) -> dict[str, Any]:
        """What a store made here is made from, short of the teacher's accuracy."""
        origin = expected_origin(self.config, self.dataset, self.augmentation)
        del origin["encoding"]  # a fact of the store, which it records by itself
        if "weights_sha256" not in origin["teacher"]:  # published ones, which are no file here
            origin["teacher"]["weights_sha256"] = weights_hash(self.model.state_dict())
        origin["teacher"]["parameters"] = parameter_count(self.model)
        return origin | {
            "forward": {"batch_size": self.config.store.batch_size, "device": self._device.type},
            "software": software(),
        }

    def test_accuracy(self) -> float:
        """Top-1 accuracy of the teacher on the test split, 0..1."""
        return evaluate(self.model, self._test, self.dataset.test.labels.to(self._device))

    @torch.inference_mode()
    def logits(
        self, view: int, rows: range | NDArray[np.int64], on_batch: Callable[[int], None] = lambda size: None
    ) -> NDArray[np.float32]:
        """The teacher's logits `[n, C]` float32 for samples `rows` as their `view`; with features behind, `[n, C + D]`.

        Batches start at the first of `rows` and have the recipe's size, so the same block is always made by the
        same arithmetic, whatever was made before it.

        Raises
        ------
        FailedError
            If a logit is not finite, naming the sample.
        """
        batch_size = self.config.store.batch_size
        samples = np.asarray(rows, dtype=np.int64)
        cut = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]
        parts = []
        for index, images in self._batches(cut, view):
            given = self.model(images).float()
            if self._tap is not None:
                given = torch.cat([given, self._tap.take()], dim=1)
            parts.append(given.cpu().numpy())
            on_batch(len(index))
        logits = np.concatenate(parts)
        if not np.isfinite(logits).all():
            row, column = np.argwhere(~np.isfinite(logits))[0]
            sample, feature = int(samples[row]), int(column) - len(self.dataset.classes)
            what = f"feature {feature}" if feature >= 0 else f"logit for class '{self.dataset.label_name(column)}'"
            raise FailedError(
                f"the teacher's {what} of sample {sample} "
                f"('{self.dataset.label_name(int(self.dataset.train.labels[sample]))}'), view {view}, is "
                f"{logits[row, column]}. The block was not written; blocks before it are safe. Check "
                f"{self.config.teacher.weights}: its training may have diverged."
            )
        return logits

    def _batches(self, cut: list[NDArray[np.int64]], view: int) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
        try:
            yield from self._views.batches(cut, view)
        except ValueError as error:
            raise UserError(f"the augmentation does not fit the data: {error}") from error


def extract_teacher(config: Config, *, overwrite: bool = False) -> Extraction:
    """Make the knowledge store of a recipe, or what of it is missing.

    Raises
    ------
    UserError, StoreUsageError
        If data or weights are missing, the disk is too small, or a store of something else lies there.
    FailedError
        If a logit is not finite.
    """
    location = Location.of(config.store.path)
    location.require_writable()
    location.is_vacant()  # a server that cannot be reached, before the teacher is loaded
    extractor = Extractor(config)
    with one_writer(location):
        return _extract(extractor, overwrite=overwrite)


def _extract(extractor: Extractor, *, overwrite: bool) -> Extraction:
    config = extractor.config
    store = _open_or_create(extractor, overwrite=overwrite)
    complete = store.complete()
    wanted = [(view, block) for view, block in store.layout.all_blocks() if view < config.store.views]
    missing = [(view, block) for view, block in wanted if not complete[view, block]]
    if missing:
        if len(missing) < len(wanted):
            say(f"going on: {len(wanted) - len(missing)} of {len(wanted)} blocks are complete")
        _make_blocks(extractor, store, missing)
    return Extraction(store=store, blocks_made=len(missing), blocks_found=len(wanted) - len(missing))


def _make_blocks(extractor: Extractor, store: KnowledgeStore, missing: list[tuple[int, int]]) -> None:
    """Make `missing` blocks in order: one is written in the background while the next is computed."""
    total = sum(len(store.layout.rows(block)) for _, block in missing)
    writing: Future[None] | None = None
    made, began = 0, time.perf_counter()
    with ThreadPoolExecutor(max_workers=1) as writer, progress_bar() as bar:
        task = bar.add_task("extracting", total=total, note="", unit="rows")
        for view, block in missing:
            started = time.perf_counter()
            bar.update(task, note=f"view {view + 1}/{store.layout.views}")
            logits = extractor.logits(view, store.layout.rows(block), lambda size: bar.advance(task, size))
            if writing is not None:
                writing.result()
            seconds = time.perf_counter() - started
            made += len(logits)
            if block == store.layout.blocks - 1 and made < total:
                rate = made / (time.perf_counter() - began)
                left = human_seconds((total - made) / rate)
                log_line(f"view {view + 1}/{store.layout.views} done: {rate:,.0f} rows/s, {left} to go")
            writing = writer.submit(_write, store, view, block, logits, seconds)
        if writing is not None:
            writing.result()
    store.settle()


def _write(store: KnowledgeStore, view: int, block: int, logits: NDArray[np.float32], seconds: float) -> None:
    try:
        store.write_block(view, block, logits, seconds=seconds)
    except ValueError as error:
        raise FailedError(f"view {view}, block {block} could not be written to {store.location}: {error}") from error


def _open_or_create(extractor: Extractor, *, overwrite: bool) -> KnowledgeStore:
    config = extractor.config
    location = Location.of(config.store.path)
    origin = extractor.origin()
    vacant = location.is_vacant()
    if vacant or overwrite:
        if not vacant:
            # a teacher that fails at once, or an augmentation that does not fit, must not cost the store that is there
            extractor.logits(0, range(min(config.store.batch_size, len(extractor.dataset.train))))
        layout = extractor.layout()
        encoding = extractor.encoding
        _require_space(location, layout.views * layout.samples * row_bytes(encoding, layout.classes))
        origin["teacher"]["test_accuracy"] = extractor.test_accuracy()
        fidelity = vars(_measured(extractor, encoding))
        return KnowledgeStore.create(
            location, layout=layout, encoding=encoding, made_from=origin, fidelity=fidelity, overwrite=overwrite
        )
    store = KnowledgeStore.open(location, writable=True)
    if is_condensed(store):
        raise UserError(
            f"the store at {location} is the condensed set of a run, which `kcd-pipeline condense` makes and no "
            f"teacher can add to. Set store.path to another place, or give --overwrite to replace it."
        )
    store.require_made_from(origin | {"encoding": wanted_encoding(config.store)})
    if store.features is not None and not config.store.features:
        raise UserError(
            f"the store at {location} holds features, but store.features is false: what is added to it must have them "
            f"too. Set store.features to true, or store.path to another store."
        )
    if config.store.views > store.layout.views:
        say(f"growing the store from {store.layout.views} to {config.store.views} views")
        more = (config.store.views - store.layout.views) * store.layout.samples
        _require_space(location, more * row_bytes(store.encoding, store.layout.classes))
        return store.grow(config.store.views)
    return store


def _measured(extractor: Extractor, encoding: Encoding) -> Fidelity:
    """The encoding on some of this teacher's logits, before anything is written."""
    try:
        return measure_fidelity(extractor.trial(FIDELITY_ROWS, 1), encoding)
    except ValueError as error:
        raise FailedError(f"nothing was written to {extractor.config.store.path}: {error}") from error


def _require_space(location: Location, needed: int) -> None:
    """Refuse a store that cannot fit, before the teacher has run for it."""
    limit = location.free()
    if limit is None:
        return
    place, free = limit
    if needed > free:
        raise UserError(
            f"the store needs up to {needed:,} bytes, but {place} has {free:,} free. Free some, set store.path to "
            f"another disk, or store fewer views or a smaller store.encoding."
        )
