"""``python -m pressroom.cli``."""

from pressroom.cli.start import main

main()
