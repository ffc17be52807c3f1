"""Which edition of a thing a form was made from: whoever saves a thing after somebody else is told so first."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

EDITION_FIELD = "edition"


class Overtaken(Exception):
    """Somebody else has saved the thing since the form was made; ``edition`` is the one that there is now."""

    def __init__(self, edition: str) -> None:
        super().__init__(edition)
        self.edition = edition


def edition(shown: Any) -> str:
    """The name of what a form shows of a thing: any JSON."""
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


def require_the_same(sent: Mapping[str, str], now: str) -> None:
    """Raises :class:`Overtaken` where a form was made from another edition than there is ``now``."""
    if sent.get(EDITION_FIELD, now) != now:
        raise Overtaken(now)
