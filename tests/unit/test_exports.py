"""The arms of a report as CSV, LaTeX and Markdown; means, deviations and intervals were worked out by hand.

Kcd is 1, 2 and 3 points ahead of kd: by 2 on average, with the sample standard deviation 1. Half the 95% interval is
t(0.975, 2 degrees) / sqrt(3) = 4.302653 / 1.732051 = 2.484138. At the same rows it is 5, 5 and 5.3 points ahead:
5.1 on average, deviation sqrt(0.03) = 0.173205, half the interval 0.430265.
"""

import csv
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kcd_pipeline.reports.collect import RunRecord
from kcd_pipeline.reports.compute import Comparison, FramedArm, StudyFrame, compare
from kcd_pipeline.reports.render.exports.for_papers import as_latex, as_markdown, latex_words, markdown_words
from kcd_pipeline.reports.render.exports.for_spreadsheets import as_csv

ACCURACIES = {
    "none": (0.4, 0.4, 0.4),
    "kd": (0.6, 0.6, 0.6),
    "kd at 70%": (0.56, 0.57, 0.577),
    "kcd & <co>_1": (0.61, 0.62, 0.63),
}
PAIRS = (("kcd & <co>_1", "kd", "epochs"), ("kcd & <co>_1", "kd at 70%", "rows"))
PDFLATEX = shutil.which("pdflatex")


def record(arm: str, seed: int, accuracy: float) -> RunRecord:
    rows = 0 if arm == "none" else 20_000
    summary: dict[str, Any] = {
        "method": arm.split()[0], "student": "resnet8", "seed": seed, "epochs": 1, "test_accuracy": accuracy,
        "best_test_accuracy": accuracy, "rows_trained": rows, "samples_trained": 20_000, "kept_fraction": [1.0],
        "seconds": 1234.5, "parameters": 78_042, "multiply_adds": None if arm == "none" else 12_345_678,
        "dataset": {"name": "digits", "test_fingerprint": "t" * 64}, "store": None,
    }  # fmt: skip
    line = {"test_accuracy": accuracy, "rows": rows, "samples": 20_000, "kept_fraction": 1.0, "seconds": 1234.5}
    config = {"distill": {"method": summary["method"]}, "arm": arm}
    return RunRecord(label=f"{arm} {seed}", path=Path(f"/{arm}/{seed}"), config=config, summary=summary, metrics=[line])


def comparison(seeds: int = 3) -> Comparison:
    """Return the study of `ACCURACIES` with so many seeds."""
    arms = tuple(
        FramedArm(name=name, folders=tuple(Path(f"/{name}/{seed}") for seed in range(seeds)), planned=seeds)
        for name in ACCURACIES
    )
    runs = [record(name, seed, found[seed]) for name, found in ACCURACIES.items() for seed in range(seeds)]
    return compare(runs, (), StudyFrame(title="?", arms=arms, pairs=PAIRS))  # type: ignore[arg-type]


def test_csv_has_bare_numbers_and_repeats_an_arm_for_each_of_its_pairs() -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(comparison()))))
    assert [(line["arm"], line["compared_with"], line["budget"]) for line in lines] == [
        ("none", "", ""),
        ("kd", "", ""),
        ("kd at 70%", "", ""),
        ("kcd & <co>_1", "kd", "epochs"),
        ("kcd & <co>_1", "kd at 70%", "rows"),
    ]
    assert {line["accuracy_percent"] for line in lines[3:]} == {"62"}
    assert {line["deviation_percent"] for line in lines[3:]} == {"1"}
    assert float(lines[3]["low_percent"]) == pytest.approx(62 - 2.484138, abs=1e-5)
    assert [line["difference_points"] for line in lines[3:]] == ["2", "5.1"]
    assert float(lines[3]["difference_low_points"]) == pytest.approx(2 - 2.484138, abs=1e-5)
    assert float(lines[4]["difference_high_points"]) == pytest.approx(5.1 + 0.430265, abs=1e-5)
    assert [line["ahead"] for line in lines] == ["", "", "", "false", "true"]
    assert float(lines[3]["p_holm"]) == 0.5, "the smallest p of three seeds is 2/8, and there are two pairs"
    assert (lines[0]["rows"], lines[0]["samples"], lines[0]["multiply_adds"]) == ("0", "20000", "")
    assert (lines[4]["seconds"], lines[4]["parameters"], lines[4]["multiply_adds"]) == ("1234.5", "78042", "12345678")


