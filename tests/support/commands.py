"""The commands of kcd-pipeline, run in this process."""

from click.testing import CliRunner, Result

from kcd_pipeline.cli import main


def run_command(*words: object) -> Result:
    """Run `kcd-pipeline` with these words and return how it ended."""
    return CliRunner().invoke(main, [str(word) for word in words])


def succeed(*words: object) -> str:
    """Run `kcd-pipeline` with these words, require that it succeeds, and return what it printed."""
    ended = run_command(*words)
    assert ended.exit_code == 0, ended.output
    return ended.output
