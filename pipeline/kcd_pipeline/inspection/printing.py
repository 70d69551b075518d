"""What `inspect` found, for people: facts one a line, then what comes in stages or blocks as a table."""

from collections.abc import Mapping
from typing import Any

from kcd_pipeline.report.render.table import new_table, print_line, print_table
from kcd_pipeline.report.wording import NOTHING, count, duration, percent
from kcd_stores import human_bytes
from kcd_stores.knowledge import flatten


def print_store(facts: Mapping[str, Any]) -> None:
    """A store as `describe_store` gives it."""
    blocks = facts["blocks"]
    views, samples, classes = facts["shape"]
    print_line(f"Knowledge store {facts['path']}", style="bold")
    _print_facts(
        {
            "state": "complete"
            if facts["complete"]
            else f"not finished: {_share(blocks['complete'], blocks['total'])}",
            "shape": f"{views:,} views x {samples:,} samples x {classes:,} classes",
            **({} if facts["condensed_from"] is None else {"condensed from": f"{facts['condensed_from']:,} samples"}),
            "encoding": facts["encoding"],
            "rows": f"{facts['rows_complete']:,} of {facts['rows']:,}",
            "blocks": f"{blocks['complete']:,} of {blocks['total']:,}, of {blocks['rows_each']:,} rows of a view",
            "on disk": _on_disk(facts),
            "fidelity": _fidelity(facts["fidelity"]),
            "reading": _reading(facts["reading"]),
            "teacher's time": duration(facts["seconds"]),
            "identity": facts["identity"],
        }
    )
    if not facts["complete"]:
        print_line("Blocks complete by view", style="bold")
        _print_facts(dict(_by_view(blocks["complete_by_view"], blocks["total_by_view"])))
        command = "extract-teacher" if facts["condensed_from"] is None else "condense"
        print_line(f"The same `kcd-pipeline {command}` again makes what is missing.")
    print_line("Made from", style="bold")
    _print_facts({key.replace("_", " "): _plain(key, value) for key, value in flatten(facts["made_from"]).items()})


def _on_disk(facts: Mapping[str, Any]) -> str:
    row = "" if facts["bytes_per_row"] is None else f", {facts['bytes_per_row']:.1f} bytes a row"
    return f"{human_bytes(facts['bytes'])} in {count(facts['files'], 'file')}{row}"


