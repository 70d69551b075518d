"""`kcd-pipeline` and `python -m kcd_pipeline`: the command line, from the first moment of the process."""

import os

from kcd_pipeline.signals import ENDS_WITH_INPUT, end_with_input, leave_at_once


def main() -> None:
    """Run the command line. Its imports take a while, in which Ctrl-C must not end in a traceback."""
    leave_at_once()
    if os.environ.pop(ENDS_WITH_INPUT, None):  # not for processes that this one starts
        end_with_input()
    from kcd_pipeline.cli import main as run_command

    run_command()


if __name__ == "__main__":  # worker processes import the main module again
    main()
