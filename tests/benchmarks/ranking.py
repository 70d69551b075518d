"""The costs of a condensation's ranking, in time beside numpy's `argsort` and in memory; one line of JSON each.

    python tests/benchmarks/ranking.py [--memory-samples 20000000] [--disk-samples 100000000] [--memory 1GB]
        [--turns 3]
    python tests/benchmarks/ranking.py --graph [--memory-samples 20000000] [--memory 1GB] [--turns 3]

Values are made up: gamma-distributed, with frequencies of a run of 240 epochs. From values and frequencies to the three
groups of a condensation (K1H; K1L and what is blended into it, in order), scores computed on the way, is compared with
`numpy.argsort` of the same scores, which it finds computed and in memory, and by default leaves ties in any order;
`stable` is what would do as ranking asks. Two condensations: `one stage` drops 30 percent at once; `six stages` is the
last of six, which goes from 76 to 70 percent. Alternatives take turns, and the fastest of their turns counts, so that
whatever else the machine does falls on both. Where it is busy, `cpu_to_argsort` tells how much of the ratio is that:
it compares the time that processors worked, which ranking may spread over all of them and `argsort` may not.

In memory, the values are numpy arrays. On disk, they are a run's own `values.zarr`, and each ranking is a child process
whose high-water mark (VmHWM) is compared with what it was before: scores, keys, marks of every sample (among them which
the stage before kept) and the indices handed out all count; Python and its libraries do not. Exits with an error where
a bound is missed.

With `--graph`, only the cost of dask's `compute` for each chunk: a condensation of values on disk beside the same one
with each chunk's tasks taken out of the graph and run by hand, as processor time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import dask
import dask.array as da
import numpy as np
from dask.local import get_sync
from dask.optimization import cull

from kcd_pipeline.condensation import condense
from kcd_pipeline.condensation.ogve import scores as score_samples
from kcd_pipeline.condensation.ranking import select
from kcd_pipeline.condensation.ranking.chunks import KeyChunks
from kcd_pipeline.condensation.ranking.select import Partition, rank_all
from kcd_pipeline.condensation.scoring import lazy_values
from kcd_pipeline.condensation.vaks import partition
from kcd_pipeline.config import CondenseConfig
from kcd_stores import NO_PARTNER, Plan, ValueStore, parse_bytes
from kcd_stores.runs.values import LARGEST_CHUNK

ALPHA, KEEP = 0.03, 0.7
BEFORE = {"one stage": 1.0, "six stages": 0.76}  # fraction that the stage before kept
BOUND = {"one stage": 0.5, "six stages": 0.25}


def make_values(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `V[N]` and `F[N]`, of which a hundredth was never visited."""
    random = np.random.default_rng(0)
    value = random.standard_gamma(2, samples) * 0.3
    frequency = random.integers(1, 7, samples, dtype=np.int32) * 40
    never = random.integers(0, samples, samples // 100)
    value[never], frequency[never] = np.nan, 0
    return value, frequency


def kept_before(scores: np.ndarray, fraction: float) -> np.ndarray:
    """Return `[N]` bool: the best `fraction` of an earlier ranking, whose scores differed by a hundredth."""
    if fraction == 1:
        return np.ones(len(scores), dtype=bool)
    earlier = scores * (1 + 0.01 * np.random.default_rng(1).standard_normal(len(scores)))
    dropped = round(len(scores) * (1 - fraction))
    mark = np.ones(len(scores), dtype=bool)
    mark[np.argpartition(earlier, dropped)[:dropped]] = False
    return mark


def memory_of(field: str) -> int:
    """Return the bytes that this process has in memory (VmRSS), or the most that it has had (VmHWM)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def timed(action: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds that pass, and the seconds that processors work for this process."""
    started, busy = time.perf_counter(), time.process_time()
    action()
    return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - busy}


def best(turns: list[dict[str, float]], field: str = "seconds") -> float:
    return min(turn[field] for turn in turns)


def split(scores: da.Array, before: np.ndarray, memory: int) -> Partition:
    return partition(scores, keep=round(scores.size * KEEP), kept_before=before, dropped="new", memory=memory)


