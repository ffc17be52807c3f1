"""``python -m pressroom.cli``."""

from pressroom.cli.main import app

app()
