"""`python -m tfprune` is `tfprune`."""

from tfprune.cli import main

main()
