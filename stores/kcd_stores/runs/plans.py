"""Plans of a run: the samples that each stage is taught, and how they are blended, in a zarr group of the run's own.

    stage-000/  kept    [K]  int64: the samples that are taught in this stage, ascending
                partner [K]  int64: the dropped sample that is blended into each of them, -1 if it is taught as stored
                epsilon [K]  float32: the strength of the blend, 0 if it is taught as stored
                attributes: stage, epoch (the first of the stage), samples (N), facts (counts; the score at the cut;
                came_back, how many kept samples the stage before did not keep; overlap, the share that it did keep)

The attributes are written last, so a stage without them does not count. Letters: N samples, K kept samples.
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
    """The samples that one stage is taught, and their blends; validated when made.

    A kept sample i with a partner j is taught the blend of their knowledge (equations 14 and 15 of "Knowledge
    Condensation Distillation", ECCV 2022): the stored row of i, perturbed by that of j with strength epsilon.

    Attributes
    ----------
    stage, epoch
        The stage, from 0, and its first epoch.
    samples
        N, the size of the data set.
    kept
        `[K]` int64, ascending: the samples of K1, which are taught.
    partner
        `[K]` int64: for members of K1L the sample of K0 that is blended into them, else `NO_PARTNER`.
    epsilon
        `[K]` float32, at least 0: the strength of the blend, 0 without a partner.
    facts
        Numbers about the making of the plan, for people. Training never reads them.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, or a sample is both kept and a partner, or a partner of two samples.
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
        """`[K]` bool: True for members of K1L (blended with a partner), False for those of K1H (taught as stored)."""
        return self.partner != NO_PARTNER

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all that decides what a student is taught: stage, epoch, samples, partners, strengths."""
        digest = hashlib.sha256(repr((self.stage, self.epoch, self.samples, len(self.kept))).encode())
        for array, dtype in ((self.kept, "<i8"), (self.partner, "<i8"), (self.epsilon, "<f4")):
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
        return digest.hexdigest()

    @property
    def kept_fraction(self) -> float:
        """The share of samples that are taught, |K1| / N."""
        return len(self.kept) / self.samples


def keep_all(samples: int) -> Plan:
    """Return the plan that teaches all samples as stored: that of the first stage, and of runs that do not condense."""
    return Plan(
        stage=0,
        epoch=0,
        samples=samples,
        kept=np.arange(samples, dtype=np.int64),
        partner=np.full(samples, NO_PARTNER, dtype=np.int64),
        epsilon=np.zeros(samples, dtype=np.float32),
    )


class PlanStore:
    """The plans of one run.

    Parameters
    ----------
    path
        Folder of the zarr group; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, plan: Plan) -> None:
        """Write the plan of one stage, in place of an earlier one of the same stage."""
        root = zarr.open_group(LocalStore(self.path), mode="a", zarr_format=3)
        group = root.create_group(_name(plan.stage), overwrite=True)
        for name in ("kept", "partner", "epsilon"):
            group.create_array(name, data=getattr(plan, name), dimension_names=("kept",))
        group.attrs.update(
            {"stage": plan.stage, "epoch": plan.epoch, "samples": plan.samples, "facts": dict(plan.facts)}
        )

    def stages(self) -> list[int]:
        """Return the stages that have a plan, ascending."""
        if not self.path.exists():
            return []
        root = zarr.open_group(LocalStore(self.path, read_only=True), mode="r")
        return sorted(int(str(group.attrs["stage"])) for _, group in root.groups() if "stage" in group.attrs)

    def read(self, stage: int) -> Plan:
        """Read the plan of `stage`.

        Raises
        ------
        StoreUsageError
            If the stage has no plan.
        """
        if stage not in self.stages():
            raise StoreUsageError(f"there is no plan of stage {stage} at {self.path}; there are: {self.stages()}")
        group = zarr.open_group(LocalStore(self.path, read_only=True), path=_name(stage), mode="r")
        fields: dict[str, Any] = dict(group.attrs)
        for name, array in group.arrays():
            fields[name] = np.asarray(array[:])
        return Plan(**fields)

    def read_all(self) -> list[Plan]:
        """Read all plans, in the order of their stages."""
        return [self.read(stage) for stage in self.stages()]


def _name(stage: int) -> str:
    return f"stage-{stage:03d}"
