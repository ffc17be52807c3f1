"""The few plain pages that stand between a browser and its sign-in."""

from collections.abc import Mapping
from html import escape

from starlette.responses import HTMLResponse

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} · Pressroom</title>
<style>
body {{ font: 1.05rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto 0; padding: 0 1.5rem;
  color: #222; }}
h1 {{ font-size: 1.5rem; margin: 0 0 .75rem; }}
p {{ overflow-wrap: anywhere; }}
a {{ display: inline-block; margin: .5rem .75rem 0 0; padding: .5rem 1.1rem; border-radius: .3rem; background: #1f5fa8;
  color: #fff; text-decoration: none; }}
</style>
<h1>{title}</h1>
<p>{text}</p>
{links}
</html>
"""


def page(title: str, text: str, links: Mapping[str, str], status: int = 200) -> HTMLResponse:
    """A page with a sentence and where to go from there. ``links``: what stands on each, and its address."""
    buttons = "\n".join(f'<a href="{escape(address)}">{escape(name)}</a>' for name, address in links.items())
    body = _PAGE.format(title=escape(title), text=escape(text), links=buttons)
    return HTMLResponse(body, status, _HEADERS)
