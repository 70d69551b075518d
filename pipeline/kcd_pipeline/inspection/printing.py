"""Printing facts for people: one fact on a line, then a table of what comes in stages or blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

from kcd_pipeline.config import value_words
from kcd_pipeline.own_parts import is_passed_object
from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.reports.compute.stage_tables import (
    Cells,
    cost_cells,
    epochs_done_cell,
    first_epoch_cell,
    plan_cells,
    stage_cell,
    stage_rows,
)
from kcd_pipeline.reports.wording import MISSING, counted, duration, percent
from kcd_pipeline.terminal import new_table, print_line, print_table
from kcd_stores import human_bytes, trial_lines
from kcd_stores.knowledge import flatten

CLASSES_SHOWN = 12
LISTED = 3  # records of blocks that cannot be read


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print the facts of a store or a run, as `read_facts` returns them."""
    if facts["kind"] == "knowledge store":
        print_store(facts)
    else:
        print_run(facts)


def print_store(facts: Mapping[str, Any]) -> None:
    """Print the facts of a store, as `store_facts` returns them."""
    blocks = facts["blocks"]
    views, samples, classes = facts["shape"]
    held = facts["held_bytes_per_row"]
    print_line(f"Knowledge store {facts['path']}", style="bold")
    _print_lines(
        {
            "state": "complete" if facts["complete"] else f"not finished: {_share(blocks)}",
            "shape": f"{views:,} views x {samples:,} samples x {f'{classes:,} classes' if classes else 'features'}",
            **({} if facts["condensed_from"] is None else {"condensed from": f"{facts['condensed_from']:,} samples"}),
            "encoding": facts["encoding"],
            "rows": f"{facts['rows_complete']:,} of {facts['rows']:,}",
            "blocks": f"{blocks['complete']:,} of {blocks['total']:,}, of {blocks['rows_each']:,} rows of a view",
            **({"unreadable": "; ".join(facts["unreadable_records"][:LISTED])} if facts["unreadable_records"] else {}),
            "on disk": _on_disk(facts),
            "in memory": f"{human_bytes(held * samples)} a view while it is taught, {held:,} bytes per row",
            "fidelity": _fidelity(facts["fidelity"]),
            "reading": _reading(facts["reading"]),
            "teacher's time": duration(facts["seconds"]),
            "identity": facts["identity"],
        }
    )
    if not facts["complete"]:
        print_line("Blocks complete by view", style="bold")
        _print_lines(_complete_by_view(blocks["complete_by_view"], blocks["total_by_view"]))
        command = _command_of(facts)
        print_line(f"Repeat the same `kcd-pipeline {command}` command to make the missing blocks.")
    if facts["trial"] is not None:
        print_line("Encoding chosen by a trial", style="bold")
        for line in trial_lines(facts["trial"]):
            print_line(line)
    print_line("Made from", style="bold")
    _print_lines({key.replace("_", " "): _plain(key, value) for key, value in flatten(facts["made_from"]).items()})


def _command_of(facts: Mapping[str, Any]) -> str:
    """Return the command that makes such a store."""
    if facts["condensed_from"] is None:
        return "extract-teacher"
    return "distill" if facts["made_from"]["condensed"].get("space") == "teacher" else "condense"


def _share(blocks: Mapping[str, Any]) -> str:
    complete, total = blocks["complete"], blocks["total"]
    return f"{complete:,} of {total:,} blocks ({percent(complete / total)})"


def _on_disk(facts: Mapping[str, Any]) -> str:
    row = "" if facts["bytes_per_row"] is None else f", {facts['bytes_per_row']:.1f} bytes per row"
    return f"{human_bytes(facts['bytes'])} in {counted(facts['files'], 'file')}{row}"


def _fidelity(fidelity: Mapping[str, Any] | None) -> str:
    if fidelity is None:
        return "not measured when the store was made"
    if fidelity["top1"] is None:
        return "not measured: there are no logits to compare"
    mean = fidelity["mean_kl"]
    divergence = "KL without bound" if mean is None else f"mean KL {mean:.1e} nats"
    return (
        f"{divergence} at T = {fidelity['temperature']:g}, top-1 agreement {percent(fidelity['top1'])} with float32 "
        f"over {fidelity['rows']:,} rows, measured when the store was made"
    )


def _reading(speed: Mapping[str, Any] | None) -> str:
    if speed is None:
        return "nothing to read yet"
    return (
        f"{speed['rows_per_second']:,.0f} rows/s, {human_bytes(speed['bytes_per_second'])}/s decoded, "
        f"{speed['over_copy']:.2f} times the speed of a copy in memory (measured now, on {speed['rows']:,} rows)"
    )


def _complete_by_view(complete: list[int], total: int) -> dict[str, str]:
    """Return a line for each view, or one for neighbouring views with the same number of blocks: `views 3 to 7`."""
    lines, first = {}, 0
    for view in range(1, len(complete) + 1):
        if view == len(complete) or complete[view] != complete[first]:
            name = f"view {first}" if first == view - 1 else f"views {first} to {view - 1}"
            lines[name] = f"{complete[first]} of {total}"
            first = view
    return lines


def print_run(facts: Mapping[str, Any]) -> None:
    """Print the facts of a run, as `run_facts` returns them."""
    of_student = facts["kind"] == "run"
    print_line(f"{'Run' if of_student else 'Training of a teacher'} {facts['path']}", style="bold")
    _print_lines({key: text for key, text in _run_lines(facts, of_student).items() if text is not None})
    if facts.get("plans"):
        print_line("Plans, by stage", style="bold")
        stages = facts["plans"]
        _print_stages(stages, {"stage": stage_cell, "from epoch": first_epoch_cell, **plan_cells(stages)})
        print_line("What each stage cost", style="bold")
        _print_stages(stages, {"stage": stage_cell, "epochs done": epochs_done_cell, **cost_cells()})
    if not facts["finished"] and of_student:
        print_line(f"To continue: {_continuation(facts)}")


