"""The page of every command, made from the commands themselves.

Run `python -m kcd_pipeline.cli.reference > docs/reference/cli.md` after a change of a command.
"""

import inspect
from collections.abc import Iterator

import click

from kcd_pipeline.cli import COMMANDS, main
from kcd_pipeline.config import recipe_names

HEAD = """# Commands

Made from the commands by `python -m kcd_pipeline.cli.reference`. In the terminal, `kcd-pipeline COMMAND --help` says
the same.

CONFIG is a YAML file or the name of a shipped recipe. `--set section.key=value` overrides any [key](config.md) of it,
as often as needed. Results go to standard output, progress to standard error.
[Exit codes](../how-to/resume-and-errors.md#exit-codes) are 0, 1, 2, and 129, 130 or 143 after a signal.
`kcd-pipeline --debug COMMAND ...` shows the traceback of an error, and `kcd-pipeline --version` the version.
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for heading, commands in COMMANDS.items():
        parts.append(f"## {heading}\n")
        for command in commands:
            parts += _command(command)
    parts.append("## Shipped recipes\n")
    parts += [f"- `{name}`" for name in recipe_names()]
    return "\n".join(parts)


def _command(command: click.Command) -> Iterator[str]:
    context = click.Context(
        command, info_name=command.name, parent=click.Context(main, info_name="kcd-pipeline", **main.context_settings)
    )
    usage = context.command.get_usage(context).removeprefix("Usage: ")
    yield f"### {command.name}\n\n```text\n{' '.join(usage.split())}\n```\n\n{_paragraphs(command.help or '')}\n"
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        yield "| option | meaning |\n| --- | --- |"
        yield from (_row(option, context) for option in options)
        yield ""


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _row(option: click.Option, context: click.Context) -> str:
    names, help_text = option.get_help_record(context) or ("", "")
    return f"| `{names.replace('|', ', ')}` | {' '.join(help_text.split())} |"


if __name__ == "__main__":
    print(reference())
