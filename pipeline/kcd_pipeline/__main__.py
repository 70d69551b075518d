"""`python -m kcd_pipeline` is `kcd-pipeline`."""

from kcd_pipeline.cli import main

if __name__ == "__main__":  # worker processes import the main module again
    main()
