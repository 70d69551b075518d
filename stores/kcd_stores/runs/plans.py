"""Plans of a run, in a zarr group of the run's own: the samples of each stage, their blends and their weights.

    stage-000/  kept    [K]  int64: the samples that are taught in this stage, ascending
                partner [K]  int64: the dropped sample that is blended into each of them, -1 if it is taught as stored
                epsilon [K]  float32: the strength of the blend, 0 if it is taught as stored
                weight  [K]  float32: the factor of the loss of each of them; only there if some differ from 1
                attributes: stage, epoch (the first of the stage), samples (N), facts (counts; the score at the cut;
                came_back, how many kept samples the stage before did not keep; overlap, the share that it did keep),
                checksum (SHA-256 of all of these and of the arrays; the first format had none)

The attributes are written last, so a stage without them does not count. Letters: N samples, K kept samples.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcd_stores.errors import StoreUsageError
from kcd_stores.runs.arrays import (
    LARGEST_CHUNK,
    Packing,
    RunArray,
    damaged,
    read_metadata,
    shortened,
    write_durably,
)
from kcd_stores.runs.plan import LARGEST_FACT, NO_PARTNER, Plan
from kcd_stores.scratch import IN_MEMORY, Scratch
from kcd_stores.sizes import machine_memory
from kcd_stores.storage.durable import flush_to_disk

MOST_CHUNKS = 100_000  # of an array of the first format; zarr makes far fewer, of a million elements each
# dtype and value that is read where nothing was written; zarr left out chunks of it in the first format
ARRAYS: dict[str, tuple[str, float]] = {
    "kept": ("int64", 0),
    "partner": ("int64", 0),
    "epsilon": ("float32", 0),
    "weight": ("float32", 1),
}
ALWAYS = ("kept", "partner", "epsilon")  # a plan without weights has only these


class PlanStore:
    """The plans of one run.

    Parameters
    ----------
    path
        Folder of the zarr group; it may not exist yet.
    recorded
        The checksums of the plans of the first stages, as `checksums` returned them. None are known of a run of the
        first format, or of a run under way.
    """

    def __init__(self, path: str | Path, *, recorded: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self._recorded = dict(enumerate(recorded))

    def write(self, plan: Plan) -> None:
        """Write the plan of one stage, in place of an earlier one of the same stage; it is durable on return."""
        folder = self._folder(plan.stage)
        if folder.is_dir():
            shutil.rmtree(folder)
        write_durably(self.path / "zarr.json", _group({}))
        for name in ARRAYS if plan.weighted else ALWAYS:
            array = _array(folder / name, name, len(plan.kept), "lz4")
            array.create(("kept",))
            array.write((), getattr(plan, name))
        flush_to_disk(self.path)
        checksum = plan.checksum
        attributes = {"stage": plan.stage, "epoch": plan.epoch, "samples": plan.samples, "facts": dict(plan.facts)}
        write_durably(folder / "zarr.json", _group({**attributes, "checksum": checksum}))
        self._recorded[plan.stage] = checksum

    def stages(self) -> list[int]:
        """Return the stages that have a plan, ascending: those whose checksums are known, or else all that are there.

        Raises
        ------
        CorruptStoreError
            If the attributes of a stage are damaged.
        """
        if self._recorded:
            return sorted(self._recorded)
        names = (re.fullmatch(r"stage-(\d{3,9})", folder.name) for folder in self.path.glob("stage-*"))
        return sorted(int(name[1]) for name in names if name and self._attributes(int(name[1])))

    def read(self, stage: int, scratch: Scratch = IN_MEMORY) -> Plan:
        """Read the plan of `stage`, into arrays of `scratch`.

        Raises
        ------
        StoreUsageError
            If the stage has no plan, or the plan takes more memory than there is and must be in memory.
        CorruptStoreError
            If the plan is not what was written.
        """
        attributes, folder = self._valid_attributes(stage), self._folder(stage)
        checksum = attributes.pop("checksum", None)
        if not scratch.uses_files:
            _require_memory(folder / "zarr.json", attributes["samples"])
        arrays: dict[str, Any] = _read_arrays(folder, attributes["samples"], scratch, checked=checksum is not None)
        try:
            plan = Plan(**attributes, **arrays)
        except ValueError as error:
            raise damaged(f"{folder}: {error}") from error
        found = plan.checksum
        if checksum not in (None, found) or self._recorded.get(stage, found) != found:
            raise damaged(f"{folder}: it is not the plan that was written there")
        return plan

    def openings(self) -> list[int]:
        """Return the first epoch of each of the `stages`, as their attributes say it; their arrays are not looked at.

        Raises
        ------
        CorruptStoreError
            If the attributes of a stage are missing or damaged.
        """
        return [int(self._valid_attributes(stage)["epoch"]) for stage in self.stages()]

    def read_all(self) -> Iterator[Plan]:
        """Read the plans of all `stages`, one after the other: a run may have hundreds, too many for memory."""
        return (self.read(stage) for stage in self.stages())

    def checksums(self, stages: int) -> list[str]:
        """Return the checksum of the plan of each of the first `stages` stages."""
        for stage in range(stages):
            if stage not in self._recorded:
                self._recorded[stage] = self.read(stage).checksum
        return [self._recorded[stage] for stage in range(stages)]

    def _folder(self, stage: int) -> Path:
        return self.path / f"stage-{stage:03d}"

    def _valid_attributes(self, stage: int) -> dict[str, Any]:
        """Return the attributes of a stage that must be there, as `read` raises for others."""
        attributes, folder = self._attributes(stage), self._folder(stage)
        if not attributes and stage in self._recorded:
            raise damaged(f"{folder}: it is missing")
        if not attributes:
            raise StoreUsageError(f"there is no plan of stage {stage} at {self.path}; there are: {self.stages()}")
        _require_attributes(folder / "zarr.json", attributes, stage)
        return attributes

    def _attributes(self, stage: int) -> dict[str, Any]:
        """Return the attributes of a stage; {} if a killed run never came to write them."""
        try:
            attributes = read_metadata(self._folder(stage)).get("attributes", {})
        except (FileNotFoundError, NotADirectoryError):
            return {}
        if not isinstance(attributes, dict):
            raise damaged(f"{self._folder(stage) / 'zarr.json'}: attributes are {shortened(attributes)}")
        return attributes


def _group(attributes: Mapping[str, Any]) -> bytes:
    """Return the `zarr.json` of a group with these attributes."""
    return json.dumps({"attributes": attributes, "zarr_format": 3, "node_type": "group"}, indent=2).encode()


def _array(folder: Path, name: str, kept: int, packing: Packing, chunk: int = LARGEST_CHUNK) -> RunArray:
    dtype, fill = ARRAYS[name]
    return RunArray(folder=folder, shape=(kept,), dtype=dtype, fill=fill, chunk=min(chunk, kept), packing=packing)


def _require_attributes(file: Path, attributes: Mapping[str, Any], stage: int) -> None:
    """Raise CorruptStoreError unless the attributes are those of the plan of `stage`, whatever the numbers are."""
    numbers = {key: attributes.get(key) for key in ("stage", "epoch", "samples")}
    for key, number in numbers.items():
        if type(number) is not int or number < 0:
            raise damaged(f"{file}: {key} is {shortened(number)}, expected a number from 0")
    facts, unknown = attributes.get("facts"), set(attributes) - {*numbers, "facts", "checksum"}
    if unknown or numbers["stage"] != stage or not isinstance(facts, dict):
        raise damaged(f"{file}: its attributes {shortened(sorted(attributes))} are not those of the plan of its stage")
    if not all(fact is None or (type(fact) in (int, float) and abs(fact) <= LARGEST_FACT) for fact in facts.values()):
        raise damaged(f"{file}: facts are {shortened(facts)}, expected numbers")


def _require_memory(file: Path, samples: int) -> None:
    """Raise StoreUsageError if the plan of so many samples, which `file` speaks of, takes more memory than there is."""
    needed = 25 * samples  # bytes of the arrays, and of what they are checked with
    if needed > machine_memory():
        raise StoreUsageError(
            f"{file} is a plan of {samples:,} samples, which takes {needed:,} bytes; this machine has "
            f"{machine_memory():,} bytes of memory."
        )


def _read_arrays(folder: Path, samples: int, scratch: Scratch, *, checked: bool) -> dict[str, NDArray[Any]]:
    """Read the arrays of a plan; `checked` if they are of the present format, with checksums in their chunks."""
    try:
        kept = _length(folder / "kept", samples)
        if checked:
            # a lost folder of weights is noticed by the plan's checksum
            names = ARRAYS if (folder / "weight").exists() else ALWAYS
            return {name: _read_array(_array(folder / name, name, kept, "lz4"), scratch) for name in names}
        return _read_first_format(folder, kept, scratch)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise damaged(f"{error.filename or folder}: it is missing") from error


def _length(folder: Path, largest: int, *, of: str = "shape") -> int:
    """Return the number of elements of the array in `folder`, or of one of its chunks, as its metadata say."""
    metadata = read_metadata(folder)
    found: Any = metadata.get("shape")
    if of == "chunk_shape":
        grid: Any = metadata.get("chunk_grid")
        settings = grid.get("configuration") if isinstance(grid, dict) else None
        found = settings.get("chunk_shape") if isinstance(settings, dict) else None
    if not (isinstance(found, list) and len(found) == 1 and type(found[0]) is int and 0 < found[0] <= largest):
        raise damaged(f"{folder / 'zarr.json'}: {of} is {shortened(found)}, expected a number from 1 to {largest:,}")
    return int(found[0])


def _read_array(array: RunArray, scratch: Scratch) -> NDArray[Any]:
    array.require_metadata()
    return array.read_row((_present(array, number) for number in range(array.chunks)), scratch)


def _present(array: RunArray, number: int) -> NDArray[Any]:
    """Read a chunk that must be there."""
    chunk = array.read((), number)
    if chunk is None:
        raise damaged(f"{array.file((), number)}: it is missing")
    return chunk


def _read_first_format(folder: Path, kept: int, scratch: Scratch) -> dict[str, NDArray[Any]]:
    """Read arrays of the first format, in chunks as zarr chose them, and without those that hold only zeros."""
    arrays = {}
    for name in ALWAYS:
        size = _length(folder / name, kept, of="chunk_shape")
        if kept // size > MOST_CHUNKS:
            raise damaged(f"{folder / name / 'zarr.json'}: {kept:,} elements are in chunks of {size}")
        arrays[name] = _array(folder / name, name, kept, "zstd", size)
    strength = arrays.pop("epsilon")
    read = {name: _read_array(array, scratch) for name, array in arrays.items()}
    strength.require_metadata()
    epsilon = scratch.full(kept, np.float32, 0)
    for number in range(strength.chunks):
        span = strength.span(number)
        if (
            np.count_nonzero(read["partner"][span] != NO_PARTNER) > 1
        ):  # only the first perturbed one has a strength of 0
            epsilon[span] = _present(strength, number)
        elif (chunk := strength.read((), number)) is not None:
            epsilon[span] = chunk
    return {**read, "epsilon": epsilon}
