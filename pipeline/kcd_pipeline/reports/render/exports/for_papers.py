"""The exported table for a paper, in LaTeX (booktabs), or for a page, in Markdown."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kcd_pipeline.plain_text import shown_in_line
from kcd_pipeline.reports.compute import Comparison
from kcd_pipeline.reports.compute.pairs import PairResult
from kcd_pipeline.reports.render.exports.lines import Line, lines_of
from kcd_pipeline.reports.wording import (
    MISSING,
    interval_ends,
    mean_and_spread,
    measured,
    p_value,
    percent_interval,
    points,
    whole_number,
)

WORDS = ("student", "arm", "compared with")  # columns that are read as words; numbers stand on the right
NOTE = (
    "Accuracy after the last epoch: mean ± sample standard deviation over seeds, and the 95% t interval of the mean. "
    "Difference: arm - compared arm, in points, over the seeds that both have, and its 95% t interval; bold where that "
    "lies above 0. Bold accuracy: ahead of every other arm."
)
OWN_NOTE = " Metrics of one's own: the mean over seeds."
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": r"\textbar{}", '"': "''",
    "±": r"$\pm$", "→": r"$\to$", "×": r"$\times$", "…": r"\dots{}", "–": r"\textendash{}",
}  # fmt: skip
MARKDOWN = re.compile(r"[\\`*_\[\]<>|~$&]")


@dataclass(frozen=True, kw_only=True)
class Markup:
    """The language of a table.

    Attributes
    ----------
    words
        Returns a text in the language, so that it is printed as it is.
    number
        Returns a number, or several in a text, with true minus signs.
    bold
        Returns a text of the language in bold print.
    """

    words: Callable[[str], str]
    number: Callable[[str], str]
    bold: Callable[[str], str]


def as_latex(comparison: Comparison) -> str:
    r"""Return the table as a `tabular` with the rules of booktabs, for a preamble with `\usepackage{booktabs}`."""
    markup = Markup(
        words=latex_words,
        number=lambda text: re.sub(r"[-+](?=\d)", r"$\g<0>$", latex_words(text)),
        bold=lambda text: rf"\textbf{{{text}}}",
    )
    headings, rows = _table(comparison, markup)
    columns = "".join("l" if heading in WORDS else "r" for heading in headings)
    return "\n".join(
        [
            f"% {_note(comparison)}",
            r"% In the preamble: \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{' & '.join(map(markup.words, headings))} \\",
            r"\midrule",
            *(rf"{' & '.join(cells)} \\" for cells in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def as_markdown(comparison: Comparison) -> str:
    """Return the table in the Markdown of GitHub, with a note below it."""
    markup = Markup(
        words=markdown_words,
        number=lambda text: re.sub(r"-(?=\d)", "\N{MINUS SIGN}", markdown_words(text)),
        bold=lambda text: f"**{text}**",
    )
    headings, rows = _table(comparison, markup)
    rule = ["---" if heading in WORDS else "---:" for heading in headings]
    lines = [f"| {' | '.join(cells)} |" for cells in (map(markup.words, headings), rule, *rows)]
    return "\n".join([*lines, "", _note(comparison), ""])


def latex_words(text: str) -> str:
    """Return `text` as LaTeX prints it, in one line; two hyphens stay two."""
    words = "".join(LATEX.get(letter, letter) for letter in shown_in_line(text))
    return re.sub(r"-(?=-)", "-{}", words)


def markdown_words(text: str) -> str:
    """Return `text` as Markdown prints it in the cell of a table."""
    return MARKDOWN.sub(r"\\\g<0>", shown_in_line(text))


def _note(comparison: Comparison) -> str:
    return NOTE + (OWN_NOTE if comparison.metric_headings else "")


def _table(comparison: Comparison, markup: Markup) -> tuple[list[str], list[list[str]]]:
    """Return the headings, as they are, and the cells of each line in the language of the table."""
    rows = [_cells(line, comparison.metric_headings, markup) for line in lines_of(comparison)]
    return [heading for heading, _ in rows[0]], [[cell for _, cell in row] for row in rows]


def _cells(line: Line, metrics: Mapping[str, str], markup: Markup) -> list[tuple[str, str]]:
    """Return each heading with the cell of a line; cells of an arm are blank where the line above has them.

    They are no mapping: a metric of the user's own may be called as another column is.
    """
    arm = line.arm
    accuracy = markup.number(mean_and_spread(arm.mean_accuracy, arm.deviation))
    of_arm = {
        "student": markup.words(arm.first.student),
        "arm": markup.words(arm.name),
        "seeds": str(len(arm.runs)),
        "accuracy": markup.bold(accuracy) if line.best else accuracy,
        "95% interval": markup.number(percent_interval(arm.interval) or MISSING),
    }
    means = [(heading, arm.mean_of_metric(name)) for name, heading in metrics.items()]
    own = [(heading, markup.number(MISSING if mean is None else measured(mean))) for heading, mean in means]
    cost = {
        "rows": whole_number(arm.mean_rows),
        "seconds": f"{arm.mean_seconds:,.0f}" if arm.mean_seconds >= 10 else f"{arm.mean_seconds:.2f}",
        "parameters": whole_number(line.parameters),
        "multiply-adds": whole_number(line.multiply_adds),
    }
    cost = {heading: markup.number(text) for heading, text in cost.items()}
    if line.repeats:
        of_arm, own, cost = dict.fromkeys(of_arm, ""), [(heading, "") for heading, _ in own], dict.fromkeys(cost, "")
    return [*of_arm.items(), *own, *_cells_of_pair(line.pair, markup).items(), *cost.items()]


def _cells_of_pair(pair: PairResult | None, markup: Markup) -> dict[str, str]:
    difference = None if pair is None else pair.difference
    if pair is None or difference is None:
        second, mean, ends, p = (MISSING if pair is None else _second(pair)), MISSING, None, None
    else:
        second, mean, ends, p = _second(pair), points(difference.mean), interval_ends(difference), pair.p_holm
    stated = markup.number(mean)
    return {
        "compared with": markup.words(second),
        "difference": markup.bold(stated) if pair is not None and pair.ahead else stated,
        "its 95% interval": markup.number(ends or MISSING),
        "p (Holm)": markup.number(MISSING if p is None else p_value(p)),
    }


def _second(pair: PairResult) -> str:
    """Return the name of the second arm of `pair`, and that it had the rows of the first if it had."""
    return f"{pair.second.name}, equal rows" if pair.budget == "rows" else pair.second.name
