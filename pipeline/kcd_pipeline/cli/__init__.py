"""The command line: `main` is the group, and the modules beside this one hold its commands.

Commands import what they need when they run: torch takes seconds to load, and `--help` must not wait for it.
"""

import os

import click

from kcd_pipeline import __version__
from kcd_pipeline.cli.boundary import Grouped
from kcd_pipeline.cli.handing_over import evaluate_command, export_command, predict_command
from kcd_pipeline.cli.look_around import demo_command, inspect_command, models_command, verify_command
from kcd_pipeline.cli.students import condense_command, distill_command, report_command
from kcd_pipeline.cli.studies import study_command
from kcd_pipeline.cli.teachers import extract_teacher_command, train_teacher_command
from kcd_pipeline.config import recipe_names, study_names

RANKED = ("distill",)  # commands that torchrun and accelerate launch may start
COMMANDS = {
    "Stage 1, offline: a teacher and its knowledge": (train_teacher_command, extract_teacher_command),
    "Stage 2, online: students": (distill_command, condense_command),
    "Studies: many students, compared": (study_command, report_command),
    "Hand over: a trained model": (predict_command, evaluate_command, export_command),
    "Look around": (models_command, inspect_command, verify_command, demo_command),
}


@click.group(
    cls=Grouped,
    headings={heading: [command.name for command in commands] for heading, commands in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="CONFIG is a YAML file, or the name of a shipped recipe: "
    + ", ".join(recipe_names())
    + ". STUDY likewise: "
    + ", ".join(study_names())
    + '. Shell completion: eval "$(_KCD_PIPELINE_COMPLETE=bash_source kcd-pipeline)"; also zsh_source, fish_source.',
)
@click.version_option(__version__, prog_name="kcd-pipeline")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Distil image classifiers from cached teacher knowledge.

    Extract a teacher's knowledge once; train many students from the store, condensing it as they learn.
    """
    command, ranks = click.get_current_context().invoked_subcommand, os.environ.get("WORLD_SIZE", "1")
    if command not in RANKED and ranks != "1":
        raise click.UsageError(
            f"{command} is one process, but {ranks} were launched (the variable WORLD_SIZE says so); only "
            f"{' and '.join(RANKED)} trains on several ranks. Run it without torchrun or accelerate launch."
        )


for commands in COMMANDS.values():
    for command in commands:
        main.add_command(command)
