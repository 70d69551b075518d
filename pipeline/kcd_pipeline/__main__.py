"""`python -m kcd_pipeline` runs the command line, as `kcd-pipeline` does."""

from kcd_pipeline.cli import main

if __name__ == "__main__":  # worker processes import the main module again
    main()