def _continuation(facts: Mapping[str, Any]) -> str:
    """Return the way to go on with a run."""
    config = f"{facts['path']}/config.yaml"
    named = (facts["config"][section].get(key) for section, key in (("data", "name"), ("student", "model")))
    if any(is_passed_object(str(name)) for name in named):
        return f"kcd_pipeline.distill('{config}', ...) in Python, with the objects that it was begun with"
    return f"`kcd-pipeline distill {config} --set run.dir={facts['path']}`"


def _run_lines(facts: Mapping[str, Any], of_student: bool) -> dict[str, str | None]:
    """Return the text of each fact on a line of its own; None for facts that the run does not have."""
    return {
        "state": _state(facts),
        "student" if of_student else "teacher": facts["model"],
        "method": ", ".join([facts["method"], *facts["variant"]]) if of_student else None,
        "data set": facts["dataset"],
        "seed": str(facts["seed"]),
        "validation accuracy": _accuracy(facts, "validation"),
        "test accuracy": _accuracy(facts, "test"),
        "averaged weights": _averaged(facts),
        "top-5 accuracy": None if facts.get("top5_accuracy") is None else percent(facts["top5_accuracy"]),
        "trained on": f"{facts['samples_trained']:,} samples, {facts['rows_trained']:,} knowledge rows",
        "time": duration(facts["seconds"]),
        "steps": None if facts["steps"] is None else f"{facts['steps']:,}",
        "store read": _size(facts["bytes_read"]) if of_student else None,
        "blends judged": _judged(facts),
        "plans taken from": facts.get("plans_from"),
        "teachers": _several_teachers(facts),
        "store": facts.get("store"),
        "store identity": facts.get("store_identity"),
        "values": _values(facts.get("values")),
        "on disk": f"{human_bytes(facts['bytes'])} in {counted(facts['files'], 'file')}",
        "holds": ", ".join(facts["holds"]),
    }


def _several_teachers(facts: Mapping[str, Any]) -> str | None:
    """Return the teachers with their weights and stores; None for a single one, whose store has a line of its own."""
    teachers = facts.get("teachers") or ()
    if len(teachers) < 2:
        return None
    return "; ".join(f"{each['model']} (weight {each['weight']:g}, store {each['store']})" for each in teachers)


def _judged(facts: Mapping[str, Any]) -> str | None:
    if not facts["teacher_rows"]:
        return None
    return f"{facts['teacher_rows']:,} rows of blended pictures, {duration(facts['teacher_seconds'])} of teacher time"


def _state(facts: Mapping[str, Any]) -> str:
    done = f"{facts['epochs_done']:,} of {facts['epochs']:,} epochs"
    if not facts["finished"]:
        return f"not finished: {done} are done"
    early = facts["epochs_done"] < facts["epochs"]
    return f"finished, {done}{': stopped early, for the validation accuracy had ceased to rise' if early else ''}"


def _averaged(facts: Mapping[str, Any]) -> str | None:
    """Return the accuracies of the averaged weights; None if there is no average, or none has been measured."""
    of = {images: facts.get(f"ema_{images}_accuracy") for images in ("test", "validation")}
    known = [f"{percent(accuracy)} on {images} images" for images, accuracy in of.items() if accuracy is not None]
    return f"{', '.join(known)} (ema {facts['ema']:g})" if known else None


def _accuracy(facts: Mapping[str, Any], images: str) -> str | None:
    """Return the accuracies on the test set or on validation images; None before there are any."""
    if facts.get(f"{images}_accuracy") is None:
        return None
    last, best = percent(facts[f"{images}_accuracy"]), percent(facts[f"best_{images}_accuracy"])
    if images != facts["chosen_by"]:
        return f"{last} after the last epoch done, {best} of the epoch that was best by validation"
    return f"{last} after the last epoch done, {best} best"


def _values(values: Mapping[str, Any] | None) -> str | None:
    if values is None or values["mean"] is None:
        return None
    words = value_words(values["measure"])
    unit = f" {words.unit}" if words.unit else ""
    return (
        f"V ({words.name}) after epoch {values['after_epoch']}: mean {values['mean']:.4f}, median "
        f"{values['median']:.4f}, largest {values['largest']:.4f}{unit}; {values['never_visited']:,} of "
        f"{values['samples']:,} samples never visited, the others up to {values['visits']['most']:,} times"
    )


def _print_stages(stages: Sequence[Mapping[str, Any]], cells: Cells) -> None:
    table = new_table()
    for heading in cells:
        table.add_column(heading, justify="right")
    for row in stage_rows(stages, cells):
        table.add_text_row(*row)
    print_table(table)


def _size(size: int | None) -> str:
    return MISSING if size is None else human_bytes(size)


def _plain(key: str, value: Any) -> str:
    """Return the text of a fact that a store was made from; a list of classes is counted and cut."""
    if key.endswith("accuracy") and value is None:
        return "not known: there are no logits"
    if key.endswith("accuracy") and isinstance(value, float):
        return percent(value)
    if key.endswith("classes") and isinstance(value, list):
        shown = ", ".join(map(str, value[:CLASSES_SHOWN]))
        return f"{len(value):,}: {shown}{', …' if len(value) > CLASSES_SHOWN else ''}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _print_lines(lines: Mapping[str, str]) -> None:
    """Print `key  text` lines, the texts aligned."""
    width = max(map(len, lines), default=0)
    for key, text in lines.items():
        print_line(f"  {shown_in_line(key):<{width}}  {shown_in_line(text)}")
