"""`python -I -m shipway`: the command line."""

from shipway.cli import main

main()