def _fidelity(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not measured when the store was made"
    divergence = "KL without bound" if found["mean_kl"] is None else f"mean KL {found['mean_kl']:.1e} nats"
    return (
        f"{divergence} at T = {found['temperature']:g}, top-1 agreement {percent(found['top1'])}, against float32 "
        f"over {found['rows']:,} rows, when it was made"
    )


def _reading(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "nothing to read yet"
    return (
        f"{found['rows_per_second']:,.0f} rows/s, {human_bytes(found['bytes_per_second'])}/s decoded, "
        f"{found['over_copy']:.2f} of a copy in memory ({found['rows']:,} rows, here and now)"
    )


def _by_view(complete: list[int], total: int) -> list[tuple[str, str]]:
    """Neighbouring views that have come equally far in one line: `views 3 to 7`."""
    lines, first = [], 0
    for view in range(1, len(complete) + 1):
        if view == len(complete) or complete[view] != complete[first]:
            name = f"view {first}" if first == view - 1 else f"views {first} to {view - 1}"
            lines.append((name, f"{complete[first]} of {total}"))
            first = view
    return lines


def print_run(facts: Mapping[str, Any]) -> None:
    """A run as `describe_run` gives it."""
    of_student = facts["kind"] == "run"
    print_line(f"{'Run' if of_student else 'Training of a teacher'} {facts['path']}", style="bold")
    done = f"{facts['epochs_done']:,} of {facts['epochs']:,} epochs"
    lines = {
        "state": f"finished, {done}" if facts["finished"] else f"not finished: {done} are done",
        "student" if of_student else "teacher": facts["model"],
        "method": ", ".join([facts["method"], *facts["variant"]]) if of_student else None,
        "data set": facts["dataset"],
        "seed": str(facts["seed"]),
        "test accuracy": _accuracy(facts),
        "trained on": f"{facts['samples_trained']:,} samples, {facts['rows_trained']:,} knowledge rows",
        "time": duration(facts["seconds"]),
        "steps": None if facts["steps"] is None else f"{facts['steps']:,}",
        "store read": _size(facts["bytes_read"]) if of_student else None,
        "plans taken from": facts.get("plans_from"),
        "store": facts.get("store"),
        "store identity": facts.get("store_identity"),
        "values": _values(facts.get("values")),
        "on disk": f"{human_bytes(facts['bytes'])} in {count(facts['files'], 'file')}",
        "holds": ", ".join(facts["holds"]),
    }
    _print_facts({key: text for key, text in lines.items() if text is not None})
    if facts.get("plans"):
        print_line("Plans, by stage", style="bold")
        _print_plans(facts["plans"])
        print_line("What each stage cost", style="bold")
        _print_costs(facts["plans"])
    if not facts["finished"] and of_student:
        config = f"{facts['path']}/config.yaml"
        print_line(f"`kcd-pipeline distill {config} --resume --set run.dir={facts['path']}` goes on with it.")


def _accuracy(facts: Mapping[str, Any]) -> str | None:
    if facts["test_accuracy"] is None:
        return None
    return f"{percent(facts['test_accuracy'])} after the last epoch done, {percent(facts['best_test_accuracy'])} best"


def _values(values: Mapping[str, Any] | None) -> str | None:
    if values is None or values["mean"] is None:
        return None
    return (
        f"V after epoch {values['after_epoch']}: mean {values['mean']:.4f}, median {values['median']:.4f}, largest "
        f"{values['largest']:.4f} nats; {values['never_visited']:,} of {values['samples']:,} samples never visited, "
        f"the others up to {values['visits']['most']:,} times"
    )


def _print_plans(plans: list[dict[str, Any]]) -> None:
    table = new_table()
    for heading in ("stage", "from epoch", "kept", "as stored", "perturbed", "came back", "newly dropped"):
        table.add_column(heading, justify="right")
    for heading in ("overlap", "score at the cut", "largest ε"):
        table.add_column(heading, justify="right")
    for plan in plans:
        table.add_row(
            str(plan["stage"]),
            str(plan["first_epoch"]),
            f"{plan['kept']:,} ({percent(plan['kept_fraction'])})",
            f"{plan['taught_as_stored']:,}",
            f"{plan['perturbed']:,}",
            _number(plan["came_back"], ",d"),
            _number(plan["newly_dropped"], ",d"),
            NOTHING if plan["overlap"] is None else percent(plan["overlap"]),
            _number(plan["score_cut"], ".4f"),
            _number(plan["epsilon_max"] if plan["perturbed"] else None, ".2f"),
        )
    print_table(table)


def _print_costs(stages: list[dict[str, Any]]) -> None:
    table = new_table()
    for heading in ("stage", "epochs done", "samples", "steps", "store read", "time"):
        table.add_column(heading, justify="right")
    for stage in stages:
        table.add_row(
            str(stage["stage"]),
            f"{stage['epochs']:,}",
            f"{stage['samples']:,}",
            _number(stage["steps"], ",d"),
            _size(stage["bytes_read"]),
            duration(stage["seconds"]),
        )
    print_table(table)


def _size(size: int | None) -> str:
    return NOTHING if size is None else human_bytes(size)


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} blocks ({percent(part / whole)})"


def _plain(key: str, value: Any) -> str:
    if key.endswith("accuracy") and isinstance(value, float):
        return percent(value)
    if key.endswith("classes") and isinstance(value, list):
        return f"{len(value):,}: {', '.join(map(str, value[:12]))}{', …' if len(value) > 12 else ''}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _print_facts(facts: Mapping[str, str]) -> None:
    """`key  value` lines, values one below the other."""
    width = max(map(len, facts), default=0)
    for key, text in facts.items():
        print_line(f"  {key:<{width}}  {text}")
