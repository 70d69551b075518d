"""The options of `report --serve` that do not go together are refused before anything is read."""

import pytest
from tests.support.commands import run_command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--serve", "--html", "page.html"],
            "--serve shows the page in a browser and writes nothing: give it without --html",
        ),
        (["--serve", "--json"], "give it without --json"),
        (["--serve", "--figures", "figures"], "give it without --figures"),
        (["--csv", "--serve"], "give it without --csv"),
        (["--serve", "--latex"], "give it without --latex"),
        (["--serve", "--markdown"], "give it without --markdown"),
        (["--port", "8237"], "--port is the port of --serve: give both"),
        (["--port", "0", "--json"], "--port is the port of --serve: give both"),
        (["--serve", "--port", "65536"], "65536 is not in the range 0<=x<=65535"),
        (["--serve", "--port", "-1"], "-1 is not in the range"),
        (["--serve", "--port", "http"], "'http' is not a valid integer"),
    ],
)
def test_what_does_not_go_with_serve_is_refused(words: list[str], message: str) -> None:
    ended = run_command("report", "runs", *words)
    assert ended.exit_code == 2
    assert message in " ".join(ended.output.split())


def test_a_study_is_served_alone() -> None:
    ended = run_command("report", "studies/digits", "runs", "--serve")
    assert ended.exit_code == 2
    assert "give one study alone" in ended.output
