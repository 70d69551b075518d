"""Plans: what each condensation decided, as plain arrays in the run's own zarr group.

    stage-000/  kept    [K]  int64: the samples taught in this stage, ascending
                partner [K]  int64: the dropped sample blended into each, -1 where taught as stored
                epsilon [K]  float32: the strength of the blend, 0 where taught as stored
                attributes: stage, epoch (its first), samples (N), facts (counts, the score at the cut, how many of
                the kept were not kept in the stage before (came_back) and the share that was (overlap))

The attributes are written last: a stage without them is not there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from kcd_stores.errors import StoreUsageError

NO_PARTNER = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What one stage is taught; validated when made.

    Attributes
    ----------
    stage, epoch
        Which stage, and the epoch that opens it.
    samples
        N, the size of the data set.
    kept
        `[K]` int64, ascending: K1, the samples that are taught.
    partner
        `[K]` int64: for members of K1L the sample of K0 blended into them, else `NO_PARTNER`.
    epsilon
        `[K]` float32: the strength of that blend, else 0.
    facts
        Numbers about how the plan came about, for people: never read back by training.
    """

    stage: int
    epoch: int
    samples: int
    kept: NDArray[np.int64]
    partner: NDArray[np.int64]
    epsilon: NDArray[np.float32]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept, partner, epsilon = self.kept, self.partner, self.epsilon
        if not (kept.shape == partner.shape == epsilon.shape and kept.ndim == 1 and len(kept)):
            raise ValueError(f"a plan's arrays differ: {kept.shape}, {partner.shape}, {epsilon.shape}")
        if kept[0] < 0 or kept[-1] >= self.samples or (kept[1:] <= kept[:-1]).any():
            raise ValueError(f"kept must be ascending indices below {self.samples}")
        blended = partner != NO_PARTNER
        partners = partner[blended]
        if len(partners) and (partners.min() < 0 or partners.max() >= self.samples):
            raise ValueError(f"partners must be indices below {self.samples}")
        taken = np.zeros(self.samples, dtype=bool)
        taken[kept] = True
        if taken[partners].any():
            raise ValueError("a partner must be a dropped sample, not a kept one")
        taken[partners] = True
        if np.count_nonzero(taken) != len(kept) + len(partners):
            raise ValueError("a dropped sample is the partner of at most one kept sample")
        if ((epsilon != 0) & ~blended).any() or (epsilon < 0).any():
            raise ValueError("epsilon must be 0 where nothing is blended, and never negative")

    @property
    def low(self) -> NDArray[np.bool_]:
        """`[K]`: True for K1L (blended with a partner), False for K1H (taught as stored)."""
        return self.partner != NO_PARTNER

    @property
    def digest(self) -> str:
        """SHA-256 over all that a student is taught by it: samples, partners and strengths, and when."""
        digest = hashlib.sha256(repr((self.stage, self.epoch, self.samples, len(self.kept))).encode())
        for array, dtype in ((self.kept, "<i8"), (self.partner, "<i8"), (self.epsilon, "<f4")):
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
        return digest.hexdigest()

    @property
    def kept_fraction(self) -> float:
        """|K1| / N."""
        return len(self.kept) / self.samples


def keep_all(samples: int) -> Plan:
    """The plan of the first stage, and of every run that does not condense: all samples, as stored."""
    return Plan(
        stage=0,
        epoch=0,
        samples=samples,
        kept=np.arange(samples, dtype=np.int64),
        partner=np.full(samples, NO_PARTNER, dtype=np.int64),
        epsilon=np.zeros(samples, dtype=np.float32),
    )


class PlanStore:
    """The plans of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, plan: Plan) -> None:
        """Write one stage; writing the same stage again replaces it."""
        root = zarr.open_group(LocalStore(self.path), mode="a", zarr_format=3)
        group = root.create_group(_name(plan.stage), overwrite=True)
        for name in ("kept", "partner", "epsilon"):
            group.create_array(name, data=getattr(plan, name), dimension_names=("kept",))
        group.attrs.update(
            {"stage": plan.stage, "epoch": plan.epoch, "samples": plan.samples, "facts": dict(plan.facts)}
        )

    def stages(self) -> list[int]:
        """Stages that are there, ascending."""
        if not self.path.exists():
            return []
        root = zarr.open_group(LocalStore(self.path, read_only=True), mode="r")
        return sorted(int(str(group.attrs["stage"])) for _, group in root.groups() if "stage" in group.attrs)

    def read(self, stage: int) -> Plan:
        """The plan of `stage`.

        Raises
        ------
        StoreUsageError
            If it was never written.
        """
        if stage not in self.stages():
            raise StoreUsageError(f"there is no plan of stage {stage} at {self.path}; there are: {self.stages()}")
        group = zarr.open_group(LocalStore(self.path, read_only=True), path=_name(stage), mode="r")
        fields: dict[str, Any] = dict(group.attrs)
        for name, array in group.arrays():
            fields[name] = np.asarray(array[:])
        return Plan(**fields)

    def read_all(self) -> list[Plan]:
        """Every plan, by stage."""
        return [self.read(stage) for stage in self.stages()]


def _name(stage: int) -> str:
    return f"stage-{stage:03d}"
