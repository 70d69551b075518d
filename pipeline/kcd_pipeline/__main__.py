"""`kcd-pipeline` and `python -m kcd_pipeline`: the command line, from the first moment of the process."""

from kcd_pipeline.signals import leave_at_once


def main() -> None:
    """Run the command line. Its imports take a while, in which Ctrl-C must not end in a traceback."""
    leave_at_once()
    from kcd_pipeline.cli import main as run_command

    run_command()


if __name__ == "__main__":  # worker processes import the main module again
    main()