def cells(latex: str) -> list[list[str]]:
    return [line.removesuffix(r" \\").split(" & ") for line in latex.splitlines() if line.endswith(r" \\")]


def test_latex_is_bold_only_where_an_arm_is_ahead() -> None:
    latex = as_latex(comparison())
    head, *rows = cells(latex)
    assert {len(row) for row in (head, *rows)} == {13}
    assert r"\begin{tabular}{llrrrlrrrrrrr}" in latex
    assert [line for line in latex.splitlines() if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert rows[3][:5] == ["resnet8", r"kcd \& $<$co$>$\_1", "3", r"62.00 $\pm$ 1.00\%", r"59.52 to 64.48\%"]
    assert rows[3][5:9] == ["kd", "$+$2.00", "$-$0.48 to $+$4.48", "0.50"]
    assert rows[4][:5] == [""] * 5
    assert rows[4][5:8] == [r"kd at 70\%, equal rows", r"\textbf{$+$5.10}", "$+$4.67 to $+$5.53"]
    assert rows[3][9:] == ["20,000", "1,234", "78,042", "12,345,678"]
    assert latex.count(r"\textbf") == 1, "no arm is ahead of every other"


def test_an_arm_that_is_ahead_of_every_other_is_bold() -> None:
    found = comparison()
    few = compare([run for run in found.runs if run.config["arm"] in ("none", "kcd & <co>_1")])
    assert as_latex(few).count(r"\textbf{62.00 $\pm$ 1.00\%}") == 1
    assert as_markdown(few).count("**62.00 ± 1.00%**") == 1


def test_one_seed_has_neither_deviation_nor_interval() -> None:
    row = cells(as_latex(comparison(seeds=1)))[4]
    assert row[3:9] == [r"61.00\%", r"\textendash{}", "kd", "$+$1.00", r"\textendash{}", r"\textendash{}"]
    assert r"\textbf" not in as_latex(comparison(seeds=1))


def test_markdown_is_a_table_with_as_many_cells_in_each_line() -> None:
    head, rule, *rows = [line for line in as_markdown(comparison()).splitlines() if line.startswith("|")]
    assert {line.count(" | ") for line in (head, rule, *rows)} == {12}
    assert rows[3].startswith(r"| resnet8 | kcd \& \<co\>\_1 | 3 | 62.00 ± 1.00% | 59.52 to 64.48% | kd | +2.00 |")
    assert "| **+5.10** | +4.67 to +5.53 |" in rows[4]


@pytest.mark.parametrize(
    ("text", "latex", "markdown"),
    [
        (r"a\b{c}", r"a\textbackslash{}b\{c\}", r"a\\b{c}"),
        ("50% of_all #1 ~ ^", r"50\% of\_all \#1 \textasciitilde{} \textasciicircum{}", r"50% of\_all #1 \~ ^"),
        ("a--b|c", r"a-{}-b\textbar{}c", r"a--b\|c"),
        ("x→y…", r"x$\to$y\dots{}", "x→y…"),
        ("two\nlines", r"two\textbackslash{}nlines", r"two\\nlines"),
    ],
)
def test_names_are_printed_as_they_are(text: str, latex: str, markdown: str) -> None:
    assert latex_words(text) == latex
    assert markdown_words(text) == markdown


@pytest.mark.skipif(PDFLATEX is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    assert PDFLATEX is not None
    preamble = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "table.tex").write_text(f"{preamble}\n{as_latex(comparison())}\n\\end{{document}}\n", encoding="utf-8")
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
