"""The finding: sentences that say the result of a comparison, and what cannot be said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute.arms import Arm
from kcd_pipeline.reports.compute.pairs import PairResult
from kcd_pipeline.reports.wording import counted, interval_ends, listing, percent_interval, points
from kcd_pipeline.statistics import MOST_SEEDS, smallest_sign_flip_p

MOST_TOLD = 8  # pairs with a sentence each; of more, each group of those that came out alike has one
MOST_NAMED = 5  # pairs named in the sentence of such a group
MOST_ALONE = 3  # accuracies in a sentence where nothing is compared
OWN_IMAGES = ("imagefolder", "csv", "webdataset", "huggingface", "parquet")  # names of a kind, not of a data set
FEW_SEEDS = 5  # up to so many, no p value of flipped signs can be below 0.05


def finding_sentences(arms: Sequence[Arm], pairs: Sequence[PairResult], best: Arm | None) -> list[str]:
    """Return the sentences, the result first; none if no run is finished."""
    if not arms:
        return []
    compared = [pair for pair in pairs if pair.paired is not None]
    told = [_pair_sentence(pair) for pair in compared] if len(compared) <= MOST_TOLD else _groups(compared)
    told = told or _accuracy_sentences(arms)
    context = _context([run for arm in arms for run in arm.runs])
    return [f"{context}: {told[0]}" if context else told[0], *told[1:], *_best(arms, best), *_limits(arms, pairs)]


def _context(runs: Sequence[RunRecord]) -> str:
    """Return what all runs share, such as `On 1,437 images of digits, resnet8 taught by resnet20 (98.9%)`."""
    made_from = [run.store["made_from"] for run in runs if run.store is not None]
    images = _only(f"{facts['dataset']['size']:,} " for facts in made_from if "size" in facts["dataset"]) or ""
    data = _only(_data_name(run) for run in runs)
    student = _only(run.student for run in runs)
    teacher = _only(_teacher(run) for run in runs if run.taught and run.store is not None)
    parts = [f"On {images}images of {data}"] if data else []
    parts += [f"{student} taught by {teacher}" if student else f"taught by {teacher}"] if teacher else []
    return ", ".join(parts)


def _data_name(run: RunRecord) -> str:
    name = str(run.summary["dataset"]["name"])
    data = run.config.get("data", {})
    place = data.get("hub") or data.get("root") if name in OWN_IMAGES else None
    return shown_in_line(str(place or name))


def _teacher(run: RunRecord) -> str:
    return listing((_named_teacher(store["made_from"]["teacher"]) for store in run.stores), most=3)


def _named_teacher(teacher: Mapping[str, Any]) -> str:
    name, accuracy = shown_in_line(str(teacher["model"])), teacher.get("test_accuracy")
    return name if accuracy is None else f"{name} ({100 * accuracy:.1f}%)"


def _only(texts: Iterable[str]) -> str | None:
    """Return the text that all of `texts` are; None if they differ, or if there is none."""
    found = set(texts)
    return found.pop() if len(found) == 1 else None


def _pair_sentence(pair: PairResult) -> str:
    """Return the sentence on one pair, such as `kcd is ahead of kd by 0.45 points (95%: +0.20 to +0.70, 5 seeds).`"""
    assert pair.difference is not None
    first, second, mean = _quoted(pair.first), _quoted(pair.second), pair.difference.mean
    seeds, cost = counted(len(pair.seeds), "seed"), _cost(pair)
    ends = interval_ends(pair.difference)
    if len(pair.seeds) == 1:
        return f"{first} differs from {second} by {points(mean)} points in one seed{cost}."
    if ends is None and points(mean) == points(0.0):
        return f"{first} and {second} have equal accuracies in each of {seeds}{cost}."
    if ends is None:
        return (
            f"{first} differs from {second} by {points(mean)} points in each of {seeds}{cost}: without any deviation "
            f"between seeds there is no interval, so neither is called ahead."
        )
    brackets = f"(95%: {ends}, {seeds}){cost}"
    if pair.ahead or pair.behind:
        verb = "is ahead of" if pair.ahead else "is behind"
        return f"{first} {verb} {second} by {abs(mean):.2f} points {brackets}."
    return f"{first} differs from {second} by {points(mean)} points {brackets}: this may be chance. {_needed(pair)}"


def _cost(pair: PairResult) -> str:
    """Return a clause on the rows of the first arm, relative to the second; empty if they are equal by the recipe."""
    unit = "rows" if pair.first.first.taught and pair.second.first.taught else "samples"
    change = round(100 * ((pair.rows_ratio or 1) - 1))
    if change:
        return f" at {abs(change)}% {'more' if change > 0 else 'fewer'} {unit}"
    return f" at equal {unit}" if pair.budget == "rows" else ""


def _needed(pair: PairResult) -> str:
    if pair.seeds_needed is None:
        return f"Even {MOST_SEEDS:,} seeds would be too few to tell so small a difference."
    return f"To tell a difference of this size would take about {pair.seeds_needed:,} seeds."


def _groups(pairs: Sequence[PairResult]) -> list[str]:
    """Return how many pairs came out which way, and a sentence for those that are ahead and for those behind."""
    ahead = sorted((pair for pair in pairs if pair.ahead), key=_mean, reverse=True)
    behind = sorted((pair for pair in pairs if pair.behind), key=_mean)
    open_pairs = [pair for pair in pairs if not pair.ahead and not pair.behind]
    sentences = [
        f"of {len(pairs)} pairs, the first arm is ahead in {len(ahead)} and behind in {len(behind)}; in "
        f"{len(open_pairs)} the difference may be chance."
    ]
    if ahead:
        sentences.append(f"Ahead: {_named(ahead)}.")
    if behind:
        sentences.append(f"Behind: {_named(behind)}.")
    return sentences


def _mean(pair: PairResult) -> float:
    assert pair.difference is not None
    return pair.difference.mean


def _named(pairs: Sequence[PairResult]) -> str:
    """Return pairs with their differences, such as `kcd against kd by +0.45 points (95%: +0.20 to +0.70, 5 seeds)`."""
    texts = []
    for pair in pairs[:MOST_NAMED]:
        assert pair.difference is not None
        ends, seeds = interval_ends(pair.difference), counted(len(pair.seeds), "seed")
        texts.append(
            f"{_quoted(pair.first)} against {_quoted(pair.second)} by {points(pair.difference.mean)} points "
            f"(95%: {ends}, {seeds}){_cost(pair)}"
        )
    more = [f"{len(pairs) - MOST_NAMED} more"] if len(pairs) > MOST_NAMED else []
    return "; ".join([*texts, *more])


def _accuracy_sentences(arms: Sequence[Arm]) -> list[str]:
    """Return a sentence for each of a few arms, where no two are compared."""
    sentences = []
    for arm in arms[:MOST_ALONE]:
        ends, seeds = percent_interval(arm.interval), counted(len(arm.runs), "seed")
        brackets = f"95%: {ends}, {seeds}" if ends else seeds
        sentences.append(f"{_quoted(arm)} reaches {100 * arm.mean_accuracy:.2f}% ({brackets}).")
    return sentences


def _best(arms: Sequence[Arm], best: Arm | None) -> list[str]:
    return [f"{_quoted(best)} is ahead of every other arm."] if best is not None and len(arms) > 2 else []


def _limits(arms: Sequence[Arm], pairs: Sequence[PairResult]) -> list[str]:
    """Return sentences on what cannot be said."""
    limits = []
    if len(arms) > 1 and not pairs:
        limits.append("No arms are compared, because none has one arm of kd with its student and store beside it.")
    apart = [pair for pair in pairs if pair.paired is None]
    if apart:
        named = listing((f"{_quoted(pair.first)} and {_quoted(pair.second)}" for pair in apart), most=3)
        limits.append(f"Not compared, for want of a common seed or test set: {named}.")
    seeds = [len(pair.seeds) for pair in pairs if pair.paired is not None]
    if seeds:
        return [*limits, *_limits_of_seeds(seeds)]
    if all(len(arm.runs) == 1 for arm in arms):
        limits.append("One seed cannot show by how much another would differ.")
    return limits


def _limits_of_seeds(seeds: Sequence[int]) -> list[str]:
    """Return sentences on what pairs with these numbers of common seeds leave open."""
    limits = []
    single, most = seeds.count(1), max(seeds)
    if single:
        who = "The comparison rests" if len(seeds) == 1 else "All comparisons rest" if most == 1 else ""
        who = who or f"{single} of {len(seeds)} comparisons {'rests' if single == 1 else 'rest'}"
        limits.append(f"{who} on one seed, so there is no interval and nothing is called ahead.")
    if 1 < most <= FEW_SEEDS:
        limits.append(
            f"With {most} seeds no p value of flipped signs can be below {smallest_sign_flip_p(most):.4g}, so the "
            f"intervals decide."
        )
    if len(seeds) > 1 and most > 1:
        limits.append(
            f"Each interval stands for its pair alone; the p values are corrected for all {len(seeds)} pairs (Holm)."
        )
    return limits


def _quoted(arm: Arm) -> str:
    """Return the name of an arm, in quotes if it has a comma."""
    return f"“{arm.name}”" if "," in arm.name else arm.name
