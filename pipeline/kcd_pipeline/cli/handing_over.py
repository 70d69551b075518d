"""The commands that hand a trained model over: predict, evaluate and export."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kcd_pipeline.cli.options import json_option
from kcd_pipeline.config import Config, RunConfig, load_config, recipe_names
from kcd_pipeline.terminal import print_line, print_table
from kcd_stores import human_bytes

if TYPE_CHECKING:  # at run time this would load torch
    from kcd_pipeline.handover import Student

FORMAT_NAMES = ("onnx", "torch-export", "safetensors")
DEVICES = ("auto", "cpu", "cuda", "mps")


def takes_weights(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the argument WEIGHTS, a run or a file, and the option --model-code."""
    command = click.option(
        "--model-code",
        metavar="PACKAGE.MODULE:CALLABLE",
        help="Build a model of your own with this code; what weights name is never imported because they name it.",
    )(command)
    return click.argument("weights", metavar="RUN|WEIGHTS", type=click.Path())(command)


device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Device to compute on; auto: a GPU if there is one.",
)


@click.command("predict", short_help="Predict the classes of pictures.")
@takes_weights
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--top", type=click.IntRange(min=1), default=3, show_default=True, help="Likeliest classes to show of each picture."
)
@device_option
@json_option
def predict_command(
    weights: str, images: tuple[Path, ...], model_code: str | None, top: int, device: str, as_json: bool
) -> None:
    """Say which classes the model of a run, or of a file of weights, finds likeliest for each of IMAGES.

    IMAGES are picture files, or folders, of which all pictures are taken. Pictures of any size are prepared exactly as
    the test images were: the header of the weights says how.
    """
    student = _load(weights, model_code)
    from kcd_pipeline.handover.predicting import predict, predictions_as_json, predictions_as_table

    pictures, answers = predict(student, images, top=top, run=_run_on(device))
    if as_json:
        click.echo(predictions_as_json(student, pictures, answers))
    else:
        print_table(predictions_as_table(student, pictures, answers))


@click.command("evaluate", short_help="Evaluate a model on labelled images.")
@takes_weights
@click.argument("data", metavar="[FOLDER|RECIPE]", required=False)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value of RECIPE.")
@device_option
@json_option
def evaluate_command(
    weights: str,
    data: str | None,
    overrides: tuple[str, ...],
    model_code: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Evaluate the model of a run, or of a file of weights: top-1, top-5, each class, confusion, calibration.

    FOLDER holds a folder of pictures for each class, called as the class is. Of a RECIPE, the test images are taken;
    without either, those of the run. Where the teacher of the run or the recipe is there, it says how often both find
    the same class.
    """
    folder, recipe = _images(data, overrides)
    student = _load(weights, model_code)
    from kcd_pipeline.handover.evaluation import evaluate, evaluation_as_json
    from kcd_pipeline.handover.printing import print_evaluation

    found = evaluate(Path(weights), student, folder=folder, recipe=recipe, run=_run_on(device))
    if as_json:
        click.echo(json.dumps(evaluation_as_json(student, found), indent=2))
    else:
        print_evaluation(student, found)


@click.command("export", short_help="Write a model as ONNX, torch.export or safetensors.")
@takes_weights
@click.option("--format", "form", type=click.Choice(FORMAT_NAMES), required=True, help="Format of the file.")
@click.option(
    "-o",
    "--output",
    "to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; if not given, one called as the run or the weights, in the working folder.",
)
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Picture or folder to compare both on, any number of times; if not given, the run's test images.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file that is there.")
def export_command(
    weights: str, model_code: str | None, form: str, to: Path | None, images: tuple[Path, ...], overwrite: bool
) -> None:
    """Write the model of a run, or of a file of weights, in a format that other programs load.

    The file takes batches of any size, and its metadata say how pictures are prepared and what the classes are called.
    Before it is kept, its outputs are compared with torch's on real images.

    (`condense --export` writes something else: the knowledge that a run kept, as a store.)
    """
    student = _load(weights, model_code)
    from kcd_pipeline.handover.exporting import export_student
    from kcd_pipeline.handover.formats import FORMATS

    path = Path(weights)
    name = path.name.removesuffix(".safetensors") if path.is_file() else path.resolve().name
    target = to or Path(name + FORMATS[form].suffix)
    done = export_student(student, path, target, form=form, pictures=images, overwrite=overwrite)
    print_line(
        f"{done.file}: {student.name} as {form}, {human_bytes(done.file.stat().st_size)}. On {done.images} real images "
        f"its logits differ from torch's by at most {done.difference:.2g} (the largest is {done.largest:.3g})."
    )


def _load(weights: str, model_code: str | None) -> "Student":
    from kcd_pipeline.handover import load_student

    return load_student(weights, model=model_code)


def _images(data: str | None, overrides: tuple[str, ...]) -> tuple[Path | None, Config | None]:
    """Return the folder of images, or the recipe, that the argument FOLDER|RECIPE names; neither if it is not given."""
    if data is not None and not Path(data).is_dir():
        if not data.endswith((".yaml", ".yml")) and data not in recipe_names():
            raise click.UsageError(
                f"'{data}' is neither a folder (in {Path.cwd()}), nor a YAML file, nor a shipped recipe"
            )
        return None, load_config(data, overrides)
    if overrides:
        raise click.UsageError("--set overrides values of a recipe: name one")
    return None if data is None else Path(data), None


def _run_on(device: str) -> RunConfig:
    return RunConfig.model_validate({"device": device})