def timed_split(scores: da.Array, before: np.ndarray, memory: int) -> tuple[dict[str, float], Partition]:
    """Return the time that `split` took, and its result."""
    found: list[Partition] = []
    took = timed(lambda: found.append(split(scores, before, memory)))
    return took, found[0]


def on_disk(path: Path) -> da.Array:
    """Return the scores of the run's first epoch, not computed yet."""
    values = ValueStore.open(path / "values.zarr")
    return score_samples(lazy_values(values, "value", 0), lazy_values(values, "frequency", 0), ALPHA)


def child(path: Path, case: str, memory: int) -> dict[str, Any]:
    """Rank the values at `path` once; return the seconds, and the bytes beyond those that the process had before."""
    rank_all(da.zeros(10, chunks=5))  # dask's and zarr's own machinery is no part of what is measured
    on_disk(path)[:1].compute()
    base = memory_of("VmRSS")
    mark = np.load(path / f"{case}.npy")
    took, found = timed_split(on_disk(path), mark, memory)
    return {**took, "peak": memory_of("VmHWM") - base, "perturbed": len(found.low)}


def whole_plan(path: Path, case: str) -> dict[str, float]:
    """Time all of `condense`: reading, ranking, making the plan and validating it."""
    mark = np.load(path / f"{case}.npy")
    kept = np.flatnonzero(mark)
    before = Plan(
        stage=0,
        epoch=0,
        samples=len(mark),
        kept=kept,
        partner=np.full(len(kept), NO_PARTNER),
        epsilon=np.zeros(len(kept), dtype=np.float32),
    )
    config = CondenseConfig(interval=1, keep_ratio=KEEP, alpha=ALPHA)
    values = ValueStore.open(path / "values.zarr")
    return timed(lambda: condense(values, before=before, stage=1, epochs=2, config=config))


def say(name: str, ratio: float, bound: float, within: bool, **facts: Any) -> bool:
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in facts.items()}
    print(json.dumps({"benchmark": name, "ratio": round(ratio, 4), "wanted": f"<= {bound}", **rounded}), flush=True)
    return ratio <= bound and within


def argsorts(scores: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        "argsort": timed(lambda: np.argsort(scores)),
        "stable": timed(lambda: np.argsort(scores, kind="stable")),
    }


def in_memory(samples: int, memory: int, rounds: int) -> bool:
    value, frequency = make_values(samples)
    lazy_value, lazy_frequency = (
        da.from_array(array, chunks=LARGEST_CHUNK, name=False) for array in (value, frequency)
    )
    lazy = score_samples(lazy_value, lazy_frequency, ALPHA)
    scores = np.asarray(lazy.compute())
    before = {case: kept_before(scores, fraction) for case, fraction in BEFORE.items()}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in (*BEFORE, "full ranking", "argsort", "stable")}
    found: dict[str, Partition] = {}
    for _ in range(rounds):
        for case, mark in before.items():
            took, found[case] = timed_split(lazy, mark, memory)
            turns[case].append(took)
        turns["full ranking"].append(timed(lambda: rank_all(lazy, memory=memory)))
        for name, took in argsorts(scores).items():
            turns[name].append(took)
    met = [
        say(
            f"condensation of {case} / argsort, in memory",
            best(turns[case]) / best(turns["argsort"]),
            BOUND[case],
            True,
            samples=samples,
            perturbed=len(found[case].low),
            to_stable_argsort=best(turns[case]) / best(turns["stable"]),
            cpu_to_argsort=best(turns[case], "cpu") / best(turns["argsort"], "cpu"),
            seconds=best(turns[case]),
        )
        for case in BEFORE
    ]
    say(
        "full ranking / argsort, in memory",
        best(turns["full ranking"]) / best(turns["argsort"]),
        1,
        True,
        samples=samples,
        to_stable_argsort=best(turns["full ranking"]) / best(turns["stable"]),
        cpu_to_argsort=best(turns["full ranking"], "cpu") / best(turns["argsort"], "cpu"),
    )
    return all(met)


