"""Answers that are compressed for whoever can read that."""

import gzip

LEAST = 1000
"""Bytes from which on an answer is compressed."""
LEVEL = 5
"""As small as a page gets within a millisecond."""


def compressed(body: bytes, accepted: str) -> tuple[bytes, dict[str, str]]:
    """An answer's body as it is sent, and the headers that say so. ``accepted``: the request's ``Accept-Encoding``."""
    told = {"Vary": "Accept-Encoding"}
    if len(body) < LEAST or "gzip" not in accepted:
        return body, told
    return gzip.compress(body, LEVEL, mtime=0), told | {"Content-Encoding": "gzip"}
