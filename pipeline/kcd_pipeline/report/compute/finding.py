"""The finding: sentences that say the result of a comparison, and what cannot be said."""

from collections.abc import Sequence

from kcd_pipeline.report.compute.arms import Arm
from kcd_pipeline.report.compute.pairs import PairResult
from kcd_pipeline.report.wording import counted, interval_ends, points


def finding_sentences(arms: Sequence[Arm], pairs: Sequence[PairResult]) -> list[str]:
    """Return the sentences, the most important first; none if no run is finished."""
    return [_pair_sentence(pair) for pair in pairs if pair.difference is not None]


def _pair_sentence(pair: PairResult) -> str:
    assert pair.difference is not None
    seeds = counted(len(pair.seeds), "seed")
    verb = "is ahead of" if pair.ahead else "is behind" if pair.behind else "differs from"
    ends = interval_ends(pair.difference)
    brackets = f"95%: {ends}, {seeds}" if ends else seeds
    return f"{pair.first.name} {verb} {pair.second.name} by {points(pair.difference.mean)} points ({brackets})."
