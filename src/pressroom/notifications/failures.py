"""Why something could not be told."""

from pressroom.errors import ended, shown

LONGEST = 500


class NotDelivered(Exception):
    """A try to tell somebody failed.

    ``detail`` is a sentence fit to be kept and shown: no secret is in it. ``permanent``: another try would fail the
    same way. ``retry_after`` is how many seconds the other side asked to wait, where it did.
    """

    def __init__(self, detail: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        self.detail = ended(shown(detail, LONGEST))
        self.permanent = permanent
        self.retry_after = retry_after
        super().__init__(self.detail)