def from_disk(folder: Path, samples: int, memory: str, rounds: int) -> bool:
    value, frequency = make_values(samples)
    ValueStore.create(folder / "values.zarr", epochs=1, samples=samples).write(
        0, value, frequency, value.astype(np.float32)
    )
    del value, frequency
    scores = np.asarray(on_disk(folder).compute())
    for case, fraction in BEFORE.items():
        np.save(folder / f"{case}.npy", kept_before(scores, fraction))
    found: dict[str, list[dict[str, Any]]] = {case: [] for case in BEFORE}
    plans: dict[str, list[dict[str, float]]] = {case: [] for case in BEFORE}
    sorts: dict[str, list[dict[str, float]]] = {"argsort": [], "stable": []}
    for _ in range(rounds):
        for case in BEFORE:
            command = [sys.executable, __file__, "--child", str(folder), "--case", case, "--memory", memory]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            found[case].append(json.loads(done.stdout))
            plans[case].append(whole_plan(folder, case))
        for name, took in argsorts(scores).items():
            sorts[name].append(took)
    met, argsort = [], best(sorts["argsort"])
    for case, turns in found.items():
        peak = max(turn["peak"] for turn in turns)
        met.append(
            say(
                f"condensation of {case} / argsort, on disk",
                best(turns) / argsort,
                BOUND[case],
                peak <= parse_bytes(memory),
                samples=samples,
                perturbed=turns[0]["perturbed"],
                to_stable_argsort=best(turns) / best(sorts["stable"]),
                cpu_to_argsort=best(turns, "cpu") / best(sorts["argsort"], "cpu"),
                with_its_plan_to_argsort=best(plans[case]) / argsort,
                seconds=best(turns),
                memory=parse_bytes(memory),
                peak=peak,
            )
        )
    return all(met)


class Tasks(NamedTuple):
    """The tasks of one chunk, and the key of its result."""

    graph: dict[Any, Any]
    key: Any

    def compute(self, scheduler: str) -> Any:
        return get_sync(self.graph, self.key)


class KeyChunksByHand(KeyChunks):
    """Chunks whose tasks are taken out of the graph once, and run without dask's `compute`."""

    def __init__(self, scores: da.Array, *, workers: int, held: bool) -> None:
        super().__init__(scores, workers=workers, held=held)
        (fused,) = dask.optimize(scores)
        graph = dict(fused.__dask_graph__())
        self._chunks = [Tasks(cull(graph, [key])[0], key) for key in fused.__dask_keys__()]


def cost_of_compute(folder: Path, samples: int, memory: int, rounds: int) -> bool:
    """Compare condensations by dask's `compute` with those by hand, in turns."""
    value, frequency = make_values(samples)
    ValueStore.create(folder / "values.zarr", epochs=1, samples=samples).write(
        0, value, frequency, value.astype(np.float32)
    )
    scores = np.asarray(on_disk(folder).compute())
    met = []
    for case, fraction in BEFORE.items():
        before = kept_before(scores, fraction)
        turns: dict[type[KeyChunks], list[dict[str, float]]] = {KeyChunks: [], KeyChunksByHand: []}
        for _ in range(rounds):
            for kind, took in turns.items():
                with mock.patch.object(select, "KeyChunks", kind):
                    took.append(timed_split(on_disk(folder), before, memory)[0])
        ratio = best(turns[KeyChunks], "cpu") / best(turns[KeyChunksByHand], "cpu")
        met.append(say(f"condensation of {case}, dask's compute / by hand", ratio, 1.3, True, samples=samples))
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory-samples", type=int, default=20_000_000)
    parser.add_argument("--disk-samples", type=int, default=100_000_000)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--child", type=Path, help="rank the values in this folder, made by a parent")
    parser.add_argument("--case", choices=list(BEFORE))
    parser.add_argument("--graph", action="store_true", help="only what dask's compute costs")
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(child(given.child, given.case, parse_bytes(given.memory))))
        return
    if given.graph:
        with tempfile.TemporaryDirectory() as scratch:
            if not cost_of_compute(Path(scratch), given.memory_samples, parse_bytes(given.memory), given.turns):
                sys.exit("a bound was missed")
        return
    met = in_memory(given.memory_samples, parse_bytes(given.memory), given.turns)
    with tempfile.TemporaryDirectory() as scratch:
        met &= from_disk(Path(scratch), given.disk_samples, given.memory, given.turns)
    if not met:
        sys.exit("a bound was missed")


if __name__ == "__main__":
    main()
