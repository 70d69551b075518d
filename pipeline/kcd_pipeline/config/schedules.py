"""Names of learning rate schedules, and the arguments that each of them takes."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.config.section import is_part_name
from kcd_pipeline.config.suggestions import did_you_mean

# name of a schedule -> {argument: (default, lowest, highest)}
SCHEDULE_ARGUMENTS: dict[str, dict[str, tuple[float, float, float]]] = {
    "milestones": {},
    "cosine": {"end_factor": (0.0, 0.0, 1.0)},
    "linear": {"end_factor": (0.0, 0.0, 1.0)},
    "one-cycle": {"pct_start": (0.3, 0.0, 1.0), "div_factor": (25.0, 1.0, 1e9), "final_div_factor": (1e4, 1.0, 1e9)},
}
SCHEDULE_NAMES = tuple(SCHEDULE_ARGUMENTS)
MOVING_SCHEDULES = ("linear", "one-cycle")  # at every step, if `lr_changes` is auto


def require_schedule_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise ValueError unless the schedule `name` takes these arguments, or is one of the user's own."""
    if is_part_name(name):
        return
    known = SCHEDULE_ARGUMENTS[name]
    for key, value in arguments.items():
        if key not in known:
            takes = f"which takes {', '.join(known)}" if known else "which has keys of its own, milestones and gamma"
            raise ValueError(
                f"schedule_arguments has {key!r}, but the schedule is {name}, {takes}{did_you_mean(key, known)}"
            )
        _, lowest, highest = known[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            raise ValueError(
                f"schedule_arguments.{key}: found {value!r}, expected a number of at least {lowest:g} and at most "
                f"{highest:g}"
            )


def schedule_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, float]:
    """Return all arguments of the schedule `name`, with defaults for those that are not given."""
    return {key: float(arguments.get(key, default)) for key, (default, _, _) in SCHEDULE_ARGUMENTS[name].items()}
