"""The files that pages load, from the wheel: each under a name with the hash of its content, so that a browser keeps it
for good and never has an old one."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fastapi import APIRouter, Request, Response

from pressroom.errors import NotFound

STATIC = Path(__file__).parent / "static"
PATH = "/assets"
_MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. ``name`` has the hash in it."""

    name: str
    media_type: str
    body: bytes
    compressed: bytes


def _read(file: Path) -> Asset:
    body = file.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:12]
    name = f"{file.stem}-{digest}{file.suffix}"
    return Asset(name, _MEDIA_TYPES[file.suffix], body, gzip.compress(body, 9, mtime=0))


ASSETS: Mapping[str, Asset] = MappingProxyType(
    {file.name: _read(file) for file in sorted(STATIC.rglob("*")) if file.suffix in _MEDIA_TYPES}
)
"""By the names that templates call them by."""
_BY_HASH = {asset.name: asset for asset in ASSETS.values()}
router = APIRouter()


@router.get(PATH + "/{name}", include_in_schema=False)
async def read_an_asset(name: str, request: Request) -> Response:
    """A file that pages load."""
    asset = _BY_HASH.get(name)
    if asset is None:
        raise NotFound("page", request.url.path)
    headers = {"Cache-Control": _FOR_GOOD, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, media_type=asset.media_type, headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.body, media_type=asset.media_type, headers=headers)
