"""The command line explains itself: every command's help, the headings, the version, completion."""

import importlib.metadata
import subprocess
import sys
import sysconfig
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from kcd_pipeline.cli import main
from kcd_pipeline.config import recipe_names

OPTIONS = {
    "train-teacher": ["CONFIG", "--set", "--overwrite"],
    "extract-teacher": ["CONFIG", "--set", "--overwrite", "--dry-run"],
    "distill": ["CONFIG", "--set", "--method", "[none|kd|kcd]", "--no-check", "--resume", "--overwrite"],
    "condense": ["RUN", "--export", "--stage", "--encoding", "--store", "--overwrite"],
    "study": ["STUDY", "--set", "--jobs", "--scheduler", "--dry-run"],
    "report": ["RUNS...", "--set", "--html", "--json"],
    "predict": ["RUN|WEIGHTS", "IMAGES...", "--top", "--json", "--model-code", "--device"],
    "evaluate": ["RUN|WEIGHTS", "[FOLDER|RECIPE]", "--set", "--json", "--model-code", "--device"],
    "export": ["RUN|WEIGHTS", "--format", "--output", "--images", "--overwrite", "--model-code"],
    "models": ["[NAME]...", "--input", "--classes", "--json"],
    "inspect": ["PATH", "--json"],
    "verify": ["STORE", "--teacher", "--set", "--rows"],
    "demo": ["[DIR]"],
}


def output(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(("command", "options"), OPTIONS.items())
def test_the_help_of_a_command_names_its_arguments_and_options(command: str, options: list[str]) -> None:
    text = output(command, "--help")
    assert text.startswith(f"Usage: main {command} ")
    assert [option for option in options if option not in text] == []
    assert output(command, "-h") == text


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_of_a_command_is_explained(command: str) -> None:
    options = [parameter for parameter in main.commands[command].params if isinstance(parameter, click.Option)]
    assert all(option.help for option in options)
    assert main.commands[command].help
    assert main.commands[command].short_help


def test_the_list_of_commands_stands_under_headings_in_the_order_of_work() -> None:
    text = output("--help")
    landmarks = [
        "Stage 1, offline: a teacher and its knowledge:",
        "  train-teacher ",
        "  extract-teacher ",
        "Stage 2, online: students:",
        "  distill ",
        "  condense ",
        "Studies: many students, compared:",
        "  study ",
        "  report ",
        "Hand over: a trained model:",
        "  predict ",
        "  evaluate ",
        "  export ",
        "Look around:",
        "  models ",
        "  inspect ",
        "  verify ",
        "  demo ",
    ]
    places = [text.index(landmark) for landmark in landmarks]
    assert places == sorted(places)


def test_no_command_is_left_out_of_the_headings() -> None:
    assert set(main.commands) == set(OPTIONS) == set(main.list_commands(click.Context(main)))


def test_help_lists_the_recipes_and_how_completion_is_had() -> None:
    text = " ".join(output("--help").split())
    assert all(name in text.replace("- ", "-") for name in recipe_names())
    assert "_KCD_PIPELINE_COMPLETE=bash_source kcd-pipeline" in text


def test_the_version_is_that_of_the_installed_package() -> None:
    assert output("--version").strip() == f"kcd-pipeline, version {importlib.metadata.version('kcd-pipeline')}"


def test_the_console_script_and_the_module_say_the_same() -> None:
    script = Path(sysconfig.get_path("scripts")) / "kcd-pipeline"
    commands = ([str(script), "--version"], [sys.executable, "-m", "kcd_pipeline", "--version"])
    said = {subprocess.run(c, capture_output=True, text=True, check=True, timeout=60).stdout for c in commands}
    assert len(said) == 1
    assert said.pop().startswith("kcd-pipeline, version ")


@pytest.mark.parametrize(
    "arguments",
    [["distil"], ["distill"], ["distill", "digits", "--methd", "kd"], ["distill", "digits", "--method", "x"]],
)
def test_misuse_ends_with_exit_code_2_and_the_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Usage: main" in result.output
    assert "Traceback" not in result.output


def test_resume_and_overwrite_exclude_each_other() -> None:
    result = CliRunner().invoke(main, ["distill", "digits", "--resume", "--overwrite"])
    assert result.exit_code == 2
    assert "--resume goes on and --overwrite starts anew: give one of them" in " ".join(result.output.split())


@pytest.mark.parametrize("command", ["train-teacher", "extract-teacher", "distill"])
def test_completion_offers_recipes_by_their_beginning(command: str) -> None:
    def offered(incomplete: str) -> list[tuple[str, str]]:
        shell = ShellComplete(main, {}, "kcd-pipeline", "_KCD_PIPELINE_COMPLETE")
        return [(item.value, item.type) for item in shell.get_completions([command], incomplete)]

    assert [value for value, _ in offered("")] == recipe_names()
    assert offered("dig") == [("digits", "plain")]
    assert offered("cifar100/vgg13-v") == [("cifar100/vgg13-vgg8", "plain")]
    assert offered("./my") == [("./my", "file")]  # left to the shell
