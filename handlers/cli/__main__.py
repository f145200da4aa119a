"""`python -m handlers.cli`: the command line, where no script is installed."""

from handlers.cli import main

main()
