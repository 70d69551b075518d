"""`python -m kcd_pipeline` is `kcd-pipeline`."""

from kcd_pipeline.cli import main

main()
